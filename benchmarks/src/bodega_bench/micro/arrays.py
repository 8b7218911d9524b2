"""Put and get against the limits of the same machine in the same run: open + map, and pwrite to a fresh file.

Run with ``make bench``. Prints a table and writes ``bench-results/micro.json``; times are medians.
"""

from __future__ import annotations

import json
import mmap
import multiprocessing
import os
import resource
import shutil
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import track
from rich.table import Table

import bodega
from bodega_bench.timing import seconds

KIB, MIB = 1 << 10, 1 << 20
SIZES = {"1 KiB": KIB, "64 KiB": 64 * KIB, "1 MiB": MIB, "16 MiB": 16 * MIB, "100 MB": 100_000_000, "1 GiB": 1024 * MIB}


def bare_map(path: str) -> mmap.mmap:
    """The least that reading without copying can cost."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return mmap.mmap(descriptor, 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    finally:
        os.close(descriptor)


def bare_write(folder: str, data: memoryview) -> None:
    """The fastest way to fill a fresh file on small pages."""
    descriptor = os.open(folder, os.O_TMPFILE | os.O_RDWR, 0o600)
    try:
        done = 0
        while done < data.nbytes:
            done += os.pwrite(descriptor, data[done:], done)
    finally:
        os.close(descriptor)


def measure(store: bodega.Store) -> list[dict[str, Any]]:
    """One row per size."""
    folder, rows = str(store.root), []
    for label, size in track(SIZES.items(), description="sizes"):
        array = np.random.default_rng(0).integers(0, 255, size, "u1")
        repeats = max(5, min(300, 400 * MIB // size))
        names = iter(f"{label} {count}" for count in range(10**9))

        def drop() -> None:
            for name in store.names():
                store.delete(name)
            store.sweep(empty_pool=True)

        # A B A B: the machine's speed drifts.
        puts, writes = [], []
        batch = max(1, min(50, 16 * MIB // size))
        for _ in range(max(1, min(20, repeats))):
            puts.append(seconds(lambda: store.put(next(names), array), batch))  # noqa: B023 - used at once
            drop()
            writes.append(seconds(lambda: bare_write(folder, array.data), batch))  # noqa: B023
        store.put("x", array)
        store.put("x", array)
        warm = seconds(lambda: store.put("x", array), max(3, repeats // 4))  # noqa: B023
        path = os.path.join(folder, "runs", store.run, "x")
        gets = seconds(lambda: store.get("x"), repeats * 3)
        maps = seconds(lambda: bare_map(path), repeats * 3)  # noqa: B023
        drop()
        put, write = statistics.median(puts), statistics.median(writes)
        rows.append(
            {"object": label, "put": put, "pwrite": write, "put speed of pwrite": write / put, "put warm": warm,
             "get": gets, "open + map": maps, "get over map": gets / maps}
        )  # fmt: skip
    return rows


def measure_frame(store: bodega.Store) -> dict[str, Any]:
    """A frame of 100 MB: ten columns of floats and one of strings."""
    rows = 1_000_000
    frame = pd.DataFrame({f"column {number}": np.random.default_rng(number).random(rows) for number in range(10)})
    frame["name"] = [f"name {number % 1000}" for number in range(rows)]
    put = seconds(lambda: store.put("frame", frame), 5)
    get = seconds(lambda: store.get("frame"), 200)
    store.drop_run()
    store.sweep(empty_pool=True)
    return {"put": put, "get": get}


def measure_held(store: bodega.Store) -> dict[str, Any]:
    """50,000 objects held at once under a limit of 1,024 descriptors."""
    count = 50_000
    array = np.zeros(80_000, "u1")  # Just above what is read instead of mapped.
    for number in track(range(count), description="objects to hold"):
        store.put(str(number), array)
    alone = seconds(lambda: store.get("7"), 2_000)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))
    start = time.perf_counter()
    held = [store.get(str(number)) for number in range(count)]
    each = (time.perf_counter() - start) / count
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    del held
    store.drop_run()
    return {"objects": count, "each": each, "over a plain get": each - alone}


def measure_memory(store: bodega.Store) -> dict[str, Any]:
    """Private memory that a put and a get of 4 GB add."""
    # In a process of its own: an earlier peak would hide this one.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as fresh:
        put = fresh.submit(put_peak, store).result()
    before = private_bytes()
    value = store.get("x")
    get = private_bytes() - before
    del value
    store.drop_run()
    store.sweep(empty_pool=True)
    return {"put, MB besides the object": put / 1e6, "get, MB": get / 1e6}


def put_peak(store: bodega.Store) -> int:
    """By how many bytes a put of 4 GB raises the peak memory of a process that holds the array."""
    array = np.zeros(4_000_000_000, "u1")
    array[::4096] = 1
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    store.put("x", array)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * KIB


def private_bytes() -> int:
    """Private memory of this process."""
    lines = Path("/proc/self/smaps_rollup").read_text(encoding="ascii").splitlines()
    return sum(int(line.split()[1]) * KIB for line in lines if line.startswith(("Private_Dirty", "Private_Clean")))


def main() -> None:
    """Measure, print and keep."""
    console = Console()
    parent = tempfile.mkdtemp(prefix="bodega-bench-", dir="/dev/shm")
    try:
        store = bodega.open(Path(parent) / "root", run="bench")
        rows = measure(store)
        others = {"frame of 100 MB": measure_frame(store), "held": measure_held(store), "4 GB": measure_memory(store)}
    finally:
        shutil.rmtree(parent)
    table = Table(title="Arrays, microseconds")
    for column in rows[0]:
        table.add_column(column, justify="left" if column == "object" else "right")
    for row in rows:
        table.add_row(*(
            value if isinstance(value, str) else f"{value:.2f}x" if name in {"put speed of pwrite", "get over map"}
            else f"{value * 1e6:,.0f}" for name, value in row.items()
        ))  # fmt: skip
    console.print(table)
    for name, facts in others.items():
        console.print(name, {key: f"{value * 1e6:,.1f} us" if isinstance(value, float) and "MB" not in key else value
                             for key, value in facts.items()})  # fmt: skip
    results = Path("bench-results")
    results.mkdir(exist_ok=True)
    (results / "micro.json").write_text(json.dumps({"arrays": rows, **others}, indent=2), encoding="utf-8")
    console.print(f"Written to {results / 'micro.json'}")


if __name__ == "__main__":
    main()
