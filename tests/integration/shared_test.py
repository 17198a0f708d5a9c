"""Large payloads inside one host: shared memory between clients and remudad, what it falls back to,
and what hostile or dying clients do to it."""

import base64
import fcntl
import functools
import os
import random
import signal
import socket
import struct
import threading
import time
import unittest

import harness
from harness import BIN, DEMO, Case, Coordinator, wait_until
from bad_input_test import PREFACE, call_headers, frame

SESSION_PATH = b"/remuda.v1.Executor/Session"
SEALS = 0x0001 | 0x0002 | 0x0004         # F_SEAL_SEAL, SHRINK, GROW
F_ADD_SEALS = 1033
HEAD = 4096
BENCH = os.path.join(BIN, "bench_client")


def varint(number):
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def number(field, value):
    return varint(field << 3) + varint(value)


def data(field, value):
    return varint(field << 3 | 2) + varint(len(value)) + value


def fields(message):
    """The fields of a message: (number, value); bytes or an int."""
    at = 0

    def read():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value
    found = []
    while at < len(message):
        tag = read()
        value = read()
        if tag & 7 == 2:
            value, at = message[at:at + value], at + value
        found.append((tag >> 3, value))
    return found


def memory(size, seals=SEALS):
    fd = os.memfd_create("test", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, size)
    if seals:
        fcntl.fcntl(fd, F_ADD_SEALS, seals)
    return fd


class Raw:
    """A session spoken by hand, with shared memory of its own."""

    def __init__(self, remudad, size=1 << 20, fds=None, posted=True, session=None):
        self.session = session or os.urandom(16)
        self.fds = fds or (memory(size), memory(size))
        if posted:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as post:
                post.connect(remudad.path + ".mem")
                socket.send_fds(post, [b"RMDMEM1\0" + self.session], list(self.fds))
        self.peer = socket.socket(socket.AF_UNIX)
        self.peer.settimeout(20)
        self.peer.connect(remudad.path)
        # Windows so wide that they need no care.
        self.peer.sendall(PREFACE + frame(4, 0, 0, struct.pack(">HI", 4, 1 << 30)) +
                          frame(8, 0, 0, struct.pack(">I", 1 << 30)) +
                          frame(1, 4, 1, call_headers(SESSION_PATH)))
        self.raw = b""
        self.trailers = b""
        self.ended = False
        self.body = b""
        self.heard = []
        self.say(data(1, data(1, self.session) + number(2, 1) + number(6, 1)))

    def say(self, message):
        body = b"\x00" + struct.pack(">I", len(message)) + message
        self.peer.sendall(frame(0, 0, 1, body))

    def next_frame(self):
        while True:
            if len(self.raw) >= 9:
                size = int.from_bytes(self.raw[:3], "big")
                if len(self.raw) >= 9 + size:
                    kind, flags, body = self.raw[3], self.raw[4], self.raw[9:9 + size]
                    self.raw = self.raw[9 + size:]
                    return kind, flags, body
            piece = self.peer.recv(65536)
            if not piece:
                return None
            self.raw += piece

    def messages(self):
        """Yields (field, value) of each SessionResponse until the stream ends."""
        while True:
            while self.heard:
                yield self.heard.pop(0)
            if self.ended or not self.hear():
                return

    def hear(self):
        """Reads one HTTP/2 frame; False at the end of the connection."""
        got = self.next_frame()
        if got is None:
            return False
        kind, flags, body = got
        if kind == 0:
            self.body += body
            while len(self.body) >= 5:
                size = int.from_bytes(self.body[1:5], "big")
                if len(self.body) < 5 + size:
                    break
                self.heard += fields(self.body[5:5 + size])
                self.body = self.body[5 + size:]
        elif kind == 1 and flags & 1:
            self.trailers = body
            self.ended = True
        elif kind in (4, 6) and not flags & 1:
            self.peer.sendall(frame(kind, 1, 0, body if kind == 6 else b""))
        return True

    def welcome(self):
        for field, value in self.messages():
            if field == 1:
                return dict(fields(value))
        raise AssertionError("no welcome")

    def outcome(self):
        for field, value in self.messages():
            if field == 4:
                return dict(fields(value))
        return None

    def submit(self, task_number, ref, function=b"native:demo.echo"):
        offset, length, place, mark = ref
        segment = number(1, offset) + number(2, length) + number(3, place) + number(4, mark)
        self.say(data(3, number(1, task_number) + data(2, data(1, function) + data(6, segment))))

    def close(self):
        self.peer.close()
        for fd in self.fds:
            os.close(fd)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def arguments(payload):
    return data(1, data(9, payload))


def await_forgotten(remudad):
    """Waits until remudad has no memory of clients mapped any more."""
    def mapped():
        with open(f"/proc/{remudad.process.pid}/maps", encoding="ascii") as file:
            return any("remuda-shared" in line for line in file)
    wait_until(lambda: not mapped(), "remudad forgets the memory of clients that are gone")


@functools.lru_cache
def payloads():
    rng = random.Random(5)
    return [base64.b64encode(rng.randbytes(768 << 10)).decode() for _ in range(200)]


class Echo(Case):
    @unittest.skipIf(harness.SANITIZED, "slow")
    def test_64_mib_come_back_as_they_went_from_a_private_coordinator(self):
        out, err = self.run_program(BENCH, "echo", "-", DEMO, "3")
        self.assertEqual(err, "")
        self.assertGreater(float(out), 0)

    @unittest.skipIf(harness.SANITIZED, "slow")
    def test_64_mib_come_back_as_they_went_over_a_socket(self):
        with Coordinator(self) as remudad:
            out, err = self.run_program(BENCH, "echo", remudad.address, DEMO, "3")
            self.assertEqual(err, "")
            self.assertGreater(float(out), 0)
            await_forgotten(remudad)

    def parallel(self, *where):
        lines = payloads()
        out, err = self.remuda("map", *where, "-R", "-r", "native:demo.echo",
                               input="\n".join(lines) + "\n")
        self.assertEqual(err, "")
        got = out.split("\n")
        self.assertEqual(len(got), 201)
        self.assertTrue(all(a == b for a, b in zip(got, lines)))

    def test_200_payloads_of_1_mib_at_a_time(self):
        self.parallel()

    def test_200_payloads_where_there_is_little_shared_memory(self):
        with Coordinator(self, "--shared-bytes", "3000000") as remudad:
            self.parallel("-a", remudad.address)
        self.env["REMUDA_SHARED_BYTES"] = "3000000"
        self.parallel()

    def test_200_payloads_where_there_is_none(self):
        with Coordinator(self, "--shared-bytes", "0") as remudad:
            self.assertFalse(os.path.exists(remudad.path + ".mem"))
            self.parallel("-a", remudad.address)
        self.env["REMUDA_SHARED_BYTES"] = "0"
        self.parallel()

    def test_a_wrong_setting_is_named(self):
        self.env["REMUDA_SHARED_BYTES"] = "much"
        _, err = self.remuda("run", "native:demo.square", "2", code=None)
        self.assertIn("REMUDA_SHARED_BYTES", err)
        _, err = self.run_program(os.path.join(BIN, "remudad"), "--listen",
                                  f"unix:{self.folder}/s", "--shared-bytes", "much", code=2)
        self.assertIn("--shared-bytes", err)

    def test_nothing_is_left_beside_the_socket(self):
        with Coordinator(self) as remudad:
            self.assertEqual(os.stat(remudad.path + ".mem").st_mode & 0o777, 0o600)
        self.assertFalse([name for name in os.listdir(self.folder) if "sock" in name])

    def test_a_coordinator_killed_and_begun_again_shares_again(self):
        with Coordinator(self, listen=f"unix:{self.folder}/s") as remudad:
            remudad.stop(signal.SIGKILL)
        with Coordinator(self, listen=f"unix:{self.folder}/s") as remudad:
            with Raw(remudad) as raw:
                self.assertEqual(raw.welcome().get(6), 1)


class Dying(Case):
    @unittest.skipIf(harness.SANITIZED, "slow")
    def test_clients_killed_in_the_middle_of_transfers_leave_nothing(self):
        with Coordinator(self) as remudad:
            rng = random.Random(7)
            for where in [remudad.address] * 4 + ["-"] * 3:
                child = self.start(BENCH, "echo", where, DEMO, "1000")
                time.sleep(0.4 + rng.random() * 0.4)     # any moment will do
                child.kill()
                child.communicate()
            await_forgotten(remudad)
            out, _ = self.remuda("run", "-a", remudad.address, "native:demo.square", "7")
            self.assertEqual(out, "49\n")


class Resuming(Case):
    """A session that goes on over another connection."""

    def test_half_a_transfer_is_forgotten_with_its_stream(self):
        args = arguments(bytes(1000))
        chunk = number(1, 1) + number(2, len(args)) + data(4, args[:500])
        whole = number(1, 1) + number(2, len(args)) + data(4, args)
        with Coordinator(self) as remudad:
            with Raw(remudad, posted=False) as first:
                first.welcome()
                first.say(data(2, chunk))
                with Raw(remudad, posted=False, session=first.session) as again:
                    again.welcome()
                    again.say(data(2, whole) + data(3, number(1, 1) + data(
                        2, data(1, b"native:demo.echo") + number(3, 1))))
                    self.assertEqual(again.outcome()[1], 1)

    def test_results_that_were_not_acknowledged_come_again_in_the_new_memory(self):
        payload = os.urandom(200000)
        args = arguments(payload)
        with Coordinator(self) as remudad:
            with Raw(remudad) as first:
                first.welcome()
                os.pwrite(first.fds[0], args, HEAD)
                first.submit(1, (HEAD, len(args), 0, 1))
                first.outcome()
                with Raw(remudad, session=first.session) as again:
                    self.assertEqual(again.welcome().get(6), 1)
                    ref = dict(fields(again.outcome()[3]))
                    got = os.pread(again.fds[1], ref[2], ref[1])
                    self.assertEqual(dict(fields(got))[9], payload)
                with Raw(remudad, posted=False, session=first.session) as last:
                    self.assertEqual(last.welcome().get(6, 0), 0)
                    self.assertEqual(dict(fields(dict(fields(last.outcome()[2]))[1]))[9], payload)


class Hostile(Case):
    """Sessions that refer to memory that is not there; others do not notice."""

    def still_serves(self, remudad):
        out, _ = self.remuda("run", "-a", remudad.address, "native:demo.square", "7")
        self.assertEqual(out, "49\n")

    def test_a_session_by_hand_is_served(self):
        payload = os.urandom(200000)
        args = arguments(payload)
        with Coordinator(self) as remudad, Raw(remudad) as raw:
            self.assertEqual(raw.welcome().get(6), 1)
            os.pwrite(raw.fds[0], args, HEAD)
            raw.submit(1, (HEAD, len(args), 5, 77))
            outcome = raw.outcome()
            self.assertEqual(outcome[1], 1)
            ref = dict(fields(outcome[3]))
            got = os.pread(raw.fds[1], ref[2], ref[1])
            self.assertEqual(dict(fields(got))[9], payload)
            # The place of the arguments is marked as free.
            wait_until(lambda: struct.unpack("<I", os.pread(raw.fds[1], 4, 4 * 5))[0] == 77,
                       "the mark is set")
            raw.submit(2, (HEAD, len(args), 5, 78))
            self.assertEqual(raw.outcome()[1], 2)

    def refused(self, remudad, *refs):
        with Raw(remudad) as raw:
            self.assertEqual(raw.welcome().get(6), 1)
            os.pwrite(raw.fds[0], arguments(bytes(1000)), HEAD)
            for i, ref in enumerate(refs):
                raw.submit(i + 1, ref, function=b"native:demo.sleep_ms")
            for _ in raw.messages():
                pass
            self.assertTrue(raw.ended, "the stream goes on")
            empty = 0 in (refs[0][1], refs[0][3])
            self.assertIn(b"SegmentRef" if empty else b"arguments_segment", raw.trailers)

    def test_refs_that_are_out_of_bounds_end_the_session(self):
        size = 1 << 20
        bad = [(0, 1000, 0, 1), (HEAD - 1, 1000, 0, 1), (size, 1, 0, 1), (size - 10, 11, 0, 1),
               (HEAD, size, 0, 1), (1 << 63, 1000, 0, 1), ((1 << 64) - 10, 1000, 0, 1),
               (HEAD, 1000, 1024, 1), (HEAD, 1000, 0xffffffff, 1), (HEAD, 0, 0, 1),
               (HEAD, 1000, 0, 0), (HEAD, 1 << 30, 0, 1)]
        with Coordinator(self) as remudad:
            for ref in bad:
                with self.subTest(ref=ref):
                    self.refused(remudad, ref)
            self.still_serves(remudad)

    def test_refs_that_meet_or_come_twice_end_the_session(self):
        # The first task has to hold its arguments: its worker starts only after the second.
        held = (HEAD, 300000, 0, 1)
        # Nor shall the end of the coordinator wait for what nobody runs.
        with Coordinator(self, "--grace", "0", workers=None) as remudad:
            for ref in (held, (HEAD, 300000, 1, 1), (HEAD + 299999, 10, 1, 1),
                        (HEAD + 400000, 10, 0, 2)):
                with self.subTest(ref=ref):
                    self.refused(remudad, held, ref)

    def test_random_refs_never_harm_others(self):
        with Coordinator(self) as remudad:
            rng = random.Random(11)
            for _ in range(40):
                with Raw(remudad) as raw:
                    raw.welcome()
                    for i in range(1, 30):
                        try:
                            raw.submit(i, (rng.choice((HEAD, rng.randrange(1 << 21))),
                                           rng.randrange(1, 1 << 19), rng.randrange(1100),
                                           rng.randrange(1, 4)))
                        except OSError:
                            break
            self.still_serves(remudad)

    def test_refs_without_memory_end_the_session(self):
        with Coordinator(self, "--shared-bytes", "0") as remudad:
            with Raw(remudad, posted=False) as raw:
                self.assertEqual(raw.welcome().get(6, 0), 0)
                raw.submit(1, (HEAD, 1000, 0, 1))
                for _ in raw.messages():
                    pass
                self.assertIn(b"arguments_segment", raw.trailers)
            self.still_serves(remudad)

    def test_files_that_are_not_to_be_trusted_are_not_used(self):
        with Coordinator(self) as remudad:
            good = 1 << 20
            path = os.path.join(self.folder, "file")
            for make in (lambda: memory(good, seals=0), lambda: memory(good, seals=1),
                         lambda: memory(0), lambda: memory(8192), lambda: memory(good + 1),
                         lambda: memory(2 << 30), lambda: os.open("/dev/zero", os.O_RDWR),
                         lambda: os.open(path, os.O_RDWR | os.O_CREAT),
                         lambda: os.pipe()[0]):
                for side in range(2):
                    fds = [memory(good), memory(good)]
                    os.close(fds[side])
                    fds[side] = make()
                    with Raw(remudad, fds=fds) as raw:
                        self.assertEqual(raw.welcome().get(6, 0), 0)
            self.still_serves(remudad)

    def test_a_client_that_scribbles_on_everything_harms_only_itself(self):
        with Coordinator(self) as remudad:
            with Raw(remudad, size=8 << 20) as raw:
                raw.welcome()
                stop = threading.Event()

                def scribble():
                    rng = random.Random(3)
                    while not stop.is_set():
                        for fd in raw.fds:
                            os.pwrite(fd, rng.randbytes(4096), rng.randrange(8 << 20) & ~4095)
                thread = threading.Thread(target=scribble)
                thread.start()
                try:
                    for i in range(1, 60):
                        os.pwrite(raw.fds[0], arguments(bytes(100000)), HEAD + (i % 50) * 131072)
                        raw.submit(i, (HEAD + (i % 50) * 131072, 100010, i, 1))
                    for _ in range(20):
                        if raw.outcome() is None:
                            break
                    self.still_serves(remudad)
                finally:
                    stop.set()
                    thread.join()
            self.still_serves(remudad)

    def test_posts_that_nobody_asked_for_are_forgotten(self):
        with Coordinator(self) as remudad:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as post:
                post.setblocking(False)
                post.connect(remudad.path + ".mem")
                for i in range(300):
                    fd = memory(1 << 20)
                    try:
                        socket.send_fds(post, [b"RMDMEM1\0" + os.urandom(16)], [fd, fd])
                    except BlockingIOError:
                        self.still_serves(remudad)       # it empties the box
                    os.close(fd)
            self.still_serves(remudad)
            self.assertLess(len(os.listdir(f"/proc/{remudad.process.pid}/fd")), 300)


if __name__ == "__main__":
    unittest.main(verbosity=2)
