"""The switch between the encoders, and what is said where a task can't be encoded."""

import importlib
import os
import pickle
import sys
import traceback

import remuda_codec
from remuda_codec import MODES, NestedFunctionError

from ._errors import RemoteTraceback, quoted

_NOT_SENT = "Could not pickle the task to send it to the workers."
_WAYS_OUT = (
    "The function stands inside an argument, and workers can't import it. Three ways out:\n"
    "  - wrap it: remuda.wrap_non_picklable_objects(function)\n"
    "  - capture all functions of your own: remuda.set_encoder('capture')\n"
    "  - capture those that can't be imported, wherever they stand: remuda.set_encoder('auto')")

_mode = None       # as set; None: by the environment
_pickler_name = None


def _checked(mode):
    if mode not in MODES:
        raise ValueError(f"no encoder '{mode}': it is one of {', '.join(MODES)}")
    return mode


def get_encoder(default="schema"):
    """The encoder in force: "schema", "capture" or "auto"."""
    if _mode is not None:
        return _mode
    named = os.environ.get("REMUDA_ENCODER")
    if named:
        return _checked(named)
    pickler = os.environ.get("LOKY_PICKLER")
    return _mode_of(pickler, default) if pickler else default


def set_encoder(mode=None):
    """Which functions are captured: "schema" (default), "capture" or "auto"; None: the default."""
    global _mode
    _mode = None if mode is None else _checked(mode)


def _mode_of(pickler, default):
    if pickler == "cloudpickle":
        return "capture"
    return "schema" if pickler == "pickle" else default


def set_loky_pickler(loky_pickler=None):
    """loky's name of set_encoder: "cloudpickle" is "capture", None the default; another module's
    `Pickler` is used for objects that have no schema form."""
    global _mode, _pickler_name
    pickler = None
    if loky_pickler not in (None, "", "cloudpickle", "pickle"):
        try:
            pickler = importlib.import_module(loky_pickler).Pickler
        except (ImportError, AttributeError) as error:
            text = (f"{error} This error occurred while setting loky_pickler to '{loky_pickler}', "
                    "as required by the env variable LOKY_PICKLER or the function "
                    "set_loky_pickler.")
            raise type(error)(text) from error
    remuda_codec.set_pickler(pickler)
    _pickler_name = loky_pickler or None
    _mode = _mode_of(loky_pickler, None) if loky_pickler else None


def get_loky_pickler_name():
    """What set_loky_pickler was given."""
    return _pickler_name or os.environ.get("LOKY_PICKLER") or "cloudpickle"


def not_sent(error):
    """The exception for a task that could not be encoded, for `error`."""
    stack = traceback.TracebackException(type(error), error, error.__traceback__)
    while len(stack.stack) > 1 and "_executor" in stack.stack[0].filename:
        del stack.stack[0]
    text = "".join(stack.format())
    if isinstance(error, NestedFunctionError):
        text = text.replace("remuda_codec._opaque.NestedFunctionError:", "PicklingError:")
        text = text.replace("_pickle.PicklingError:", "PicklingError:")
    refused = pickle.PicklingError(_NOT_SENT)
    refused.__cause__ = RemoteTraceback(quoted(text))
    if isinstance(error, NestedFunctionError):
        if sys.version_info >= (3, 11):
            refused.add_note(_WAYS_OUT)
        else:
            refused.args = (f"{_NOT_SENT}\n{_WAYS_OUT}",)
    return refused
