#!/usr/bin/env python3
"""Checks the house rules that a compiler can't: which room may include which, file sizes,
words that must not be committed. Prints each breach as FILE:LINE: what; exit 1 if any."""

import re
import subprocess
import sys

FILES = subprocess.run(
    ["git", "ls-files", "-z"], check=True, capture_output=True, text=True
).stdout.split("\0")

LINES_MAX = 600
TEST_LINES_MAX = 900  # tables of cases
COLUMNS_MAX = 106
breaches = []


def breach(path, line, text):
    breaches.append(f"{path}:{line}: {text}")


def room(path):
    return path.split("/")[0]


def check_include(path, number, target):
    if target.startswith("grpc/") and not path.startswith(("proto/rpc/", "tests/bench/")):
        breach(path, number, f"only proto/rpc includes <{target}>")
    head = room(target)
    if head in ("client", "server", "worker") and room(path) not in (head, "tests"):
        if path != "server/main.c" and not path.startswith("server/direct_link"):
            breach(path, number, f"{room(path)} must not include {target}")
    if path.startswith("server/core/") and "/" in target:
        if not target.startswith(("proto/base/", "server/core/", "sys/")):
            breach(path, number, f"server/core includes only proto/base, not {target}")
    if path.startswith("proto/base/") and head == "proto":
        if not target.startswith("proto/base/"):
            breach(path, number, f"proto/base stands alone, not on {target}")


def check_c(path, lines):
    limit = TEST_LINES_MAX if path.startswith("tests/") else LINES_MAX
    if len(lines) > limit:
        breach(path, len(lines), f"longer than {limit} lines: make it two")
    if path.endswith(".h") and "include/remuda" not in path and "#pragma once" not in "\n".join(lines):
        breach(path, 1, "no #pragma once")
    for number, line in enumerate(lines, 1):
        found = re.match(r'\s*#\s*include\s+["<]([^">]+)[">]', line)
        if found:
            check_include(path, number, found.group(1))
        if len(line.expandtabs(8)) > COLUMNS_MAX:
            breach(path, number, f"wider than {COLUMNS_MAX} columns")
        if re.search(r"\b(TODO|FIXME|XXX)\b", line):
            breach(path, number, "what is not done is said where its user meets it, not here")


for path in filter(None, FILES):
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except (UnicodeDecodeError, FileNotFoundError, IsADirectoryError):
        continue
    lines = text.splitlines()
    if path.endswith((".c", ".h", ".cpp")):
        check_c(path, lines)
    if path in ("LICENSE", "tests/lint/check.py"):
        continue
    for number, line in enumerate(lines, 1):
        if re.search(r"/work/(main|shared)|/tmp/build/|/root/go", line):
            breach(path, number, "a path of one machine")

print("\n".join(breaches))
sys.exit(1 if breaches else 0)
