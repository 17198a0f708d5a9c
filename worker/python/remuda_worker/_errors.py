"""Exceptions as error chains: types, messages, frames, causes, and the exception itself, pickled."""

import io
import os
import pickle
import traceback

import remuda_codec
from remuda_codec import pickle_bytes

CHAIN_MAX = 60
FRAMES_MAX = 200
PAYLOAD_MAX = 900_000
_OURS = (os.path.dirname(__file__), os.path.dirname(remuda_codec.__file__), "<frozen importlib")


def _type_name(kind):
    if kind.__module__ in ("builtins", "__main__"):
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"


def _message(error):
    try:
        text = str(error)
    except Exception as failure:  # a __str__ of the user's that raises
        text = f"<its message could not be made: {type(failure).__name__}>"
    for note in getattr(error, "__notes__", ()):
        text += f"\n{note}"
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")


def _inner(tb):
    """Leaves out the runtime's own frames, which come first."""
    while tb is not None and tb.tb_frame.f_code.co_filename.startswith(_OURS):
        tb = tb.tb_next
    return tb


def _frames(error):
    frames = []
    for entry in traceback.extract_tb(_inner(error.__traceback__), limit=-FRAMES_MAX):
        file = entry.filename.encode("utf-8", "backslashreplace").decode()
        frames.append((file[-1000:], entry.lineno or 0, entry.name[:1000]))
    return frames


def _text(error):
    """The traceback as the interpreter prints it."""
    stripped = []
    try:
        seen = error
        for _ in range(CHAIN_MAX):
            if seen is None:
                break
            stripped.append((seen, seen.__traceback__))
            seen.__traceback__ = _inner(seen.__traceback__)
            seen = seen.__cause__ or seen.__context__
        lines = traceback.format_exception(type(error), error, error.__traceback__)
        return "".join(lines)
    except Exception:
        return f"{_type_name(type(error))}: {_message(error)}\n"
    finally:
        for seen, tb in stripped:
            seen.__traceback__ = tb


def _pickled(error):
    """The exception, or None where it can't travel."""
    try:
        codec, data = pickle_bytes(error, "auto")
    except BaseException:
        return None
    try:
        pickle.loads(data)  # __init__ with other arguments than those it passed on
    except BaseException:
        return None
    return codec, data


def _payload(error):
    """(exception or None, its cause, its context, text): what the client raises again."""
    text = _text(error)
    for parts in (_pickled(error), None):
        stream = io.BytesIO()
        inner = tuple(_pickled(each) if each is not None else None
                      for each in (error.__cause__, error.__context__))
        pickle.dump((parts, inner if parts else (None, None), error.__suppress_context__, text),
                    stream, pickle.HIGHEST_PROTOCOL)
        if stream.tell() <= PAYLOAD_MAX:
            return stream.getvalue()
        text = text[-PAYLOAD_MAX // 2:]
    return stream.getvalue()


def chain_of(error, origin, depth=1):
    """The tuples that _worker.commit_error wants."""
    cause, context = error.__cause__, error.__context__
    if error.__suppress_context__ or cause is not None:
        context = None
    deeper = depth < CHAIN_MAX
    return (
        _type_name(type(error))[:250], _message(error)[:60_000], origin, _frames(error),
        chain_of(cause, origin, depth + 1) if deeper and cause is not None else None,
        chain_of(context, origin, depth + 1) if deeper and context is not None else None,
        _payload(error) if depth == 1 else None,
    )



