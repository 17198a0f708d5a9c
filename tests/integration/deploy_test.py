"""What is in deploy/: that the engines it is for take it."""

import os
import re
import shutil
import subprocess
import unittest

from harness import BIN, IN_CI, Case, main

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
UNITS = os.path.join(ROOT, "deploy", "systemd")


class Systemd(Case):
    """systemd itself need not run."""

    def setUp(self):
        super().setUp()
        if shutil.which("systemd-analyze") is None:
            if IN_CI:
                self.fail("systemd-analyze is missing, and this is CI")
            self.skipTest("systemd-analyze is not installed")

    def unit(self, name):
        """A copy of a unit that starts this build's program."""
        with open(os.path.join(UNITS, f"{name}.service"), encoding="utf-8") as file:
            text = file.read()
        path = os.path.join(self.folder, f"{name}.service")
        with open(path, "w", encoding="utf-8") as file:
            file.write(re.sub("^Documentation=.*\n", "", text.replace("/usr/bin/", BIN + "/"),
                              flags=re.MULTILINE))
        return path

    def test_the_units_are_right(self):
        for name in ("remudad", "remuda-agent"):
            done = subprocess.run(["systemd-analyze", "verify", "--man=no", self.unit(name)],
                                  capture_output=True, text=True, timeout=60)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertNotIn(name, done.stderr)

    def test_the_units_are_sandboxed(self):
        for name, most in (("remudad", 2.0), ("remuda-agent", 4.0)):
            done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager",
                                   self.unit(name)], capture_output=True, text=True, timeout=60)
            level = re.search(r"Overall exposure level .*: ([\d.]+)", done.stdout)
            self.assertIsNotNone(level, done.stdout + done.stderr)
            self.assertLessEqual(float(level.group(1)), most)

    def test_the_options_of_the_units_are_those_of_the_programs(self):
        for file_name, program in (("remudad.env", "remudad"), ("agent.env", "remuda-agent")):
            with open(os.path.join(UNITS, file_name), encoding="utf-8") as file:
                said = set(re.findall(r"(--[a-z-]+)", file.read()))
            known, _ = self.run_program(os.path.join(BIN, program), "--help")
            self.assertTrue(said)
            self.assertEqual({option for option in said if option not in known}, set())


if __name__ == "__main__":
    main()
