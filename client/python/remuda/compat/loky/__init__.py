"""Imports as loky does, and runs on remuda.

What can't go by name is captured wherever it stands, as loky has it (the encoder `auto`).
"""

from concurrent.futures import (ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION, CancelledError,
                                Executor, TimeoutError, as_completed, wait)

from remuda import cpu_count, set_loky_pickler, wrap_non_picklable_objects
from remuda._future import Future

from .process_executor import BrokenProcessPool, ProcessPoolExecutor
from .reusable_executor import get_reusable_executor

__version__ = "3.5.6"  # of the interface
__all__ = [
    "ALL_COMPLETED", "BrokenProcessPool", "CancelledError", "Executor", "FIRST_COMPLETED",
    "FIRST_EXCEPTION", "Future", "ProcessPoolExecutor", "TimeoutError", "as_completed",
    "cpu_count", "get_reusable_executor", "set_loky_pickler", "wait",
    "wrap_non_picklable_objects",
]
