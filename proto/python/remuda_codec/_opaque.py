"""Pickles: of objects that have no schema form, and of functions that workers can't import."""

import contextlib
import functools
import io
import pickle
import sys
import threading
import types
import weakref

from . import _functions

# Before the codec of a pickle: it is the function of the task; it is (args, kwargs) of the task.
CALL = "call:"
ALL = "all:"
PICKLE = "pickle"
CLOUDPICKLE = "cloudpickle/%d.%d" % sys.version_info[:2]

# Classes that the user has wrapped: captured in any mode, with their instances.
wrapped_classes = weakref.WeakSet()
_by_value_lock = threading.Lock()


class NestedFunctionError(pickle.PicklingError):
    """A function that workers can't import stands inside an argument."""


def _cloudpickle():
    try:
        import cloudpickle
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "functions that workers can't import are sent with cloudpickle, and cloudpickle is "
            f"not installed for {sys.executable}: pip install cloudpickle", name="cloudpickle"
        ) from None
    return cloudpickle


@contextlib.contextmanager
def _by_value(cloudpickle, module_name):
    """Has cloudpickle take functions of that module by value."""
    module = sys.modules.get(module_name)
    register = getattr(cloudpickle, "register_pickle_by_value", None)
    if module is None or module_name == "__main__" or register is None:
        yield
        return
    with _by_value_lock:  # its registry is the process's
        listed = module_name in cloudpickle.list_registry_pickle_by_value()
        if not listed:
            register(module)
        try:
            yield
        finally:
            if not listed:
                cloudpickle.unregister_pickle_by_value(module)


def capture(thing, own=True):
    """(codec, bytes) of `thing` with its code; `own`: also where it could be imported."""
    cloudpickle = _cloudpickle()
    target = thing
    while isinstance(target, functools.partial):
        target = target.func
    if isinstance(target, types.MethodType):
        target = type(target.__self__)
    elif not isinstance(target, type) and not hasattr(target, "__qualname__"):
        target = type(target)
    module = getattr(target, "__module__", None)
    if own and isinstance(module, str) and _functions.is_own(module):
        with _by_value(cloudpickle, module):
            return CLOUDPICKLE, cloudpickle.dumps(thing)
    return CLOUDPICKLE, cloudpickle.dumps(thing)


def _reopen(codec, data):
    return load(codec, data)


class _Pickler(pickle.Pickler):
    """Pickles what the standard pickler can, and says no where a worker could not open it."""

    def __init__(self, stream, mode):
        super().__init__(stream, pickle.HIGHEST_PROTOCOL)
        self.mode = mode

    def reducer_override(self, thing):
        if not isinstance(thing, (type, types.FunctionType)):
            return NotImplemented
        if isinstance(thing, type) and thing in wrapped_classes:
            return _reopen, capture(thing)
        if _functions.by_name(thing, self.mode) is not None or thing is type(None):
            return NotImplemented
        if thing in (type(Ellipsis), type(NotImplemented)):
            return NotImplemented
        if self.mode == "schema":
            raise nested_error(thing)
        return _reopen, capture(thing)


def nested_error(thing):
    """What is said of a function or class that stands where it can't be captured."""
    name = getattr(thing, "__qualname__", repr(thing))
    return NestedFunctionError(f"Can't pickle {thing!r}: attribute lookup {name} on "
                               f"{getattr(thing, '__module__', '?')} failed")


_custom = None  # set_loky_pickler's, by a module's name


def set_pickler(pickler):
    """Has objects without schema form pickled by that class; None: the standard one."""
    global _custom
    _custom = pickler


def pickle_bytes(thing, mode):
    """(codec, bytes) of any object."""
    stream = io.BytesIO()
    if _custom is not None and mode == "schema":
        _custom(stream, pickle.HIGHEST_PROTOCOL).dump(thing)
        return PICKLE, stream.getvalue()
    try:
        _Pickler(stream, mode).dump(thing)
    except NestedFunctionError:
        raise
    except (pickle.PicklingError, AttributeError, TypeError):
        if mode == "schema":
            raise
        return capture(thing)
    return PICKLE, stream.getvalue()


def load(codec, data):
    """Opens a pickle. It may run any code: only from whom one would run code."""
    if codec == PICKLE:
        return pickle.loads(data)
    if codec.startswith("cloudpickle/"):
        if codec != CLOUDPICKLE:
            raise RuntimeError(
                f"a function captured by Python {codec.partition('/')[2]} can't run on Python "
                f"{sys.version_info[0]}.{sys.version_info[1]} ({sys.executable}): give the pool "
                "the client's version (REMUDA_PYTHON in its environment), or name the function")
        _cloudpickle()
        return pickle.loads(data)
    raise ValueError(f"an opaque value of codec '{codec}', which Python can't open")
