"""Functions and classes that workers import by name."""

import os
import threading
import time


def echo(*args, **kwargs):
    return (args, kwargs) if kwargs or len(args) != 1 else args[0]


def same(first, second):
    return first is second


def nested_identity(pair):
    return pair[0] is pair[1]


class Odd(Exception):
    """An exception that can't be rebuilt from its args."""

    def __init__(self, code, text):
        super().__init__(f"{code}: {text}")
        self.code = code


class Unpicklable(Exception):
    def __reduce__(self):
        raise TypeError("not this one")


def fail(kind, *args):
    raise kind(*args)


def fail_chain():
    try:
        {}["missing"]
    except KeyError as error:
        raise ValueError("no such row") from error


def fail_with_note():
    error = ValueError("noted")
    error.extra = [1, 2]
    if hasattr(error, "add_note"):
        error.add_note("a note")
    raise error


def crash(signal_number):
    os.kill(os.getpid(), signal_number)
    time.sleep(60)


def lambda_result():
    return lambda: 1


def unpicklable_result():
    return threading.Lock()


def wait_for(path):
    """Says that it has begun, and waits until there is such a file."""
    if os.path.isdir(os.path.dirname(path)):
        open(path + ".begun", "w").close()
    while not os.path.exists(path):
        time.sleep(0.01)
    return os.getpid()


seen = []


def remember(value):
    seen.append(value)


def remembered():
    return list(seen)


def refuse(*_):
    raise RuntimeError("the initializer says no")


class Point:
    def __init__(self, x, y):
        self.x, self.y = x, y

    def __eq__(self, other):
        return isinstance(other, Point) and (self.x, self.y) == (other.x, other.y)

    __hash__ = None
