"""remudad and remuda-agent: start, stop, drain, loss."""

import os
import signal
import socket
import subprocess
import time
import unittest

import harness
from harness import BIN, DEMO, Case, Coordinator, wait_until

REMUDA = os.path.join(BIN, "remuda")


class Life(Case):
    def test_sigterm_drains(self):
        with Coordinator(self) as remudad:
            child = self.start(REMUDA, "run", "-a", remudad.address, "native:demo.sleep_ms", "1500")
            wait_until(lambda: self.running(remudad), "the task runs")
            remudad.process.send_signal(signal.SIGTERM)
            out, err = child.communicate(timeout=60)
            self.assertEqual(child.returncode, 0, err)
            self.assertEqual(remudad.stop(), 0)
            self.assertFalse(os.path.exists(remudad.path))

    def running(self, remudad):
        out, _ = self.remuda("ps", "--json", "-a", remudad.address)
        return "running" in out.lower()

    def test_a_second_sigterm_does_not_wait(self):
        with Coordinator(self) as remudad:
            child = self.start(REMUDA, "run", "-a", remudad.address, "native:demo.sleep_ms",
                               "600000")
            wait_until(lambda: self.running(remudad), "the task runs")
            remudad.process.send_signal(signal.SIGTERM)
            time.sleep(0.2)
            remudad.process.send_signal(signal.SIGTERM)
            child.communicate(timeout=60)
            self.assertNotEqual(child.returncode, 0)
            self.assertEqual(remudad.process.wait(30), 0)

    def test_two_coordinators_on_one_socket(self):
        with Coordinator(self) as remudad:
            _, err = self.run_program(os.path.join(BIN, "remudad"), "--listen", remudad.address,
                                      code=3)
            self.assertIn(remudad.path, err)
            out, _ = self.remuda("run", "-a", remudad.address, "native:demo.square", "2")
            self.assertEqual(out, "4\n")

    def test_a_stale_socket_is_replaced(self):
        path = os.path.join(self.folder, "stale.sock")
        stale = socket.socket(socket.AF_UNIX)
        stale.bind(path)
        stale.close()
        with Coordinator(self, listen=f"unix:{path}") as remudad:
            out, _ = self.remuda("run", "-a", remudad.address, "native:demo.square", "2")
            self.assertEqual(out, "4\n")

    def test_a_killed_coordinator_leaves_no_worker(self):
        with Coordinator(self) as remudad:
            self.remuda("run", "-a", remudad.address, "native:demo.square", "2")
            self.assertTrue([p for p in harness.processes_with(self.mark) if "worker" in p[1]])
            remudad.process.kill()
            wait_until(lambda: not harness.processes_with(self.mark), "workers end", 10)

    def test_readiness_is_told_to_systemd(self):
        path = os.path.join(self.folder, "notify")
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        listener.bind(path)
        self.env["NOTIFY_SOCKET"] = path
        with Coordinator(self):
            listener.settimeout(10)
            self.assertEqual(listener.recv(100), b"READY=1")
        listener.close()


class Cluster(Case):
    def agent(self, remudad, name, *args):
        log = open(os.path.join(self.folder, f"{name}.log"), "ab")
        self.addCleanup(log.close)
        return self.start(os.path.join(BIN, "remuda-agent"), "--coordinator", remudad.address,
                          "--insecure", "--name", name, "--module", DEMO, *args, stderr=log,
                          stdout=subprocess.DEVNULL)

    def cluster(self):
        return Coordinator(self, "--insecure", listen="tcp:127.0.0.1:0", workers=None)

    def agents(self, remudad):
        out, _ = self.remuda("status", "--json", "-a", remudad.address)
        return out

    def test_two_agents_share_the_work(self):
        with self.cluster() as remudad:
            agents = [self.agent(remudad, f"host{i}", "--workers-max", "1") for i in (1, 2)]
            lines = "".join("20\n" for _ in range(100))
            self.remuda("map", "-a", remudad.address, "native:demo.sleep_ms", input=lines)
            out, _ = self.remuda("workers", "-a", remudad.address)
            self.assertIn("host1", out)
            self.assertIn("host2", out)
            for agent in agents:
                agent.send_signal(signal.SIGTERM)
                self.assertEqual(agent.wait(30), 0)

    def test_tasks_wait_for_an_agent_and_say_so(self):
        with self.cluster() as remudad:
            child = self.start(REMUDA, "run", "-a", remudad.address, "native:demo.square", "6")
            out = wait_until(lambda: self.remuda("ps", "-a", remudad.address)[0]
                             if "no agent" in self.remuda("ps", "-a", remudad.address)[0] else "",
                             "ps says why the task waits")
            self.assertIn("no agent", out)
            agent = self.agent(remudad, "late")
            out, err = child.communicate(timeout=60)
            self.assertEqual(out, "36\n", err)
            agent.terminate()
            agent.wait(30)

    def test_a_killed_agent_ends_its_running_task_truthfully_and_workers_die(self):
        with self.cluster() as remudad:
            agent = self.agent(remudad, "doomed")
            child = self.start(REMUDA, "run", "-a", remudad.address, "native:demo.sleep_ms",
                               "600000")
            wait_until(lambda: [p for p in harness.processes_with(self.mark) if "worker" in p[1]],
                       "the worker runs")
            time.sleep(0.3)
            agent.kill()
            agent.wait()
            _, err = child.communicate(timeout=60)
            self.assertEqual(child.returncode, 1, err)
            self.assertIn("AgentLost", err)
            wait_until(lambda: not [p for p in harness.processes_with(self.mark)
                                    if "worker" in p[1]], "its workers die", 10)

    def test_another_attempt_runs_on_another_agent(self):
        with self.cluster() as remudad:
            first = self.agent(remudad, "first", "--workers-max", "1")
            child = self.start(REMUDA, "run", "-a", remudad.address, "--max-attempts", "2",
                               "native:demo.sleep_ms", "3000")
            wait_until(lambda: [p for p in harness.processes_with(self.mark) if "worker" in p[1]],
                       "the worker runs")
            second = self.agent(remudad, "second", "--workers-max", "1")
            time.sleep(0.3)
            first.kill()
            first.wait()
            _, err = child.communicate(timeout=60)
            self.assertEqual(child.returncode, 0, err)
            second.terminate()
            second.wait(30)

    def test_an_agent_waits_for_its_coordinator(self):
        with self.cluster() as remudad:
            address = remudad.address
        # The port is free again: the agent finds nobody, and goes on trying.
        class Gone:
            pass
        gone = Gone()
        gone.address = address
        agent = self.agent(gone, "patient")
        time.sleep(1)
        self.assertIsNone(agent.poll())
        agent.terminate()
        agent.wait(30)


if __name__ == "__main__":
    unittest.main(verbosity=2)
