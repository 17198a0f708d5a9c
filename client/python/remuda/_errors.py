"""Exceptions with loky's names and bases, and how error chains become exceptions again."""

import concurrent.futures
import pickle
import signal
from concurrent.futures import process

from remuda_codec import load

_CANCELLED = -16  # REMUDA_ECANCELLED


class BrokenProcessPool(process.BrokenProcessPool):
    """The pool can't run tasks: its initializer failed, its workers can't start, it is lost."""


BrokenExecutor = BrokenProcessPool


class TerminatedWorkerError(BrokenProcessPool):
    """The worker that ran the task was lost: a crash, an exit, too much memory. Only this task
    is: the pool goes on."""


class ShutdownExecutorError(RuntimeError):
    """The executor was shut down before this."""


class LokyRecursionError(RuntimeError):
    """Executors within executors, deeper than LOKY_MAX_DEPTH."""


class RemoteError(RuntimeError):
    """A task's failure that has no exception of Python's: `type` is its type's name."""

    def __init__(self, type="", message=""):  # noqa: A002
        super().__init__(f"{type}: {message}" if type else message)
        self.type = type
        self.remote_message = message

    def __reduce__(self):
        return RemoteError, (self.type, self.remote_message)


class RemoteTraceback(Exception):
    """The text of what happened in the worker; it is the `__cause__` of what is raised here."""

    def __init__(self, tb):
        super().__init__(tb)
        self.tb = tb
        self.cause = None    # the exception's own __cause__, where it could travel
        self.context = None  # and its __context__

    def __str__(self):
        return self.tb

    def __reduce__(self):
        return RemoteTraceback, (self.tb,)


def quoted(text):
    """`text` as remote tracebacks are printed."""
    return f'\n"""\n{text.rstrip()}\n"""'


def _revive(parts):
    try:
        return load(*parts) if parts is not None else None
    except BaseException:
        return None


def _own(fault):
    """The exception that a Python worker sent, or None."""
    if fault["codec"] != "python-exception" or fault["payload"] is None:
        return None
    try:
        parts, (cause, context), _, text = pickle.loads(fault["payload"])
    except BaseException:
        return None
    error = _revive(parts)
    if not isinstance(error, BaseException):
        error = RemoteError(fault["type"], fault["message"])
    remote = RemoteTraceback(quoted(text))
    remote.cause, remote.context = _revive(cause), _revive(context)
    error.__cause__ = remote
    error.__traceback__ = None
    return error


def _exit_code(fault):
    if fault["signal"]:
        try:
            return f"{signal.Signals(fault['signal']).name}(-{fault['signal']})"
        except ValueError:
            return f"SIGNAL(-{fault['signal']})"
    return "UNKNOWN(255)" if fault["exit_code"] is None else f"EXIT({fault['exit_code']})"


def _terminated(fault):
    return TerminatedWorkerError(
        "A worker process managed by the executor was unexpectedly terminated. This could be "
        "caused by a segmentation fault while calling the function or by an excessive memory "
        "usage causing the Operating System to kill the worker.\n"
        f"\nThe exit codes of the workers are {{{_exit_code(fault)}}}")


_KINDS = {
    "WorkerLost": _terminated,
    "OutOfMemory": _terminated,
    "BrokenPool": lambda fault: BrokenProcessPool(fault["message"]),
    "WorkerStartFailed": lambda fault: BrokenProcessPool(fault["message"]),
    "CannotRun": lambda fault: BrokenProcessPool(fault["message"]),
    "CoordinatorLost": lambda fault: BrokenProcessPool(fault["message"]),
    "PoolClosed": lambda fault: ShutdownExecutorError(fault["message"]),
    "DeadlineExceeded": lambda fault: concurrent.futures.TimeoutError(fault["message"]),
}


def exception_of(fault):
    """The exception for a chain that _client gives as dicts (fault.h)."""
    error = _own(fault)
    if error is not None:
        return error
    kind = _KINDS.get(fault["type"])
    if kind is _terminated and fault["origin"] != 7:
        kind = None
    error = kind(fault) if kind else RemoteError(fault["type"], fault["message"])
    inner = fault["cause"]
    while inner is not None:
        cause = _own(inner)
        if cause is not None:
            error.__cause__ = cause
            return error
        inner = inner["cause"]
    error.__cause__ = RemoteTraceback(quoted(fault.get("text", fault["message"])))
    return error
