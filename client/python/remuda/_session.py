"""Connections to coordinators: one for each address, opened at first use, and the thread that
completes futures and prints what tasks print."""

import atexit
import json
import os
import sys
import threading

from remuda_codec import decode_other, encode_other

_lock = threading.RLock()
_clients = {}      # address -> Client
_thread = None
_ended = False     # the interpreter is about to end
_forked = False    # we are a child of a process that had clients
_at_exit = []      # called first, once
_module = None
_environment = {}  # address -> os.environ when its private coordinator was started

FORKED = ("remuda was used before this process was forked: a child can't use what its parent "
          "opened. Start it with subprocess, or with the multiprocessing method 'spawn' or "
          "'forkserver'")


def program(name):
    """The path of one of our programs that came with the package, or None."""
    here = os.path.dirname(os.path.abspath(__file__))
    for folder in (os.path.join(here, "bin"), os.path.join(here, "..", "..", "..", "bin")):
        path = os.path.join(folder, name)
        if os.access(path, os.X_OK):
            return os.path.normpath(path)
    return None


def native():
    """The extension module."""
    global _module
    if _module is None:
        try:
            from . import _client
        except ImportError as error:
            raise ImportError(
                f"remuda was not built for this interpreter ({sys.version.split()[0]}, "
                f"{sys.executable}): {error}") from error
        _client.set_hooks(encode_other, decode_other)
        _module = _client
    return _module


def check_alive():
    """Raises where nothing can be submitted: in a forked child, at the interpreter's end."""
    if _forked:
        raise RuntimeError(FORKED)
    if _ended:
        raise RuntimeError("cannot schedule new futures after interpreter shutdown")


def client_of(address=None):
    """The client for that address (None: as REMUDA_ADDRESS says, else a private coordinator)."""
    client = _clients.get(address)
    if client is not None and client.usable:
        check_alive()
        return client
    with _lock:
        check_alive()
        client = _clients.get(address)
        if client is None or not client.usable:
            module = native()
            try:
                client = module.Client(address, None if os.environ.get("REMUDA_SERVER")
                                       else program("remudad"))
            except module.Refused as error:
                raise ConnectionError(error.args[0]["text"].rstrip()) from None
            _clients[address] = client
            _environment[address] = dict(os.environ)
            _start_thread()
        return client


def is_local(client):
    """True if its workers are on this host: they can be given our interpreter and folders."""
    return client.address == "private" or client.address.startswith("unix:")


def surroundings(address, client):
    """What workers of ours need of this process: interpreter, sys.path, folder, variables."""
    found = {}
    if not is_local(client):
        return found
    if client.address == "private":
        before = _environment[address]
        found.update((name, value) for name, value in os.environ.items()
                     if before.get(name) != value)
    if sys.executable:
        found["REMUDA_PYTHON"] = sys.executable
    found["REMUDA_PYTHON_PATH"] = json.dumps([os.path.abspath(p) for p in sys.path
                                              if isinstance(p, str)])
    try:
        found["REMUDA_PYTHON_CWD"] = os.getcwd()
    except OSError:
        pass  # it was deleted: workers keep their own
    if sys.flags.optimize:
        found["PYTHONOPTIMIZE"] = str(sys.flags.optimize)
    if sys.warnoptions:
        found["PYTHONWARNINGS"] = ",".join(sys.warnoptions)
    return found


# ---- the thread ----

def _show(stream, data):
    """Prints what a task printed."""
    target = sys.stdout if stream == 1 else sys.stderr
    if target is None:
        return
    try:
        target.write(data.decode("utf-8", "replace"))
        target.flush()
    except (OSError, ValueError):
        pass  # closed by the program


def _work():
    next_done = native().next_done
    while True:
        for item in next_done():
            if item is None:
                return
            try:
                if type(item) is tuple:
                    _show(*item)
                else:
                    item._complete()
            except BaseException:
                sys.excepthook(*sys.exc_info())


def _start_thread():
    global _thread
    if _thread is None:
        _thread = threading.Thread(target=_work, name="remuda", daemon=True)
        _thread.start()
        atexit.register(_end)


class _Mark:
    def __init__(self):
        self.passed = threading.Event()

    def _complete(self):
        self.passed.set()


def flush():
    """Waits until the thread has done what was to be done."""
    if _thread is None or threading.current_thread() is _thread or not _thread.is_alive():
        return
    mark = _Mark()
    native().post(mark)
    while not mark.passed.wait(0.1) and _thread.is_alive():
        pass


def at_exit(call):
    """Has `call` called before the connections are closed."""
    _at_exit.append(call)


def _end():
    global _ended
    if _forked:
        return
    _ended = True
    for call in _at_exit:
        call()
    flush()
    for client in _clients.values():
        try:
            client.close()
        except RuntimeError:
            pass  # another thread still waits in it: it ends with the process
    if _thread is not None:
        native().stop_done()
        _thread.join(5)


def _after_fork():
    global _forked, _lock
    if _clients:
        _forked = True
        _lock = threading.RLock()


os.register_at_fork(after_in_child=_after_fork)
