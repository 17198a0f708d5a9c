"""Executors and futures: what concurrent.futures and loky promise, and what goes beyond."""

import asyncio
import concurrent.futures
import functools
import itertools
import operator
import os
import pickle
import signal
import tempfile
import threading
import traceback
import unittest

from base import Case, needs_cloudpickle, run_script
import remuda
import tasks


class Futures(Case):
    def test_a_result(self):
        future = self.executor.submit(pow, 2, 10)
        self.assertIsInstance(future, concurrent.futures.Future)
        self.assertEqual(future.result(), 1024)
        self.assertEqual(future.result(), 1024)
        self.assertTrue(future.done() and not future.cancelled() and not future.running())
        self.assertIsNone(future.exception())

    def test_wait_and_as_completed_of_the_standard_library(self):
        futures = [self.executor.submit(pow, 2, n) for n in range(20)]
        done = concurrent.futures.as_completed(futures, timeout=60)
        self.assertEqual(sorted(f.result() for f in done), [2 ** n for n in range(20)])
        ended = concurrent.futures.wait([self.executor.submit(abs, -1)], timeout=60)
        self.assertEqual([f.result() for f in ended.done], [1])
        self.assertEqual(len(ended.not_done), 0)

    def test_callbacks_are_called_and_their_errors_logged(self):
        called = threading.Event()
        future = self.executor.submit(abs, -1)

        def leave(_):
            raise SystemExit
        with self.assertLogs("concurrent.futures", "ERROR"):
            future.add_done_callback(leave)
            future.add_done_callback(lambda f: called.set())
            self.assertTrue(called.wait(60))
            remuda._session.flush()
        self.assertEqual(self.call(abs, -2), 2)

    def test_a_future_can_be_awaited(self):
        async def both():
            return await asyncio.gather(self.executor.submit(pow, 2, 3), self.executor.submit(pow, 2, 4))
        self.assertEqual(asyncio.run(both()), [8, 16])

    def test_a_task_that_runs_can_be_cancelled(self):
        with tempfile.TemporaryDirectory() as folder:
            future = self.executor.submit(tasks.wait_for, os.path.join(folder, "never"))
            self.assertFalse(future.done())
            with self.assertRaises(concurrent.futures.TimeoutError):
                future.result(0.01)
            self.assertTrue(future.cancel())
            self.assertTrue(future.cancelled() and future.done())
            with self.assertRaises(concurrent.futures.CancelledError):
                future.result()
            self.assertEqual(concurrent.futures.wait([future]).done, {future})

    def test_a_task_that_has_ended_cannot_be_cancelled(self):
        future = self.executor.submit(abs, -1)
        future.result()
        self.assertFalse(future.cancel())

    def test_a_timeout_ends_the_task(self):
        future = self.executor.submit_with(tasks.wait_for, "/nonexistent/file", timeout=0.2)
        with self.assertRaises(concurrent.futures.TimeoutError):
            future.result(60)

    def test_results_are_taken_from_many_threads(self):
        future = self.executor.submit(tasks.echo, [1, 2])
        results = []
        threads = [threading.Thread(target=lambda: results.append(future.result())) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertTrue(len(results) == 8 and all(each is results[0] for each in results))


class Map(Case):
    def test_results_in_order(self):
        self.assertEqual(list(self.executor.map(abs, range(-5, 5))), [abs(n) for n in range(-5, 5)])
        self.assertEqual(list(self.executor.map(pow, [2, 3], [4, 5])), [16, 243])
        self.assertEqual(list(self.executor.map(abs, [])), [])

    def test_every_size_of_chunk_gives_the_same(self):
        for chunksize in (1, 7, 1000):
            self.assertEqual(list(self.executor.map(operator.neg, range(100), chunksize=chunksize)),
                             [-n for n in range(100)])
        with self.assertRaisesRegex(ValueError, r"^chunksize must be >= 1\.$"):
            self.executor.map(abs, [1], chunksize=0)

    def test_a_buffered_map_draws_no_more_than_it_needs(self):
        drawn = itertools.count()
        results = self.executor.map(abs, drawn, buffersize=4, chunksize=1)
        self.assertEqual([next(results) for _ in range(10)], list(range(10)))
        results.close()
        self.assertLess(next(drawn), 20)

    def test_an_error_comes_where_its_chunk_would(self):
        results = self.executor.map(functools.partial(operator.truediv, 6), [1, 2, 0, 3], chunksize=2)
        self.assertEqual([next(results), next(results)], [6, 3])
        with self.assertRaises(ZeroDivisionError):
            next(results)

    @needs_cloudpickle
    def test_a_function_of_the_program_itself(self):
        base = 10
        self.assertEqual(list(self.executor.map(lambda n: n + base, range(3))), [10, 11, 12])


class Errors(Case):
    def test_an_exception_keeps_its_type_and_tells_its_story(self):
        with self.assertRaises(ValueError) as caught:
            self.call(tasks.fail_chain)
        cause = caught.exception.__cause__
        self.assertIsInstance(cause, remuda.RemoteTraceback)
        text = "".join(traceback.format_exception(type(caught.exception), caught.exception, None))
        for part in ('"""', "KeyError: 'missing'", "in fail_chain", "tasks.py",
                     "The above exception was the direct cause of the following exception:",
                     "ValueError: no such row"):
            self.assertIn(part, text)
        self.assertNotIn("remuda_worker", text)
        self.assertIsInstance(cause.cause, KeyError)

    def test_attributes_and_notes_travel(self):
        with self.assertRaises(ValueError) as caught:
            self.call(tasks.fail_with_note)
        self.assertEqual(caught.exception.extra, [1, 2])
        if hasattr(ValueError, "add_note"):
            self.assertEqual(caught.exception.__notes__, ["a note"])

    def test_exceptions_that_end_programs_are_results_like_others(self):
        for kind in (SystemExit, KeyboardInterrupt, GeneratorExit):
            with self.assertRaises(kind):
                self.call(tasks.fail, kind)
        self.assertEqual(self.call(abs, -1), 1)

    def test_an_exception_that_cannot_travel_does_not_hide(self):
        for kind, args, text in ((tasks.Odd, (7, "seven"), "7: seven"), (tasks.Unpicklable, ("x",), "x")):
            with self.assertRaisesRegex(remuda.RemoteError, f"tasks.{kind.__name__}: {text}") as caught:
                self.call(tasks.fail, kind, *args)
            self.assertIn("in fail", str(caught.exception.__cause__))
        self.assertEqual(self.call(abs, -1), 1)

    def test_a_result_that_cannot_travel_says_so(self):
        with self.assertRaises(TypeError):
            self.call(tasks.unpicklable_result)
        self.assertEqual(self.call(abs, -1), 1)

    def test_an_argument_that_cannot_be_sent(self):
        future = self.executor.submit(len, [threading.Lock()])
        with self.assertRaisesRegex(pickle.PicklingError, "Could not pickle the task to send it to the workers."):
            future.result()
        self.assertIn("_thread.lock", str(future.exception().__cause__))

    def test_a_crash_takes_one_task_and_not_the_pool(self):
        others = [self.executor.submit(pow, 2, n) for n in range(10)]
        with self.assertRaises(remuda.TerminatedWorkerError) as caught:
            self.call(tasks.crash, signal.SIGSEGV)
        self.assertIn("SIGSEGV(-11)", str(caught.exception))
        self.assertIsInstance(caught.exception, concurrent.futures.process.BrokenProcessPool)
        with self.assertRaisesRegex(remuda.TerminatedWorkerError, r"EXIT\(3\)"):
            self.call(os._exit, 3)
        self.assertEqual([f.result(60) for f in others], [2 ** n for n in range(10)])
        self.assertEqual(self.call(abs, -1), 1)

    def test_what_is_not_there_is_named(self):
        import types
        gone = types.ModuleType("gone_module")
        exec("def f(): pass", gone.__dict__)  # a function that says it lives where no worker finds it
        import sys
        sys.modules["gone_module"] = gone
        self.addCleanup(sys.modules.pop, "gone_module")
        with self.assertRaisesRegex(ModuleNotFoundError, "no module named 'gone_module' on .*sys.path"):
            self.call(gone.f)


class Lives(unittest.TestCase):
    def test_after_shutdown_nothing_is_taken(self):
        executor = remuda.ProcessPoolExecutor(1)
        future = executor.submit(abs, -1)
        executor.shutdown()
        self.assertEqual(future.result(), 1)
        with self.assertRaisesRegex(remuda.ShutdownExecutorError, "^cannot schedule new futures after shutdown$"):
            executor.submit(abs, -1)
        executor.shutdown()

    def test_shutdown_waits_for_what_was_submitted(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "go")
            with remuda.ProcessPoolExecutor(1) as executor:
                futures = [executor.submit(tasks.wait_for, path), executor.submit(abs, -2)]
                threading.Timer(0.1, lambda: open(path, "w").close()).start()
            self.assertTrue(all(future.done() for future in futures))
            self.assertEqual(futures[1].result(), 2)

    def test_shutdown_that_kills(self):
        executor = remuda.ProcessPoolExecutor(1)
        futures = [executor.submit(tasks.wait_for, "/nonexistent/file") for _ in range(3)]
        executor.shutdown(kill_workers=True)
        for future in futures:
            with self.assertRaisesRegex(remuda.ShutdownExecutorError, "`kill_workers=True` before this job"):
                future.result(60)

    def test_shutdown_that_cancels(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "go")
            executor = remuda.ProcessPoolExecutor(1)
            running = executor.submit(tasks.wait_for, path)
            waiting = [executor.submit(tasks.wait_for, path) for _ in range(300)]
            while not os.path.exists(path + ".begun"):
                threading.Event().wait(0.01)
            threading.Timer(0.3, lambda: open(path, "w").close()).start()
            executor.shutdown(cancel_futures=True)
            self.assertGreater(running.result(), 0)
            self.assertTrue(all(future.done() for future in waiting))
            self.assertTrue(waiting[-1].cancelled())

    def test_the_same_executor_is_given_again(self):
        first = remuda.get_reusable_executor(max_workers=1)
        self.assertEqual(first.submit(abs, -1).result(), 1)
        self.assertIs(remuda.get_reusable_executor(max_workers=2), first)
        self.assertEqual(first._max_workers, 2)
        second = remuda.get_reusable_executor(max_workers=2, env={"A_VARIABLE": "b"})
        self.assertIsNot(second, first)
        self.assertEqual(second.executor_id, first.executor_id + 1)
        self.assertEqual(second.submit(os.getenv, "A_VARIABLE").result(), "b")
        self.assertIs(remuda.get_reusable_executor(reuse=True), second)
        self.assertIsNot(remuda.get_reusable_executor(reuse=False), second)
        with self.assertRaisesRegex(ValueError, r"^max_workers must be greater than 0, got -1\.$"):
            remuda.get_reusable_executor(max_workers=-1)
        remuda.get_reusable_executor(reuse=True).shutdown()

    def test_an_initializer_runs_in_each_worker(self):
        with remuda.ProcessPoolExecutor(1, initializer=tasks.remember, initargs=([1],)) as executor:
            self.assertEqual(executor.submit(tasks.remembered).result(60), [[1]])
        with self.assertRaisesRegex(TypeError, "^initializer must be a callable, got: 5$"):
            remuda.ProcessPoolExecutor(1, initializer=5)

    def test_an_initializer_that_fails_breaks_the_pool_and_is_told(self):
        executor = remuda.ProcessPoolExecutor(1, initializer=tasks.refuse)
        with self.assertRaises(remuda.BrokenProcessPool) as caught:
            executor.submit(abs, -1).result(60)
        self.assertIn("the initializer says no", "".join(
            traceback.format_exception(type(caught.exception), caught.exception, None)))
        executor.shutdown()

    def test_a_worker_for_each_few_tasks(self):
        with remuda.ProcessPoolExecutor(1, max_tasks_per_child=1) as executor:
            pids = [executor.submit(os.getpid).result(60) for _ in range(3)]
        self.assertEqual(len(set(pids)), 3)

    def test_numbers_that_make_no_sense(self):
        with self.assertRaisesRegex(ValueError, "^max_workers must be greater than 0$"):
            remuda.ProcessPoolExecutor(0)
        with self.assertRaisesRegex(ValueError, "Unknown context 'x'"):
            remuda.get_reusable_executor(context="x")


class Programs(unittest.TestCase):
    def test_a_program_ends_when_its_tasks_have(self):
        out, err = run_script("""
            import remuda, time
            executor = remuda.get_reusable_executor(max_workers=1)
            executor.submit(time.sleep, 0.2)
            executor.submit(print, "said by a task")
        """)
        self.assertEqual((out, err), ("said by a task\n", ""))

    def test_a_forked_child_is_told_and_its_parent_unharmed(self):
        out, _ = run_script("""
            import os, remuda
            executor = remuda.get_reusable_executor(max_workers=1)
            executor.submit(abs, -1).result()
            pid = os.fork()
            if pid == 0:
                try:
                    executor.submit(abs, -1)
                except RuntimeError as error:
                    os._exit(7 if "forked" in str(error) else 8)
                os._exit(9)
            print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), executor.submit(abs, -2).result())
        """)
        self.assertEqual(out, "7 2\n")

    def test_an_interrupt_is_the_callers_and_the_pool_lives(self):
        out, err = run_script("""
            import os, signal, threading, remuda, time
            executor = remuda.get_reusable_executor(max_workers=1)
            executor.submit(abs, -1).result()
            future = executor.submit(time.sleep, 600)
            threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
            try:
                future.result()
            except KeyboardInterrupt:
                print("interrupted")
            future.cancel()
            print(executor.submit(abs, -3).result(60))
        """)
        self.assertEqual((out, err), ("interrupted\n3\n", ""))

    def test_tasks_see_the_programs_folder_and_flags(self):
        with tempfile.TemporaryDirectory() as folder:
            out, _ = run_script("""
                import os, sys, remuda
                executor = remuda.ProcessPoolExecutor(1)
                print(executor.submit(os.getcwd).result() == os.getcwd())
                print(executor.submit(eval, "__import__('sys').executable").result() == sys.executable)
                print(executor.submit(eval, "__import__('sys').flags.optimize").result())
                print(executor.submit(eval, "__import__('sys').stdin.read()").result() == "")
            """, cwd=folder, env={"PYTHONOPTIMIZE": "1"})
        self.assertEqual(out, "True\nTrue\n1\nTrue\n")

    def test_nothing_is_left_when_the_program_is_killed(self):
        out, _ = run_script("""
            import os, remuda, signal
            executor = remuda.ProcessPoolExecutor(1)
            print(executor.submit(os.getpid).result(), flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        """, code=-signal.SIGKILL)
        worker, end = int(out), 0
        while os.path.exists(f"/proc/{worker}") and end < 1500:
            end += 1
            threading.Event().wait(0.02)
        self.assertFalse(os.path.exists(f"/proc/{worker}"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
