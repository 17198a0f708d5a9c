"""Executors: pools of Python workers with the interface of concurrent.futures and loky."""

import itertools
import os
import threading
import time
import warnings
import weakref
from concurrent.futures import _base

from remuda_codec import ALL, CALL, MODES, by_name, capture, pickle_bytes

from . import _session
from ._cpu import cpu_count
from ._encoder import get_encoder, not_sent
from ._errors import BrokenProcessPool, LokyRecursionError, ShutdownExecutorError
from ._errors import exception_of
from ._future import failed, future_of

MAX_DEPTH = int(os.environ.get("LOKY_MAX_DEPTH", 10))
_CURRENT_DEPTH = int(os.environ.get("REMUDA_DEPTH", 0))
EXTRA_QUEUED_CALLS = 1
_NEVER_MS = 10 * 365 * 24 * 3600 * 1000
_DRAIN, _CANCEL, _KILL = 1, 2, 3
_CHUNK_MAX = 4096
_CONTEXTS = ("loky", "loky_init_main", "spawn", "fork", "forkserver")

_numbers = set()   # of executors that are open: workers of two are never mixed
_numbers_lock = threading.Lock()
_open = weakref.WeakSet()


class _Flags:
    """What futures see of their executor."""

    __slots__ = ("broken", "shutdown", "kill_workers", "__weakref__")

    def __init__(self):
        self.broken = None
        self.shutdown = False
        self.kill_workers = False


def _take_number():
    with _numbers_lock:
        number = next(n for n in itertools.count(1) if n not in _numbers)
        _numbers.add(number)
        return number


def _milliseconds(seconds):
    return 0 if seconds is None else max(1, int(seconds * 1000 + 0.999))


def check_context(context):
    """Raises unless it is None, a name that loky knows, or a context of multiprocessing."""
    if isinstance(context, str) and context not in _CONTEXTS:
        raise ValueError(f"Unknown context '{context}'. Value should be in {list(_CONTEXTS)}.")


def _check_depth():
    if 0 < MAX_DEPTH <= _CURRENT_DEPTH:
        raise LokyRecursionError(
            "Could not spawn extra nested processes at depth superior to "
            f"MAX_DEPTH={MAX_DEPTH}. If this is intended, it can be changed with the "
            "LOKY_MAX_DEPTH environment variable.")


def _function(function, mode):
    """(name, opaques) for a task: it goes by name, or it is captured and the name is for people."""
    name = by_name(function, mode)
    if name is not None:
        return "python:" + name, None
    codec, data = capture(function)
    label = getattr(function, "__qualname__", type(function).__qualname__)
    module = getattr(function, "__module__", None) or "?"
    return f"python:{module}.{label}"[:500], ((CALL + codec, data),)


class ProcessPoolExecutor(_base.Executor):
    """Runs functions on a pool of worker processes of its own.

    A worker that is lost fails the task that it ran, and no other. `timeout`: idle seconds before
    a worker stops. `env`: variables for the workers. `address`: a coordinator's; None: a private
    one. `encoder`: "schema", "auto" or "capture" (see set_encoder). `output`: what tasks print is
    printed here. `job_reducers`, `result_reducers` and `context` are loky's, taken and not used.
    """

    _default_encoder = "schema"

    def __init__(self, max_workers=None, job_reducers=None, result_reducers=None, timeout=None,
                 context=None, initializer=None, initargs=(), env=None, *, mp_context=None,
                 max_tasks_per_child=None, address=None, encoder=None, output=True, labels=None,
                 memory_bytes=0):
        _check_depth()
        _session.check_alive()
        check_context(context)
        if max_workers is None:
            max_workers = cpu_count()
        if max_workers <= 0:
            raise ValueError("max_workers must be greater than 0")
        if initializer is not None and not callable(initializer):
            raise TypeError(f"initializer must be a callable, got: {initializer!r}")
        if max_tasks_per_child is not None and max_tasks_per_child < 1:
            raise ValueError("max_tasks_per_child must be >= 1")
        if encoder is not None and encoder not in MODES:
            raise ValueError(f"no encoder '{encoder}': it is one of {', '.join(MODES)}")
        self._max_workers = int(max_workers)
        self._timeout = timeout
        self._context = context if context is not None else mp_context
        self._initializer, self._initargs = initializer, tuple(initargs)
        self._env = dict(env or {})
        self._max_tasks = max_tasks_per_child or 0
        self._address = address
        self._encoder = encoder
        self._labels = [f"{key}={value}" for key, value in (labels or {}).items()] or None
        self._memory_bytes = memory_bytes
        self._output = bool(output)
        self._options = (0, 0, 0, 0, self._output)
        self._flags = _Flags()
        self._lock = threading.RLock()
        self._client = None
        self._pool = 0
        self._number = 0
        self._environment = None
        self._names = {}   # function -> name, of those that go by name
        self._names_mode = None
        _open.add(self)

    # ---- the pool ----

    def _spec(self):
        """What open_pool is given."""
        if self._environment is None:
            found = _session.surroundings(self._address, self._client)
            found.update(self._env)
            found["REMUDA_DEPTH"] = str(_CURRENT_DEPTH + 1)
            found["REMUDA_EXECUTOR"] = str(self._number)
            self._environment = [f"{name}={value}" for name, value in sorted(found.items())]
        spec = {"max_tasks": self._max_tasks, "memory_bytes": self._memory_bytes,
                "labels": self._labels}
        if self._initializer is not None:
            mode = "auto"
            name = by_name(self._initializer)
            args = (self._initializer, *self._initargs)
            spec.update(initializer="python:remuda.initialize", mode=mode)
            if name is None:
                spec["opaques"] = (capture(self._initializer),)
                args = self._initargs
            spec["initargs"] = args
        return spec

    def _open_pool(self):
        """Opens the pool, or gives it its new size. `_lock` is held."""
        idle = _NEVER_MS if self._timeout is None else max(1, int(self._timeout * 1000))
        spec = self._spec()
        try:
            pool = self._client.open_pool(self._max_workers, idle, self._environment, **spec)
            if pool is None:  # no exact value: all of them pickled
                codec, data = pickle_bytes((spec["initargs"], {}), "auto")
                spec.update(opaques=(spec.get("opaques") or ()) + ((ALL + codec, data),),
                            initargs=None)
                pool = self._client.open_pool(self._max_workers, idle, self._environment,
                                              **spec)
        except _session.native().Refused as error:
            raise BrokenProcessPool(error.args[0]["text"].rstrip()) from None
        self._pool = pool

    def _start(self):
        """Connects and opens the pool, once."""
        with self._lock:
            self._check_open()
            if self._pool == 0:
                _session.check_alive()
                self._client = _session.client_of(self._address)
                self._number = _take_number()
                self._open_pool()
                weakref.finalize(self, _abandon, self._client, self._pool, self._number,
                                 self._flags).atexit = False
        return self._pool

    def _resize(self, max_workers):
        """Another number of workers; those too many stop after their task."""
        if max_workers is None:
            raise ValueError("Trying to resize with max_workers=None")
        with self._lock:
            if max_workers != self._max_workers:
                self._max_workers = max_workers
                if self._pool != 0:
                    self._open_pool()

    def _check_open(self):
        if self._flags.shutdown:
            raise ShutdownExecutorError("cannot schedule new futures after shutdown")
        if self._flags.broken is not None:
            raise self._flags.broken
        if self._client is not None and not self._client.usable and not _session._forked:
            self._flags.broken = BrokenProcessPool("the coordinator of this executor is lost")
            raise self._flags.broken

    @property
    def _processes(self):
        return {}  # they are the agent's: `remuda workers` lists them

    # ---- tasks ----

    def _mode(self):
        return self._encoder or get_encoder(self._default_encoder)

    def _submit(self, fn, args, kwargs, options):
        if self._flags.shutdown or self._pool == 0 or _session._forked or _session._ended:
            _session.check_alive()
            self._start()
        mode = self._mode()
        try:
            if mode is not self._names_mode:
                self._names, self._names_mode = {}, mode
            try:
                name, opaques = self._names[fn], None
            except (KeyError, TypeError):
                name, opaques = _function(fn, mode)
                if opaques is None and len(self._names) < 256:
                    self._names[fn] = name
            task = self._client.submit(name, opaques, args, kwargs, mode, self._pool, options)
            if task is None:
                task = self._submit_whole(name, opaques, args, kwargs, mode, options)
        except Exception as error:
            return failed(not_sent(error))
        return future_of(task, self._flags)

    def _submit_whole(self, name, opaques, args, kwargs, mode, options):
        """All arguments pickled as one: they have no exact value one by one."""
        codec, data = pickle_bytes((args, kwargs or {}), mode)
        opaques = (opaques or ()) + ((ALL + codec, data),)
        return self._client.submit(name, opaques, None, None, mode, self._pool, options)

    def submit(self, fn, /, *args, **kwargs):
        """Submits fn(*args, **kwargs): a Future."""
        return self._submit(fn, args, kwargs or None, self._options)

    def submit_with(self, fn, /, *args, timeout=None, run_timeout=None, priority=0, attempts=1,
                    **kwargs):
        """As submit. `timeout`, `run_timeout`: seconds from now, and of each attempt, after which
        the task fails with TimeoutError; `priority`: -1000 to 1000; `attempts`: how often it may
        be begun when its worker is lost or it fails."""
        options = (priority, attempts, _milliseconds(timeout), _milliseconds(run_timeout),
                   self._output)
        return self._submit(fn, args, kwargs or None, options)

    # ---- map ----

    def _chunk(self, fn, opaques, rows, spread):
        args = (rows, spread) if opaques else (fn, rows, spread)
        mode = self._mode()
        try:
            task = self._client.submit("python:remuda.map", opaques, args, None, mode,
                                       self._pool, self._options)
            if task is None:
                task = self._submit_whole("python:remuda.map", opaques, args, None, mode,
                                          self._options)
        except Exception as error:
            return failed(not_sent(error))
        return future_of(task, self._flags)

    def map(self, fn, *iterables, timeout=None, chunksize=None, buffersize=None):
        """fn of each item (of each tuple of items), in order, lazily.

        `chunksize`: items that are sent as one task; None: by their number. `buffersize`: most
        items that are drawn ahead of what was taken; None: all. Items of a chunk share its fate."""
        if chunksize is not None and chunksize < 1:
            raise ValueError("chunksize must be >= 1.")
        if buffersize is not None and buffersize < 1:
            raise ValueError("buffersize must be >= 1.")
        end = None if timeout is None else time.monotonic() + timeout
        self._start()
        spread = len(iterables) != 1
        items = zip(*iterables) if spread else iter(iterables[0])
        if chunksize is None:
            if buffersize is None:
                items = list(items)
                chunksize = -(-len(items) // (self._max_workers * 8))
                items = iter(items)
            else:
                chunksize = buffersize // (self._max_workers * 4)
            chunksize = max(1, min(chunksize, _CHUNK_MAX))
        try:
            opaques = None if by_name(fn, self._mode()) else (capture(fn),)
        except Exception as error:
            raise not_sent(error) from None
        chunks = iter(lambda: list(itertools.islice(items, chunksize)), [])
        futures = (self._chunk(fn, opaques, rows, spread) for rows in chunks)
        ahead = None if buffersize is None else max(1, buffersize // chunksize)
        return _results(futures, list(itertools.islice(futures, ahead)), end)

    # ---- the end ----

    def shutdown(self, wait=True, kill_workers=False, *, cancel_futures=False):
        """Takes no more tasks. Those that were submitted go on (`cancel_futures`: those that have
        not begun are cancelled; `kill_workers`: all end at once); `wait`: returns when they have
        ended."""
        with self._lock:
            flags = self._flags
            first = not flags.shutdown
            flags.shutdown = True
            flags.kill_workers = flags.kill_workers or kill_workers
            pool, client = self._pool, self._client
            if pool == 0 or not first or _session._forked:
                return
            with _numbers_lock:
                _numbers.discard(self._number)
            self._number = 0
        how = _KILL if kill_workers else _CANCEL if cancel_futures else _DRAIN
        if not wait:
            _close(client, pool, how, 0)
            return
        closer = threading.Thread(target=_close, args=(client, pool, how, -1), daemon=True)
        closer.start()
        closer.join()  # unlike the call itself it can be interrupted
        _session.flush()


def _close(client, pool, how, timeout_ms):
    try:
        client.close_pool(pool, how, timeout_ms)
    except RuntimeError:
        pass  # the client is closed: so is the pool
    except _session.native().Refused as error:
        warnings.warn(f"remuda: {exception_of(error.args[0])}", stacklevel=2)


def _abandon(client, pool, number, flags):
    """An executor was dropped: its tasks go on to their ends."""
    if flags.shutdown or _session._forked:
        return
    flags.shutdown = True
    with _numbers_lock:
        _numbers.discard(number)
    _close(client, pool, _DRAIN, 0)


def _results(futures, started, end):
    """Yields the results of chunks; draws a further chunk for each that was taken."""
    started.reverse()
    try:
        while started:
            chunk = started.pop()
            left = None if end is None else end - time.monotonic()
            rows = chunk.result(left)
            rows.reverse()
            following = next(futures, None)
            if following is not None:
                started.insert(0, following)
            while rows:
                yield rows.pop()
    finally:
        for future in started:
            future.cancel()


def _shut_all():
    for executor in list(_open):
        executor.shutdown(wait=True)


_session.at_exit(_shut_all)
