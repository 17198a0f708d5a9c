"""The package as one installs it: built by pip, from this checkout, into an environment of its own.

REMUDA_PYTHONS="python3.9 python3.13" names the interpreters; by default it is the one that runs this.
"""

import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

from base import BUILD, TOOLS

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
PYTHONS = os.environ.get("REMUDA_PYTHONS", sys.executable).split()
# What the wheel leaves to the system: bundle.py.
SYSTEM = re.compile(r"^(linux-vdso|/lib64/ld-linux|lib(c|m|gcc_s|stdc\+\+|z)\.so|statically)")


def run(*command, cwd=None, env=None):
    """What a command prints; it must end well."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=1500, check=False,
                          cwd=cwd, env=env)
    if done.returncode != 0:
        raise AssertionError(f"{command}: {done.returncode}\n{done.stdout[-8000:]}\n{done.stderr[-8000:]}")
    return done.stdout


def tools_of(python):
    """The packages for tests of that interpreter, or None where ./dev has installed none."""
    version = run(python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])").strip()
    folder = os.path.join(os.path.dirname(TOOLS), "python-" + version)
    return folder if os.path.isdir(os.path.join(folder, "scikit_build_core")) else None


class Installed:
    """An environment with the package in it, and nothing else but cloudpickle."""

    def __init__(self, python, tools):
        self.folder = tempfile.mkdtemp(prefix="remuda-package-")
        self.python = os.path.join(self.folder, "venv", "bin", "python")
        self.empty = os.path.join(self.folder, "empty")
        os.mkdir(self.empty)
        run(python, "-m", "venv", "--without-pip", os.path.join(self.folder, "venv"))
        version = os.path.basename(tools)
        self.site = run(self.python, "-c", "import sysconfig; print(sysconfig.get_path('platlib'))").strip()
        run(python, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps", "--disable-pip-version-check",
            "-C", f"build-dir={BUILD}/wheel-{version}", "-w", self.folder, ROOT,
            env=dict(os.environ, PYTHONPATH=tools))
        (self.wheel,) = glob.glob(os.path.join(self.folder, "remuda-*.whl"))
        run(python, "-m", "pip", "--python", self.python, "install", "-q", "--no-deps", "--no-index", self.wheel)
        shutil.copytree(os.path.join(tools, "cloudpickle"), os.path.join(self.site, "cloudpickle"))

    def run(self, *args):
        """Runs its interpreter where there is nothing: no PATH, no files, no variables."""
        return run(self.python, *args, cwd=self.empty, env={"PATH": "/nonexistent", "LC_ALL": "C.UTF-8"})

    def remove(self):
        shutil.rmtree(self.folder)


class Package(unittest.TestCase):
    def test_what_pip_builds_runs_where_nothing_else_is_installed(self):
        for python in PYTHONS:
            with self.subTest(python=python):
                tools = tools_of(python)
                if tools is None:
                    self.skipTest("scikit-build-core is not installed: ./dev test installs it")
                installed = Installed(python, tools)
                try:
                    self.check(installed)
                finally:
                    installed.remove()

    def check(self, installed):
        self.check_libraries(installed)
        page = os.path.join(installed.empty, "page.py")
        shutil.copy(os.path.join(ROOT, "client", "examples", "python", "seed_scenario.py"), page)
        out = installed.run("-W", "error", page)
        self.assertEqual(re.findall(r"(?m)^42$", out), ["42"] * 4)
        self.assertIn("\nTrue 42\n", out)
        self.assertRegex(installed.run("-m", "remuda", "version"), r"^remuda \d+\.\d+\.\d+\n")
        self.assertEqual(installed.run("-m", "remuda", "run", "python:math.factorial", "10"), "3628800\n")
        version = installed.run("-c", "import remuda; print(remuda.__version__, remuda.__file__)").split()
        self.assertIn(f"remuda-{version[0]}", os.path.basename(installed.wheel))
        self.assertTrue(version[1].startswith(installed.site))

    def check_libraries(self, installed):
        """Each program's libraries lie in the package, or are those that every system has."""
        programs = glob.glob(os.path.join(installed.site, "remuda", "bin", "*"))
        self.assertEqual(sorted(map(os.path.basename, programs)),
                         ["remuda", "remuda-agent", "remuda-crash", "remuda-worker-native",
                          "remuda-worker-python", "remudad"])
        for path in programs + glob.glob(os.path.join(installed.site, "remuda*", "*.so")):
            for line in run("ldd", path).splitlines():
                name, _, target = line.strip().partition(" => ")
                self.assertTrue(SYSTEM.match(name) or target.startswith(installed.site), f"{path}: {line}")


if __name__ == "__main__":
    unittest.main(verbosity=2)
