"""python -m remuda: the command `remuda`."""

import os
import sys

from ._session import program


def main():
    """Becomes the program `remuda`."""
    path = program("remuda") or "remuda"
    try:
        os.execvp(path, ["remuda", *sys.argv[1:]])
    except OSError as error:
        sys.exit(f"remuda: {path}: {error.strerror}")


if __name__ == "__main__":
    main()
