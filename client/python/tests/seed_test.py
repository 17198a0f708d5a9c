"""The page on serialization that this project grew from, as a program, and step by step."""

import os
import re
import subprocess
import sys
import unittest

from base import PYTHONPATH, Case, needs_cloudpickle
import remuda

SCRIPT = os.path.join(os.path.dirname(__file__), "..", "..", "examples", "python",
                      "seed_scenario.py")


def run(*args, **env):
    done = subprocess.run([sys.executable, *args], capture_output=True, text=True, check=False,
                          env=dict(os.environ, PYTHONPATH=PYTHONPATH, **env), timeout=120)
    if done.returncode != 0:
        raise AssertionError(done.stdout + done.stderr)
    return done.stdout


@needs_cloudpickle
class Page(unittest.TestCase):
    def test_the_page_runs_and_prints_what_it_promises(self):
        out = run(SCRIPT)
        self.assertEqual(re.findall(r"(?m)^42$", out), ["42"] * 4)
        self.assertRegex(out, (
            r'(?s)RemoteTraceback: \n"""\nTraceback.*PicklingError: Can\'t pickle <function func_async at 0x\w+>: '
            r'attribute lookup func_async on __main__ failed\n"""\n\n'
            r"The above exception was the direct cause of the following exception:\n\n"
            r"Traceback.*PicklingError: Could not pickle the task to send it to the workers\.\n"))
        for way in ("wrap_non_picklable_objects", "set_encoder('capture')", "set_encoder('auto')"):
            self.assertIn(way, out)
        self.assertIn("\nTrue 42\n", out)

    def test_lokys_variable_switches_before_the_start(self):
        text = ("import remuda\n"
                "def f(i): return 2 * i\n"
                "def call(fs, x): return fs[0][0](x)\n"
                "print(remuda.get_reusable_executor(1).submit(call, [[f]], 21).result())\n")
        self.assertEqual(run("-c", text, LOKY_PICKLER="cloudpickle"), "42\n")
        self.assertEqual(run("-c", text, REMUDA_ENCODER="auto"), "42\n")


@needs_cloudpickle
class Modes(Case):
    def tearDown(self):
        remuda.set_encoder()
        remuda.set_loky_pickler()

    def test_auto_captures_wherever_it_stands(self):
        remuda.set_encoder("auto")
        two = 2
        self.assertEqual(self.call(map_first, [[lambda x: two * x]], 21), 42)

    def test_an_object_of_a_local_class_goes_at_the_top_level(self):
        class Local:
            answer = 42
        self.assertEqual(self.call(getattr, Local(), "answer"), 42)

    def test_capture_takes_own_importable_functions_by_value(self):
        import remuda_codec
        import tasks
        self.assertEqual(remuda_codec.by_name(tasks.echo, "schema"), "tasks.echo")
        self.assertIsNone(remuda_codec.by_name(tasks.echo, "capture"))
        self.assertEqual(remuda_codec.by_name(os.path.join, "capture"), "posixpath.join")
        remuda.set_encoder("capture")
        self.assertEqual(self.call(map_first, [[tasks.echo]], 3), 3)

    def test_switches_refuse_what_they_do_not_know(self):
        with self.assertRaisesRegex(ValueError, "no encoder 'fast'"):
            remuda.set_encoder("fast")
        with self.assertRaisesRegex(ImportError, "This error occurred while setting loky_pickler to 'not_a_module'"):
            remuda.set_loky_pickler("not_a_module")

    def test_what_changes_in_the_program_is_seen_by_the_next_call(self):
        def make(n):
            def function():
                return n
            return function
        self.assertEqual([self.call(make(n)) for n in range(3)], [0, 1, 2])

    def test_a_wrapped_class_stays_a_class(self):
        @remuda.wrap_non_picklable_objects
        class Money(int):
            def __add__(self, other):
                return Money(int(self) + int(other))
        self.assertTrue(issubclass(Money, int) and isinstance(Money(1) + 1, Money))
        self.assertIsInstance(self.call(max, [[Money(1)], [Money(2)]])[0], Money)


def map_first(nested, x):
    function = nested[0][0]
    return function(x)


if __name__ == "__main__":
    unittest.main(verbosity=2)
