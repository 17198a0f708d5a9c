"""loky.process_executor."""

from remuda import _executor
from remuda._errors import (BrokenExecutor, BrokenProcessPool, LokyRecursionError,
                            ShutdownExecutorError, TerminatedWorkerError)
from remuda._errors import RemoteTraceback as _RemoteTraceback
from remuda._errors import quoted as _quoted
from remuda._executor import _CURRENT_DEPTH, EXTRA_QUEUED_CALLS, MAX_DEPTH


class ProcessPoolExecutor(_executor.ProcessPoolExecutor):
    """As remuda's, with loky's default encoder."""

    _default_encoder = "auto"


def _rebuild(exc, tb):
    exc.__cause__ = _RemoteTraceback(tb)
    return exc


class _ExceptionWithTraceback:
    """An exception that is pickled with the text of its traceback."""

    def __init__(self, exc):
        import traceback
        self.exc = exc
        self.tb = _quoted("".join(traceback.format_exception(type(exc), exc,
                                                              exc.__traceback__)))

    def __reduce__(self):
        return _rebuild, (self.exc, self.tb)


__all__ = ["BrokenExecutor", "BrokenProcessPool", "EXTRA_QUEUED_CALLS", "LokyRecursionError",
           "MAX_DEPTH", "ProcessPoolExecutor", "ShutdownExecutorError", "TerminatedWorkerError",
           "_CURRENT_DEPTH", "_ExceptionWithTraceback", "_RemoteTraceback"]
