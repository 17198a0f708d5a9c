"""Pushed modules: the newest build of a prefix wins, bad ones are refused, and none takes others
down."""

import json
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import BIN, DEMO, Case, Coordinator, wait_until  # noqa: E402

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
INCLUDES = [f"-I{ROOT}/proto/{room}/include" for room in ("task", "codec", "error")]


class Modules(Case):
    def build(self, name, body, prefix="build", flags=("-shared", "-fPIC")):
        """Compiles a module of that prefix to NAME in the test's folder."""
        source = os.path.join(self.folder, name + ".c")
        with open(source, "w", encoding="ascii") as file:
            file.write(f'#include <remuda/task.h>\nREMUDA_MODULE("{prefix}");\n{body}\n')
        path = os.path.join(self.folder, name)
        self.run_program("cc", *flags, *INCLUDES, source, "-o", path)
        return path

    def version(self, number, name=None, prefix="build", more=""):
        return self.build(name or f"v{number}.so", "REMUDA_TASK(int64_t, version) "
                          f"{{ return {number}; }}\n{more}", prefix)

    def listed(self, *address):
        out, _ = self.remuda("module", "list", *address, "--json")
        return [json.loads(line) for line in out.splitlines()]

    def test_the_newest_build_of_a_prefix_wins(self):
        first, second = self.version(1), self.version(2)
        with Coordinator(self) as there:
            at = ["--address", there.address]
            for module, number in ((first, "1\n"), (second, "2\n"), (first, "1\n")):
                self.remuda("module", "push", *at, module)
                self.assertEqual(self.remuda("run", *at, "native:build.version")[0], number)
                self.assertEqual(self.remuda("run", *at, "native:demo.square", "3")[0], "9\n")
            states = {row["name"]: (row["state"], row["prefix"], row["functions"])
                      for row in self.listed(*at)}
            self.assertEqual(states, {"v1.so": ("loaded", "build", 1),
                                      "v2.so": ("replaced", "build", 1)})

    def test_a_pushed_build_stands_before_the_agents_own(self):
        own, pushed = self.version(1, "own.so"), self.version(2, "pushed.so")
        with Coordinator(self, modules=(DEMO, own)) as there:
            at = ["--address", there.address]
            self.assertEqual(self.remuda("run", *at, "native:build.version")[0], "1\n")
            self.remuda("module", "push", *at, pushed)
            self.assertEqual(self.remuda("run", *at, "native:build.version")[0], "2\n")
            self.remuda("module", "remove", *at, "pushed.so")
            self.assertEqual(self.remuda("run", *at, "native:build.version")[0], "1\n")

    def test_what_runs_ends_on_the_old_build_and_what_is_queued_goes_to_the_new(self):
        more = ("#include <unistd.h>\n"
                "REMUDA_TASK(int64_t, hold, (const char *, path)) {\n"
                "  if (rmdir(path) != 0) return -1;\n"
                "  while (access(path, F_OK) != 0) usleep(10000);\n"
                "  return %d;\n}")
        first = self.version(1, more=more % 1)
        second = self.version(2, more=more % 2)
        gate = os.path.join(self.folder, "gate")
        os.mkdir(gate)  # the task says by its absence that it runs
        with Coordinator(self, workers=1) as there:
            at = ["--address", there.address]
            self.remuda("module", "push", *at, first)
            runs = self.start(os.path.join(BIN, "remuda"), "run", *at, "native:build.hold", gate)
            wait_until(lambda: not os.path.exists(gate), "the first task runs")
            waits = [self.start(os.path.join(BIN, "remuda"), "run", *at, "native:build.version")
                     for _ in range(3)]
            wait_until(lambda: len(self.remuda("ps", *at, "--json")[0].splitlines()) == 4,
                       "the others are accepted")
            self.remuda("module", "push", *at, second)
            with open(gate, "w", encoding="ascii"):
                pass
            self.assertEqual(runs.communicate()[0], "1\n")
            # One may have been leased already: it ends where it is.
            out = [task.communicate()[0] for task in waits]
            self.assertGreaterEqual(out.count("2\n"), 2, out)

    def test_what_is_no_module_is_refused_and_named(self):
        body = "REMUDA_TASK(int64_t, f) { return 1; }"
        text = os.path.join(self.folder, "text.so")
        with open(text, "w", encoding="ascii") as file:
            file.write("not a shared object\n" * 10)
        bad = [(text, "no shared object"),
               (self.build("object.so", body, flags=("-c", "-fPIC")), "object file"),
               (self.build("empty.so", ""), "REMUDA_TASK"),
               (self.build("version.so", "#undef REMUDA_ABI_VERSION\n", prefix="x"), None)]
        plain = os.path.join(self.folder, "plain.so.c")
        with open(plain, "w", encoding="ascii") as file:
            file.write("int f(void) { return 1; }\n")
        self.run_program("cc", "-shared", "-fPIC", plain, "-o", plain[:-2])
        bad.append((plain[:-2], "REMUDA_MODULE"))
        cut = os.path.join(self.folder, "cut.so")
        with open(self.version(1), "rb") as whole, open(cut, "wb") as file:
            file.write(whole.read()[:900])
        bad.append((cut, "cut"))
        with Coordinator(self) as there:
            for path, words in bad:
                _, err = self.remuda("module", "push", "--address", there.address, path, code=2)
                self.assertIn(os.path.basename(path), err)
                if words:
                    self.assertIn(words, err)
            self.assertEqual(self.listed("--address", there.address), [])
            self.assertEqual(self.remuda("run", "--address", there.address, "native:demo.square",
                                         "3")[0], "9\n")

    def test_a_module_that_does_not_load_is_refused_and_harms_nobody(self):
        lacking = self.build("lacking.so", "int64_t nobody_has_this(void);\n"
                             "REMUDA_TASK(int64_t, f) { return nobody_has_this(); }",
                             prefix="lacking")
        good = self.version(1)
        with Coordinator(self) as there:
            at = ["--address", there.address]
            self.remuda("module", "push", *at, good)
            _, err = self.remuda("module", "push", *at, lacking, code=2)
            self.assertIn("nobody_has_this", err)
            self.remuda("module", "push", "--no-check", *at, lacking)
            self.assertEqual(self.remuda("run", *at, "native:build.version")[0], "1\n")
            self.assertEqual(self.remuda("run", *at, "native:demo.square", "3")[0], "9\n")
            _, err = self.remuda("run", *at, "native:lacking.f", code=1)
            self.assertIn("nobody_has_this", err)
            self.assertIn("lacking.so", err)
            self.assertNotIn("/proc/self/fd", err)

    def test_a_module_is_found_from_the_folder_it_was_named_in(self):
        self.version(7, "bare.so")
        with Coordinator(self, workers=None) as hub:
            agent = self.start(os.path.join(BIN, "remuda-agent"), "--coordinator", hub.address,
                               "--module", "bare.so", stdout=None, stderr=None)
            self.assertEqual(self.remuda("run", "--address", hub.address,
                                         "native:build.version")[0], "7\n")
            agent.terminate()
            agent.wait()
        for program, words in (("remudad", ("--listen", f"unix:{self.folder}/s",
                                            "--local-workers", "1")),
                               ("remuda-agent", ("--coordinator", f"unix:{self.folder}/s"))):
            _, err = self.run_program(os.path.join(BIN, program), *words, "--module", "nope.so",
                                      code=2)
            self.assertIn("nope.so", err)
            self.assertIn("No such file", err)

    def test_two_agents_of_one_name_are_told_apart(self):
        with Coordinator(self, workers=None) as hub:
            agents = [self.start(os.path.join(BIN, "remuda-agent"), "--coordinator", hub.address,
                                 "--name", "twin", stdout=None, stderr=None) for _ in range(2)]

            def names():
                out, _ = self.remuda("workers", "--address", hub.address, "--json")
                return sorted((row["agent"], row["state"])
                              for row in map(json.loads, out.splitlines()))
            wait_until(lambda: names() == [("twin", "no workers"), ("twin#2", "no workers")],
                       "both are listed, without workers")
            self.assertIn("another agent is called twin", hub.log_text())
            for agent in agents:
                agent.terminate()
                agent.wait()

    def test_modules_are_removed_by_name_prefix_or_digest(self):
        with Coordinator(self) as there:
            at = ["--address", there.address]
            for number in (1, 2):
                self.remuda("module", "push", *at, self.version(number))
            newest = [row for row in self.listed(*at) if row["state"] == "loaded"][0]
            self.remuda("module", "remove", *at, newest["digest"])
            self.assertEqual(self.remuda("run", *at, "native:build.version")[0], "1\n")
            self.remuda("module", "remove", *at, "build")
            self.assertEqual(self.listed(*at), [])
            _, err = self.remuda("run", *at, "native:build.version", code=1)
            self.assertIn("UnknownFunction", err)
            self.assertIn("module push", err)
            _, err = self.remuda("module", "remove", *at, "build", code=None)
            self.assertIn("no such module", err)
            self.remuda("module", "push", *at, os.path.join(self.folder, "v2.so"))
            self.assertEqual(self.remuda("run", *at, "native:build.version")[0], "2\n")


if __name__ == "__main__":
    unittest.main(verbosity=2)
