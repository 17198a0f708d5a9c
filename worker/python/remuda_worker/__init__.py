"""The runtime `python`: a worker process that runs Python functions.

Started by remuda-worker-python. Takes one task after the other over the worker protocol
(`_worker`), looks the function up by name or opens the one that came with the task, calls it, and
sends back what it returned or raised. The user's own __main__ is never imported.
"""

import faulthandler
import io
import json
import os
import signal
import sys
import time

from . import _worker
from ._errors import chain_of
from .context import cancelled, log, progress  # noqa: F401  (for tasks)
from remuda_codec import ALL, CALL, decode_other, encode_other, load, lookup, pickle_bytes

ORIGIN_LOOKUP, ORIGIN_DECODE, ORIGIN_TASK, ORIGIN_RESULT, ORIGIN_INITIALIZER = 2, 3, 4, 5, 6


class _Failure(BaseException):
    """A task's failure and the stage at which it happened."""

    def __init__(self, origin, exception):
        super().__init__(origin)
        self.origin = origin
        self.exception = exception


class _Captured:
    """A function that came with its task: the first argument, told by its codec."""

    __slots__ = ("function",)

    def __init__(self, function):
        self.function = function


class _Whole:
    """All arguments of a call, pickled as one."""

    __slots__ = ("content",)

    def __init__(self, content):
        self.content = content


class _Pickled:
    """A result that is sent as a pickle, whatever it is."""

    __slots__ = ("result",)

    def __init__(self, result):
        self.result = result


def _encode_other(thing, top, mode):
    if type(thing) is _Pickled:
        return ("p",) + pickle_bytes(thing.result, mode)
    return encode_other(thing, top, mode)


def _decode_other(kind, first, second=None, third=None):
    if kind == "o" and first.startswith(CALL):
        return _Captured(load(first[len(CALL):], second))
    if kind == "o" and first.startswith(ALL):
        return _Whole(load(first[len(ALL):], second))
    return decode_other(kind, first, second, third)


def map_chunk(function, rows, spread):
    """What a map sends: calls `function` on each of `rows`, with a tuple of arguments each if
    `spread`, and returns the list of results."""
    if spread:
        return [function(*row) for row in rows]
    return [function(row) for row in rows]


def initialize(function, *args):
    """What a pool's initializer runs as: what it returns is nobody's."""
    function(*args)


_OWN = {"remuda.map": map_chunk, "remuda.initialize": initialize}


def _begin(name):
    """The function and the arguments of the claimed task."""
    try:
        args, kwargs = _worker.arguments()
        if args and type(args[0]) is _Captured:
            function, args = args[0].function, args[1:]
        else:
            function = None
        if args and type(args[-1]) is _Whole:
            rest, kwargs = args[-1].content
            args = args[:-1] + rest
    except BaseException as error:
        raise _Failure(ORIGIN_DECODE, error) from None
    if function is None:
        try:
            function = _OWN.get(name) or lookup(name)
        except BaseException as error:
            raise _Failure(ORIGIN_LOOKUP, error) from None
    return function, args, kwargs


def _commit(result, run_ns):
    try:
        if not _worker.commit(result, run_ns):
            _worker.commit(_Pickled(result), run_ns)
    except BaseException as error:
        raise _Failure(ORIGIN_RESULT, error) from None


def _run(name, host, number):
    begun = time.perf_counter_ns()
    try:
        function, args, kwargs = _begin(name)
        begun = time.perf_counter_ns()
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            raise _Failure(ORIGIN_TASK, error) from None
        run_ns = time.perf_counter_ns() - begun
        _flush()
        _commit(result, run_ns)
    except _Failure as failure:
        run_ns = time.perf_counter_ns() - begun
        _flush()
        chain = chain_of(failure.exception, failure.origin)
        _worker.commit_error(chain, host, number, run_ns)
        failure.exception = None


def _flush():
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            pass  # closed by a task, or replaced by something odd: its own affair


def _surroundings():
    """What the client had: sys.path, working folder."""
    path = os.environ.pop("REMUDA_PYTHON_PATH", None)
    folder = os.environ.pop("REMUDA_PYTHON_CWD", None)
    if path:
        own = list(sys.path)
        sys.path[:] = json.loads(path)
        sys.path.extend(entry for entry in own if entry not in sys.path)
    if folder:
        try:
            os.chdir(folder)
        except OSError:
            pass  # it is gone: tasks that need it say so
    sys.argv = [""]


def _streams():
    """Lines as they come: a crash loses no more than the last one."""
    for name, fd in (("stdout", 1), ("stderr", 2)):
        stream = io.TextIOWrapper(io.FileIO(fd, "wb", closefd=False), encoding="utf-8",
                                  errors="backslashreplace", write_through=True,
                                  line_buffering=True)
        setattr(sys, name, stream)
    sys.stdin = open(os.devnull, encoding="utf-8")


def main():
    """Runs tasks to the end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    host, number, modules = _worker.open(_encode_other, _decode_other, "auto")
    _streams()
    _surroundings()
    if "PYTHONFAULTHANDLER" not in os.environ:
        faulthandler.enable(file=sys.stderr)
    _worker.ready()
    while True:
        task = _worker.next()
        if task is None:
            break
        _run(task[0], host or os.uname().nodename, number)
    _flush()
