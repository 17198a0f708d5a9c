"""What the package's tests share: the built package on sys.path, programs of their own."""

import os
import subprocess
import sys
import textwrap
import unittest

BUILD = os.path.abspath(os.environ.get("REMUDA_BUILD") or os.path.join(
    os.path.dirname(__file__), "..", "..", "..", "build", "dev"))
PACKAGES = os.path.join(BUILD, "lib", "python")
# What ./dev has installed for the tests: numpy, mypy, joblib ...
TOOLS = os.path.join(os.path.dirname(BUILD), "tools", "python-%d.%d" % sys.version_info[:2])
PYTHONPATH = os.pathsep.join((PACKAGES, TOOLS))
sys.path[0:0] = [PACKAGES, TOOLS]
os.environ.pop("REMUDA_ADDRESS", None)
os.environ.pop("REMUDA_ENCODER", None)
os.environ.pop("LOKY_PICKLER", None)

import remuda  # noqa: E402

try:
    import cloudpickle  # noqa: F401
    HAS_CLOUDPICKLE = True
except ImportError:
    HAS_CLOUDPICKLE = False
try:
    import numpy  # noqa: F401
    HAS_NUMPY = True
except ImportError:
    HAS_NUMPY = False

needs_cloudpickle = unittest.skipUnless(HAS_CLOUDPICKLE, "cloudpickle is not installed")
needs_numpy = unittest.skipUnless(HAS_NUMPY, "numpy is not installed")


def run_script(text, code=0, env=None, **options):
    """Runs a program of its own; its stdout and stderr."""
    whole = dict(os.environ, PYTHONPATH=PYTHONPATH, **(env or {}))
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(text)], capture_output=True,
                          text=True, timeout=120, env=whole, check=False, **options)
    if done.returncode != code:
        raise AssertionError(f"ended with {done.returncode}, not {code}\n{done.stdout}\n"
                             f"{done.stderr}")
    return done.stdout, done.stderr


class Case(unittest.TestCase):
    """A test with an executor of two workers, for all tests of its class."""

    encoder = None

    @classmethod
    def setUpClass(cls):
        cls.executor = remuda.ProcessPoolExecutor(2, encoder=cls.encoder)

    @classmethod
    def tearDownClass(cls):
        cls.executor.shutdown()

    def call(self, function, *args, **kwargs):
        return self.executor.submit(function, *args, **kwargs).result(60)
