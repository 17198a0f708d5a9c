"""How many CPUs this process may use."""

import math
import os
import subprocess
import warnings

_physical = None  # cores, once counted; or the exception


def _read(path):
    try:
        with open(path, encoding="ascii") as file:
            return file.read().split()
    except (OSError, UnicodeDecodeError):
        return []


def _quota(words):
    """CPUs by a pair of quota and period; infinity where there is no limit."""
    try:
        quota, period = int(words[0]), int(words[1])
    except (ValueError, IndexError):
        return math.inf
    return math.ceil(quota / period) if quota > 0 and period > 0 else math.inf


def _levels(path):
    """`path` and all folders above it, "" the last."""
    path = path.rstrip("/")
    while path:
        yield path
        path = path.rpartition("/")[0]
    yield ""


def _cgroup_cpus(proc="/proc/self/cgroup", root="/sys/fs/cgroup"):
    """The tightest limit on the process's own way up, in cgroup v1 and v2."""
    least = math.inf
    try:
        with open(proc, encoding="utf-8", errors="replace") as file:
            lines = [line.rstrip("\n").split(":", 2) for line in file]
    except OSError:
        lines = []
    for number, controllers, path in (line for line in lines if len(line) == 3):
        if number == "0" and controllers == "":
            for level in _levels(path):
                least = min(least, _quota(_read(f"{root}{level}/cpu.max")))
        elif "cpu" in controllers.split(","):
            for level in _levels(path):
                folder = f"{root}/cpu{level}"
                least = min(least, _quota(_read(f"{folder}/cpu.cfs_quota_us") +
                                          _read(f"{folder}/cpu.cfs_period_us")))
    return least


def _user_limit():
    limit = os.environ.get("LOKY_MAX_CPU_COUNT")
    return int(limit) if limit else math.inf


def _count_physical():
    global _physical
    if _physical is None:
        try:
            listed = subprocess.run(["lscpu", "--parse=core"], capture_output=True, text=True,
                                    check=True).stdout
            cores = {line for line in listed.splitlines() if line and not line.startswith("#")}
            if not cores:
                raise ValueError("lscpu found no core")
            _physical = len(cores)
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            _physical = error
            warnings.warn("Could not find the number of physical cores for the following "
                          f"reason:\n{error}\nReturning the number of logical cores instead.",
                          stacklevel=3)
    return _physical


def cpu_count(only_physical_cores=False):
    """CPUs that this process may use: by its affinity, its cgroups and LOKY_MAX_CPU_COUNT; at
    least 1. Physical cores count only where none of these says less."""
    logical = os.cpu_count() or 1
    limit = min(len(os.sched_getaffinity(0)), _cgroup_cpus(), _user_limit())
    count = max(1, int(min(logical, limit)))
    if not only_physical_cores or count < logical:
        return count
    physical = _count_physical()
    return count if isinstance(physical, Exception) else max(1, min(count, physical))
