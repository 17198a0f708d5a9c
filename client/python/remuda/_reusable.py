"""get_reusable_executor: one executor for the whole program, made anew only where it must be."""

import threading
import warnings

from . import _executor, _session
from ._cpu import cpu_count

_lock = threading.RLock()
_executors = {}      # class -> the present one
_next_id = 0


class _ReusablePoolExecutor(_executor.ProcessPoolExecutor):
    """The executor that get_reusable_executor gives; `executor_id` counts them."""

    def __init__(self, executor_id, max_workers, **kwargs):
        super().__init__(max_workers, **kwargs)
        self.executor_id = executor_id
        self._arguments = None

    def _submit(self, fn, args, kwargs, options):
        try:
            return super()._submit(fn, args, kwargs, options)
        except _executor.ShutdownExecutorError:
            # Replaced by another thread a moment ago: the task goes to its successor.
            successor = _executors.get(type(self))
            if self._replaced and successor is not None and successor is not self:
                return successor._submit(fn, args, kwargs, options)
            raise

    _replaced = False


def _same(arguments, others):
    """True if both are the same; False where they can't be compared."""
    try:
        return bool(arguments == others)
    except Exception:
        return False


def _usable(executor):
    flags = executor._flags
    if flags.shutdown or flags.broken is not None or _session._forked:
        return False
    return executor._client is None or executor._client.usable


def reusable(cls, max_workers, reuse, kill_workers, arguments):
    """(executor, whether it was there before) of that class."""
    global _next_id
    _session.check_alive()
    with _lock:
        present = _executors.get(cls)
        if max_workers is None:
            max_workers = (present._max_workers if reuse is True and present is not None
                           else cpu_count())
        elif max_workers <= 0:
            raise ValueError(f"max_workers must be greater than 0, got {max_workers}.")
        if reuse == "auto":
            reuse = present is not None and _same(arguments, present._arguments)
        if present is not None and reuse and _usable(present):
            present._resize(max_workers)
            return present, True
        fresh = cls(_next_id, max_workers, **arguments)
        fresh._arguments = arguments
        _next_id += 1
        if present is not None:
            present._replaced = True
            _executors[cls] = fresh
            present.shutdown(wait=True, kill_workers=kill_workers)
        _executors[cls] = fresh
        return fresh, False


def get_reusable_executor(max_workers=None, context=None, timeout=10, kill_workers=False,
                          reuse="auto", job_reducers=None, result_reducers=None,
                          initializer=None, initargs=(), env=None, *, address=None,
                          _class=_ReusablePoolExecutor):
    """The program's executor: the one that is there, with `max_workers` workers, or a new one
    where it is broken or shut down or the other arguments differ (`reuse`: True: they do not
    matter; False: always a new one). `timeout`: idle seconds before a worker stops; None: never.
    `kill_workers`: an executor that is replaced does not finish its tasks."""
    _executor.check_context(context)
    if context == "fork" or getattr(context, "_name", None) == "fork":
        warnings.warn("The 'fork' start method is not safe with threads", UserWarning,
                      stacklevel=2)
        raise ValueError("Cannot use reusable executor with the 'fork' context")
    arguments = {"context": context, "timeout": timeout, "job_reducers": job_reducers,
                 "result_reducers": result_reducers, "initializer": initializer,
                 "initargs": initargs, "env": env, "address": address}
    return reusable(_class, max_workers, reuse, kill_workers, arguments)[0]
