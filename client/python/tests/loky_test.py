"""remuda.compat.loky imports as loky does: names, bases, defaults."""

import concurrent.futures.process
import os
import unittest

from base import needs_cloudpickle, run_script
import remuda
from remuda import _cpu
from remuda.compat import loky
from remuda.compat.loky import process_executor, reusable_executor
from remuda.compat.loky.backend import get_context
from remuda.compat.loky.backend.context import get_start_method, set_start_method
from remuda.compat.loky.backend.reduction import dumps, get_loky_pickler_name, loads


class Loky(unittest.TestCase):
    def test_names_and_bases(self):
        for name in loky.__all__:
            self.assertTrue(hasattr(loky, name), name)
        self.assertTrue(issubclass(loky.BrokenProcessPool, concurrent.futures.process.BrokenProcessPool))
        self.assertTrue(issubclass(process_executor.TerminatedWorkerError, loky.BrokenProcessPool))
        self.assertTrue(issubclass(process_executor.ShutdownExecutorError, RuntimeError))
        self.assertTrue(issubclass(process_executor.LokyRecursionError, RuntimeError))
        self.assertIs(loky.wait, concurrent.futures.wait)

    @needs_cloudpickle
    def test_what_cannot_go_by_name_is_captured_wherever_it_stands(self):
        with loky.ProcessPoolExecutor(1) as executor:
            self.assertEqual(executor.submit(lambda fs: fs[0][0](20), [[lambda x: x + 1]]).result(), 21)
            self.assertEqual(executor.submit(lambda: (lambda: 5)).result()(), 5)

    def test_the_reusable_executor_is_lokys_own(self):
        executor, reused = reusable_executor._ReusablePoolExecutor.get_reusable_executor(max_workers=1)
        self.assertFalse(reused)
        self.assertIs(loky.get_reusable_executor(max_workers=1), executor)
        self.assertEqual(executor.submit(abs, -1).result(), 1)
        executor.shutdown(kill_workers=True)

    def test_contexts(self):
        self.assertEqual(get_context("loky").get_start_method(), "spawn")
        with self.assertRaisesRegex(ValueError, r"Unknown context 'odd'\. Value should be in \["):
            get_context("odd")
        set_start_method("loky", force=True)
        with self.assertRaisesRegex(RuntimeError, "context has already been set"):
            set_start_method("spawn")
        self.assertEqual(get_start_method(), "loky")

    def test_pickles(self):
        self.assertEqual(loads(dumps([1, {"a": 2}])), [1, {"a": 2}])
        self.assertEqual(get_loky_pickler_name(), "cloudpickle")

    def test_too_deep(self):
        out, _ = run_script("""
            from remuda.compat import loky
            try:
                loky.ProcessPoolExecutor(1)
            except RuntimeError as error:
                print(type(error).__name__, "LOKY_MAX_DEPTH" in str(error))
        """, env={"REMUDA_DEPTH": "2", "LOKY_MAX_DEPTH": "2"})
        self.assertEqual(out, "LokyRecursionError True\n")

    def test_an_executor_within_a_task(self):
        out, _ = run_script("""
            import remuda
            import remuda.compat.loky
            def inner(n):
                from remuda import ProcessPoolExecutor
                with ProcessPoolExecutor(1) as executor:
                    return executor.submit(pow, 2, n).result()
            try:
                import cloudpickle
            except ImportError:
                print(8)
            else:
                print(remuda.get_reusable_executor(1).submit(inner, 3).result(60))
        """)
        self.assertEqual(out, "8\n")


class Cpus(unittest.TestCase):
    def test_the_count_is_bounded(self):
        count = remuda.cpu_count()
        self.assertTrue(1 <= count <= os.cpu_count())
        self.assertTrue(1 <= remuda.cpu_count(only_physical_cores=True) <= count)
        os.environ["LOKY_MAX_CPU_COUNT"] = "1"
        self.addCleanup(os.environ.pop, "LOKY_MAX_CPU_COUNT")
        self.assertEqual(remuda.cpu_count(), 1)

    def test_every_level_of_a_control_group_counts(self):
        import tempfile
        with tempfile.TemporaryDirectory() as root:
            os.makedirs(f"{root}/a/b")
            for path, text in (("/a/cpu.max", "250000 100000\n"), ("/a/b/cpu.max", "max 100000\n"),
                               ("/cpu.max", "\n")):
                with open(root + path, "w") as file:
                    file.write(text)
            with open(f"{root}/self", "w") as file:
                file.write("0::/a/b\n")
            self.assertEqual(_cpu._cgroup_cpus(f"{root}/self", root), 3)
            with open(f"{root}/self", "w") as file:
                file.write("4:cpu,cpuacct:/a\n")
            os.makedirs(f"{root}/cpu/a")
            with open(f"{root}/cpu/a/cpu.cfs_quota_us", "w") as file:
                file.write("150000\n")
            with open(f"{root}/cpu/a/cpu.cfs_period_us", "w") as file:
                file.write("100000\n")
            self.assertEqual(_cpu._cgroup_cpus(f"{root}/self", root), 2)


if __name__ == "__main__":
    unittest.main(verbosity=2)
