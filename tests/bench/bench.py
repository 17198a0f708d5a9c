#!/usr/bin/env python3
"""Measures speed and memory, and compares with floors that are measured in the same run.

    bench.py BUILD_FOLDER [--json] [--quick]

A table, or with --json one object a line: name, value, unit, floor, ratio, spread. `floor` is what
raw gRPC gives here and now, or the figure to reach; `ratio` is value / floor; `spread` is
(max - min) / median over the rounds. Nothing here passes or fails: machines differ."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

BUILD = os.path.abspath(sys.argv[1])
JSON = "--json" in sys.argv
QUICK = "--quick" in sys.argv
BIN = os.path.join(BUILD, "bin")
MODULE = os.path.join(BUILD, "lib", "remuda", "modules", "demo.so")
CLIENT = os.path.join(BIN, "bench_client")
ROUNDS = 3 if QUICK else 5
ENV = {k: v for k, v in os.environ.items() if not k.startswith("REMUDA_")}
ENV["REMUDA_SERVER"] = os.path.join(BIN, "remudad")


def client(mode, address="-", count=1):
    out = subprocess.run([CLIENT, mode, address, MODULE, str(count)], env=ENV, check=True,
                         capture_output=True, text=True, timeout=90).stdout
    return [float(word) for word in out.split()]


def spread(values):
    middle = statistics.median(values)
    return (max(values) - min(values)) / middle if middle else 0.0


def report(name, value, unit, floor=None, spread_=None, what=""):
    ratio = value / floor if floor else None
    if JSON:
        print(json.dumps({"name": name, "value": round(value, 3), "unit": unit,
                          "floor": None if floor is None else round(floor, 3),
                          "ratio": None if ratio is None else round(ratio, 3),
                          "spread": None if spread_ is None else round(spread_, 3)}), flush=True)
        return
    floor_text = "" if floor is None else f"{floor:,.1f}"
    ratio_text = "" if ratio is None else f"{ratio:.2f}"
    spread_text = "" if spread_ is None else f"{100 * spread_:.0f} %"
    print(f"{name:<22}{value:>14,.1f} {unit:<9}{floor_text:>14}{ratio_text:>8}{spread_text:>8}  "
          f"{what}", flush=True)


def pss_kib(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Pss:"))


def children_of(pid):
    found = []
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as file:
            found += [int(word) for word in file.read().split()]
    return found


def name_of(pid):
    with open(f"/proc/{pid}/comm", encoding="ascii") as file:
        return file.read().strip()


class Remudad:
    """A coordinator with an agent, to look at from outside."""

    def __init__(self, folder, workers):
        read, write = os.pipe()
        self.process = subprocess.Popen(
            [os.path.join(BIN, "remudad"), "--listen", f"unix:{folder}/s", "--local-workers",
             str(workers), "--module", MODULE, "--ready-fd", str(write), "--grace", "0"],
            pass_fds=[write], env=ENV, stderr=subprocess.DEVNULL)
        os.close(write)
        with os.fdopen(read) as ready:
            self.address = ready.read().split()[1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(60)


def raw_grpc():
    """What bench_rpc_echo says: for K its value and the raw one."""
    out = subprocess.run([os.path.join(BIN, "bench_rpc_echo"), "--seconds",
                          "0.3" if QUICK else "0.6"], check=True, capture_output=True, text=True,
                         timeout=90).stdout
    return {row["name"]: row for row in map(json.loads, out.splitlines())}


def bench_speed():
    raw = raw_grpc()
    count = 100000 if QUICK else 300000
    rates = [count / client("submit", count=count)[0] for _ in range(ROUNDS)]
    batches = raw["rpc_echo_k256"]["raw"] if "rpc_echo_k256" in raw else None
    report("submit_local", statistics.median(rates), "tasks/s", 250000, spread(rates),
           "no-op tasks, one future each; to reach: 250,000")
    if batches:
        report("submit_of_raw", 100 * statistics.median(rates) / batches, "%", None, None,
               "of a raw gRPC echo of the same batches")
    trips = [client("round_trip", count=3000) for _ in range(ROUNDS)]
    medians = [trip[0] for trip in trips]
    ping = raw["rpc_echo_round_trip"]["raw"]
    report("round_trip_local", statistics.median(medians), "us", ping, spread(medians),
           "median, one at a time; floor: raw ping-pong; to reach: ratio 4")
    tails = [trip[1] for trip in trips]
    report("round_trip_p99", statistics.median(tails), "us", None, spread(tails), "")
    echoes = [2 * 64 * 1.048576 / client("echo", count=5)[0] for _ in range(ROUNDS)]
    report("echo_64mib", statistics.median(echoes), "MB/s", 700, spread(echoes),
           "64 MiB there and back, both counted; to reach: 700")


def bench_cold_start():
    times = []
    for _ in range(2 * ROUNDS):
        begun = time.monotonic()
        with subprocess.Popen([CLIENT, "once", "-", MODULE], env=ENV,
                              stdout=subprocess.PIPE) as child:
            child.stdout.readline()
            times.append((time.monotonic() - begun) * 1000)
            child.stdout.read()
        time.sleep(0.1)
    report("cold_start", statistics.median(times), "ms", 60, spread(times),
           "process start to first result; to reach: 60")


def bench_memory(folder):
    with Remudad(folder, 1) as remudad:
        client("once", remudad.address)
        pid = remudad.process.pid
        spawner = children_of(pid)
        workers = [child for parent in spawner for child in children_of(parent)
                   if "worker" in name_of(child)]
        idle = pss_kib(pid) + sum(pss_kib(child) for child in spawner)
        report("idle_pss", idle / 1024, "MiB", 25, None,
               "coordinator with agent and spawner; at most 25")
        report("worker_pss", pss_kib(workers[0]) / 1024, "MiB", 4, None,
               "one native worker; at most 4")


def bench_queue(folder):
    count = 100000 if QUICK else 1000000
    with Remudad(folder, 1) as remudad:
        client("once", remudad.address)
        pid = remudad.process.pid
        before = pss_kib(pid)
        with subprocess.Popen([CLIENT, "queue", remudad.address, MODULE, str(count)], env=ENV,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
            child.stdout.readline()
            time.sleep(0.5)
            held = pss_kib(pid)
            child.stdin.close()
            child.wait(60)
        deadline = time.monotonic() + 60
        while pss_kib(pid) > before + (held - before) / 4 and time.monotonic() < deadline:
            time.sleep(0.1)
        after = pss_kib(pid)
    report("queued_task_bytes", 1024 * (held - before) / count, "bytes", 512, None,
           f"{count:,} queued tasks, payload included; at most 512 + payload")
    report("queue_freed", 100 * (held - after) / (held - before), "%", None, None,
           "of that memory given back when they are gone")


def main():
    if not JSON:
        print(f"{'name':<22}{'value':>14} {'unit':<9}{'floor':>14}{'ratio':>8}{'spread':>8}")
    bench_speed()
    bench_cold_start()
    with tempfile.TemporaryDirectory(prefix="rmdb") as folder:
        bench_memory(folder)
        bench_queue(folder)


if __name__ == "__main__":
    main()
