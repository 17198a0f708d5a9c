"""Local developer mode: no server to start, nothing left behind."""

import hashlib
import json
import os
import pty
import shutil
import signal
import subprocess
import time
import unittest

import harness
from harness import BIN, Case, wait_until

REMUDA = os.path.join(BIN, "remuda")


class Run(Case):
    def test_a_function_runs_and_its_value_is_printed(self):
        out, err = self.remuda("run", "native:demo.square", "21")
        self.assertEqual(out, "441\n")
        self.assertEqual(err, "")

    def test_values_come_back_as_they_went(self):
        for text in ('null', 'true', '-7', '18446744073709551615',
                     '123456789012345678901234567890', '0.1', '"ä\\u0000b"',
                     '[1,"two",[3.5,null]]', '{"a":{"b":[]}}', '{"$bytes":"AAECAw=="}'):
            with self.subTest(text=text):
                out, _ = self.remuda("run", "native:demo.echo", text)
                self.assertEqual(out.strip(), text if text != '"ä\\u0000b"' else out.strip())

    def test_a_string_is_printed_bare_when_asked(self):
        out, _ = self.remuda("run", "-r", "native:demo.echo", "plain text")
        self.assertEqual(out, "plain text\n")

    def test_a_failed_task_prints_its_chain_root_cause_first(self):
        out, err = self.remuda("run", "native:demo.fail", code=1)
        self.assertEqual(out, "")
        joints = err.count("The above error was the direct cause of the following error:")
        self.assertEqual(joints, 2, err)
        self.assertIn("Traceback", err)

    @unittest.skipIf(harness.SANITIZED, "the sanitizer reports the crash")
    def test_a_crash_says_its_signal(self):
        _, err = self.remuda("run", "native:demo.crash", code=1)
        self.assertIn("WorkerLost", err)
        self.assertIn("SIGSEGV", err)

    def test_an_exit_says_its_code(self):
        _, err = self.remuda("run", "native:demo.exit", "7", code=1)
        self.assertIn("WorkerLost", err)
        self.assertIn("7", err)

    def test_what_a_task_prints_is_shown(self):
        _, err = self.remuda("run", "native:demo.print", "hello from a task")
        self.assertIn("hello from a task", err)

    def test_a_deadline_ends_a_task(self):
        _, err = self.remuda("run", "-t", "300ms", "native:demo.sleep_ms", "60000", code=1)
        self.assertIn("DeadlineExceeded", err)

    def test_the_socket_of_a_coordinator_that_was_killed_is_as_good_as_none(self):
        self.remuda("up")
        status = json.loads(self.remuda("status", "--json")[0])
        os.kill(int(status["pid"]), signal.SIGKILL)
        harness.wait_until(lambda: not harness.processes_with(self.mark), "it is gone")
        socket = os.path.join(self.env["XDG_RUNTIME_DIR"], "remuda", "up.sock")
        self.assertTrue(os.path.exists(socket))
        out, _ = self.remuda("run", "native:demo.square", "21")
        self.assertEqual(out, "441\n")
        out, _ = self.remuda("map", "native:demo.square", input="2\n3\n")
        self.assertEqual(out, "4\n9\n")
        self.remuda("up")
        self.remuda("down")

    def test_a_module_is_found_by_its_bare_name(self):
        shutil.copy(harness.DEMO, os.path.join(self.folder, "bare.so"))
        out, _ = self.remuda("run", "-m", "bare.so", "native:remuda.functions")
        self.assertIn("demo.square", out)
        _, err = self.remuda("run", "-m", "none.so", "native:remuda.functions", code=2)
        self.assertIn("none.so: No such file", err)

    def test_a_shared_pool_has_the_modules_that_are_named(self):
        with harness.Coordinator(self, modules=()) as there:
            out, _ = self.remuda("run", "-a", there.address, "-m", harness.DEMO, "--pool", "own",
                                 "native:remuda.functions")
        self.assertIn("demo.square", out)


class Map(Case):
    def test_results_come_in_the_order_of_the_input(self):
        lines = "".join(f"{i}\n" for i in range(20000))
        out, err = self.remuda("map", "native:demo.square", input=lines)
        self.assertEqual(out.split(), [str(i * i) for i in range(20000)])
        self.assertEqual(err, "")

    def test_files_are_digested_as_sha256sum_does(self):
        paths, expected = [], []
        for i in range(50):
            path = os.path.join(self.folder, f"file {i}")
            data = os.urandom(i * 1000)
            with open(path, "wb") as file:
                file.write(data)
            paths.append(path)
            expected.append(hashlib.sha256(data).hexdigest())
        out, _ = self.remuda("map", "-r", "native:files.sha256", input="\n".join(paths) + "\n")
        self.assertEqual(out.split(), expected)

    def test_the_first_failure_ends_it(self):
        out, err = self.remuda("map", "native:demo.square", input='1\n2\n"x"\n4\n', code=1)
        self.assertEqual(out, "1\n4\n")
        self.assertIn("line 3", err)

    def test_keep_going_goes_on_and_says_so_in_its_exit_code(self):
        out, err = self.remuda("map", "-K", "native:demo.square", input='1\n"x"\n3\n', code=4)
        self.assertEqual(out, "1\nnull\n9\n")
        self.assertIn("line 2", err)

    def test_unordered_gives_all(self):
        lines = "".join(f"{i}\n" for i in range(1000))
        out, _ = self.remuda("map", "-u", "native:demo.square", input=lines)
        self.assertEqual(sorted(map(int, out.split())), sorted(i * i for i in range(1000)))

    def test_spread_makes_arguments_of_an_array(self):
        out, _ = self.remuda("map", "--spread", "native:demo.add", input="[1,2]\n[3,4]\n")
        self.assertEqual(out, "3\n7\n")

    def test_nul_separated_names_and_odd_bytes(self):
        path = os.path.join(os.fsencode(self.folder), b"new\nline \xff")
        with open(path, "wb") as file:
            file.write(b"x")
        out, _ = self.remuda("map", "-0", "-r", "-R", "native:files.sha256", input=path + b"\0",
                             text=False, code=None)
        self.assertEqual(out.strip().decode(), hashlib.sha256(b"x").hexdigest())

    def test_a_closed_output_ends_it_quietly(self):
        out, err = self.run_program(
            "sh", "-c", f"yes 3 | head -n 100000 | {REMUDA} map native:demo.square | head -n 1",
            code=None)
        self.assertEqual(out, "9\n")
        self.assertEqual(err, "")

    def shown_by_map(self, **env):
        """What a map of 100 short tasks draws on the terminal that is its stderr."""
        ours, theirs = pty.openpty()
        child = self.start(REMUDA, "map", "native:demo.sleep_ms", stdin=subprocess.PIPE,
                           stderr=theirs, env={**self.env, **env})
        os.close(theirs)
        child.communicate("".join("20\n" for _ in range(100)), timeout=60)
        shown = b""
        try:
            while True:
                piece = os.read(ours, 65536)
                if not piece:
                    break
                shown += piece
        except OSError:
            pass
        os.close(ours)
        self.assertEqual(child.returncode, 0)
        return shown

    def test_a_bar_on_a_terminal(self):
        self.assertIn(b"/s", self.shown_by_map())

    def test_no_bar_on_a_terminal_that_cannot_draw_one(self):
        self.assertEqual(self.shown_by_map(TERM="dumb"), b"")


class Ending(Case):
    def test_sigint_ends_with_130_and_leaves_nothing(self):
        child = self.start(REMUDA, "run", "native:demo.sleep_ms", "60000")
        wait_until(lambda: [p for p in harness.processes_with(self.mark) if "worker" in p[1]],
                   "the worker runs")
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=30)
        self.assertEqual(child.returncode, 130, err)

    def test_a_killed_client_leaves_nothing(self):
        child = self.start(REMUDA, "run", "native:demo.sleep_ms", "60000")
        wait_until(lambda: [p for p in harness.processes_with(self.mark) if "worker" in p[1]],
                   "the worker runs")
        child.kill()
        child.wait()
        wait_until(lambda: not harness.processes_with(self.mark), "coordinator and workers end", 10)

    def test_a_killed_coordinator_is_said_and_leaves_nothing(self):
        child = self.start(REMUDA, "run", "native:demo.sleep_ms", "60000")
        wait_until(lambda: [p for p in harness.processes_with(self.mark) if "worker" in p[1]],
                   "the worker runs")
        for pid, name, _ in harness.processes_with(self.mark):
            if name == "remudad" and b"--client-fd" in open(f"/proc/{pid}/cmdline", "rb").read():
                os.kill(pid, signal.SIGKILL)
        _, err = child.communicate(timeout=30)
        self.assertEqual(child.returncode, 3, err)
        self.assertIn("CoordinatorLost", err)

    def test_a_killed_worker_is_said_and_the_next_task_runs(self):
        child = self.start(REMUDA, "map", "-K", "-w", "1", "native:demo.sleep_ms",
                           stdin=subprocess.PIPE)
        child.stdin.write("60000\n1\n")
        child.stdin.close()
        child.stdin = None
        worker = wait_until(
            lambda: [p for p in harness.processes_with(self.mark) if "worker" in p[1]],
            "the worker runs")[0]
        time.sleep(0.3)          # until it has claimed the task; an earlier kill is legal too
        os.kill(worker[0], signal.SIGKILL)
        out, err = child.communicate(timeout=60)
        self.assertIn("SIGKILL", err)
        self.assertEqual(len(out.splitlines()), 2, out)


class Up(Case):
    def test_up_is_shared_by_programs_and_down_ends_it(self):
        out, _ = self.remuda("up", "--workers", "1")
        self.assertIn("unix:", out)
        first, _ = self.remuda("run", "native:demo.square", "3")
        again, _ = self.remuda("up")
        self.assertIn("already", again + _)
        self.assertEqual(first, "9\n")
        status, _ = self.remuda("status", "--json")
        self.assertIn("version", status)
        workers, _ = self.remuda("workers")
        self.assertTrue(workers)
        self.remuda("down")
        wait_until(lambda: not harness.processes_with(self.mark), "all is down", 20)
        _, err = self.remuda("ps", code=3)
        self.assertIn("remuda up", err)


if __name__ == "__main__":
    unittest.main(verbosity=2)
