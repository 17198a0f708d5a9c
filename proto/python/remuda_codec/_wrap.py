"""wrap_non_picklable_objects: capture this one thing in any mode, and leave the rest as it is."""

import functools
import types

from . import _opaque


class CloudpickledObjectWrapper:
    """Stands for an object, and travels with the object's code. Attributes are the object's."""

    def __init__(self, obj, keep_wrapper=True):
        self._obj = obj
        self._keep_wrapper = keep_wrapper

    def __reduce__(self):
        codec, data = _opaque.capture(self._obj)
        return _rebuild, (codec, data, self._keep_wrapper)

    def __getattr__(self, name):
        if name in ("_obj", "_keep_wrapper"):  # not there yet: while it is unpickled
            raise AttributeError(name)
        return getattr(self._obj, name)

    def __repr__(self):
        return f"<wrapped {self._obj!r}>"


class CallableObjectWrapper(CloudpickledObjectWrapper):
    """The same for what can be called."""

    def __init__(self, obj, keep_wrapper=True):
        super().__init__(obj, keep_wrapper)
        functools.update_wrapper(self, obj, updated=())

    def __call__(self, *args, **kwargs):
        return self._obj(*args, **kwargs)

    def __get__(self, instance, owner=None):
        if instance is None or not isinstance(self._obj, types.FunctionType):
            return self
        return types.MethodType(self, instance)


def _rebuild(codec, data, keep_wrapper):
    thing = _opaque.load(codec, data)
    return wrap_non_picklable_objects(thing) if keep_wrapper else thing


def wrap_non_picklable_objects(obj, keep_wrapper=True):
    """Has `obj` travel by its code wherever it stands, also nested in arguments.

    A function or object is given back in a wrapper. A class is given back itself, noted as one
    that is captured with its instances: magic methods, isinstance and issubclass stay as they are.
    """
    if isinstance(obj, type):
        _opaque.wrapped_classes.add(obj)
        return obj
    if isinstance(obj, CloudpickledObjectWrapper):
        return obj
    if callable(obj):
        return CallableObjectWrapper(obj, keep_wrapper)
    return CloudpickledObjectWrapper(obj, keep_wrapper)
