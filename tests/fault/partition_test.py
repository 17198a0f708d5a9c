"""Connections that are cut: a coordinator, two agents and a client in network namespaces of their
own, whose links go down and up again. Runs itself anew inside fresh namespaces; where none can
be made, that is said, and nothing is tested (exit code 77)."""

import os
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
INSIDE = "REMUDA_FAULT_NAMESPACE"


def enter():
    """Goes on inside fresh network and mount namespaces."""
    if os.environ.get(INSIDE):
        return
    try:
        probe = subprocess.run(["unshare", "-nm", "ip", "link", "add", "probe", "type", "bridge"],
                               capture_output=True, text=True, check=False)
        why = probe.stderr.strip() if probe.returncode else None
    except FileNotFoundError as error:
        why = str(error)
    if why is not None:
        print(f"skipped: network namespaces cannot be made here: {why}")
        sys.exit(77)
    os.environ[INSIDE] = "1"
    os.execvp("unshare", ["unshare", "-nm", sys.executable, "-u", *sys.argv])


if __name__ == "__main__":
    enter()

sys.path[:0] = [HERE, os.path.join(HERE, "..", "integration")]
# pylint: disable=wrong-import-position
import harness
from fault_test import BIN, LOAD, MODULE, Faults, children
from harness import Coordinator, wait_until

# A peer that says nothing for 20 s is asked, and given up after 10 s more, on either side.
GIVEN_UP = 60
HOSTS = ("one", "two", "client")


def run(*command):
    subprocess.run(command, check=True, capture_output=True)


def make_network():
    os.makedirs("/run/netns", exist_ok=True)
    run("mount", "-t", "tmpfs", "remuda-netns", "/run/netns")
    run("ip", "link", "set", "lo", "up")
    run("ip", "link", "add", "br0", "type", "bridge")
    run("ip", "addr", "add", "10.231.0.1/24", "dev", "br0")
    run("ip", "link", "set", "br0", "up")
    for n, host in enumerate(HOSTS):
        run("ip", "netns", "add", host)
        run("ip", "link", "add", f"to-{host}", "type", "veth", "peer", "name", "eth0",
            "netns", host)
        run("ip", "link", "set", f"to-{host}", "master", "br0", "up")
        run("ip", "-n", host, "addr", "add", f"10.231.0.1{n}/24", "dev", "eth0")
        run("ip", "-n", host, "link", "set", "eth0", "up")
        run("ip", "-n", host, "link", "set", "lo", "up")


def link(host, state):
    run("ip", "link", "set", f"to-{host}", state)


class Cuts(Faults):
    """Links that lose everything for a while."""

    def setUp(self):
        super().setUp()
        self.there = Coordinator(self, "--insecure", "--listen", "tcp:10.231.0.1:0", workers=None)
        self.addCleanup(self.there.stop, signal.SIGKILL)
        self.address = self.there.address
        listens = self.status(self.address)["listens"].split()
        self.tcp = next(each for each in listens if each.startswith("tcp:"))
        for host in ("one", "two"):
            self.start_at(host)
        self.agents_are(2)
        self.addCleanup(lambda: [agent.poll() is None and agent.kill()
                                 for agent in self.agents.values()])

    def start_at(self, host):
        with open(os.path.join(self.folder, f"{host}.log"), "ab") as log:
            self.agents[host] = subprocess.Popen(
                ["ip", "netns", "exec", host, os.path.join(BIN, "remuda-agent"), "--coordinator",
                 self.tcp, "--insecure", "--name", host, "--workers-max", "2", "--module", MODULE,
                 "--orphan", "2"], env=self.env, stdin=subprocess.DEVNULL, stderr=log)

    def load_at(self, host, name, tasks, seed):
        ledger = os.path.join(self.folder, f"{name}.ledger")
        self.ledgers.append(ledger)
        return self.start("ip", "netns", "exec", host, LOAD, self.tcp, self.journal, ledger,
                          str(seed), str(tasks), "64")

    def agents_are(self, count):
        wait_until(lambda: self.status(self.address)["agents"] == count,
                   f"{count} agents are attached", GIVEN_UP)

    def begun(self):
        return os.path.getsize(self.journal)

    def end(self):
        self.finish(self.start_load("after", self.address, 300))
        self.settle(self.address)
        self.check_books()
        self.stop_agents()
        self.assertEqual(self.there.stop(), 0)

    def test_a_short_cut_is_bridged(self):
        load = self.load_at("client", "remote", 1500, 1)
        for host in ("one", "client", "two", "one"):
            size = self.begun()
            wait_until(lambda: self.begun() > size or load.poll() is not None, "tasks begin")
            link(host, "down")
            time.sleep(self.rng.uniform(0.1, 1.0))
            link(host, "up")
        counted = self.finish(load)
        self.assertEqual(counted.get("AgentLost", 0), 0)
        self.agents_are(2)
        self.end()

    def test_half_open_peers_are_given_up(self):
        load = self.start_load("steady", self.address, 4000)
        remote = self.load_at("client", "remote", 100000, 2)
        wait_until(lambda: self.begun() > 1000, "tasks begin")
        for host in ("one", "client"):
            link(host, "down")
        # Neither says goodbye: no FIN comes through.
        for process in (self.agents["one"], remote):
            process.kill()
            process.wait()
        remote.communicate()
        link("one", "up")
        self.start_at("one")
        self.finish(load)
        self.agents_are(2)
        self.end()

    def test_a_lost_agent_ends_its_workers_and_comes_back(self):
        load = self.start_load("steady", self.address, 4000)
        wait_until(lambda: self.begun() > 1000, "tasks begin")
        link("one", "down")
        self.agents_are(1)
        self.finish(load)
        wait_until(lambda: not [worker for spawner in children(self.agents["one"].pid)
                                for worker in children(spawner)],
                   "the workers behind the cut are ended", GIVEN_UP)
        link("one", "up")
        self.agents_are(2)
        self.end()


if __name__ == "__main__":
    make_network()
    harness.main()
