"""gRPC by hand: protobuf fields, HTTP/2 frames and calls, for tests that send what no library
would. Nothing here checks what it is told to send."""

import re
import select
import socket
import struct
import time

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8


# ---- protobuf ----

def varint(number):
    number &= (1 << 64) - 1
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def uint(field, number):
    return varint(field << 3) + varint(number)


def sint(field, number):
    return uint(field, number << 1 ^ number >> 63)


def data(field, content):
    if isinstance(content, str):
        content = content.encode()
    return varint(field << 3 | 2) + varint(len(content)) + content


def fields(message):
    """The fields of a message: (number, int or bytes); fails where there is none."""
    at, found = 0, []

    def take():
        nonlocal at
        number = shift = 0
        while True:
            byte = message[at]
            at += 1
            number |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return number

    while at < len(message):
        key = take()
        if key & 7 == 0:
            found.append((key >> 3, take()))
            continue
        size = {1: 8, 2: None, 5: 4}[key & 7]
        size = take() if size is None else size
        assert at + size <= len(message)
        found.append((key >> 3, message[at:at + size]))
        at += size
    return found


def get(message, *path, default=None):
    """The last field at a path of numbers, or `default`."""
    for number in path:
        inside = [content for field, content in fields(message) if field == number]
        if not inside:
            return default
        message = inside[-1]
    return message


# ---- HTTP/2 ----

def frame(kind, flags, stream, payload):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + \
        struct.pack(">I", stream) + payload


def literal(name, value):
    def text(content):
        return bytes([len(content)]) + content
    return b"\x00" + text(name) + text(value)


def call_headers(path):
    return b"".join(literal(n, v) for n, v in (
        (b":method", b"POST"), (b":scheme", b"http"), (b":path", path),
        (b":authority", b"x"), (b"content-type", b"application/grpc"), (b"te", b"trailers")))


def message(content):
    """A gRPC message, uncompressed."""
    return b"\x00" + struct.pack(">I", len(content)) + content


class Connection:
    """A connection to a unix socket (a path) or TCP port ((host, port)), blocking with a limit.
    One with a `window` of at most 65,535 bytes never takes more than these."""

    def __init__(self, address, patience=30, window=1 << 30):
        kind = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.socket = socket.socket(kind)
        self.socket.settimeout(patience)
        self.socket.connect(address)
        self.patience = patience
        self.alive = True
        self.inbox = b""
        self.calls = {}
        self.next_stream = 1
        self.window = 65535
        self.initial = 65535
        self.most = 16384
        # No table of headers, so that each answer says its status in full.
        self.deaf = window <= 65535
        self.write(PREFACE + frame(SETTINGS, 0, 0, struct.pack(">HIHI", 1, 0, 4, window)))
        if not self.deaf:
            self.write(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", window)))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.alive = False
        self.socket.close()

    def write(self, content):
        try:
            if self.alive:
                self.socket.sendall(content)
        except OSError:
            self.alive = False

    def call(self, path):
        """Opens a call of a method such as "/remuda.v1.Executor/Run"."""
        call = Call(self, self.next_stream)
        self.calls[self.next_stream] = call
        self.next_stream += 2
        self.write(frame(HEADERS, 4, call.stream, call_headers(path.encode())))
        return call

    def pump(self, seconds):
        """Reads and answers what comes within `seconds`; False: nothing came."""
        if not self.alive or not select.select([self.socket], [], [], seconds)[0]:
            return False
        try:
            piece = self.socket.recv(1 << 20)
        except OSError:
            piece = b""
        if not piece:
            self.alive = False
            return False
        self.inbox += piece
        while len(self.inbox) >= 9:
            size = int.from_bytes(self.inbox[:3], "big")
            if len(self.inbox) < 9 + size:
                break
            kind, flags = self.inbox[3], self.inbox[4]
            stream = int.from_bytes(self.inbox[5:9], "big") & 0x7fffffff
            payload, self.inbox = self.inbox[9:9 + size], self.inbox[9 + size:]
            self.hear(kind, flags, stream, payload)
        return True

    def hear(self, kind, flags, stream, payload):
        call = self.calls.get(stream)
        if kind == SETTINGS and not flags & 1:
            for at in range(0, len(payload), 6):
                name, value = struct.unpack(">HI", payload[at:at + 6])
                if name == 4:
                    for each in self.calls.values():
                        each.window += value - self.initial
                    self.initial = value
                elif name == 5:
                    self.most = value
            self.write(frame(SETTINGS, 1, 0, b""))
        elif kind == PING and not flags & 1:
            self.write(frame(PING, 1, 0, payload))
        elif kind == WINDOW_UPDATE:
            more = int.from_bytes(payload, "big") & 0x7fffffff
            if stream == 0:
                self.window += more
            elif call is not None:
                call.window += more
        elif kind == GOAWAY:
            self.alive = False
        elif call is not None and kind == DATA:
            call.body += payload
            call.ended |= bool(flags & 1)
            if payload and not self.deaf:
                self.write(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", len(payload))) +
                           frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", len(payload))))
        elif call is not None and kind == HEADERS:
            call.headers += payload
            call.ended |= bool(flags & 1)
        elif call is not None and kind == RST_STREAM:
            call.ended = True


class Call:
    """One call; its messages are cut from the body as they come."""

    def __init__(self, connection, stream):
        self.connection, self.stream = connection, stream
        self.window = connection.initial
        self.body = self.headers = b""
        self.ended = False

    def send(self, *contents, end=False, seconds=30):
        """Sends messages as the peer's windows allow. False: the call or the peer has ended, or
        takes no more within `seconds`."""
        body = b"".join(message(content) for content in contents)
        peer = self.connection
        give_up = time.monotonic() + seconds
        at = 0
        while at < len(body) and peer.alive and not self.ended:
            size = min(len(body) - at, self.window, peer.window, peer.most)
            if size > 0:
                peer.write(frame(DATA, 0, self.stream, body[at:at + size]))
                self.window -= size
                peer.window -= size
                at += size
                peer.pump(0)
            elif not peer.pump(0.2) and time.monotonic() > give_up:
                return False
        if end:
            peer.write(frame(DATA, 1, self.stream, b""))
        return at == len(body)

    def cancel(self):
        self.connection.write(frame(RST_STREAM, 0, self.stream, struct.pack(">I", 8)))
        self.ended = True

    def take(self):
        """The next message that has come, or None."""
        if len(self.body) < 5:
            return None
        size = int.from_bytes(self.body[1:5], "big")
        if len(self.body) < 5 + size:
            return None
        content, self.body = self.body[5:5 + size], self.body[5 + size:]
        return content

    def receive(self, seconds=30):
        """The next message; None: the call has ended, or none came in time."""
        end = time.monotonic() + seconds
        while True:
            content = self.take()
            if content is not None:
                return content
            if self.ended or not self.connection.alive or time.monotonic() > end:
                return None
            self.connection.pump(0.2)

    def finish(self, seconds=30):
        """Waits for the end of the call: its status, or None (cut off, or none in time)."""
        end = time.monotonic() + seconds
        while not self.ended and self.connection.alive and time.monotonic() < end:
            self.connection.pump(0.2)
        return self.status()

    def status(self):
        """The code of grpc-status, which gRPC's core sends as a literal."""
        found = re.search(rb"grpc-status[\x01\x02]([0-9]{1,2})", self.headers)
        return int(found[1]) if found else None
