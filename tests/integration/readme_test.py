"""The examples of the README, as a reader would copy them."""

import os
import re
import subprocess
import unittest

from harness import BUILD, MODULES, SANITIZED, Case, wait_until

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))


def blocks(path, language):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return re.findall(rf"^```{language}\n(.*?)^```$", file.read(), re.M | re.S)


class Readme(Case):
    def test_the_shell_example(self):
        example = blocks("README.md", "sh")[0]
        os.mkdir(os.path.join(self.folder, "src"))
        with open(os.path.join(self.folder, "src", "a.c"), "w", encoding="ascii") as file:
            file.write("int a;\n")
        out, _ = self.run_program("sh", "-eu", "-c", example)
        lines = out.split()
        self.assertEqual(lines[0], "441")
        self.assertRegex(lines[1], "^[0-9a-f]{64}$")

    @unittest.skipIf(SANITIZED, "a plain program does not load a sanitized library")
    def test_the_c_example_compiles_and_runs(self):
        module, program = blocks("README.md", "c")
        for name, text in (("figures.c", module), ("main.c", program)):
            with open(os.path.join(self.folder, name), "w", encoding="utf-8") as file:
                file.write(text)
        prefix = os.path.join(self.folder, "prefix")
        subprocess.run(["cmake", "--install", BUILD, "--prefix", prefix], check=True,
                       stdout=subprocess.DEVNULL)
        lib = next(os.path.join(base) for base, _, files in os.walk(prefix)
                   if "remuda.pc" in files)
        self.env["PKG_CONFIG_PATH"] = lib
        self.env["LD_LIBRARY_PATH"] = os.path.dirname(lib)
        for text in (module, program):
            command = re.search(r"/\* \S+: (cc .*?) \*/", text).group(1)
            self.run_program("sh", "-eu", "-c", command)
        out, _ = self.run_program("./main")
        self.assertTrue(out.startswith("2.5\n"), out)
        self.assertIn("EmptyList: the mean of nothing is not a number", out)
        self.assertIn("figures.c", out)

    def test_the_grpcurl_example(self):
        self.env["MODULES"] = MODULES
        example = blocks("README.md", "sh")[1]
        server, call = example.split("&\n", 1)
        child = self.start("sh", "-c", "exec " + server)
        wait_until(lambda: os.path.exists(os.path.join(self.folder, "remuda.sock")),
                   "the coordinator listens")
        out, _ = self.run_program("sh", "-eu", "-c", call)
        self.assertIn('"int64": "441"', out)
        child.terminate()
        child.wait(30)


if __name__ == "__main__":
    unittest.main(verbosity=2)
