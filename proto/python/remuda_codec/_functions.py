"""Functions and classes by name: MODULE.QUALNAME, as in `math.factorial` or `builtins.str.upper`."""

import importlib
import importlib.util
import os
import sys
import sysconfig
import types

FUNCTION_TYPES = frozenset((
    types.FunctionType, types.BuiltinFunctionType, types.MethodDescriptorType,
    types.WrapperDescriptorType, types.ClassMethodDescriptorType,
))
NAME_MAX = 500  # with "python:" before it below the limit of a function's name

_standard = tuple(os.path.join(sysconfig.get_path(name), "")
                  for name in ("stdlib", "platstdlib", "purelib", "platlib"))
_own = {}  # module name -> whether it is the user's own


def is_own(module_name):
    """True for a module that is neither of the standard library nor installed."""
    known = _own.get(module_name)
    if known is not None:
        return known
    module = sys.modules.get(module_name.partition(".")[0])
    file = getattr(module, "__file__", None)
    if module is None or module_name == "__main__":
        return True
    own = (file is not None and not file.startswith(_standard)
           and "site-packages" not in file and "dist-packages" not in file)
    if module_name.partition(".")[0] in ("remuda", "remuda_codec", "remuda_worker"):
        own = False
    _own[module_name] = own
    return own


def _walk(root, path):
    for part in path:
        root = getattr(root, part)
    return root


def place_of(function):
    """(module, qualname) under which `function` can be found again, or None."""
    module = getattr(function, "__module__", None)
    qualname = getattr(function, "__qualname__", None)
    if module is None:
        owner = getattr(function, "__objclass__", None)
        module = getattr(owner, "__module__", None)
    if not isinstance(module, str) or not isinstance(qualname, str) or "<" in qualname:
        return None
    root = sys.modules.get(module)
    if root is None or module == "__main__":
        return None
    try:
        found = _walk(root, qualname.split("."))
    except AttributeError:
        return None
    if found is not function or len(module) + len(qualname) >= NAME_MAX:
        return None
    return module, qualname


def by_name(function, mode="schema"):
    """The name by which workers find `function`, or None: it must be captured."""
    place = place_of(function)
    if place is None or (mode == "capture" and is_own(place[0])):
        return None
    return f"{place[0]}.{place[1]}"


def lookup(name):
    """The object of that name: imports the longest part of it that is a module."""
    parts = name.split(".")
    if len(parts) < 2 or not all(parts):
        raise LookupError(f"'{name}' names no function: it must be MODULE.FUNCTION, as in "
                          "math.factorial")
    for count in range(len(parts) - 1, 0, -1):
        module_name = ".".join(parts[:count])
        module = sys.modules.get(module_name)
        if module is None:
            try:
                module = importlib.import_module(module_name)
            except ModuleNotFoundError as error:
                missing = error.name or ""
                if module_name == missing or module_name.startswith(missing + "."):
                    if count > 1:
                        continue
                    raise ModuleNotFoundError(
                        f"no module named '{missing}' on {os.uname().nodename} "
                        f"(python {sys.version.split()[0]}, sys.path {sys.path})",
                        name=missing) from None
                raise
        try:
            return _walk(module, parts[count:])
        except AttributeError:
            raise LookupError(f"module '{module_name}' has no "
                              f"'{'.'.join(parts[count:])}'") from None
    raise LookupError(name)
