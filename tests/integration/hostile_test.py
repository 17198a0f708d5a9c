"""An attack on the service: real messages, mutated, for every method; agents and clients that lie,
flood, or do not read. The coordinator goes on serving, and does not grow.

REMUDA_SEED repeats a run; REMUDA_ROUNDS multiplies what is bounded here."""

import os
import random
import socket
import time
import unittest

import harness
from harness import Case, Coordinator, wait_until
from wire import Connection, data, fields, frame, get, message, sint, uint

SEED = int(os.environ.get("REMUDA_SEED") or random.randrange(1 << 32))
ROUNDS = int(os.environ.get("REMUDA_ROUNDS") or 1)
RUN, SESSION, ATTACH = ("/remuda.v1.Executor/Run", "/remuda.v1.Executor/Session",
                        "/remuda.v1.Agents/Attach")
BIG = (0, 1, 2, 255, 1 << 31, (1 << 32) - 1, 1 << 62, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)


def arguments(*numbers):
    return b"".join(data(1, sint(3, n)) for n in numbers)


def spec(name="", workers=1, runtime="native"):
    return data(1, name) + data(2, runtime) + uint(3, workers)


def hello(session=None):
    return data(1, data(1, session or os.urandom(16)) + uint(2, 1) + data(3, "hostile"))


def submit(number, function="native:demo.square", value=7, options=b""):
    task = data(1, function) + data(2, arguments(value)) + \
        (data(5, options) if options else b"")
    return data(3, uint(1, number) + data(2, task))


def agent_hello(name="liar", runtimes=("nothing",), cpus=1000000, more=b""):
    return data(1, uint(1, 1) + data(2, name) + b"".join(data(4, r) for r in runtimes) +
                uint(5, cpus) + uint(9, 1000) + more)


def outcome(lease, value=None, error=None):
    how = data(1, sint(3, value)) if value is not None else data(2, error or b"")
    return data(5, uint(1, lease) + data(2, how) + uint(3, 1))


def requests(task):
    """A real request of every unary method and server stream, by path. Shutdown would end it."""
    call = data(1, "native:demo.square") + data(2, sint(3, 7)) + data(4, "")
    options = data(5, sint(1, 0) + data(2, uint(1, 60)) + uint(3, 2) +
                   data(5, data(1, "k") + data(2, "v")))
    digest = data(1, bytes(range(32)))
    return {
        RUN: call + options + data(6, "once"),
        "/remuda.v1.Executor/Submit": call + options,
        "/remuda.v1.Executor/Await": data(1, task) + data(1, task),
        "/remuda.v1.Executor/Cancel": data(1, task),
        "/remuda.v1.Executor/Map": data(1, "native:demo.square") +
        b"".join(data(2, sint(3, n)) for n in range(20)) + uint(5, 1),
        "/remuda.v1.Pools/Open": data(1, spec("hostile", 2) + uint(4, 100) +
                                      data(5, data(1, "N") + data(2, "V")) +
                                      data(6, bytes(32)) + uint(7, 3) + uint(8, 1000) +
                                      uint(9, 1 << 20) + data(10, data(1, "l") + data(2, "m"))),
        "/remuda.v1.Pools/Resize": data(1, "hostile") + uint(2, 3),
        "/remuda.v1.Pools/Drain": data(1, "hostile"),
        "/remuda.v1.Pools/Close": data(1, "hostile") + uint(2, 1),
        "/remuda.v1.Pools/List": b"",
        "/remuda.v1.Pools/Watch": b"",
        "/remuda.v1.Blobs/FindMissing": digest + digest,
        "/remuda.v1.Blobs/Put": data(1, digest + uint(2, 5) + data(3, "n") +
                                     data(4, "module")) + data(2, b"12345"),
        "/remuda.v1.Blobs/Get": digest,
        "/remuda.v1.Admin/Status": b"",
        "/remuda.v1.Admin/ListTasks": uint(1, 10),
        "/remuda.v1.Admin/ListWorkers": b"",
        "/remuda.v1.Admin/ListModules": b"",
        "/remuda.v1.Admin/Logs": data(1, task),
        "/remuda.v1.Admin/CancelTasks": data(1, task),
        "/grpc.health.v1.Health/Check": data(1, ""),
        "/grpc.health.v1.Health/Watch": data(1, "remuda.v1.Executor"),
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo":
        data(1, "h") + data(4, "remuda.v1.Executor"),
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": data(7, ""),
    }


def mutated(rng, content):
    """`content` with one to four wounds."""
    out = bytearray(content)
    for _ in range(rng.randrange(1, 5)):
        at = rng.randrange(len(out) + 1)
        kind = rng.randrange(7)
        if kind == 0 and out:
            out[at % len(out)] ^= 1 << rng.randrange(8)
        elif kind == 1 and out:
            out[at % len(out)] = rng.choice((0, 1, 127, 128, 255))
        elif kind == 2:
            del out[at:]
        elif kind == 3:
            del out[at:at + rng.randrange(1, 9)]
        elif kind == 4:
            out[at:at] = rng.randbytes(rng.randrange(1, 17))
        elif kind == 5:
            out[at:at] = out[:at]
        else:
            out[at:at] = uint(rng.randrange(1, 16), rng.choice(BIG))
    return bytes(out[:1 << 16])


def resident_kib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


class Attack(Case):
    """A coordinator with workers of its own, which must serve and be whole at the end."""

    PAYLOAD_BYTES = 64 << 20

    def setUp(self):
        super().setUp()
        print(f"REMUDA_SEED={SEED}", flush=True)
        self.rng = random.Random(SEED)
        # Its drain waits for tasks whose client may come back: not here.
        self.remudad = Coordinator(self, "--insecure", "--listen", "tcp:127.0.0.1:0",
                                   "--grace", "1", "--payload-bytes", str(self.PAYLOAD_BYTES))
        self.addCleanup(self.unharmed)
        self.serves()
        self.base_kib = resident_kib(self.remudad.process.pid)
        self.base_fds = descriptors(self.remudad.process.pid)

    def unharmed(self):
        try:
            self.assertIsNone(self.remudad.process.poll(), self.remudad.log_text()[-4000:])
            self.serves()
            pid = self.remudad.process.pid
            wait_until(lambda: descriptors(pid) <= self.base_fds + 4, "its descriptors are closed")
            self.assertEqual(self.remudad.stop(), 0, self.remudad.log_text()[-4000:])
        finally:
            self.remudad.stop(9)

    def serves(self):
        with Connection(self.remudad.path) as peer:
            call = peer.call(RUN)
            call.send(requests(b"")[RUN].split(b"\x32\x04once")[0], end=True)
            self.assertEqual(get(call.receive(60) or b"", 2, 1, 3), 98)

    def connect(self):
        return Connection(self.remudad.path)

    def tcp(self):
        with self.connect() as peer:
            call = peer.call("/remuda.v1.Admin/Status")
            call.send(b"", end=True)
            host, port = get(call.receive(), 14).decode().removeprefix("tcp:").rsplit(":", 1)
            return host, int(port)

    def grew_mib(self):
        return (resident_kib(self.remudad.process.pid) - self.base_kib) // 1024

    def session(self, peer):
        call = peer.call(SESSION)
        self.assertTrue(call.send(hello()))
        self.assertIsNotNone(call.receive())
        return call

    def lease_of(self, call):
        """Has the agent of `call` offer a worker until it is given a lease."""
        while True:
            order = call.receive()
            self.assertIsNotNone(order)
            if (set_pool := get(order, 3)) is not None:
                call.send(data(7, uint(1, get(set_pool, 1)) + uint(2, 1) +
                               data(3, uint(1, 1) + uint(3, 2)) + uint(5, 1)))
            if (lease := get(order, 4, 1)) is not None:
                return lease

    def agent(self, peer, said=None):
        call = peer.call(ATTACH)
        self.assertTrue(call.send(said or agent_hello()))
        self.assertIsNotNone(call.receive())
        return call


class Bytes(Attack):
    def test_mutated_requests_of_every_method(self):
        task = data(1, bytes(16)) + uint(2, 1)
        for address in (self.remudad.path, self.tcp()):
            peer = Connection(address)
            for path, request in requests(task).items():
                calls = []
                for _ in range(15 * ROUNDS):
                    if not peer.alive:
                        peer.close()
                        peer = Connection(address)
                    call = peer.call(path)
                    call.send(mutated(self.rng, request), end=True)
                    calls.append(call)
                for call in calls:
                    if call.finish(0.05) is None:
                        call.cancel()
            peer.close()

    def test_mutated_sessions(self):
        segment = data(6, uint(1, 4096) + uint(2, 100) + uint(3, 1) + uint(4, 7))
        whole = [submit(n, options=uint(3, 2)) for n in range(1, 6)] + [
            uint(4, 1), uint(5, 1) + uint(5, 2),
            data(2, uint(1, 1) + uint(2, 10) + data(4, b"12345")) +
            data(2, uint(1, 1) + uint(2, 10) + uint(3, 5) + data(4, b"67890")),
            data(3, uint(1, 6) + data(2, data(1, "native:demo.echo") + uint(3, 1))),
            data(3, uint(1, 7) + data(2, data(1, "native:demo.echo") + segment)),
            data(6, uint(1, 1) + data(2, spec())), uint(7, 1)]
        for _ in range(40 * ROUNDS):
            with self.connect() as peer:
                call = peer.call(SESSION)
                call.send(hello() if self.rng.random() < 0.9 else mutated(self.rng, hello()))
                for _ in range(self.rng.randrange(1, 12)):
                    said = self.rng.choice(whole)
                    call.send(said if self.rng.random() < 0.5 else mutated(self.rng, said))
                peer.pump(0.05)

    def test_mutated_agents(self):
        worker = data(3, uint(1, 1) + uint(2, 77) + uint(3, 2) + uint(4, 1) + uint(5, 9))
        chain = data(1, data(1, "Error") + data(2, "text") + uint(4, 0))
        whole = [data(7, uint(1, pool) + uint(2, 5) + worker + uint(5, 1)) for pool in (1, 2, 3)]
        whole += [outcome(1, 5), outcome(2, error=chain), uint(4, 1), uint(6, 1), uint(8, 1),
                  data(9, uint(1, 1) + uint(2, 1) + data(3, "native:demo.square") +
                       data(4, arguments(3))),
                  data(10, uint(1, 1) + uint(2, 1)), data(11, uint(1, 1) + uint(2, 1)),
                  data(12, uint(1, 1) + uint(2, 5) + uint(3, 9)),
                  data(3, uint(1, 1) + uint(2, 1) + data(3, uint(1, 1) + data(2, b"said"))),
                  data(2, uint(1, 1) + uint(2, 5) + data(4, b"12345")) +
                  data(5, uint(1, 1) + data(2, uint(4, 1)))]
        for turn in range(40 * ROUNDS):
            with self.connect() as peer:
                call = peer.call(ATTACH)
                good = agent_hello(f"liar{turn}")
                call.send(good if self.rng.random() < 0.9 else mutated(self.rng, good))
                for _ in range(self.rng.randrange(1, 12)):
                    said = self.rng.choice(whole)
                    call.send(said if self.rng.random() < 0.5 else mutated(self.rng, said))
                peer.pump(0.05)

    def test_frames_that_http2_does_not_know(self):
        for address in (self.remudad.path, self.tcp()):
            for _ in range(60 * ROUNDS):
                with Connection(address) as peer:
                    call = peer.call(SESSION)
                    for _ in range(self.rng.randrange(1, 6)):
                        peer.write(frame(self.rng.randrange(12), self.rng.randrange(256),
                                         self.rng.choice((0, 1, 2, 3, 1 << 30)),
                                         self.rng.randbytes(self.rng.randrange(40))))
                    call.send(hello(), seconds=0)
                    peer.pump(0)

    def test_a_message_that_says_it_is_compressed_or_huge(self):
        for head in (b"\x01\x00\x00\x00\x05", b"\x00\xff\xff\xff\xff", b"\x00\x00\x00\x00\x06"):
            with self.connect() as peer:
                call = peer.call(RUN)
                peer.write(frame(0, 1, call.stream, head + b"12345"))
                self.assertNotEqual(call.finish(), 0)

    def test_names_with_nuls_and_without_end(self):
        for name in ("native:demo.\0square", "native:\0", "\0:x", "native:" + "x" * 506, ":", "x:",
                     "native:\xff", "%s%n:%s%n"):
            with self.connect() as peer:
                call = peer.call(RUN)
                call.send(data(1, name) + data(5, data(2, uint(2, 300000000))), end=True)
                answer = call.receive()
                self.assertTrue(answer is None or get(answer, 2, 2) is not None, name)
        for name in ("a\0b", "../../x", "a" * 129, "\n", "%s"):
            with self.connect() as peer:
                call = peer.call("/remuda.v1.Pools/Open")
                call.send(data(1, spec(name)), end=True)
                self.assertIsNone(call.receive(), name)
                self.assertEqual(call.finish(), 3, name)


class Lies(Attack):
    """Agents that say what is not so."""

    def test_leases_that_were_never_given(self):
        said = [item for n in BIG for item in (
            uint(4, n), uint(6, n), outcome(n, 666), data(11, uint(1, n) + uint(2, 1)),
            data(12, uint(1, n) + uint(2, n)), data(10, uint(1, n) + uint(2, n)),
            data(9, uint(1, n) + uint(2, n) + data(3, "native:demo.square") +
                 data(4, arguments(3))),
            data(3, uint(1, n) + data(3, uint(1, 1) + data(2, b"never said"))))]
        with self.connect() as client, self.connect() as peer:
            session = self.session(client)
            session.send(submit(1, "native:demo.sleep_ms", 1500, uint(4, 1)))
            call = self.agent(peer)
            for item in said:
                if not peer.alive or call.ended:
                    call = self.agent(peer)
                call.send(item)
            answer = b""
            while get(answer, 4) is None:
                answer = session.receive()
                self.assertNotIn(b"never said", answer)
            self.assertNotEqual(get(answer, 4, 2, 1, 3), 666 * 2)

    def test_absurd_numbers_of_a_pool(self):
        workers = b"".join(data(3, uint(1, n) + uint(3, 2)) for n in range(1, 99999, 3))
        with self.connect() as client, self.connect() as peer:
            self.session(client).send(data(6, uint(1, 1) + data(2, spec(runtime="odd"))) +
                                      submit(1, "odd:x"))
            call = self.agent(peer, agent_hello(runtimes=["odd"]))
            for n in BIG:
                if call.ended:
                    call = self.agent(peer, agent_hello(runtimes=["odd"]))
                for pool in range(1, 4):
                    call.send(data(7, uint(1, pool) + uint(2, n) + uint(5, n) + workers))
            self.serves()

    def test_a_hello_of_absurd_numbers(self):
        for n in BIG:
            with self.connect() as peer:
                call = peer.call(ATTACH)
                call.send(data(1, uint(1, 1) + data(2, f"n{n}") + data(4, "nothing") + uint(5, n) +
                               uint(6, n) + uint(8, n) + uint(9, n)))
                call.receive(5)
                self.serves()

    def test_outcomes_that_make_no_sense_end_a_task_in_words(self):
        ends = [outcome(1), outcome(1, error=b"\xff\xff"), outcome(1, error=data(1, data(2, b"x"))),
                data(5, uint(1, 1)), data(5, uint(1, 1) + data(2, uint(4, 9))),
                outcome(1, error=b"".join(data(1, uint(4, n + 2)) for n in range(70))),
                data(5, uint(1, 1) + data(2, data(1, b"\x52" * 2000)))]
        # The liar is the only agent there.
        with Coordinator(self, "--grace", "1", workers=None) as there:
            for turn, said in enumerate(ends):
                with Connection(there.path) as peer:
                    call = self.agent(peer, agent_hello(f"liar{turn}", ["native"]))
                    client = self.start(harness.REMUDA, "run", "-a", there.address, "native:x.f")
                    lease = self.lease_of(call)
                    call.send(uint(4, lease) + data(5, uint(1, lease) + b"".join(
                        data(f, v) if isinstance(v, bytes) else uint(f, v)
                        for f, v in fields(get(said, 5)) if f != 1)))
                    # What was taken for nothing ends with its agent.
                    with Connection(there.path) as other:
                        status = other.call("/remuda.v1.Admin/Status")
                        status.send(b"", end=True)
                        self.assertIsNotNone(status.receive())
                    call.cancel()
                    _, err = client.communicate(timeout=harness.PATIENCE)
                    self.assertIn(client.returncode, (1, 3), err)
                    self.assertIn("remuda", err)


class Floods(Attack):
    """What a peer sends and does not read does not pile up here."""

    LIMIT_MIB = 600 if harness.SANITIZED else 200

    def flood(self, call, piece, megabytes=48, seconds=6):
        """Sends `piece` again and again and reads nothing but what the windows say."""
        peer = call.connection
        end = time.monotonic() + seconds
        sent = 0
        while sent < megabytes << 20 and peer.alive and time.monotonic() < end:
            if not call.send(piece, seconds=0.5):
                break
            sent += len(piece)
        return sent

    def deaf(self, path, first):
        """A call whose window for answers is never opened further."""
        peer = Connection(self.remudad.path, window=65535)
        call = peer.call(path)
        call.send(first)
        return peer, call

    def test_refused_tasks(self):
        peer, call = self.deaf(SESSION, hello())
        number = 0
        with peer:
            for _ in range(24):
                piece = b""
                for _ in range(20000):
                    number += 1
                    piece += data(3, uint(1, number) + data(2, data(1, "nobody")))
                if not call.send(piece, seconds=1):
                    break
            self.serves()
            self.assertLess(self.grew_mib(), self.LIMIT_MIB)

    def test_pools_that_cannot_be_opened(self):
        peer, call = self.deaf(SESSION, hello())
        with peer:
            self.flood(call, data(6, uint(1, 1)) * 100000)
            self.serves()
            self.assertLess(self.grew_mib(), self.LIMIT_MIB)

    def test_children_that_are_refused(self):
        with self.connect() as client:
            session = self.session(client)
            peer, call = self.deaf(ATTACH, agent_hello(runtimes=["odd"]))
            with peer:
                self.assertIsNotNone(call.receive())
                session.send(submit(1, "odd:f"))
                lease = self.lease_of(call)
                call.send(uint(4, lease))
                number = 0
                for _ in range(24):
                    piece = b""
                    for _ in range(10000):
                        number += 1
                        piece += data(9, uint(1, lease) + uint(2, number) + data(3, "odd:f") +
                                      data(6, "no.such.pool"))
                    if not call.send(piece, seconds=1):
                        break
                self.serves()
                self.assertLess(self.grew_mib(), self.LIMIT_MIB)

    def test_outcomes_that_are_not_read(self):
        peer, call = self.deaf(SESSION, hello())
        text = "x" * 60000
        with peer:
            for number in range(1, 2000):
                task = data(1, "native:demo.echo") + data(2, data(1, data(8, text)))
                if not call.send(data(3, uint(1, number) + data(2, task)), seconds=0.5):
                    break
            self.serves()
            self.assertLess(self.grew_mib(), 900)   # what the core may hold for one client

    def test_transfers_that_are_never_whole(self):
        peers = []
        for _ in range(20):
            peer = self.connect()
            peers.append(peer)
            call = self.session(peer)
            for transfer in range(1, 5):
                call.send(data(2, uint(1, transfer) + uint(2, 1 << 30) + data(4, b"x" * 1000)))
        self.serves()
        self.assertLess(self.grew_mib(), self.LIMIT_MIB)
        for peer in peers:
            peer.close()

    def test_large_outcomes_that_nobody_takes(self):
        with self.connect() as peer:
            call = self.agent(peer)
            piece = b"x" * (1 << 20)
            for transfer in range(1, 400):
                if not call.send(data(2, uint(1, transfer) + uint(2, len(piece)) +
                                      data(4, piece)), seconds=5):
                    break
            self.serves()
            self.assertLess(self.grew_mib(), self.LIMIT_MIB)

    def test_a_thousand_connections(self):
        peers = []
        for n in range(1000):
            peer = socket.socket(socket.AF_UNIX)
            peer.settimeout(30)
            peer.connect(self.remudad.path)
            if n % 2:
                peer.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b""))
            peers.append(peer)
        self.serves()
        for peer in peers:
            peer.close()
        wait_until(lambda: descriptors(self.remudad.process.pid) <= self.base_fds + 4,
                   "a thousand descriptors are closed")
        self.assertLess(self.grew_mib(), self.LIMIT_MIB)

    def test_calls_that_are_opened_and_dropped(self):
        for _ in range(20 * ROUNDS):
            with self.connect() as peer:
                for _ in range(200):
                    call = peer.call(self.rng.choice((RUN, SESSION, ATTACH)))
                    if self.rng.random() < 0.5:
                        peer.write(frame(0, 0, call.stream, message(hello())))
                    call.cancel()
                peer.pump(0)
        self.assertLess(self.grew_mib(), self.LIMIT_MIB)

    def test_pools_of_a_hundred_thousand_workers(self):
        with self.connect() as peer:
            call = self.session(peer)
            call.send(b"".join(data(6, uint(1, n) + data(2, spec("", 100000) + uint(4, 50 + n)))
                               for n in range(1, 900)))
            for n in range(1, 900):
                call.send(data(3, uint(1, n) + data(
                    2, data(1, "native:demo.square") + data(2, arguments(3)) + uint(4, n))))
            self.serves()
        self.serves()


if __name__ == "__main__":
    harness.main()
