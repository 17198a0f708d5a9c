"""Tasks that submit tasks: recursion on a full pool, errors through processes, cancels, loss."""

import json
import os
import signal
import unittest

import harness
from harness import BIN, DEMO, MODULES, Case, Coordinator, wait_until

REMUDA = os.path.join(BIN, "remuda")
NESTED = os.path.join(MODULES, "nested.so")


class Nested(Case):
    def run_nested(self, *args, **options):
        return self.remuda("run", "-w", "1", "-m", DEMO, "-m", NESTED, *args, **options)

    def tasks(self, remudad):
        out, _ = self.remuda("ps", "--json", "-a", remudad.address)
        return [json.loads(line) for line in out.splitlines()]

    def workers(self):
        return [p for p in harness.processes_with(self.mark) if "worker" in p[1]]

    def coordinator(self, **options):
        return Coordinator(self, modules=(DEMO, NESTED), **options)

    def nothing_open(self, remudad):
        wait_until(lambda: not self.tasks(remudad), "no task is left")


class Local(Nested):
    def test_recursion_on_a_pool_of_one_worker(self):
        for depth in (0, 1, 5, 10):
            out, _ = self.run_nested("native:demo.nest", str(depth))
            self.assertEqual(out, f"{depth * (depth + 1) // 2}\n")

    def test_a_tree_of_tasks_on_one_worker(self):
        out, _ = self.run_nested("native:demo.fib", "11")
        self.assertEqual(out, "89\n")

    def test_a_hundred_children(self):
        for workers in ("1", "4"):
            out, _ = self.remuda("run", "-w", workers, "-m", DEMO, "-m", NESTED,
                                 "native:nested.fan", "100")
            self.assertEqual(out, f"{sum(i * i for i in range(1, 101))}\n")

    def test_many_parents_side_by_side(self):
        out, _ = self.remuda("map", "-w", "2", "-m", DEMO, "native:demo.fib",
                             input="9\n" * 50)
        self.assertEqual(out, "34\n" * 50)

    def test_the_depth_limit_is_named(self):
        _, err = self.run_nested("native:demo.nest", "11", code=1)
        self.assertIn("DepthExceeded", err)
        self.assertIn("at most 10 deep", err)

    def test_errors_are_a_chain_across_processes(self):
        _, err = self.run_nested("native:nested.chain", "3", code=1)
        self.assertEqual(
            [line for line in err.splitlines() if "Error: " in line],
            ["BottomError: there is nothing below", "LevelError: level 1 failed",
             "LevelError: level 2 failed", "LevelError: level 3 failed"])
        self.assertEqual(err.count("The above error was the direct cause"), 3)
        workers = {line[line.index("(worker "):] for line in err.splitlines()
                   if "(worker " in line}
        self.assertEqual(len(workers), 4, err)

    def test_waiting_for_a_while(self):
        out, _ = self.run_nested("native:nested.patience", "60000", "50")
        self.assertEqual(out, "-1\n")
        out, _ = self.run_nested("native:nested.patience", "1", "60000")
        self.assertIn(out, ("1\n", "2\n", "3\n"))

    def test_large_values_go_down_and_up(self):
        text = "x" * (5 << 20)
        script = os.path.join(self.folder, "in")
        with open(script, "w", encoding="ascii") as file:
            file.write(json.dumps(text) + "\n")
        with open(script, encoding="ascii") as file:
            done, err = self.remuda("map", "-w", "1", "-m", DEMO, "-m", NESTED,
                                    "native:nested.echo", input=file.read())
        self.assertEqual(json.loads(done), text, err)

    def test_an_unknown_pool_is_the_childs_error(self):
        _, err = self.run_nested("native:nested.elsewhere", "nosuchpool", "3", code=1)
        self.assertIn("UnknownPool", err)
        self.assertIn("nosuchpool", err)


class Served(Nested):
    def test_a_child_in_another_pool(self):
        with self.coordinator() as remudad:
            held = self.start(REMUDA, "run", "-a", remudad.address, "--pool", "side",
                              "native:demo.sleep_ms", "60000")
            wait_until(lambda: [t for t in self.tasks(remudad) if t["state"] == "running"],
                       "the pool is there")
            out, _ = self.remuda("run", "-a", remudad.address, "native:nested.elsewhere",
                                 "side", "12", timeout=30)
            self.assertEqual(out, "144\n")
            held.send_signal(signal.SIGINT)
            held.communicate(timeout=30)

    def test_ps_shows_who_waits_and_how_far(self):
        with self.coordinator(workers=1) as remudad:
            child = self.start(REMUDA, "run", "-a", remudad.address, "native:nested.patience",
                               "60000", "60000")
            tasks = wait_until(
                lambda: [t for t in self.tasks(remudad) if t["progress_done"] > 0],
                "the child says how far it is")
            self.assertEqual(tasks[0]["function"], "native:demo.sleep_ms")
            self.assertEqual(tasks[0]["progress_total"], 60000)
            parent = self.tasks(remudad)[0]
            self.assertEqual(parent["function"], "native:nested.patience")
            self.assertIn("waits for tasks that it submitted", parent["waiting_for"])
            out, _ = self.remuda("workers", "-a", remudad.address)
            self.assertIn("waiting", out)
            out, _ = self.remuda("ps", "-a", remudad.address)
            self.assertRegex(out, r"-n1 .*demo.sleep_ms .* [0-9]+/60000 ")
            child.send_signal(signal.SIGINT)
            child.communicate(timeout=30)
            self.nothing_open(remudad)

    def test_a_cancelled_parent_takes_its_children_along(self):
        with self.coordinator(workers=2) as remudad:
            child = self.start(REMUDA, "run", "-a", remudad.address, "native:demo.nest", "0")
            child.communicate(timeout=60)
            child = self.start(REMUDA, "run", "-a", remudad.address, "native:nested.patience",
                               "600000", "600000")
            running = lambda: [t for t in self.tasks(remudad) if t["state"] == "running"]
            wait_until(lambda: len(running()) == 2, "parent and child run")
            parent = [t for t in running() if "patience" in t["function"]][0]
            self.remuda("cancel", "-a", remudad.address, parent["task"])
            _, err = child.communicate(timeout=30)
            self.assertNotEqual(child.returncode, 0)
            self.assertIn("cancelled", err)
            self.nothing_open(remudad)

    def test_a_child_can_be_cancelled_by_an_operator(self):
        with self.coordinator(workers=2) as remudad:
            child = self.start(REMUDA, "run", "-a", remudad.address, "native:nested.patience",
                               "600000", "600000")
            sleeping = wait_until(lambda: [t for t in self.tasks(remudad)
                                           if "sleep_ms" in t["function"]
                                           and t["state"] == "running"], "the child runs")
            self.assertRegex(sleeping[0]["task"], r"^[0-9a-f]{32}-n1$")
            self.remuda("cancel", "-a", remudad.address, sleeping[0]["task"])
            _, err = child.communicate(timeout=30)
            self.assertEqual(child.returncode, 1)
            self.assertIn("native:demo.sleep_ms was cancelled", err)
            self.assertIn("PatienceError", err)

    def test_a_deadline_holds_for_children_too(self):
        with self.coordinator(workers=1) as remudad:
            _, err = self.remuda("run", "-a", remudad.address, "-t", "500ms",
                                 "native:nested.patience", "600000", "600000", code=1)
            self.assertIn("DeadlineExceeded", err)
            self.nothing_open(remudad)

    def test_what_a_parent_leaves_is_cancelled(self):
        with self.coordinator(workers=1) as remudad:
            self.remuda("run", "-a", remudad.address, "native:nested.leave", "5", "false")
            self.nothing_open(remudad)

    @unittest.skipIf(getattr(harness, "SANITIZED", False), "the sanitizer reports the crash")
    def test_what_a_parent_leaves_when_it_dies_is_cancelled(self):
        with self.coordinator(workers=1) as remudad:
            _, err = self.remuda("run", "-a", remudad.address, "native:nested.leave", "5", "true",
                                 code=1)
            self.assertIn("WorkerLost", err)
            self.assertIn("SIGABRT", err)
            self.nothing_open(remudad)

    def test_a_killed_worker_that_waits(self):
        with self.coordinator(workers=1) as remudad:
            child = self.start(REMUDA, "run", "-a", remudad.address, "native:nested.patience",
                               "600000", "600000")
            def waiting():
                out, _ = self.remuda("workers", "--json", "-a", remudad.address)
                return [w for w in map(json.loads, out.splitlines()) if w["state"] == "waiting"]
            worker = wait_until(waiting, "a worker waits")[0]
            os.kill(worker["pid"], signal.SIGKILL)
            _, err = child.communicate(timeout=30)
            self.assertEqual(child.returncode, 1, err)
            self.assertIn("WorkerLost", err)
            self.nothing_open(remudad)
            out, _ = self.remuda("run", "-a", remudad.address, "native:demo.nest", "10")
            self.assertEqual(out, "55\n")

    def test_what_a_killed_client_began_keeps_nobody_waiting(self):
        # Its tasks go on for a while: it may come back. The end need not wait for that.
        with Coordinator(self, "--grace", "0", modules=(DEMO, NESTED), workers=2) as remudad:
            child = self.start(REMUDA, "run", "-a", remudad.address, "native:nested.patience",
                               "600000", "600000")
            wait_until(lambda: len([t for t in self.tasks(remudad)
                                    if t["state"] == "running"]) == 2, "parent and child run")
            child.kill()
            child.communicate()
            out, _ = self.remuda("run", "-a", remudad.address, "native:demo.square", "3")
            self.assertEqual(out, "9\n")


class Cluster(Nested):
    def test_two_agents(self):
        with Coordinator(self, "--insecure", listen="tcp:127.0.0.1:0", workers=None) as remudad:
            agents = []
            for name in ("one", "two"):
                log = open(os.path.join(self.folder, f"{name}.log"), "ab")
                self.addCleanup(log.close)
                agents.append(self.start(
                    os.path.join(BIN, "remuda-agent"), "--coordinator", remudad.address,
                    "--insecure", "--name", name, "--workers-max", "1", "--module", DEMO,
                    "--module", NESTED, stderr=log, stdout=None))
            out, _ = self.remuda("map", "-a", remudad.address, "native:demo.fib",
                                 input="8\n" * 40)
            self.assertEqual(out, "21\n" * 40)
            _, err = self.remuda("run", "-a", remudad.address, "native:nested.chain", "9", code=1)
            self.assertIn("BottomError", err)
            out, _ = self.remuda("workers", "-a", remudad.address)
            self.assertIn("one", out)
            self.assertIn("two", out)
            # An agent is lost while parents wait on both: all ends, and truthfully.
            children = [self.start(REMUDA, "run", "-a", remudad.address,
                                   "native:nested.patience", "600000", "600000")
                        for _ in range(2)]
            wait_until(lambda: len([t for t in self.tasks(remudad)
                                    if t["state"] == "running"]) == 4, "parents and children run")
            agents[0].kill()
            agents[0].wait()
            agents[1].kill()
            agents[1].wait()
            for child in children:
                _, err = child.communicate(timeout=60)
                self.assertEqual(child.returncode, 1, err)
                self.assertIn("AgentLost", err)
            self.nothing_open(remudad)


if __name__ == "__main__":
    harness.main()
