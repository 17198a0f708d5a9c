"""Values come back as pickle would bring them: types, equality, identity."""

import array
import collections
import datetime
import decimal
import enum
import fractions
import math
import random
import struct
import unittest
import uuid

from base import Case, needs_numpy
import tasks


class Colour(enum.Enum):
    RED = 1


def same_value(self, sent, back):
    self.assertIs(type(back), type(sent))
    if isinstance(sent, float) and math.isnan(sent):
        self.assertEqual(struct.pack("d", back), struct.pack("d", sent))
    else:
        self.assertEqual(back, sent)
        self.assertEqual(repr(back), repr(sent))


class Values(Case):
    def check(self, *things):
        for sent, back in zip(things, self.executor.map(tasks.echo, things, chunksize=1)):
            with self.subTest(repr(sent)[:60]):
                same_value(self, sent, back)

    def test_plain_types(self):
        self.check(None, True, False, 0, 1, -1, 1.5, -0.0, float("inf"), float("nan"), 1j, "", "é",
                   "a\0b", b"", b"\0\xff", (), [], {}, set(), ..., range(1, 9, 2))

    def test_integers_of_any_size(self):
        self.check(*(sign * (1 << bits) + step for bits in (31, 62, 63, 64, 65, 127, 4000)
                     for sign in (1, -1) for step in (-1, 0, 1)))

    def test_an_integer_beyond_the_schema_is_pickled(self):
        number = 1 << 600_000
        self.assertEqual(self.call(tasks.echo, number), number)

    def test_containers(self):
        self.check([1, 2, 3], [1, "a"], [1.5, 2.5], [True, 1], [1, True], [1, 2.0], (1, (2, [3])),
                   {"a": [1], 2: {3: "b"}, (1, 2): None}, {1, 2}, frozenset((1, 2)),
                   [[]] * 0, {frozenset((1,)): 1}, bytearray(b"abc"), [None] * 3)

    def test_a_dict_keeps_its_order(self):
        keys = list(self.call(tasks.echo, {3: 1, 1: 1, 2: 1}))
        self.assertEqual(keys, [3, 1, 2])

    def test_times(self):
        utc = datetime.timezone.utc
        self.check(datetime.datetime(2024, 2, 29, 1, 2, 3, 4, utc), datetime.datetime.min,
                   datetime.datetime(1, 1, 1, tzinfo=utc), datetime.datetime(1969, 12, 31, 23, 59, 59, 999999, utc),
                   datetime.datetime(2024, 1, 1, fold=1), datetime.date(2024, 2, 29),
                   datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone(datetime.timedelta(hours=2))),
                   datetime.time(1, 2), datetime.timedelta.min, datetime.timedelta.max,
                   datetime.timedelta(days=-1, microseconds=5), datetime.timedelta(0))

    def test_other_objects(self):
        self.check(decimal.Decimal("-0.10"), decimal.Decimal("Infinity"),
                   uuid.UUID(int=5), uuid.uuid1(), fractions.Fraction(1, 3), collections.OrderedDict(a=1),
                   collections.Counter("aab"), array.array("i", [1, -2]), array.array("d"), slice(1, 2))

    def test_objects_of_the_users_own(self):
        self.assertEqual(self.call(tasks.echo, tasks.Point(1, [2])), tasks.Point(1, [2]))
        self.assertEqual(self.call(tasks.echo, [tasks.Point(1, 2), tasks.Point(3, 4)]),
                         [tasks.Point(1, 2), tasks.Point(3, 4)])

    def test_a_subclass_is_not_taken_for_its_base(self):
        class_sent = collections.defaultdict(int, a=1)
        self.assertIs(type(self.call(tasks.echo, class_sent)), collections.defaultdict)

    def test_text_with_lone_surrogates(self):
        self.assertEqual(self.call(tasks.echo, "\ud800"), "\ud800")

    def test_functions_and_classes_go_by_name(self):
        self.assertIs(self.call(tasks.echo, [math.sqrt, int, str.upper, tasks.Point]) == [
            math.sqrt, int, str.upper, tasks.Point], True)

    def test_what_occurs_twice_is_still_one_object(self):
        shared = [1]
        self.assertTrue(self.call(tasks.nested_identity, [shared, shared]))
        self.assertTrue(self.call(tasks.same, shared, shared))
        point = tasks.Point(1, 2)
        self.assertTrue(self.call(tasks.nested_identity, (point, point)))
        buffer = bytearray(b"x")
        self.assertTrue(self.call(tasks.same, buffer, buffer))

    def test_a_list_in_itself(self):
        ring = []
        ring.append(ring)
        back = self.call(tasks.echo, ring)
        self.assertIs(back[0], back)

    def test_deeper_than_values_can_be(self):
        deep = []
        for _ in range(100):
            deep = [deep]
        self.assertEqual(self.call(tasks.echo, deep), deep)

    def test_keys_that_are_not_equal_to_themselves(self):
        nan = float("nan")
        back = self.call(tasks.echo, {nan: 1, float("nan"): 2})
        self.assertEqual(list(back.values()), [1, 2])

    def test_more_arguments_than_a_call_has_room_for(self):
        self.assertEqual(self.call(max, *range(400)), 399)

    def test_arguments_by_name(self):
        self.assertEqual(self.call(tasks.echo, 1, self_=2, fn=3), ((1,), {"self_": 2, "fn": 3}))

    def test_random_values_come_back_as_they_were(self):
        chance = random.Random(11)

        def make(depth):
            kind = chance.randrange(11 if depth else 7)
            if kind == 0:
                return chance.choice((None, True, False))
            if kind == 1:
                return chance.randint(-2 ** chance.randrange(90), 2 ** chance.randrange(90))
            if kind == 2:
                return chance.uniform(-1e9, 1e9)
            if kind == 3:
                return "".join(chance.choice("aé\0𝄞") for _ in range(chance.randrange(5)))
            if kind == 4:
                return chance.randbytes(chance.randrange(900)) if hasattr(chance, "randbytes") else b"x" * 700
            if kind == 5:
                return complex(chance.random(), -0.0)
            if kind == 6:
                return datetime.timedelta(microseconds=chance.randint(-10 ** 15, 10 ** 15))
            count = chance.randrange(4)
            if kind == 7:
                return [make(depth - 1) for _ in range(count)]
            if kind == 8:
                return tuple(make(depth - 1) for _ in range(count))
            if kind == 9:
                return {make(0): make(depth - 1) for _ in range(count)}
            return {make(0) for _ in range(count)}

        things = [make(4) for _ in range(300)]
        for sent, back in zip(things, self.executor.map(tasks.echo, things)):
            self.assertEqual(back, sent)
            self.assertIs(type(back), type(sent))


class Arrays(Case):
    @needs_numpy
    def test_arrays_and_scalars(self):
        import numpy
        for dtype in ("bool", "int8", "uint64", "float16", "float32", "complex128"):
            sent = numpy.arange(6).reshape(2, 3).astype(dtype)
            back = self.call(tasks.echo, sent)
            self.assertEqual(back.dtype, sent.dtype)
            self.assertTrue((back == sent).all() and back.shape == (2, 3))
        for sent in (numpy.float64(1.5), numpy.int8(-3), numpy.bool_(True)):
            self.assertIs(type(self.call(tasks.echo, sent)), type(sent))

    @needs_numpy
    def test_arrays_that_are_no_plain_rows_of_numbers(self):
        import numpy
        for sent in (numpy.arange(10)[::2], numpy.array(["a", "bc"]), numpy.array([1, None]),
                     numpy.arange(4, dtype=">i4"), numpy.zeros((2, 0))):
            back = self.call(tasks.echo, sent)
            self.assertEqual((back.dtype, back.shape, back.tolist()),
                             (sent.dtype, sent.shape, sent.tolist()))


if __name__ == "__main__":
    unittest.main(verbosity=2)
