"""Objects beside the plain types, as values and back: the two hooks of the C side."""

import array
import datetime
import decimal
import functools
import pickle
import sys
import types
import uuid

from . import _functions, _opaque
from ._wrap import CallableObjectWrapper, CloudpickledObjectWrapper

_DTYPES = ("", "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
           "float16", "float32", "float64", "complex64", "complex128")
_CODES = {name: code for code, name in enumerate(_DTYPES) if name}
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
_SECOND = datetime.timedelta(seconds=1)
_DURATION_MAX = 315_576_000_000


def _datetime(moment):
    if moment.fold or (moment.tzinfo is not None and moment.tzinfo is not datetime.timezone.utc):
        return None
    if moment.tzinfo is None:
        return "n", "datetime", moment.isoformat()
    seconds, rest = divmod(moment - _EPOCH, _SECOND)
    return "t", seconds, rest.microseconds * 1000


def _timedelta(span):
    seconds = span.days * 86400 + span.seconds
    nanos = span.microseconds * 1000
    if abs(seconds) >= _DURATION_MAX:
        return None
    if seconds < 0 and nanos:
        seconds, nanos = seconds + 1, nanos - 1_000_000_000
    return "d", seconds, nanos


def _uuid(number):
    if number.is_safe is not uuid.SafeUUID.unknown:
        return None
    return "n", "uuid", str(number)


def _bytearray(data):
    return "m", "bytearray", bytes(data)


def _array(items):
    if items.typecode == "u":
        return None  # its size is the machine's
    return "m", "array." + items.typecode, items.tobytes()


def _wrapper(wrapper):
    return "c", _opaque.PICKLE, pickle.dumps(wrapper, pickle.HIGHEST_PROTOCOL)

_makers = {
    datetime.datetime: _datetime,
    datetime.date: lambda day: ("n", "date", day.isoformat()),
    datetime.timedelta: _timedelta,
    decimal.Decimal: lambda number: ("n", "decimal", str(number)),
    uuid.UUID: _uuid,
    bytearray: _bytearray,
    frozenset: lambda items: ("n", "frozenset", set(items)),
    type(Ellipsis): lambda dots: ("n", "ellipsis", None),
    range: lambda span: ("n", "range", (span.start, span.stop, span.step)),
    array.array: _array,
    CallableObjectWrapper: _wrapper,
    CloudpickledObjectWrapper: _wrapper,
}

_openers = {
    "datetime": datetime.datetime.fromisoformat,
    "date": datetime.date.fromisoformat,
    "decimal": decimal.Decimal,
    "uuid": uuid.UUID,
    "bytearray": bytearray,
    "frozenset": frozenset,
    "ellipsis": lambda none: ...,
    "range": lambda ends: range(*ends),
    "numpy.scalar": lambda whole: whole[()],
}


def _numpy(thing):
    """A numpy array or scalar as an array, where that is all there is to it."""
    numpy = sys.modules["numpy"]
    kind = type(thing)
    if kind is numpy.ndarray:
        dtype = thing.dtype
        if dtype.name in _CODES and dtype.isnative and dtype.metadata is None:
            if thing.flags.c_contiguous:
                return "a", _CODES[dtype.name], thing.shape, thing
    elif isinstance(thing, numpy.generic) and thing.dtype.name in _CODES:
        if kind is numpy.dtype(thing.dtype.name).type:
            return "n", "numpy.scalar", numpy.asarray(thing)
    return None


def _is_function(thing):
    return type(thing) in _functions.FUNCTION_TYPES or isinstance(thing, type)


def _function(thing, top, mode):
    if isinstance(thing, type) and thing in _opaque.wrapped_classes:
        return ("c",) + _opaque.capture(thing)
    name = _functions.by_name(thing, mode)
    if name is not None:
        return "f", "python:" + name
    if isinstance(thing, type(len)) and getattr(thing, "__self__", None) is not None \
            and not isinstance(thing.__self__, types.ModuleType):
        return ("p",) + _opaque.pickle_bytes(thing, mode)  # a method of an object
    if isinstance(thing, type) and thing.__module__ == "builtins":
        return ("p",) + _opaque.pickle_bytes(thing, mode)  # type(None) and its like
    if top or mode != "schema":
        return ("c",) + _opaque.capture(thing)
    raise _opaque.nested_error(thing)


def _captured_at_top(thing):
    """True for what is captured where it is an argument itself."""
    while isinstance(thing, functools.partial):
        thing = thing.func
    if isinstance(thing, types.MethodType):
        thing = thing.__self__
    if _is_function(thing):
        return _functions.by_name(thing) is None
    return type(thing).__module__ == "__main__" or "<locals>" in type(thing).__qualname__


def encode_other(thing, top, mode):
    """What the C side asks of each object that it does not know; see put_answer there."""
    kind = type(thing)
    maker = _makers.get(kind)
    if maker is not None:
        answer = maker(thing)
        if answer is not None:
            return answer
    elif _is_function(thing):
        return _function(thing, top, mode)
    elif kind.__module__ == "numpy":
        answer = _numpy(thing)
        if answer is not None:
            return answer
    if top and mode == "schema" and _captured_at_top(thing):
        return ("p",) + _opaque.capture(thing)
    return ("p",) + _opaque.pickle_bytes(thing, mode)


def _open_array(code, shape, data):
    name = _DTYPES[code]
    try:
        import numpy
    except ModuleNotFoundError:
        raise ModuleNotFoundError(f"an array of {name} needs numpy, which is not installed for "
                                  f"{sys.executable}", name="numpy") from None
    return numpy.frombuffer(data, dtype=name).reshape(shape)


def _open_named(name, content):
    opener = _openers.get(name)
    if opener is not None:
        return opener(content)
    if name.startswith("array.") and len(name) == 7:
        return array.array(name[6], content)
    raise ValueError(f"a value named '{name}', which Python does not know")


def decode_other(kind, first, second=None, third=None):
    """The object for what the C side can't make itself."""
    if kind == "o":
        return _opaque.load(first, second)
    if kind == "f":
        runtime, _, name = first.partition(":")
        if runtime != "python":
            raise ValueError(f"the function {first} is none of Python's")
        return _functions.lookup(name)
    if kind == "n":
        return _open_named(first, second)
    if kind == "a":
        return _open_array(first, second, third)
    if kind == "t":
        return _EPOCH + datetime.timedelta(seconds=first, microseconds=second // 1000)
    if kind == "d":
        return datetime.timedelta(seconds=first, microseconds=second // 1000)
    raise ValueError("blobs and protobuf messages have no Python form yet" if kind in "by"
                     else f"a value of kind {kind}")
