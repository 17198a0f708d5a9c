"""What is exhausted is named, with the way out, and the service goes on: our own budgets of memory,
descriptors, the disk. (Under load: tests/fault.)"""

import base64
import hashlib
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import unittest

import wire
from harness import BIN, DEMO, FILES, PATIENCE, SANITIZED, Case, Coordinator, wait_until

REMUDAD = os.path.join(BIN, "remudad")
AGENT = os.path.join(BIN, "remuda-agent")


def with_descriptors(limit):
    """For preexec_fn: a process that may open so many."""
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))


class Limits(Case):
    def still_serves(self, remudad):
        out, _ = self.remuda("run", "-a", remudad.address, "native:demo.square", "21")
        self.assertEqual(out, "441\n")

    def run_limited(self, limit, *command, code=None):
        """Runs a program with few descriptors: its exit code and what it said."""
        done = subprocess.run(command, env=self.env, cwd=self.folder, capture_output=True,
                              text=True, timeout=PATIENCE, check=False,
                              preexec_fn=with_descriptors(limit))  # pylint: disable=W1509
        if code is not None:
            self.assertEqual(done.returncode, code, done.stderr)
        return done.returncode, done.stdout + done.stderr


class Memory(Limits):
    def test_arguments_over_the_whole_budget_are_told_its_size(self):
        text = "x" * 2_000_000
        with Coordinator(self, "--payload-bytes", "1000000", "--blob-bytes", "4000000") as remudad:
            _, err = self.remuda("map", "-a", remudad.address, "-R", "native:demo.echo",
                                 input=text, code=1)
            self.assertRegex(err, r"PayloadTooLarge: the arguments of native:demo.echo take "
                                  r"20000\d\d bytes; this coordinator takes at most 1000000 "
                                  r"\(remudad --payload-bytes")
            arguments = wire.data(1, wire.data(8, text))
            digest = base64.b64encode(hashlib.sha256(arguments).digest()).decode()
            self.run_program("grpcurl", "-plaintext", "-unix", "-d", "@", remudad.path,
                             "remuda.v1.Blobs/Put", input=json.dumps(
                                 {"info": {"digest": digest, "sizeBytes": len(arguments)}}) +
                             "".join(json.dumps({"data": base64.b64encode(
                                 arguments[at:at + 1_000_000]).decode()})
                                 for at in range(0, len(arguments), 1_000_000)))
            for method in ("Run", "Submit"):
                err = self.grpcurl(remudad.path, f"remuda.v1.Executor/{method}",
                                   {"function": "native:demo.echo", "argumentsBlob": digest},
                                   code=67)
                self.assertIn("start it with more --payload-bytes", err)
            self.still_serves(remudad)

    def test_tasks_over_the_budget_are_refused_until_there_is_room(self):
        content = base64.b64encode(bytes(600_000)).decode()
        slow = {"function": "native:demo.sleep_ms", "args": [{"int64": 600_000}]}
        large = {"function": "native:demo.echo", "args": [{"bytes": content}]}
        with Coordinator(self, "--payload-bytes", "1000000", workers=1) as remudad:
            def submit(request, code=0):
                out, err = self.run_program(
                    "grpcurl", "-plaintext", "-unix", "-d", "@", remudad.path,
                    "remuda.v1.Executor/Submit", input=json.dumps(request), code=code)
                return json.loads(out)["task"] if code == 0 else err
            first, second = submit(slow), submit(large)
            err = submit(large, code=72)
            self.assertIn("the coordinator holds too many tasks or bytes; try again later", err)
            self.grpcurl(remudad.path, "remuda.v1.Executor/Cancel", {"tasks": [first, second]})
            submit(large)
            self.still_serves(remudad)

    def test_blobs_over_their_budget_name_the_option(self):
        with Coordinator(self, "--blob-bytes", "1000") as remudad:
            _, err = self.remuda("module", "push", "-a", remudad.address, FILES, code=None)
            self.assertIn("start it with more --blob-bytes", err)
            self.still_serves(remudad)


@unittest.skipIf(SANITIZED, "a sanitizer opens files itself")
class Descriptors(Limits):
    def test_too_few_to_start_with_are_told(self):
        for program, args in ((REMUDAD, ["--listen", f"unix:{self.folder}/s"]),
                              (AGENT, ["--coordinator", f"unix:{self.folder}/s"])):
            _, said = self.run_limited(16, program, *args)
            self.assertIn(f"{os.path.basename(program)}: the limit of open files is 16, at least "
                          "24 are needed", said)
            self.assertIn("ulimit -n", said)

    def test_a_start_that_fails_half_way_ends_in_words(self):
        listen = [word for i in range(4) for word in ("--listen", f"unix:{self.folder}/{i}")]
        code, said = self.run_limited(24, REMUDAD, *listen, "--local-workers", "1")
        self.assertGreater(code, 0, said)   # not a signal
        self.assertIn("cannot start: Too many open files; raise the limit of open files", said)
        left = [name for name in os.listdir(self.folder) if not name.endswith(".lock")]
        self.assertEqual(left, ["run"])

    def test_a_worker_that_cannot_start_for_want_of_them_says_so(self):
        code, said = self.run_limited(24, os.path.join(BIN, "remuda"), "run",
                                      "native:demo.square", "3")
        self.assertEqual(code, 1, said)
        self.assertIn("Too many open files; raise the limit of open files (ulimit -n", said)

    def test_an_agent_with_few_of_them_runs_fewer_workers(self):
        with Coordinator(self, "--listen", "tcp:127.0.0.1:0", "--insecure",
                         workers=None) as remudad:
            status = json.loads(self.remuda("status", "-a", remudad.address, "--json")[0])
            tcp = next(word for word in status["listens"].split() if word.startswith("tcp:"))
            agent = self.start(AGENT, "--coordinator", tcp, "--insecure", "--workers", "8",
                               "--module", DEMO, preexec_fn=with_descriptors(40))
            lines = "".join(f"{n}\n" for n in range(200))
            out, _ = self.remuda("map", "-a", remudad.address, "native:demo.square", input=lines)
            self.assertEqual([int(line) for line in out.split()], [n * n for n in range(200)])
            agent.send_signal(signal.SIGTERM)
            agent.communicate(timeout=PATIENCE)

    def test_a_coordinator_without_any_left_serves_again_when_there_are(self):
        with Coordinator(self) as remudad:
            resource.prlimit(remudad.process.pid, resource.RLIMIT_NOFILE, (64, 64))
            peers = []
            for _ in range(100):
                peer = socket.socket(socket.AF_UNIX)
                peer.setblocking(False)
                try:
                    peer.connect(remudad.path)
                except OSError:
                    pass
                peers.append(peer)
            opened = f"/proc/{remudad.process.pid}/fd"
            wait_until(lambda: len(os.listdir(opened)) >= 60, "its descriptors are used up")
            for peer in peers:
                peer.close()
            self.still_serves(remudad)


class Disk(Limits):
    def on_full_disk(self, script, *args):
        """Runs a shell script in a mount namespace where $1 is a disk without room or inodes."""
        disk = os.path.join(self.folder, "disk")
        os.makedirs(disk, exist_ok=True)
        tool = shutil.which("unshare")
        probe = [tool or "unshare", "-m", "mount", "-t", "tmpfs", "none", disk]
        if tool is None or subprocess.run(probe, check=False, capture_output=True).returncode:
            self.skipTest("mount namespaces cannot be made here")
        full = ('mount -t tmpfs -o size=1m,nr_inodes=12,mode=700 none "$1" || exit 9; '
                'head -c 2m /dev/zero > "$1/full" 2>/dev/null; '
                'for i in 1 2 3 4 5 6 7 8 9 10 11 12; do mkdir "$1/$i" 2>/dev/null; done; ')
        done = subprocess.run([tool, "-m", "sh", "-c", full + script, "sh", disk, BIN, *args],
                              env=self.env, cwd=self.folder, capture_output=True, text=True,
                              timeout=PATIENCE, check=False)
        return done.returncode, done.stdout + done.stderr

    def test_a_socket_on_it_is_named(self):
        code, said = self.on_full_disk('"$2/remudad" --listen "unix:$1/s"')
        self.assertGreater(code, 0)
        self.assertRegex(said, r"remudad: cannot serve unix:\S*/disk/s: .*"
                               r"No space left on device")

    def test_a_run_folder_on_it_is_named(self):
        code, said = self.on_full_disk('XDG_RUNTIME_DIR="$1" "$2/remuda" up')
        self.assertGreater(code, 0)
        self.assertRegex(said, r"the run folder \S*/disk/remuda cannot be used: "
                               r"No space left on device")

    def test_a_private_coordinator_needs_no_disk(self):
        code, said = self.on_full_disk('cd "$1"; export XDG_RUNTIME_DIR="$1" TMPDIR="$1"; '
                                       '"$2/remuda" run -m "$3" native:demo.square 3', DEMO)
        self.assertEqual((code, said), (0, "9\n"))

    def test_a_result_that_finds_no_room_is_told(self):
        code, said = self.on_full_disk('"$2/remuda" run -m "$3" native:demo.square 3 >> "$1/full"',
                                       DEMO)
        self.assertGreater(code, 0)
        self.assertIn("No space left on device", said)


if __name__ == "__main__":
    unittest.main(verbosity=2)
