"""bundle.py FOLDER: puts the shared libraries that the programs in FOLDER need into FOLDER/lib.

Each is renamed (libssl.so.3 becomes rmdssl.so.3): a process has one library of a name, and the
interpreter's own modules, or another package's, must neither meet ours nor we theirs. The new name
is as long as the old one, so that it is written over it in the string table, and nothing moves.
What every Linux has of old (the C and C++ runtimes, zlib) is left to the system.
"""

import os
import re
import shutil
import struct
import subprocess
import sys

SYSTEM = re.compile(r"^(lib(c|m|dl|rt|pthread|resolv|gcc_s|stdc\+\+|z|remuda)\.so\b|ld-linux|linux-vdso)")
PREFIX = b"rmd"
SHT_STRTAB = 3


def elf_files(folder):
    """Paths of all ELF files below `folder`."""
    for place, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(place, name)
            if os.path.islink(path):
                continue
            with open(path, "rb") as file:
                if file.read(4) == b"\x7fELF":
                    yield path


def needed(path):
    """{name: path} of all libraries that `path` would load, but the system's."""
    env = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    listed = subprocess.run(["ldd", path], capture_output=True, text=True, check=True, env=env)
    found = {}
    for line in listed.stdout.splitlines():
        name, arrow, rest = line.strip().partition(" => ")
        if not arrow or SYSTEM.match(name) or name.startswith(PREFIX.decode()):
            continue
        target = rest.rpartition(" (")[0]
        if not target.startswith("/"):
            raise SystemExit(f"bundle.py: {path} needs {name}, which is not found")
        found[name] = target
    return found


def string_table(data):
    """(offset, size) of .dynstr in a 64-bit little-endian ELF file."""
    if data[4:6] != b"\x02\x01":
        raise SystemExit("bundle.py: not a 64-bit little-endian ELF file")
    (sections,) = struct.unpack_from("<Q", data, 40)
    size, count, names = struct.unpack_from("<HHH", data, 58)

    def section(index):
        return struct.unpack_from("<IIQQQQ", data, sections + index * size)

    names_at = section(names)[4]
    for index in range(count):
        name, kind, _, _, offset, length = section(index)
        if kind == SHT_STRTAB and data[names_at + name:].startswith(b".dynstr\0"):
            return offset, length
    raise SystemExit("bundle.py: no .dynstr")


def rename(path, names):
    """Writes the new names over the old ones in the string table of `path`."""
    with open(path, "rb") as file:
        data = file.read()
    offset, length = string_table(data)
    table = data[offset:offset + length]
    for name in names:
        old = name.encode()
        table = table.replace(b"\0" + old + b"\0", b"\0" + PREFIX + old[3:] + b"\0")
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(table)


def main(folder):
    """Bundles, and says so."""
    libraries = {}
    for path in elf_files(folder):
        libraries.update(needed(path))
    for name, path in sorted(libraries.items()):
        target = os.path.join(folder, "lib", PREFIX.decode() + name[3:])
        shutil.copy(os.path.realpath(path), target)
        os.chmod(target, 0o755)
    for path in elf_files(folder):
        rename(path, libraries)
    print(f"-- Bundled {len(libraries)} libraries")


if __name__ == "__main__":
    main(sys.argv[1])
