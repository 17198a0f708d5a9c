"""remuda: functions on a reusable pool of worker processes, here or on a cluster.

    from remuda import get_reusable_executor
    get_reusable_executor(max_workers=4).submit(pow, 2, 10).result()

The interface is that of concurrent.futures and loky; docs/python.md says what is different.
"""

from concurrent.futures import (ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION, CancelledError,
                                Executor, TimeoutError, as_completed, wait)

from remuda_codec import wrap_non_picklable_objects

from ._cpu import cpu_count
from ._encoder import get_encoder, set_encoder, set_loky_pickler
from ._errors import (BrokenProcessPool, LokyRecursionError, RemoteError, RemoteTraceback,
                      ShutdownExecutorError, TerminatedWorkerError)
from ._executor import ProcessPoolExecutor
from ._future import Future
from ._reusable import get_reusable_executor

__version__ = "0.1.0"
__all__ = [
    "ALL_COMPLETED", "BrokenProcessPool", "CancelledError", "Executor", "FIRST_COMPLETED",
    "FIRST_EXCEPTION", "Future", "LokyRecursionError", "ProcessPoolExecutor", "RemoteError",
    "RemoteTraceback", "ShutdownExecutorError", "TerminatedWorkerError", "TimeoutError",
    "as_completed", "cpu_count", "get_encoder", "get_reusable_executor", "set_encoder",
    "set_loky_pickler", "wait", "wrap_non_picklable_objects",
]
