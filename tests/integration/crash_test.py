"""Crashes: what a person sees of them in the command line."""

import os
import re
import signal
import unittest

import harness
from harness import BIN, BUILD, SANITIZED, Case, Coordinator, wait_until

REMUDA = os.path.join(BIN, "remuda")
PLAIN = os.path.join(BUILD, "tests", "crash_modules", "plain.so")
STRIPPED = os.path.join(BUILD, "tests", "crash_modules", "stripped.so")
ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
SOURCE = os.path.join(ROOT, "tests", "unit", "crash", "crashing.c")


def line_of(mark):
    """The line of the module's source that is marked LINE_`mark`."""
    with open(SOURCE, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if f"LINE_{mark} */" in line:
                return number
    raise AssertionError(f"no line is marked {mark}")


def processes_named(mark, name):
    return [pid for pid, comm, _ in harness.processes_with(mark) if comm == name]


WORKER = "remuda-worker-native"[:15]


class CrashCase(Case):
    def crash(self, function, *args, module=PLAIN):
        out, err = self.remuda("run", "-q", "-m", module, f"native:crashing.{function}", *args,
                               code=1)
        self.assertEqual(out, "")
        return err


@unittest.skipIf(SANITIZED, "the sanitizer reports the crash")
class Stack(CrashCase):
    def test_the_whole_text_of_a_crash(self):
        err = self.crash("three_deep")
        host = os.uname().nodename
        source = "tests/unit/crash/crashing.c"
        # A compiler cache may give the compiler another path to the same file.
        err = re.sub(r'"[^"\s]*(?=tests/unit/crash/)', '"', err)

        def frame(mark, function):
            return f'  File "{source}", line {line_of(mark)}, in {function}'

        self.assertEqual(err, "\n".join([
            "remuda: native:crashing.three_deep failed:",
            "RemoteTraceback:",
            '"""',
            "Traceback (most recent call last):",
            frame("three_deep", "three_deep"),
            frame("outermost", "outermost"),
            frame("middle", "middle"),
            frame("innermost", f"innermost (worker 1 on {host}, attempt 1)"),
            "WorkerLost: the worker process ended while it ran crashing.three_deep; it read from "
            "address 0x8, where no memory is mapped [signal 11 SIGSEGV]",
            '"""', ""]))

    def test_a_stack_overflow_ends_with_the_innermost_calls(self):
        err = self.crash("overflow")
        self.assertIn("  In [outer frames left out]\n", err)
        self.assertEqual(err.count(", in recurse"), 64)
        self.assertIn("[signal 11 SIGSEGV]", err)

    def test_abort_and_its_last_words(self):
        err = self.crash("aborts")
        self.assertIn(", in aborts\n", err)
        self.assertIn("; it sent itself the signal [signal 6 SIGABRT]\n"
                      "It last wrote to stderr:\nabout to abort\n", err)

    def test_a_stripped_module_shows_image_and_offset(self):
        err = self.crash("three_deep", module=STRIPPED)
        offsets = re.findall(r'^  Image "\S*stripped.so", offset 0x[0-9a-f]+', err, re.M)
        self.assertGreaterEqual(len(offsets), 4, err)

    def test_a_line_of_map_says_it_in_one_line(self):
        _, err = self.remuda("map", "-K", "-m", PLAIN, "-s", "native:crashing.null_write",
                             input="[]\n", code=4)
        self.assertIn("line 1: WorkerLost: the worker process ended while it ran "
                      "crashing.null_write; it wrote to address 0x0, where no memory is mapped "
                      "[signal 11 SIGSEGV]\n", err)


class Ends(CrashCase):
    def test_an_exit_has_its_code_and_no_traceback(self):
        err = self.crash("exits", "3")
        self.assertIn("exited while it ran crashing.exits [exit code 3]", err)
        self.assertNotIn("Traceback (most", err)

    def test_kill_9_is_told_without_a_guess(self):
        child = self.start(REMUDA, "run", "-m", PLAIN, "native:crashing.sleeps")
        workers = wait_until(lambda: processes_named(self.mark, WORKER), "the worker runs")
        wait_until(lambda: self.sleeping(workers[0]), "the task runs")
        os.kill(workers[0], signal.SIGKILL)
        _, err = child.communicate(timeout=60)
        self.assertIn("the worker process ended while it ran crashing.sleeps [signal 9 SIGKILL]\n",
                      err)

    def sleeping(self, pid):
        with open(f"/proc/{pid}/wchan", encoding="ascii") as file:
            return "nanosleep" in file.read()


@unittest.skipIf(SANITIZED, "a plain module does not load into a sanitized worker")
class Page(Case):
    """docs/errors.md: its commands print what it says."""

    PAGE = os.path.join(ROOT, "docs", "errors.md")
    HOME = "/home/ann/"

    def setUp(self):
        super().setUp()
        with open(self.PAGE, encoding="utf-8") as file:
            self.page = file.read()
        for name in ("codec", "error", "task"):
            include = os.path.join(ROOT, "proto", name, "include")
            self.env["CPATH"] = include + os.pathsep + self.env.get("CPATH", "")
        with open(os.path.join(self.folder, "orders.c"), "w", encoding="utf-8") as file:
            file.write(self.block("c")[0])

    def block(self, language):
        return re.findall(rf"^```{language}\n(.*?)^```$", self.page, re.M | re.S)

    def compile(self):
        self.run_program("sh", "-eu", "-c", "cc -g -O1 -shared -fPIC orders.c -o orders.so")

    def plain(self, text):
        """Without what differs from machine to machine."""
        text = text.replace(os.path.realpath(self.folder) + "/", self.HOME)
        text = re.sub(rf" on (agent )?{re.escape(os.uname().nodename)}\b", r" on \1node-b", text)
        return re.sub(r"offset 0x[0-9a-f]+", "offset 0x…", text)

    def test_every_command_prints_what_the_page_says(self):
        blocks = self.block("console")
        self.assertGreater(len(blocks), 6)
        for block in blocks:
            command, expected = block.removeprefix("$ ").split("\n", 1)
            with self.subTest(command=command):
                self.compile()
                out, err = self.run_program("sh", "-c", command, code=None)
                self.assertEqual(self.plain(out + err), self.plain(expected))


class Cgroup:
    """A memory cgroup below our own, of either version, with a limit; None: none can be made."""

    def __init__(self, folder, own):
        self.folder = folder
        self.own = own

    @staticmethod
    def make(name, limit):
        with open("/proc/self/cgroup", encoding="ascii") as file:
            groups = [line.rstrip("\n").split(":", 2) for line in file]
        for _, controllers, path in groups:
            if "memory" in controllers.split(","):
                own, setting = f"/sys/fs/cgroup/memory{path}", "memory.limit_in_bytes"
            elif controllers == "":
                own, setting = f"/sys/fs/cgroup{path}", "memory.max"
            else:
                continue
            group = Cgroup(os.path.join(own, name), own)
            try:
                os.mkdir(group.folder)
            except OSError:
                continue
            try:
                group.write(group.folder, setting, limit)
                return group
            except OSError:
                os.rmdir(group.folder)
        return None

    @staticmethod
    def write(folder, name, text):
        with open(os.path.join(folder, name), "w", encoding="ascii") as file:
            file.write(str(text))

    def __enter__(self):
        self.write(self.folder, "cgroup.procs", os.getpid())
        return self

    def __exit__(self, *_):
        self.write(self.own, "cgroup.procs", os.getpid())


class Memory(CrashCase):
    LIMIT = 96 << 20

    def setUp(self):
        super().setUp()
        self.group = Cgroup.make(os.path.basename(self.folder), self.LIMIT)
        if self.group is None:
            self.skipTest("no memory cgroup can be made here")
        self.addCleanup(self.remove_group)

    def remove_group(self):
        def empty():
            with open(os.path.join(self.group.folder, "cgroup.procs"), encoding="ascii") as file:
                return not file.read()

        wait_until(empty, "the group is empty")
        os.rmdir(self.group.folder)

    @unittest.skipIf(SANITIZED, "a sanitizer takes more memory than this limit")
    def test_a_kill_by_the_kernel_is_proven_and_another_is_not(self):
        with self.group:
            remudad = Coordinator(self, modules=(PLAIN,), workers=1)
        with remudad:
            _, err = self.remuda("run", "-a", remudad.address, "native:crashing.grows", code=1)
            told = re.search(r"the worker process was killed by the kernel for lack of memory "
                             r"while it ran crashing\.grows \(oom_kill of (\S+) rose from 0 to 1\); "
                             r"its peak was (\d+) MiB \[signal 9 SIGKILL\]\n", err)
            self.assertIsNotNone(told, err)
            self.assertEqual(told[1], self.group.folder)
            self.assertGreater(int(told[2]), 48)
            self.assertLessEqual(int(told[2]), self.LIMIT >> 20)
            child = self.start(REMUDA, "run", "-a", remudad.address, "native:crashing.sleeps")
            worker = wait_until(lambda: self.busy(remudad), "the task runs")
            os.kill(worker, signal.SIGKILL)
            _, err = child.communicate(timeout=60)
            self.assertIn("ended while it ran crashing.sleeps [signal 9 SIGKILL]", err)

    def busy(self, remudad):
        out, _ = self.remuda("workers", "--json", "-a", remudad.address)
        found = re.search(r'"pid": (\d+),[^}]*"state": "busy"', out)
        return int(found[1]) if found else None


if __name__ == "__main__":
    harness.main()
