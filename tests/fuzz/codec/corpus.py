#!/usr/bin/env python3
"""Writes the seed corpora of the codec's fuzz targets: corpus/{wire,value,json}/.

Run it in this folder after a change of the format; the files are committed.
"""
import os
import struct

HERE = os.path.dirname(os.path.abspath(__file__))


def varint(n):
    out = bytearray()
    while n >= 0x80:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def number(field, n):
    return varint(field << 3) + varint(n & (1 << 64) - 1)


def fixed(field, raw):
    return varint(field << 3 | 1) + raw


def nest(field, *parts):
    body = b"".join(parts)
    return varint(field << 3 | 2) + varint(len(body)) + body


def sint(n):
    return number(3, (n << 1) ^ (n >> 63))


def string(text):
    return nest(8, text.encode())


def deep(levels):
    value = sint(1)
    for _ in range(levels):
        value = nest(10, nest(1, value))
    return value


def pair(key, value):
    return nest(1, nest(1, key), nest(2, value))


def array(dtype, shape, data):
    return nest(14, number(1, dtype), nest(2, *map(varint, shape)), nest(3, data))


VALUES = {
    "null": number(1, 0),
    "boolean": number(2, 1),
    "int64": sint(-123456789),
    "uint64": number(4, (1 << 64) - 1),
    "bigint": nest(5, nest(1, bytes(range(1, 20)))),
    "bigint_small": nest(5, nest(1, b"\x05\x00\x00")),
    "float64": fixed(6, struct.pack("<d", 0.1)),
    "nan": fixed(6, bytes.fromhex("00efbe00addef87f")),
    "complex": nest(7, fixed(1, struct.pack("<d", 1.5)), fixed(2, struct.pack("<d", -0.0))),
    "string": string("grüße 😀"),
    "bytes": nest(9, bytes(range(40))),
    "list": nest(10, nest(1, sint(1)), nest(1, string("two")), nest(1)),
    "tuple": nest(11, nest(1, nest(11)), nest(1, number(1, 0))),
    "map": nest(12, pair(string("a"), sint(1)), pair(sint(2), nest(10))),
    "map_twice": nest(12, pair(sint(1), sint(1)), pair(nest(5, nest(1, b"\x01")), sint(2))),
    "map_many": nest(12, *(pair(sint(i * 7 % 31), sint(i)) for i in range(31))),
    "set": nest(13, nest(1, sint(1)), nest(1, sint(2))),
    "array": array(5, [2, 3], bytes(48)),
    "array_scalar": nest(14, number(1, 1), nest(3, b"\x01")),
    "array_unpacked": nest(14, number(1, 2), number(2, 2), number(2, 1), nest(3, b"ab")),
    "array_huge": array(14, [1 << 62, 1 << 62], b""),
    "timestamp": nest(15, number(1, 1714564800), number(2, 500000000)),
    "duration": nest(16, number(1, -1), number(2, -1)),
    "function": nest(17, nest(1, b"native:demo.square")),
    "blob": nest(18, nest(1, bytes(range(32))), number(2, 12345)),
    "any": nest(19, nest(1, b"type.googleapis.com/x.Y"), nest(2, b"\x08\x01")),
    "named": nest(20, nest(1, b"decimal"), nest(2, string("1.50"))),
    "opaque": nest(21, nest(1, b"pickle"), nest(2, b"\x80\x04N.")),
    "ints": nest(22, nest(1, struct.pack("<3q", 1, -2, 3))),
    "ints_chunks": nest(22, nest(1, struct.pack("<q", 1)), fixed(1, struct.pack("<q", 2))),
    "doubles": nest(23, nest(1, struct.pack("<2d", 0.5, float("inf")))),
    "last_wins": string("a") + sint(1) + nest(99, b"unknown") + string("b"),
    "deep_30": deep(29),
    "deep_31": deep(30),
    "crowd": nest(10, nest(1) * 50),
    "arguments": nest(1, sint(1)) + nest(1, string("x")) + nest(2, nest(1, b"key"), nest(2, sint(3))),
}

WIRES = {
    "mixed": number(1, 150) + fixed(2, b"12345678") + nest(3, b"abc") + varint(4 << 3 | 5) + b"1234",
    "nested": nest(1, nest(2, nest(3, nest(4, b"\xff" * 9)))),
    "largest_number": number((1 << 29) - 1, 0),
    "longest_varint": number(1, (1 << 64) - 1),
    "group": b"\x0b\x08\x01\x0c",
    "cut_short": nest(1, b"abcdef")[:-3],
    "arguments": VALUES["arguments"],
}

JSONS = {
    "plain": '{"a": [1, -2.5e3, "x\\u00e9\\ud83d\\ude00\\n", true, false, null], "b": {}}',
    "integers": "[0, -0, 9223372036854775808, -9223372036854775809, 1" + "0" * 60 + "]",
    "doubles": '[0.1, 1e22, 5e-324, -0.0, 1e999]',
    "floats": '[{"$float":"nan"},{"$float":"-inf"},{"$float":"nan:7ff8dead00beef00"}]',
    "bytes": '{"$bytes":"/+8A"}',
    "tuple": '{"$tuple":[1,{"$set":[2]}]}',
    "map": '{"$map":[[1,"one"],[{"$bytes":"AA=="},null]]}',
    "complex": '{"$complex":[1.5,{"$float":"inf"}]}',
    "array": '{"$array":{"dtype":"int16","shape":[2,1],"data":"AQACAA=="}}',
    "times": '[{"$timestamp":"2024-02-29T23:59:59.000000001+02:00"},{"$duration":"-1.5s"}]',
    "function": '{"$function":"native:demo.square"}',
    "blob": '{"$blob":{"digest":"' + "0f" * 32 + '","size_bytes":18446744073709551615}}',
    "any": '{"$any":{"type_url":"t/x.Y","data":"CAE="}}',
    "named": '{"$named":{"name":"decimal","value":"1.50"}}',
    "opaque": '{"$opaque":{"codec":"pickle","data":"gAROLg=="}}',
    "twice": '{"a":1,"a":2}',
    "deep_30": "[" * 29 + "1" + "]" * 29,
    "deep_31": "[" * 30 + "1" + "]" * 30,
    "reference": '{"$ref":"#/a"}',
    "cut_short": '{"a":[1,2,"x',
}


def main():
    for folder, seeds in (("value", VALUES), ("wire", WIRES), ("json", JSONS)):
        path = os.path.join(HERE, "corpus", folder)
        os.makedirs(path, exist_ok=True)
        for name, seed in seeds.items():
            with open(os.path.join(path, name), "wb") as file:
                file.write(seed.encode() if isinstance(seed, str) else seed)


if __name__ == "__main__":
    main()
