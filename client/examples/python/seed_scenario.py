"""How a task's functions and arguments are serialized, and how to temper it.

Functions of the main program can't be looked up by name in a worker. Where they are the task itself
or one of its arguments they are detected, and captured. Nested in a list they are not; three switches
help.
"""

import sys
import time
import traceback

from remuda import get_reusable_executor, set_loky_pickler, wrap_non_picklable_objects


def call_function(list_or_func, x, *args):
    """Takes first items until there is a function, and calls it."""
    while isinstance(list_or_func, list):
        list_or_func = list_or_func[0]
    return list_or_func(x)


def func_async(i):
    return 2 * i


executor = get_reusable_executor(max_workers=1)

# 1. Detected at the top level.
print(executor.submit(call_function, func_async, 21).result())

# 2. Not detected in a list.
try:
    executor.submit(id, [[func_async]]).result()
except Exception:
    traceback.print_exc(file=sys.stdout)

# 3. Capture all functions of our own.
set_loky_pickler("cloudpickle")
print(executor.submit(call_function, [[func_async]], 21).result())

# 4. What that costs beside a large list.
large_list = list(range(1000000))
begun = time.time()
print(executor.submit(call_function, [[func_async]], 21, large_list).result())
print(f"captured: {time.time() - begun:.3f} s")

set_loky_pickler()
begun = time.time()
executor.submit(call_function, [[id]], 21, large_list).result()
print(f"default: {time.time() - begun:.3f} s")


# 5. Capture this one function.
@wrap_non_picklable_objects
def func_async(i):  # noqa: F811
    return 2 * i


begun = time.time()
print(executor.submit(call_function, [[func_async]], 21, large_list).result())
print(f"wrapped: {time.time() - begun:.3f} s")


@wrap_non_picklable_objects
class Account:
    def __init__(self, cents):
        self.cents = cents

    def __add__(self, other):
        return Account(self.cents + other.cents)


both = executor.submit(sum, [Account(40), Account(2)], Account(0)).result()
print(isinstance(both, Account), both.cents)
