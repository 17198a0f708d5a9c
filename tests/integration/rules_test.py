"""The rules by which a task ends: cancel, deadlines, other attempts, clients that go away."""

import json
import os
import signal
import time
import unittest

import harness
from harness import DEMO, SANITIZED, Case, Coordinator, wait_until

MODULE = r"""
#include <remuda/task.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

REMUDA_MODULE("rules");

static void note(const char *path, long number)
{
	FILE *file = fopen(path, "a");
	fprintf(file, "%ld\n", number);
	fclose(file);
}

/* Looks when it is told to end, and does. */
REMUDA_TASK(int64_t, listens, (remuda_ctx *, ctx), (const char *, path))
{
	note(path, getpid());
	while (!remuda_cancelled(ctx))
		usleep(1000);
	return 1;
}

/* Never looks. */
REMUDA_TASK(int64_t, ignores, (const char *, path))
{
	note(path, getpid());
	for (;;)
		pause();
}

/* Nor hears SIGTERM. */
REMUDA_TASK(int64_t, blocks, (const char *, path))
{
	sigset_t all;
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	signal(SIGTERM, SIG_IGN);
	note(path, getpid());
	for (;;)
		pause();
}

/* Has a child and a grandchild, which don't hear it either. */
REMUDA_TASK(int64_t, forks, (const char *, path))
{
	signal(SIGTERM, SIG_IGN);
	if (fork() == 0) {
		fork();
		note(path, getpid());
		for (;;)
			pause();
	}
	note(path, getpid());
	for (;;)
		pause();
}

/* Ends its worker, each time. */
REMUDA_TASK(int64_t, kills, (const char *, path))
{
	note(path, getpid());
	_exit(9);
}

/* Fails with that type until it was begun so often. */
REMUDA_TASK(int64_t, fails, (const char *, path), (const char *, type), (int64_t, times))
{
	int64_t begun = 0;
	char line[64];
	note(path, getpid());
	FILE *file = fopen(path, "r");
	while (fgets(line, sizeof line, file) != NULL)
		begun++;
	fclose(file);
	if (begun <= times)
		remuda_raise(type, "attempt %lld", (long long)begun);
	return begun;
}
"""


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@unittest.skipIf(SANITIZED, "a plain module does not load into a sanitized worker")
class RulesCase(Case):
    ARGS = ()

    def setUp(self):
        super().setUp()
        self.env["REMUDA_WORKER_PYTHON"] = ""  # an agent that has one runtime only
        root = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
        for name in ("codec", "error", "task"):
            include = os.path.join(root, "proto", name, "include")
            self.env["CPATH"] = include + os.pathsep + self.env.get("CPATH", "")
        with open(os.path.join(self.folder, "rules.c"), "w", encoding="utf-8") as file:
            file.write(MODULE)
        self.run_program("cc", "-D_GNU_SOURCE", "-O1", "-shared", "-fPIC", "rules.c", "-o",
                         "rules.so")
        self.notes = os.path.join(self.folder, "notes")
        self.coordinator = Coordinator(
            self, *self.ARGS, modules=(DEMO, os.path.join(self.folder, "rules.so")), workers=2)
        self.addCleanup(self.coordinator.__exit__)
        self.env["REMUDA_ADDRESS"] = self.coordinator.address

    def noted(self, count=1):
        def read():
            try:
                with open(self.notes, encoding="ascii") as file:
                    pids = [int(line) for line in file]
            except FileNotFoundError:
                return None
            return pids if len(pids) >= count else None
        return wait_until(read, f"{count} processes write their names")

    def ps(self):
        out, _ = self.remuda("ps", "--json")
        return [json.loads(line) for line in out.splitlines()]


class Cancel(RulesCase):
    """Told, then SIGTERM, then SIGKILL, for the worker and what it started."""

    def cancel(self, function, count=1):
        run = self.start(harness.BIN + "/remuda", "run", f"native:rules.{function}", self.notes)
        pids = self.noted(count)
        task = [row["task"] for row in self.ps() if row["function"].endswith(function)]
        self.remuda("cancel", *task)
        _, err = run.communicate(timeout=harness.PATIENCE)
        self.assertEqual(run.returncode, 1)
        self.assertIn("cancelled", err)
        return pids

    def works_on(self):
        self.assertEqual(self.remuda("run", "native:demo.square", "3")[0], "9\n")

    def test_a_task_that_listens_ends_and_its_worker_stays(self):
        pids = self.cancel("listens")
        self.assertTrue(alive(pids[0]))
        self.works_on()

    def test_a_task_that_ignores_it_is_ended_with_its_worker(self):
        pids = self.cancel("ignores")
        self.assertFalse(alive(pids[0]))
        self.works_on()

    def test_a_task_that_blocks_sigterm_is_killed(self):
        pids = self.cancel("blocks")
        self.assertFalse(alive(pids[0]))
        self.works_on()

    def test_what_a_task_has_started_is_killed_with_it(self):
        pids = self.cancel("forks", count=3)
        self.assertEqual(len(set(pids)), 3)
        for pid in pids:
            wait_until(lambda pid=pid: not alive(pid), f"process {pid} ends")
        self.works_on()

    def test_a_cancelled_task_is_not_tried_again(self):
        run = self.start(harness.BIN + "/remuda", "run", "--max-attempts", "5",
                         "native:rules.ignores", self.notes)
        self.noted()
        self.remuda("cancel", self.ps()[0]["task"])
        run.communicate(timeout=harness.PATIENCE)
        self.assertEqual(run.returncode, 1)
        self.works_on()
        self.assertEqual(len(self.noted()), 1)


class Deadlines(RulesCase):
    def failure(self, *args):
        _, err = self.remuda("run", *args, code=1)
        return err

    def test_each_says_which_it_was_and_where_the_task_was(self):
        self.assertIn("DeadlineExceeded: native:demo.sleep_ms did not end within its deadline of "
                      f"300 ms; it was running on agent {os.uname().nodename}, attempt 1\n",
                      self.failure("--deadline", "300ms", "native:demo.sleep_ms", "60000"))
        self.assertIn("did not end within the run deadline of 200 ms; it was running",
                      self.failure("--run-deadline", "200ms", "native:demo.sleep_ms", "60000"))
        self.assertIn("did not begin within its queue deadline of 200 ms; it was queued, and had "
                      "not begun: no agent has the runtime python",
                      self.failure("--queue-deadline", "200ms", "python:math.sqrt", "4"))

    def test_a_full_pool_is_named_as_the_reason(self):
        first = self.start(harness.BIN + "/remuda", "run", "-w", "1", "--pool", "one",
                           "native:rules.listens", self.notes)
        self.noted()
        err = self.failure("-w", "1", "--pool", "one", "--queue-deadline", "300ms",
                           "native:demo.square", "4")
        self.assertRegex(err, "did not begin within its queue deadline of 300 ms; it was "
                              "(queued.*max_workers|leased to agent)")
        first.send_signal(signal.SIGINT)
        first.communicate(timeout=harness.PATIENCE)

    def test_the_deadline_of_a_call_is_the_tasks(self):
        path = self.coordinator.path
        tool = harness.shutil.which("grpcurl")
        if tool is None:
            self.skipTest("grpcurl is not installed")
        self.run_program(tool, "-plaintext", "-unix", "-max-time", "1", "-d", json.dumps(
            {"function": "native:rules.ignores", "args": [{"string": self.notes}],
             "options": {"max_attempts": 9}}), path, "remuda.v1.Executor/Run", code=None)
        pid = self.noted()[0]
        wait_until(lambda: not alive(pid), "the task ends with its call")
        self.assertEqual(len(self.noted()), 1)


class Attempts(RulesCase):
    def test_the_error_tells_of_earlier_attempts(self):
        _, err = self.remuda("run", "--max-attempts", "3", "native:rules.fails", self.notes, "Odd",
                             "9", code=1)
        self.assertIn("EarlierAttempts: 2 attempts failed before; the last of them on agent "
                      f"{os.uname().nodename}, since the task raised an error", err)
        self.assertIn("Odd: attempt 2", err)
        self.assertTrue(err.rstrip().endswith('Odd: attempt 3\n"""'), err)
        self.assertEqual(len(self.noted()), 3)

    def test_only_named_failures_are_tried_again(self):
        out, _ = self.remuda("run", "--max-attempts", "5", "--retry-on", "Busy,Odd",
                             "native:rules.fails", self.notes, "Odd", "2")
        self.assertEqual(out, "3\n")
        os.remove(self.notes)
        self.remuda("run", "--max-attempts", "5", "--retry-on", "Busy,worker",
                    "native:rules.fails", self.notes, "Odd", "2", code=1)
        self.assertEqual(len(self.noted()), 1)

    def test_it_waits_before_another_attempt_and_says_so(self):
        run = self.start(harness.BIN + "/remuda", "run", "--max-attempts", "2", "--backoff", "30s",
                         "native:rules.fails", self.notes, "Odd", "1")
        self.noted()
        task = wait_until(lambda: [row for row in self.ps() if row["state"] == "queued"],
                          "it backs off")[0]
        self.assertRegex(task["waiting_for"], "backs off: attempt 2 begins in [0-9]+ ms")
        said = json.loads(self.remuda("explain", "--json", task["task"])[0])
        self.assertIn("attempt 1 on agent", said["failed"])
        self.assertIn("the task raised an error", said["failed"])
        self.remuda("cancel", task["task"])
        run.communicate(timeout=harness.PATIENCE)
        self.assertEqual(len(self.noted()), 1)

    def test_a_task_that_ends_worker_after_worker_is_stopped(self):
        _, err = self.remuda("run", "--max-attempts", "50", "native:rules.kills", self.notes,
                             code=1)
        self.assertEqual(len(self.noted()), 3)
        self.assertIn("PoisonTask: native:rules.kills is not tried again after 3 attempts", err)
        self.assertIn("WorkerLost: ", err)
        self.assertIn("[exit code 9]", err)


class Gone(RulesCase):
    ARGS = ("--client-grace", "1", "--retention", "3")

    def test_tasks_of_a_client_that_is_gone_are_cancelled_after_the_grace(self):
        run = self.start(harness.BIN + "/remuda", "run", "native:rules.ignores", self.notes)
        pid = self.noted()[0]
        run.kill()
        run.communicate()
        wait_until(lambda: not alive(pid), "the task is cancelled")
        wait_until(lambda: not self.ps(), "and forgotten")

    def test_a_detached_task_goes_on_and_its_outcome_is_found_for_its_time(self):
        task = self.remuda("run", "--detach", "native:demo.sleep_ms", "1500")[0].strip()
        self.assertRegex(task, "^[0-9a-f]{32}-[0-9]+$")
        said = json.loads(self.remuda("explain", "--json", task)[0])
        self.assertTrue(said["detached"])
        for _ in range(2):  # asking does not use it up
            value = int(self.remuda("wait", task)[0])
            self.assertGreaterEqual(value, 1500)
        wait_until(lambda: "UnknownTask" in self.run_program(
            harness.BIN + "/remuda", "wait", task, code=None)[1], "its retention ends")
        self.assertEqual(self.ps(), [])

    def test_a_detached_task_that_fails_tells_why_later(self):
        task = self.remuda("run", "-d", "--deadline", "1s", "native:demo.sleep_ms", "60000")[0]
        _, err = self.remuda("wait", task.strip(), code=1)
        self.assertIn("DeadlineExceeded", err)

    def test_a_detached_task_can_be_cancelled(self):
        task = self.remuda("run", "-d", "native:rules.listens", self.notes)[0].strip()
        self.noted()
        self.remuda("cancel", task)
        _, err = self.remuda("wait", task, code=1)
        self.assertIn("cancelled", err)

    def test_a_private_coordinator_refuses_and_names_the_way_out(self):
        del self.env["REMUDA_ADDRESS"]
        _, err = self.remuda("run", "--detach", "native:demo.square", "3", code=1)
        self.assertIn("NotDetachable", err)
        self.assertIn("`remuda up`", err)


class Explain(RulesCase):
    ARGS = ("--cannot-run-after", "2")

    def why(self, task):
        return json.loads(self.remuda("explain", "--json", task)[0])["why"]

    def test_it_says_why_a_task_waits_or_where_it_runs(self):
        task = self.remuda("run", "-d", "native:rules.listens", self.notes)[0].strip()
        self.noted()
        wait_until(lambda: self.why(task).startswith("runs on agent "), "it runs")
        self.remuda("cancel", task)
        wait_until(lambda: "cancelled" in self.why(task), "it has ended")
        out, _ = self.remuda("explain", task)
        self.assertRegex(out, r"STATE +done\n")
        _, err = self.remuda("explain", "0" * 32 + "-7", code=None)
        self.assertIn("no such task", err)

    def test_what_can_never_run_says_so_at_once_and_fails_after_its_time(self):
        task = self.remuda("run", "-d", "python:math.sqrt", "2")[0].strip()
        self.assertEqual(self.why(task), "no agent has the runtime python")
        _, err = self.remuda("wait", task, code=1)
        self.assertIn("CannotRun: python:math.sqrt can run nowhere: no agent has the runtime "
                      "python", err)

    def test_a_private_coordinator_says_so_at_once(self):
        del self.env["REMUDA_ADDRESS"]
        begun = time.monotonic()
        _, err = self.remuda("run", "python:math.sqrt", "2", code=1)
        self.assertIn("CannotRun", err)
        self.assertLess(time.monotonic() - begun, harness.PATIENCE)


if __name__ == "__main__":
    harness.main()
