"""How Python objects travel, beside the plain types that the C side knows.

Three ways, in this order: a value of the schema (arrays, times, names of functions ...), a function
captured by cloudpickle, a pickle. Which functions are captured is decided by the mode:

* ``schema``: by name where workers can import it; else captured at the top level of a task, and an
  error where it is nested in an argument;
* ``auto``: the same, but captured wherever it stands;
* ``capture``: the user's own functions are always captured, importable or not.

Used by clients and by workers; needs only the standard library, and cloudpickle for captures.
"""

from ._functions import by_name, lookup
from ._opaque import ALL, CALL, NestedFunctionError, capture, load, pickle_bytes, wrapped_classes
from ._opaque import nested_error, set_pickler
from ._values import decode_other, encode_other
from ._wrap import wrap_non_picklable_objects

__all__ = ["ALL", "CALL", "NestedFunctionError", "by_name", "capture", "decode_other",
           "encode_other", "load", "lookup", "nested_error", "pickle_bytes",
           "set_pickler", "wrap_non_picklable_objects", "wrapped_classes", "MODES"]

MODES = ("schema", "capture", "auto")
