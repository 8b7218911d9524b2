# ruff: noqa: SLF001 - single steps of the tiers are timed, which have no public name
"""Warm puts, moves between tiers and many small objects, each against the best that the same machine can do at the same time.

Run with ``make bench-tiers``. Prints a table and writes ``bench-results/tiers.json``; A B A B, medians. S3 is a SeaweedFS server
that is started for it; the limit there is obstore alone.
"""

from __future__ import annotations

import json
import mmap
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
from rich.console import Console
from rich.table import Table

import bodega
from bodega.testing.s3_server import find_seaweedfs, seaweedfs
from bodega.tiers.eviction import Eviction
from bodega_bench.timing import seconds

MIB = 1 << 20
SIZE = 100_000_000
LARGE = 1_000_000_000


def pairs(rows: list[tuple[str, Callable[[], object]]], repeats: int) -> dict[str, float]:
    """Median seconds of several actions that take turns."""
    found: dict[str, list[float]] = {name: [] for name, _ in rows}
    for _ in range(repeats):
        for name, action in rows:
            found[name].append(seconds(action, 1))
    return {name: statistics.median(values) for name, values in found.items()}


def warm_puts(folder: Path) -> dict[str, float]:
    """Overwriting an object, against the ways to write over a file whose pages are there."""
    store = bodega.open(folder / "warm")
    array = np.random.default_rng(0).integers(0, 255, SIZE, "u1")
    store.put("x", array)
    store.put("x", array)
    path = folder / "by-hand"
    path.write_bytes(bytes(array))
    descriptor = os.open(path, os.O_RDWR)

    def by_pwrite() -> None:
        done = 0
        while done < SIZE:
            done += os.pwrite(descriptor, array.data[done:], done)

    def by_mapping() -> None:
        mapping = mmap.mmap(descriptor, SIZE)
        np.frombuffer(mapping, "u1")[:] = array

    def by_two_threads() -> None:
        mapping = mmap.mmap(descriptor, SIZE)
        target, half = np.frombuffer(mapping, "u1"), SIZE // 2
        with ThreadPoolExecutor(2) as threads:
            list(threads.map(lambda part: np.copyto(target[part], array[part]), (slice(None, half), slice(half, None))))

    def by_two_writers() -> None:
        half = SIZE // 2
        with ThreadPoolExecutor(2) as threads:
            list(threads.map(lambda at: os.pwrite(descriptor, array.data[at : at + half], at), (0, half)))

    found = pairs(
        [("put", lambda: store.put("x", array)), ("pwrite", by_pwrite), ("mapping", by_mapping),
         ("mapping, 2 threads", by_two_threads), ("pwrite, 2 threads", by_two_writers)],
        15,
    )  # fmt: skip
    os.close(descriptor)
    store.drop_run()
    store.sweep(empty_pool=True)
    path.unlink()
    return found


def disk(folder: Path, below: Path) -> dict[str, float]:
    """Spill and promotion against ``cp``, and a get from a disk against one from memory."""
    store = bodega.open(folder / "disk", spill=below / "disk")
    array = np.random.default_rng(0).integers(0, 255, LARGE, "u1")
    top, lower = store._stack.folders
    eviction = Eviction(lower, store._stack.transfers)
    store.put("x", array)
    plain = folder / "plain"
    plain.write_bytes(bytes(array))
    found: dict[str, list[float]] = {}

    def timed(name: str, action: Callable[[], object]) -> None:
        os.sync()  # What was written before must not be paid for now.
        found.setdefault(name, []).append(seconds(action, 1))

    for _ in range(5):
        timed("cp to disk, synced", lambda: copy(plain, below / "copy"))
        (below / "copy").unlink()
        subprocess.run(["cp", plain, folder / "moving"], check=True)
        timed("mv to disk, synced", lambda: copy(folder / "moving", below / "copy", "mv"))
        timed("spill", lambda: eviction.move(top, "default", "x"))
        assert not top.exists("default", "x")
        timed("cp from disk", lambda: subprocess.run(["cp", below / "copy", folder / "copy"], check=True))
        (folder / "copy").unlink()
        (below / "copy").unlink()
        timed("promote", lambda: store._stack.transfers.copy_up(lower, top, "default", "x"))
        lower.delete("default", "x")
    eviction.move(top, "default", "x")
    from_disk = seconds(lambda: lower.open("default", "x"), 2000)
    store._stack.transfers.copy_up(lower, top, "default", "x")
    from_memory = seconds(lambda: top.open("default", "x"), 2000)
    store.drop_run()
    store.sweep(empty_pool=True)
    plain.unlink()
    medians = {name: statistics.median(values) for name, values in found.items()}
    return {**medians, "get from disk": from_disk, "get from memory": from_memory}


def copy(source: Path, target: Path, command: str = "cp") -> None:
    """``cp`` (or ``mv``, which frees the memory as a spill does), until the file is on the disk."""
    subprocess.run([command, source, target], check=True)
    descriptor = os.open(target, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def s3(folder: Path) -> dict[str, float]:
    """A gigabyte to and from S3, against obstore alone, and the memory that takes."""
    import obstore
    from obstore.store import from_url

    array = np.random.default_rng(0).integers(0, 255, LARGE, "u1")
    with seaweedfs(find_seaweedfs() or "weed") as bucket:
        url, options = bucket.url, bucket.options
        alone = from_url(url, config=cast("Any", options), client_options=cast("Any", {"allow_http": "true"}))
        store = bodega.open(folder / "s3", spill=url, storage_options=options)
        store.put("x", array)
        found: dict[str, list[float]] = {}

        def timed(name: str, action: Callable[[], object]) -> None:
            found.setdefault(name, []).append(seconds(action, 1))

        for _ in range(3):
            timed("obstore put", lambda: obstore.put(alone, "alone", array.data))
            timed("persist", lambda: store.persist("x"))
            timed("obstore get", lambda: obstore.get(alone, "alone").bytes())
            store._stack.top.delete("default", "x")
            store.sweep(empty_pool=True)
            with watched_memory() as memory:
                timed("get from S3", lambda: store.get("x"))
            found.setdefault("get from S3, MB of memory", []).append(memory[0] / 1e6)
            store._stack.lower[0].delete("default", "x")
        with watched_memory() as memory:
            store.persist("x")
        found["persist, MB of memory"] = [memory[0] / 1e6]
        store.drop_run()
        store.sweep(empty_pool=True)
    return {name: statistics.median(values) for name, values in found.items()}


@contextmanager
def watched_memory() -> Iterator[list[int]]:
    """By how many bytes this process's own memory rose at most, looked at every few milliseconds."""
    peak, stop = [0], threading.Event()
    start = anonymous_bytes()

    def watch() -> None:
        while not stop.wait(0.003):
            peak[0] = max(peak[0], anonymous_bytes() - start)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peak
    finally:
        stop.set()
        watcher.join()


def anonymous_bytes() -> int:
    """Memory of this process that no file stands behind."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024
    raise OSError("this kernel does not tell")


def many(folder: Path) -> dict[str, dict[str, float]]:
    """What one operation costs in a run of a thousand objects and in one of a hundred thousand."""
    found: dict[str, dict[str, float]] = {}
    for count in (1_000, 100_000):
        store = bodega.open(folder / f"many-{count}", run="many")
        value = np.zeros(100)
        for number in range(count):
            store.put(f"object {number}", value)
        rng = np.random.default_rng(0)
        names = [f"object {number}" for number in rng.integers(0, count, 2_000)]
        fresh = iter(f"new {number}" for number in range(10**6))
        each = iter(names * 10)
        found[str(count)] = {
            "put": seconds(lambda: store.put(next(fresh), value), 1_000),  # noqa: B023 - used at once
            "get": seconds(lambda: store.get(next(each)), 2_000),  # noqa: B023
            "list, per object": seconds(store.list, 1) / len(store),
            "usage, per object": seconds(store.usage, 3) / len(store),
            "sweep, per object": seconds(store.sweep, 3) / len(store),
        }
        store.drop_run()
    return found


def main() -> None:
    """Measure, print and keep."""
    console = Console()
    parent = Path(tempfile.mkdtemp(prefix="bodega-bench-", dir="/dev/shm"))
    below = Path(tempfile.mkdtemp(prefix="bodega-bench-", dir="/var/tmp"))
    results: dict[str, Any] = {}
    try:
        for name, measure in (
            ("warm puts of 100 MB", lambda: warm_puts(parent)),
            ("1 GB and a disk", lambda: disk(parent, below)),
            ("1 GB and S3", lambda: s3(parent)),
            ("many objects", lambda: many(parent)),
        ):
            if len(sys.argv) > 1 and not any(word in name for word in sys.argv[1:]):
                continue
            with console.status(name):
                results[name] = measure()
            console.print(_table(name, results[name]))
    finally:
        shutil.rmtree(parent)
        shutil.rmtree(below)
    folder = Path("bench-results")
    folder.mkdir(exist_ok=True)
    facts = {"peak memory, MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3, "at": time.strftime("%F %T")}
    (folder / "tiers.json").write_text(json.dumps({**results, "run": facts}, indent=2), encoding="utf-8")
    console.print(f"Written to {folder / 'tiers.json'}")


def _table(name: str, facts: dict[str, Any]) -> Table:
    table = Table(title=name)
    columns = facts if isinstance(next(iter(facts.values())), dict) else {"": facts}
    table.add_column("")
    for column in columns:
        table.add_column(column or "milliseconds", justify="right")
    for row in next(iter(columns.values())):
        table.add_row(
            row, *(f"{value[row]:.1f}" if "MB" in row else f"{value[row] * 1e3:.3f}" for value in columns.values())
        )
    return table


if __name__ == "__main__":
    main()
