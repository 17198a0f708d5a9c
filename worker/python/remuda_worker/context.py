"""What a running task can ask and say. Outside of a worker these do nothing."""

try:
    from . import _worker
except ImportError:  # read by a client: there is no worker here
    _worker = None


def cancelled():
    """True when the running task shall end: it was cancelled, or its time is up."""
    return _worker is not None and _worker.cancelled()


def progress(done, total=0):
    """Says how far the running task is, for `remuda ps`; total 0: not known."""
    if _worker is not None:
        _worker.progress(done, total)


def log(text):
    """Adds to the running task's log, which whoever submitted it can hear."""
    if _worker is not None:
        _worker.log(text)
