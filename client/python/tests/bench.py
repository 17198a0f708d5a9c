"""Measures remuda against concurrent.futures (and loky, where it is installed) in one run.

Not a test: a timing is never pass or fail. PYTHONPATH=build/PRESET/lib/python python3 bench.py
"""

import concurrent.futures
import statistics
import time


def nothing():
    return None


def double(number):
    return 2 * number


def take(thing):
    return len(thing)


def echo(thing):
    return thing


def median_ms(call, repeats):
    spans = []
    for _ in range(repeats):
        begun = time.perf_counter()
        call()
        spans.append((time.perf_counter() - begun) * 1000)
    return statistics.median(spans)


def rate(executor, count):
    begun = time.perf_counter()
    for future in [executor.submit(nothing) for _ in range(count)]:
        future.result()
    return count / (time.perf_counter() - begun)


def map_rate(executor, count, **options):
    begun = time.perf_counter()
    total = sum(executor.map(double, range(count), **options))
    assert total == count * (count - 1)
    return count / (time.perf_counter() - begun)


def figures(executor, **map_options):
    executor.submit(nothing).result()
    list(executor.map(nothing_of, range(8)))
    ints = list(range(1_000_000))
    dicts = [{"id": i, "name": f"item {i}"} for i in range(100_000)]
    blob = bytes(64 << 20)
    return {
        "round trip, median, µs": median_ms(lambda: executor.submit(nothing).result(), 2000) * 1e3,
        "submit, one future each, 1/s": rate(executor, 20_000),
        "map, 1 M items, 1/s": map_rate(executor, 1_000_000, **map_options),
        "list of 1 M ints to a task, ms": median_ms(lambda: executor.submit(take, ints).result(), 7),
        "100,000 dicts to a task, ms": median_ms(lambda: executor.submit(take, dicts).result(), 5),
        "64 MiB of bytes echoed, ms": median_ms(lambda: executor.submit(echo, blob).result(), 5),
    }


def nothing_of(_):
    return None


def main():
    import remuda
    columns = {}
    with remuda.ProcessPoolExecutor(2, encoder="auto") as executor:
        columns["remuda"] = figures(executor)
    with concurrent.futures.ProcessPoolExecutor(2) as executor:
        columns["concurrent.futures"] = figures(executor, chunksize=4096)
    try:
        import loky
    except ImportError:
        pass
    else:
        with loky.ProcessPoolExecutor(2) as executor:
            columns["loky"] = figures(executor, chunksize=4096)
    print("| what | " + " | ".join(columns) + " |")
    print("| --- |" + " --- |" * len(columns))
    for what in columns["remuda"]:
        print(f"| {what} | " + " | ".join(f"{column[what]:,.1f}" for column in columns.values())
              + " |")


if __name__ == "__main__":
    main()
