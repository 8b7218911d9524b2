"""Put and get against the limits of the same machine in the same run: open + map, and pwrite to a fresh file.

``bodega bench micro`` (``make bench``).
"""

from __future__ import annotations

import itertools
import mmap
import multiprocessing
import os
import resource
import statistics
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import track

import bodega
from bodega.testing.lifeline import scratch
from bodega.texts import format_size
from bodega_bench.formats import duration, ratio
from bodega_bench.machine import memory_folder
from bodega_bench.results import finish, json_option, output_option
from bodega_bench.tables import Table
from bodega_bench.timing import in_turns, ratio_of_pairs, seconds

_HELD = 50_000
_MEMORY = "private memory of 4 GB"
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
    rows = []
    for label, size in track(SIZES.items(), description="sizes", console=Console(stderr=True), transient=True):
        rows.append({"object": label, **measure_size(store, size)})
    return rows


def measure_size(store: bodega.Store, size: int) -> dict[str, float]:
    """Seconds of each operation with an array of so many bytes, beside what limits it."""
    folder = str(store.root)
    array = np.random.default_rng(0).integers(0, 255, size, "u1")
    repeats = max(5, min(300, 400 * MIB // size))
    batch = max(1, min(50, 16 * MIB // size))
    names = (f"array {count}" for count in itertools.count())

    def put() -> float:
        found = seconds(lambda: store.put(next(names), array), batch)
        drop()
        return found

    def drop() -> None:
        for name in store.names():
            store.delete(name)
        store.sweep(empty_pool=True)

    fresh = in_turns(
        {"put": put, "pwrite": lambda: seconds(lambda: bare_write(folder, array.data), batch)}, min(20, repeats)
    )
    for _ in range(2):
        store.put("x", array)
    warm = seconds(lambda: store.put("x", array), max(3, repeats // 4))
    path = os.path.join(folder, "runs", store.run, "x")
    reads = in_turns(
        {
            "get": lambda: seconds(lambda: store.get("x"), repeats),
            "open + map": lambda: seconds(lambda: bare_map(path), repeats),
        },
        3,
    )
    drop()
    return {
        "put": statistics.median(fresh["put"]),
        "pwrite": statistics.median(fresh["pwrite"]),
        "put speed / pwrite's": ratio_of_pairs(fresh["pwrite"], fresh["put"]),
        "put warm": warm,
        "get": statistics.median(reads["get"]),
        "open + map": statistics.median(reads["open + map"]),
        "get / map": ratio_of_pairs(reads["get"], reads["open + map"]),
    }


def measure_frame(store: bodega.Store) -> dict[str, float]:
    """A frame of 100 MB: ten columns of floats and one of strings."""
    rows = 1_000_000
    frame = pd.DataFrame({f"column {number}": np.random.default_rng(number).random(rows) for number in range(10)})
    frame["name"] = [f"name {number % 1000}" for number in range(rows)]
    put = seconds(lambda: store.put("frame", frame), 5)
    get = seconds(lambda: store.get("frame"), 200)
    store.drop_run()
    store.sweep(empty_pool=True)
    return {"put": put, "get": get}


def measure_held(store: bodega.Store) -> dict[str, float]:
    """Many objects held at once under a limit of 1,024 descriptors."""
    count = _HELD
    array = np.zeros(80_000, "u1")  # Just above what is read instead of mapped.
    for number in range(count):
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
    return {"each": each, "over a plain get": each - alone}


def measure_memory(store: bodega.Store) -> dict[str, int]:
    """Bytes of private memory that a put and a get of 4 GB add."""
    # In a process of its own: an earlier peak would hide this one.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as fresh:
        put = fresh.submit(put_peak, store).result()
    before = private_bytes()
    value = store.get("x")
    get = private_bytes() - before
    del value
    store.drop_run()
    store.sweep(empty_pool=True)
    return {"put, besides the object": put, "get": get}


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


def as_tables(rows: Sequence[Mapping[str, Any]], others: Mapping[str, Mapping[str, float]]) -> list[Table]:
    """The sizes, and what was measured besides."""
    header = list(rows[0])
    sizes = [
        [row["object"], *(ratio(row[name]) if "/" in name else duration(row[name]) for name in header[1:])]
        for row in rows
    ]
    lines = [
        [f"{name}: {what}", format_size(value) if name == _MEMORY else duration(value)]
        for name, facts in others.items()
        for what, value in facts.items()
    ]
    return [
        Table(
            "Arrays",
            "Medians. pwrite: the same bytes to a fresh nameless file; open + map: the least that a read without copying "
            "can cost; put warm: over an object that was replaced before.",
            header,
            sizes,
        ),
        Table("Besides", "", ["", ""], lines),
    ]


@click.command()
@output_option("micro.json")
@json_option
def micro(output: Path, *, as_json: bool) -> None:
    """Put and get beside the limits of this machine.

    Arrays of growing sizes, a frame, many objects held at once, and the memory of 4 GB, beside pwrite to a fresh file
    and open + map, in the same run.
    """
    with scratch("bodega-bench-", memory_folder()) as folder:
        store = bodega.open(folder / "root", run="bench")
        rows = measure(store)
        others: dict[str, Mapping[str, float]] = {
            "frame of 100 MB": measure_frame(store),
            f"{_HELD:,} objects held at once": measure_held(store),
            _MEMORY: measure_memory(store),
        }
    finish("micro", {"arrays": rows, **others}, as_tables(rows, others), output, as_json=as_json)
