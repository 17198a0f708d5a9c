#!/usr/bin/env python3
"""Writes the seed corpora of this folder: corpus/{reflection,status}/.

Run it in this folder after a change of the format; the files are committed.
"""
import os

HERE = os.path.dirname(os.path.abspath(__file__))


def nest(field, body):
    assert len(body) < 128
    return bytes([field << 3 | 2, len(body)]) + body


def write(folder, name, body):
    with open(os.path.join(HERE, "corpus", folder, name), "wb") as out:
        out.write(body)


write("reflection", "list", nest(7, b"*"))
write("reflection", "file", nest(1, b"host") + nest(3, b"remuda/v1/task.proto"))
write("reflection", "symbol", nest(4, b"remuda.v1.Executor.Run"))
write("reflection", "extension", nest(5, nest(1, b"a.B") + b"\x10\x01"))
write("reflection", "nothing", b"")
write("reflection", "cut", nest(4, b"remuda")[:-2])
MESSAGE = nest(1, b"M") + nest(3, nest(1, b"N") + nest(4, nest(1, b"E")))
SERVICE = nest(1, b"S") + nest(2, nest(1, b"Do"))
FILE = nest(1, b"x") + nest(2, b"p.q") + nest(3, b"x") + nest(4, MESSAGE) + nest(6, SERVICE)
write("reflection", "descriptors", nest(1, FILE))
DEEP = nest(1, b"M")
for _ in range(20):
    DEEP = nest(3, DEEP)
write("reflection", "deep", nest(1, nest(4, DEEP)))
URL = b"type.googleapis.com/google.rpc.ErrorInfo"
INFO = nest(1, b"NO_SUCH_HORSE") + nest(2, b"remuda")
write("status", "info", b"\x08\x05" + nest(2, b"text") + nest(3, nest(1, URL) + nest(2, INFO)))
write("status", "other", b"\x08\x05" + nest(3, nest(1, b"other") + nest(2, b"\xff\xff")))
write("status", "bad_info", nest(3, nest(1, URL) + nest(2, b"\x0a\x7f")))
write("status", "cut", nest(3, nest(1, URL))[:-3])
