"""python -m remuda: the command `remuda`."""

import os
import sys

from ._session import program


def main() -> None:
    """Becomes the program `remuda`. Python tasks that it runs have this interpreter, unless
    REMUDA_PYTHON names another."""
    path = program("remuda") or "remuda"
    if sys.executable:
        os.environ.setdefault("REMUDA_PYTHON", sys.executable)
    try:
        os.execvp(path, ["remuda", *sys.argv[1:]])
    except OSError as error:
        sys.exit(f"remuda: {path}: {error.strerror}")


if __name__ == "__main__":
    main()
