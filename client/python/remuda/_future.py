"""Futures: concurrent.futures.Future, but made of one C object until somebody needs more.

`result()` waits for the task directly. What the standard library keeps in a future (a condition,
callbacks, waiters) comes into being when one of these is first touched: by wait(), as_completed(),
add_done_callback(), `await`. From then on the future is completed by the package's own thread.
"""

import asyncio
import logging
import threading
from concurrent.futures import CancelledError, TimeoutError, _base

from ._errors import ShutdownExecutorError, exception_of

_LAZY = frozenset(("_condition", "_state", "_result", "_exception", "_waiters",
                   "_done_callbacks"))
_VALUE, _RAISED, _CANCELLED = 0, 1, 2
_CODE_CANCELLED = -16
_KILLED = ("The Executor was shutdown with `kill_workers=True` before this job could complete.")
_taking = threading.RLock()
_logger = logging.getLogger("concurrent.futures")


def _milliseconds(timeout):
    return -1 if timeout is None else max(0, int(timeout * 1000 + 0.999))


class Future(_base.Future):
    """One task's outcome to come. Can be awaited."""

    def __getattr__(self, name):
        if name in _LAZY:
            self._activate()
            return self.__dict__[name]
        raise AttributeError(f"'Future' object has no attribute '{name}'")

    # ---- becoming the standard library's ----

    def _activate(self):
        with _taking:
            own = self.__dict__
            if "_waiters" in own:
                return
            super().__init__()
            if "_outcome" in own:
                self._settle()
            elif "_task" in own:
                self._state = _base.RUNNING
                own["_task"].hook(self)

    def _complete(self):
        """Its task has ended. The package's own thread."""
        self._take()
        self._settle()

    def _settle(self):
        kind, outcome = self.__dict__["_outcome"]
        with self._condition:
            if self._state in (_base.CANCELLED, _base.CANCELLED_AND_NOTIFIED, _base.FINISHED):
                return
            if kind == _CANCELLED:
                self._state = _base.PENDING
        if kind == _VALUE:
            self.set_result(outcome)
        elif kind == _RAISED:
            self.set_exception(outcome)
        else:
            _base.Future.cancel(self)
            self.set_running_or_notify_cancel()

    def _invoke_callbacks(self):
        for callback in self._done_callbacks:
            try:
                callback(self)
            except BaseException:
                _logger.exception("exception calling callback for %r", self)

    def add_done_callback(self, fn):
        with self._condition:
            if self._state not in (_base.CANCELLED, _base.CANCELLED_AND_NOTIFIED,
                                   _base.FINISHED):
                self._done_callbacks.append(fn)
                return
        try:
            fn(self)
        except BaseException:
            _logger.exception("exception calling callback for %r", self)

    # ---- the outcome ----

    def _take(self):
        """(kind, value or exception) of a task that has ended."""
        with _taking:
            own = self.__dict__
            outcome = own.get("_outcome")
            if outcome is None:
                outcome = own["_outcome"] = self._decoded()
            return outcome

    def _decoded(self):
        try:
            code, payload = self._task.outcome()
        except BaseException as error:  # the value can't be opened here
            return _RAISED, error
        if code == 0:
            return _VALUE, payload
        if code == _CODE_CANCELLED:
            flags = self.__dict__.get("_flags")
            if flags is not None and flags.kill_workers:
                return _RAISED, ShutdownExecutorError(_KILLED)
            return _CANCELLED, None
        return _RAISED, exception_of(payload)

    def _wait(self, timeout):
        """The outcome, or None: this future is the standard library's."""
        own = self.__dict__
        if "_waiters" in own or "_task" not in own:
            return own.get("_outcome") if "_waiters" not in own else None
        outcome = own.get("_outcome")
        if outcome is None:
            if not own["_task"].wait(_milliseconds(timeout)):
                raise TimeoutError()
            outcome = self._take()
        return outcome

    def result(self, timeout=None):
        """What the task returned; raises what it raised, or TimeoutError, CancelledError."""
        outcome = self._wait(timeout)
        if outcome is None:
            return super().result(timeout)
        kind, value = outcome
        if kind == _VALUE:
            return value
        if kind == _CANCELLED:
            raise CancelledError()
        try:
            raise value
        finally:
            self = None  # no cycle with the traceback

    def exception(self, timeout=None):
        """What the task raised, or None."""
        outcome = self._wait(timeout)
        if outcome is None:
            return super().exception(timeout)
        kind, value = outcome
        if kind == _CANCELLED:
            raise CancelledError()
        return value if kind == _RAISED else None

    def done(self):
        """True when the outcome is there."""
        own = self.__dict__
        if "_waiters" in own or "_task" not in own:
            return "_outcome" in own if "_waiters" not in own else super().done()
        return "_outcome" in own or own["_task"].done()

    def running(self):
        """True while the task has not ended (whether it has begun is the coordinator's to say)."""
        return not self.done() if "_task" in self.__dict__ else super().running()

    def cancelled(self):
        """True if the task was cancelled."""
        if "_waiters" in self.__dict__:
            return super().cancelled()
        return self.done() and self._take()[0] == _CANCELLED

    def cancel(self):
        """Cancels the task, also while it runs: then its worker is made to end. False: it has
        ended."""
        own = self.__dict__
        if "_task" not in own:
            return super().cancel() if "_waiters" in own else self.cancelled()
        with _taking:
            if self.done():
                return self.cancelled()
            if not own["_task"].cancel():
                return False
            own["_outcome"] = _CANCELLED, None
            if "_waiters" not in own:
                return True
        self._settle()
        return True

    def __await__(self):
        return asyncio.wrap_future(self).__await__()


def future_of(task, flags):
    """A future for a task that was submitted."""
    future = Future.__new__(Future)
    future._task = task
    future._flags = flags
    return future


def failed(error):
    """A future that has failed already."""
    future = Future.__new__(Future)
    future._outcome = (_RAISED, error)
    return future
