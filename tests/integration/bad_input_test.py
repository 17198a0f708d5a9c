"""Mistakes and nonsense: each gets an error that names the thing and the way out, and the service
goes on."""

import os
import random
import resource
import socket
import struct
import threading
import unittest

from harness import BIN, DEMO, Case, Coordinator

REMUDA = os.path.join(BIN, "remuda")
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind, flags, stream, payload):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + \
        struct.pack(">I", stream) + payload


def literal(name, value):
    def text(data):
        return bytes([len(data)]) + data
    return b"\x00" + text(name) + text(value)


def call_headers(path):
    return b"".join(literal(n, v) for n, v in (
        (b":method", b"POST"), (b":scheme", b"http"), (b":path", path),
        (b":authority", b"x"), (b"content-type", b"application/grpc"), (b"te", b"trailers")))


class Tasks(Case):
    def fails(self, *args, code=1):
        return self.remuda("run", *args, code=code)[1]

    def test_an_unknown_function_names_the_nearest(self):
        err = self.fails("native:demo.sqare", "2")
        self.assertIn("UnknownFunction", err)
        self.assertIn("demo.square", err)

    def test_a_missing_runtime_says_what_to_write(self):
        self.assertIn("native:demo.square", self.fails("demo.square", "2", code=2))

    def test_a_wrong_count_says_expected_and_got(self):
        err = self.fails("native:demo.add", "1")
        self.assertIn("SignatureMismatch", err)
        self.assertIn("2", err)

    def test_a_wrong_type_says_which_argument(self):
        err = self.fails("native:demo.add", "1", "true")
        self.assertIn("SignatureMismatch", err)
        self.assertIn("boolean", err)

    def test_a_missing_file_is_named(self):
        err = self.fails("native:files.sha256", "/does/not/exist")
        self.assertIn("/does/not/exist", err)
        self.assertIn("No such file", err)

    def test_a_module_that_is_not_there(self):
        err = self.fails("-m", "/does/not/exist.so", "native:exist.f", code=None)
        self.assertIn("/does/not/exist.so", err)

    def test_a_module_that_is_no_shared_object(self):
        path = os.path.join(self.folder, "text.so")
        with open(path, "w", encoding="ascii") as file:
            file.write("not a shared object")
        self.assertIn("text.so", self.fails("-m", path, "native:text.f", code=None))

    def test_a_module_with_a_missing_symbol_names_it(self):
        source = os.path.join(self.folder, "lacking.c")
        with open(source, "w", encoding="ascii") as file:
            file.write('#include <remuda/task.h>\nREMUDA_MODULE("lacking");\n'
                       "int64_t nobody_has_this(int64_t);\n"
                       "REMUDA_TASK(int64_t, f, (int64_t, x)) { return nobody_has_this(x); }\n")
        root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
        includes = [f"-I{root}/proto/{room}/include" for room in ("task", "codec", "error")]
        path = os.path.join(self.folder, "lacking.so")
        self.run_program("cc", "-shared", "-fPIC", *includes, source, "-o", path)
        self.assertIn("nobody_has_this", self.fails("-m", path, "native:lacking.f", "1", code=None))

    def test_an_address_that_nobody_serves(self):
        path = os.path.join(self.folder, "none.sock")
        err = self.fails("-a", f"unix:{path}", "native:demo.square", "2", code=3)
        self.assertIn("none.sock", err)

    def test_an_address_of_no_known_form(self):
        err = self.fails("-a", "localhost", "native:demo.square", "2", code=None)
        for form in ("unix:PATH", "tcp:HOST:PORT", "dns:///HOST:PORT"):
            self.assertIn(form, err)

    def test_a_tcp_listener_wants_insecure(self):
        _, err = self.run_program(os.path.join(BIN, "remudad"), "--listen", "tcp:127.0.0.1:0",
                                  code=2)
        self.assertIn("--insecure", err)

    def test_64_mib_go_in_and_out(self):
        data = os.urandom(48 << 20)
        path = os.path.join(self.folder, "in")
        import base64
        text = base64.b64encode(data).decode()
        with Coordinator(self) as remudad:
            out, _ = self.remuda("map", "-a", remudad.address, "-R", "-r", "native:demo.echo",
                                 input=text[:63 << 20] + "\n")
            self.assertEqual(len(out), (63 << 20) + 1)
            self.assertEqual(out[:-1], text[:63 << 20])
        del path


class Wire(Case):
    """Hostile bytes at the coordinator: other clients do not notice."""

    def still_serves(self, remudad):
        out, _ = self.remuda("run", "-a", remudad.address, "native:demo.square", "7")
        self.assertEqual(out, "49\n")

    def connect(self, remudad):
        peer = socket.socket(socket.AF_UNIX)
        peer.settimeout(10)
        peer.connect(remudad.path)
        return peer

    def converse(self, remudad, path, messages):
        """Sends gRPC messages on one call and reads until the peer ends or falls silent."""
        with self.connect(remudad) as peer:
            peer.sendall(PREFACE + frame(4, 0, 0, b"") + frame(1, 4, 1, call_headers(path)))
            answer = b""
            try:
                for message in messages:
                    body = b"\x00" + struct.pack(">I", len(message)) + message
                    for at in range(0, len(body), 16384):
                        peer.sendall(frame(0, 0, 1, body[at:at + 16384]))
                peer.sendall(frame(0, 1, 1, b""))
                while b"grpc-status" not in answer:
                    piece = peer.recv(65536)
                    if not piece:
                        break
                    answer += piece
            except OSError:
                pass
            return answer

    def test_bytes_that_are_no_http2(self):
        with Coordinator(self) as remudad:
            rng = random.Random(1)
            for _ in range(20):
                with self.connect(remudad) as peer:
                    try:
                        peer.sendall(rng.randbytes(rng.randrange(1, 5000)))
                    except OSError:
                        pass
            self.still_serves(remudad)

    def test_garbage_and_truncated_frames_on_every_stream(self):
        with Coordinator(self) as remudad:
            rng = random.Random(2)
            for path in (b"/remuda.v1.Executor/Session", b"/remuda.v1.Agents/Attach",
                         b"/remuda.v1.Executor/Run", b"/remuda.v1.Executor/Map",
                         b"/remuda.v1.Executor/Await", b"/remuda.v1.Executor/Cancel",
                         b"/remuda.v1.Blobs/Put", b"/remuda.v1.Pools/Open",
                         b"/remuda.v1.Admin/CancelTasks"):
                for _ in range(5):
                    answer = self.converse(remudad, path, [rng.randbytes(rng.randrange(1, 300))])
                    self.assertNotEqual(answer, b"")
            self.still_serves(remudad)

    def test_a_deeply_nested_value_is_refused_by_the_worker(self):
        value = b""
        for _ in range(5000):
            item = b"\x0a" + self.varint(len(value)) + value
            value = b"\x52" + self.varint(len(item)) + item
        request = b"\x0a" + bytes([len(b"native:demo.echo")]) + b"native:demo.echo" + \
            b"\x12" + self.varint(len(value)) + value
        with Coordinator(self) as remudad:
            answer = self.converse(remudad, b"/remuda.v1.Executor/Run", [request])
            self.assertIn(b"deep", answer)
            self.still_serves(remudad)

    @staticmethod
    def varint(number):
        out = b""
        while number > 127:
            out += bytes([number & 127 | 128])
            number >>= 7
        return out + bytes([number])

    def test_a_message_over_the_limit(self):
        with Coordinator(self) as remudad:
            self.converse(remudad, b"/remuda.v1.Executor/Session", [bytes(8 << 20)])
            self.still_serves(remudad)

    def test_many_connections_that_say_nothing(self):
        with Coordinator(self) as remudad:
            peers = [self.connect(remudad) for _ in range(200)]
            self.still_serves(remudad)
            for peer in peers:
                peer.close()

    def test_no_descriptors_left_is_survived(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (96, hard))
        try:
            remudad = Coordinator(self)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        with remudad:
            self.still_serves(remudad)
            peers = []
            for _ in range(150):
                peer = socket.socket(socket.AF_UNIX)
                peer.setblocking(False)
                try:
                    peer.connect(remudad.path)
                except OSError:
                    pass
                peers.append(peer)
            for peer in peers:
                peer.close()
            self.still_serves(remudad)

    def test_a_client_that_does_not_read(self):
        with Coordinator(self) as remudad:
            request = b"\x0a\x12native:demo.square\x12\x02\x18\x06"
            peers = []

            def stuff():
                peer = self.connect(remudad)
                peers.append(peer)
                body = b"\x00" + struct.pack(">I", len(request)) + request
                try:
                    peer.sendall(PREFACE + frame(4, 0, 0, b""))
                    for stream in range(1, 2001, 2):
                        peer.sendall(frame(1, 4, stream,
                                           call_headers(b"/remuda.v1.Executor/Run")) +
                                     frame(0, 1, stream, body))
                except OSError:
                    pass

            threads = [threading.Thread(target=stuff) for _ in range(3)]
            for thread in threads:
                thread.start()
            self.still_serves(remudad)
            for thread in threads:
                thread.join(60)
            for peer in peers:
                peer.close()
            self.still_serves(remudad)


if __name__ == "__main__":
    unittest.main(verbosity=2)
