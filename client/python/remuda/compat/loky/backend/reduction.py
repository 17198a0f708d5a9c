"""loky.backend.reduction: pickling as tasks are pickled."""

import copyreg
import pickle

from remuda import set_loky_pickler
from remuda._encoder import get_loky_pickler_name
from remuda_codec import pickle_bytes

loads = pickle.loads
register = copyreg.pickle


def dumps(obj, reducers=None, protocol=None):
    """`obj` with the code that it needs."""
    return pickle_bytes(obj, "auto")[1]


def dump(obj, file, reducers=None, protocol=None):
    """The same into a file."""
    file.write(dumps(obj))


def get_loky_pickler():
    """The pickler class that is in force."""
    import importlib
    return importlib.import_module(get_loky_pickler_name()).Pickler


__all__ = ["dump", "dumps", "get_loky_pickler", "get_loky_pickler_name", "loads", "register",
           "set_loky_pickler"]
