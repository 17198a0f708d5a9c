"""The real processes under faults, at random points under load: what was accepted ends exactly
once, nothing begins more often than it may, and nothing is left behind.

REMUDA_SEED repeats a run (as far as the machine does); REMUDA_FAULTS is the number of faults,
40 if it is not set."""

import collections
import json
import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))
# pylint: disable=wrong-import-position
import harness
from harness import BIN, BUILD, Case, Coordinator, wait_until

SEED = int(os.environ.get("REMUDA_SEED") or random.randrange(1 << 32))
FAULTS = int(os.environ.get("REMUDA_FAULTS") or 40)
LOAD = os.path.join(BUILD, "tests", "fault_load")
MODULE = os.path.join(BUILD, "tests", "modules", "fault.so")
# A client that is lost may come back within 30 s; then its tasks are cancelled.
LINGER = 60


def children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            return [int(child) for child in file.read().split()]
    except OSError:
        return []


def resident_kib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))


def descriptors(pid):
    return sorted(os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd"))


def shared_memory():
    return set(os.listdir("/dev/shm")) if os.path.isdir("/dev/shm") else set()


class Faults(Case):
    """A cluster on this host: a coordinator, agents over TCP, clients over its socket."""

    def setUp(self):
        super().setUp()
        print(f"REMUDA_SEED={SEED}", flush=True)
        self.rng = random.Random(SEED)
        self.memory_before = shared_memory()
        self.journal = os.path.join(self.folder, "journal")
        with open(self.journal, "wb"):
            pass
        self.agents, self.loads, self.ledgers, self.restarts = {}, {}, [], 0

    def nothing_left(self):
        left = [name for name in os.listdir(self.folder)
                if name.split(".")[-1] in ("sock", "lock", "mem")]
        run = os.listdir(self.env["XDG_RUNTIME_DIR"])
        super().nothing_left()
        self.assertEqual(left, [], "sockets are left")
        self.assertEqual(run, [], "files are left in the run folder")
        self.assertEqual(shared_memory() - self.memory_before, set(), "shared memory is left")

    def start_agent(self, name, coordinator, **options):
        read, write = os.pipe()
        with open(os.path.join(self.folder, f"{name}.log"), "ab") as log:
            self.agents[name] = subprocess.Popen(
                [os.path.join(BIN, "remuda-agent"), "--coordinator", coordinator, "--insecure",
                 "--name", name, "--workers-max", "2", "--module", MODULE, "--orphan", "2",
                 "--cancel-grace", "0", "--ready-fd", str(write)],
                env=self.env, stdin=subprocess.DEVNULL, stderr=log, pass_fds=[write], **options)
        os.close(write)
        self.addCleanup(os.close, read)
        return self.agents[name]

    def start_load(self, name, address, tasks, window=64):
        ledger = os.path.join(self.folder, f"{name}.{self.restarts}.ledger")
        self.restarts += 1
        self.ledgers.append(ledger)
        self.loads[name] = self.start(LOAD, address, self.journal, ledger,
                                      str((SEED + self.restarts) % 1000000), str(tasks),
                                      str(window))
        return self.loads[name]

    def status(self, address):
        out, _ = self.remuda("status", "-a", address, "--json")
        return json.loads(out)

    def settle(self, address):
        """Waits until no task is open."""
        def settled():
            now = self.status(address)
            return now["queued"] == 0 and now["leased"] == 0 and now["sessions"] == 0
        wait_until(settled, "every task ends and every client is forgotten", LINGER)

    def finish(self, load):
        """Waits for a load that was not killed; what it counted."""
        out, err = load.communicate(timeout=300)
        self.assertEqual(load.returncode, 0, err)
        counted = json.loads(out)
        print("   ", out.strip(), flush=True)
        for never in ("twice", "lost", "wrong"):
            self.assertEqual(counted[never], 0, never)
        self.assertEqual(counted["ended"], counted["submitted"])
        return counted

    def check_books(self):
        """No outcome came twice, and no user code began more often than it may."""
        begun, most = collections.Counter(), {}
        with open(self.journal, encoding="ascii") as file:
            for line in file:
                task, limit = line.split()
                begun[task] += 1
                most[task] = int(limit)
        self.assertEqual([t for t in begun if begun[t] > most[t]], [])
        for ledger in self.ledgers:
            if os.path.exists(ledger):
                with open(ledger, encoding="ascii") as file:
                    ends = collections.Counter(file)
                self.assertEqual([line for line, n in ends.items() if n > 1], [])
        return begun

    # ---- faults: each picks a victim of its own ----

    def spawners(self):
        return [pid for agent in self.agents.values() for pid in children(agent.pid)]

    def workers(self):
        return [pid for spawner in self.spawners() for pid in children(spawner)]

    def hit(self, pids, sig):
        if not pids:
            return None
        victim = self.rng.choice(sorted(pids))
        try:
            os.kill(victim, sig)
        except ProcessLookupError:
            return None
        return victim

    def pause(self, pids, most):
        victim = self.hit(pids, signal.SIGSTOP)
        if victim is not None:
            time.sleep(self.rng.uniform(0, most))
            try:
                os.kill(victim, signal.SIGCONT)
            except ProcessLookupError:
                pass

    def replace_agent(self):
        name = self.rng.choice(sorted(self.agents))
        self.agents[name].kill()
        self.agents[name].wait()
        self.start_agent(name, self.tcp)

    def replace_client(self):
        if "victim" in self.loads:
            self.loads["victim"].kill()
            self.loads["victim"].communicate()
        self.start_load("victim", self.address, 100000)

    def fault(self, coordinator):
        kind = self.rng.randrange(12)
        if kind < 3:
            self.hit(self.workers(), signal.SIGKILL)
        elif kind < 5:
            self.pause(self.workers(), 0.2)
        elif kind == 5:
            self.replace_agent()
        elif kind == 6:
            self.pause([agent.pid for agent in self.agents.values()], 0.3)
        elif kind == 7:
            self.hit(self.spawners(), signal.SIGKILL)
        elif kind == 8:
            self.pause(self.spawners(), 0.2)
        elif kind == 9:
            self.replace_client()
        elif kind == 10:
            self.pause([self.loads["steady"].pid], 0.3)
        else:
            self.pause([coordinator.process.pid], 0.3)

    def stop_agents(self):
        for agent in self.agents.values():
            agent.send_signal(signal.SIGTERM)
        for agent in self.agents.values():
            self.assertEqual(agent.wait(harness.PATIENCE), 0)


class Kills(Faults):
    """kill -9 and SIGSTOP."""

    def test_processes_are_killed_and_stopped_at_random_points(self):
        with Coordinator(self, "--insecure", "--listen", "tcp:127.0.0.1:0", workers=None) as there:
            self.address = there.address
            listens = self.status(self.address)["listens"].split()
            self.tcp = next(each for each in listens if each.startswith("tcp:"))
            self.start_agent("one", self.tcp)
            self.start_agent("two", self.tcp)
            self.finish(self.start_load("warm", self.address, 500))
            self.settle(self.address)
            before = descriptors(there.process.pid), resident_kib(there.process.pid)
            self.start_load("steady", self.address, 200)
            for turn in range(FAULTS):
                if self.loads["steady"].poll() is not None:
                    self.finish(self.loads["steady"])
                    self.start_load("steady", self.address, 200 + 20 * (turn % 10))
                time.sleep(self.rng.uniform(0, 0.15))
                self.fault(there)
                self.assertIsNone(there.process.poll(), there.log_text()[-4000:])
            self.finish(self.loads["steady"])
            if "victim" in self.loads:
                self.loads["victim"].kill()
                self.loads["victim"].communicate()
            for name, agent in self.agents.items():
                self.assertIsNone(agent.poll(), f"agent {name} has ended by itself")
            self.finish(self.start_load("after", self.address, 500))
            self.settle(self.address)
            self.check_books()
            wait_until(lambda: len(descriptors(there.process.pid)) <= len(before[0]) + 2,
                       "the coordinator's descriptors are closed", 90)
            grown = resident_kib(there.process.pid) - before[1]
            # A sanitizer keeps what was freed for a while.
            self.assertLess(grown, (512 if harness.SANITIZED else 128) << 10)
            self.stop_agents()
            self.assertEqual(there.stop(), 0)
        with self.assertRaises(ConnectionRefusedError):
            host, port = self.tcp.removeprefix("tcp:").rsplit(":", 1)
            socket.create_connection((host, int(port)))

    def test_a_coordinator_that_is_killed_ends_every_task_in_words(self):
        there = Coordinator(self, modules=(MODULE,))
        load = self.start_load("steady", there.address, 3000)
        wait_until(lambda: os.path.getsize(self.journal) > 2000, "tasks begin")
        there.stop(signal.SIGKILL)
        counted = self.finish(load)
        self.assertGreater(counted.get("CoordinatorLost", 0), 0)
        self.check_books()
        for suffix in ("", ".lock", ".mem"):      # a killed process removes no files
            if os.path.exists(there.path + suffix):
                os.unlink(there.path + suffix)


class Shortage(Faults):
    """No room on the disk, no descriptors."""

    def test_an_agent_without_descriptors_goes_on(self):
        with Coordinator(self, "--insecure", "--listen", "tcp:127.0.0.1:0", workers=None) as there:
            self.address = there.address
            listens = self.status(self.address)["listens"].split()
            tcp = next(each for each in listens if each.startswith("tcp:"))
            for limit in (24, 32, 48):
                _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
                agent = self.start_agent(
                    "poor", tcp, preexec_fn=lambda: resource.setrlimit(  # pylint: disable=W1509
                        resource.RLIMIT_NOFILE, (limit, hard)))  # pylint: disable=W0640
                counted = self.finish(self.start_load(f"load{limit}", self.address, 200))
                print(f"    {limit} descriptors: {counted['value']} values", flush=True)
                agent.send_signal(signal.SIGTERM)
                agent.wait(harness.PATIENCE)
            self.check_books()

    def test_a_task_that_closes_all_descriptors_ends_its_worker_alone(self):
        with Coordinator(self, modules=(MODULE,)) as there:
            for _ in range(3):
                self.remuda("run", "-a", there.address, "native:fault.close_all", code=None)
            self.finish(self.start_load("load", there.address, 300))
            self.check_books()

    def test_a_full_disk_stops_nothing_that_runs(self):
        disk = os.path.join(self.folder, "disk")
        os.mkdir(disk)
        tool = shutil.which("unshare")
        probe = [tool or "unshare", "-m", "mount", "-t", "tmpfs", "-o", "size=64k", "none", disk]
        if tool is None or subprocess.run(probe, check=False, capture_output=True).returncode:
            self.skipTest("mount namespaces cannot be made here")
        # Its log, its run folder and its socket's folder are on that disk; then that is full.
        script = ('mount -t tmpfs -o size=64k none "$1" || exit 9; mkdir -m 700 "$1/run"; '
                  'export XDG_RUNTIME_DIR="$1/run"; cd "$1"; '
                  '"$2/remudad" --listen unix:"$1/s" --local-workers 2 --module "$3" '
                  '--ready-fd 5 5>"$1/ready" 2>"$1/log" & server=$!; '
                  'while ! [ -s "$1/ready" ]; do :; done; '
                  'dd if=/dev/zero of="$1/full" bs=4k 2>/dev/null; '
                  '"$4" unix:"$1/s" "$5" "$6" 1 1000 64; code=$?; '
                  'kill $server; wait $server && exit $code')
        done = subprocess.run(
            [tool, "-m", "sh", "-c", script, "sh", disk, BIN, MODULE, LOAD, self.journal,
             os.path.join(self.folder, "full.ledger")], env=self.env, capture_output=True,
            text=True, timeout=harness.PATIENCE, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        counted = json.loads(done.stdout)
        self.assertEqual((counted["lost"], counted["twice"], counted["wrong"]), (0, 0, 0))
        self.assertGreater(counted["value"], 800)
        self.check_books()


class Attackers(Faults):
    """Tasks that attack their agent."""

    def test_tasks_that_scribble_over_what_they_share(self):
        with Coordinator(self, modules=(MODULE,)) as there:
            before = len(descriptors(there.process.pid))
            load = self.start_load("load", there.address, 1500, window=16)
            # One that has spoiled its own waiting runs on: its deadline ends it.
            for turn in range(min(FAULTS, 60) // 4 + 1):
                self.remuda("run", "-a", there.address, "-t", "1s", "native:fault.scribble",
                            str(1 + turn % 3), str(self.rng.randrange(1 << 30)), code=None)
                self.assertIsNone(there.process.poll(), there.log_text()[-4000:])
            out, err = load.communicate(timeout=300)
            self.assertEqual(load.returncode, 0, err)
            counted = json.loads(out)
            print("   ", out.strip(), flush=True)
            # Its own agent's word is all that a coordinator has: tasks behind a liar in the
            # same worker may end wrongly, but they end.
            self.assertEqual((counted["lost"], counted["twice"]), (0, 0))
            self.finish(self.start_load("after", there.address, 300))
            wait_until(lambda: len(descriptors(there.process.pid)) <= before + 24,
                       "descriptors of lost workers are closed")
            self.assertEqual(there.stop(), 0)


if __name__ == "__main__":
    harness.main()
