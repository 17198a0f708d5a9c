"""What integration tests share: a folder and a mark of their own, coordinators and programs that
they start, and the proof that nothing is left when a test ends."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

BUILD = os.environ.get("REMUDA_BUILD") or os.path.join(
    os.path.dirname(__file__), "..", "..", "build", "dev")
BUILD = os.path.abspath(BUILD)
BIN = os.path.join(BUILD, "bin")
REMUDA = os.path.join(BIN, "remuda")
MODULES = os.path.join(BUILD, "lib", "remuda", "modules")
DEMO = os.path.join(MODULES, "demo.so")
FILES = os.path.join(MODULES, "files.so")
with open(os.path.join(BUILD, "CMakeCache.txt"), encoding="utf-8") as _cache:
    # Sanitizers report crashes themselves, and their programs load into no others.
    SANITIZED = any(line.startswith("REMUDA_SANITIZE:STRING=") and line.strip()[-1] != "="
                    for line in _cache)
IN_CI = bool(os.environ.get("CI"))
# Sanitizers make everything slower; no limit below is a measure of speed.
PATIENCE = 120


def wait_until(condition, what, seconds=PATIENCE):
    """Polls until `condition()` is true; fails with `what` after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.02)


def processes_with(mark):
    """Processes (pid, name, state) that have `mark` in their environment, zombies left out."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                if mark.encode() not in file.read():
                    continue
            with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
                stat = file.read()
        except OSError:
            continue
        name = stat[stat.index("(") + 1:stat.rindex(")")]
        state = stat[stat.rindex(")") + 2]
        if state != "Z" and int(pid) != os.getpid():
            found.append((int(pid), name, state))
    return found


class Coordinator:
    """A remudad of the test's own; use as a context manager."""

    def __init__(self, test, *args, listen=None, modules=(DEMO,), workers=2):
        self.test = test
        self.log = open(os.path.join(test.folder, "remudad.log"), "ab")
        self.listen = listen or f"unix:{test.folder}/{id(self):x}.sock"
        read, write = os.pipe()
        command = [os.path.join(BIN, "remudad"), "--listen", self.listen,
                   "--ready-fd", str(write), *args]
        if workers is not None:
            command += ["--local-workers", str(workers)]
            for module in modules:
                command += ["--module", module]
        self.process = subprocess.Popen(command, env=test.env, pass_fds=[write],
                                        stdin=subprocess.DEVNULL, stderr=self.log)
        os.close(write)
        with os.fdopen(read) as ready:
            line = ready.read()
        if not line.startswith("ready"):
            self.process.wait()
            raise AssertionError(f"remudad is not ready: {self.log_text()}")
        self.address = line.split()[1]
        self.path = self.address.removeprefix("unix:")

    def log_text(self):
        with open(os.path.join(self.test.folder, "remudad.log"), encoding="utf-8") as file:
            return file.read()

    def stop(self, sig=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(sig)
        code = self.process.wait(PATIENCE)
        self.log.close()
        return code

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise
        self.log.close()


class Case(unittest.TestCase):
    """A test with a folder and a mark; fails when it leaves processes or files behind."""

    maxDiff = None

    def setUp(self):
        # Short: a unix socket's path has at most 107 bytes.
        self.folder = tempfile.mkdtemp(prefix="rmd")
        self.mark = f"REMUDA_TEST_MARK={os.path.basename(self.folder)}"
        self.env = dict(os.environ)
        for name in [name for name in self.env if name.startswith("REMUDA_")]:
            del self.env[name]
        self.env["TERM"] = "xterm"  # whoever runs the tests may have none
        name, value = self.mark.split("=")
        self.env[name] = value
        self.env["XDG_RUNTIME_DIR"] = os.path.join(self.folder, "run")
        self.env["PATH"] = BIN + os.pathsep + self.env.get("PATH", "")
        self.env["LD_LIBRARY_PATH"] = os.path.join(BUILD, "lib")
        os.mkdir(self.env["XDG_RUNTIME_DIR"], 0o700)
        self.addCleanup(self.nothing_left)

    def nothing_left(self):
        try:
            wait_until(lambda: not processes_with(self.mark), "all processes of the test end", 20)
        except AssertionError:
            left = processes_with(self.mark)
            for pid, _, _ in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except OSError:
                    pass
            raise AssertionError(f"left behind: {left}") from None
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def start(self, *command, **options):
        """Starts a program with the test's environment."""
        options.setdefault("stdin", subprocess.DEVNULL)
        options.setdefault("stdout", subprocess.PIPE)
        options.setdefault("stderr", subprocess.PIPE)
        options.setdefault("text", True)
        options.setdefault("env", self.env)
        options.setdefault("cwd", self.folder)
        process = subprocess.Popen(command, **options)
        self.addCleanup(lambda: process.poll() is None and process.kill())
        return process

    def run_program(self, *command, input=None, code=0, env=None, timeout=PATIENCE, text=True):
        """Runs a program to its end: its stdout and stderr; fails if its exit code is another."""
        done = subprocess.run(command, input=input, capture_output=True, text=text,
                              env=env or self.env, cwd=self.folder, timeout=timeout, check=False)
        if code is not None and done.returncode != code:
            raise AssertionError(f"{command} ended with {done.returncode}, not {code}\n"
                                 f"stdout: {done.stdout[-4000:]}\nstderr: {done.stderr[-4000:]}")
        return done.stdout, done.stderr

    def remuda(self, *args, **options):
        return self.run_program(os.path.join(BIN, "remuda"), *args, **options)

    def grpcurl(self, path, method, message=None, code=0):
        """Calls a method over the unix socket `path`; the answer as JSON (the last one)."""
        tool = shutil.which("grpcurl")
        if tool is None:
            if IN_CI:
                self.fail("grpcurl is missing, and this is CI")
            self.skipTest("grpcurl is not installed")
        command = [tool, "-plaintext", "-unix", "-max-time", str(PATIENCE)]
        if message is not None:
            command += ["-d", json.dumps(message)]
        out, err = self.run_program(*command, path, method, code=code)
        return json.loads(out) if code == 0 and out.strip() else err


def main():
    sys.stdout.reconfigure(line_buffering=True)
    unittest.main(verbosity=2)
