"""loky.backend.context: names of start methods are taken; workers are started by the agent."""

import multiprocessing

from remuda import cpu_count
from remuda._executor import _CONTEXTS, check_context

START_METHODS = list(_CONTEXTS)
_method = None


def get_context(method=None):
    """A context of multiprocessing; loky's own names give that of `spawn`."""
    check_context(method)
    method = method or _method or "loky"
    return multiprocessing.get_context("spawn" if method.startswith("loky") else method)


def set_start_method(method, force=False):
    """Remembers the method; once, unless `force`."""
    global _method
    if _method is not None and not force:
        raise RuntimeError("context has already been set")
    check_context(method)
    _method = method


def get_start_method():
    """What was set, else "loky"."""
    return _method or "loky"


__all__ = ["START_METHODS", "cpu_count", "get_context", "get_start_method", "set_start_method"]
