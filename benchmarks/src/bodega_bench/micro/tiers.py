# ruff: noqa: SLF001 - single steps of the tiers are timed, which have no public name
"""Warm puts, moves between tiers and many small objects, each against the best that the same machine can do at the same time.

``bodega bench tiers`` (``make bench-tiers``). S3 is a SeaweedFS server
that is started for it; the limit there is obstore alone.
"""

from __future__ import annotations

import mmap
import os
import resource
import statistics
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import click
import numpy as np
from rich.console import Console
from rich.progress import track

import bodega
from bodega.testing.lifeline import scratch
from bodega.testing.s3_server import find_seaweedfs, seaweedfs
from bodega.texts import format_size
from bodega.tiers.eviction import Eviction
from bodega_bench.formats import duration
from bodega_bench.machine import memory_folder
from bodega_bench.results import finish, json_option, output_option
from bodega_bench.tables import Table
from bodega_bench.timing import seconds, timed_in_turns

MIB = 1 << 20
SIZE = 100_000_000
LARGE = 1_000_000_000


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

    found = timed_in_turns(
        {
            "put": lambda: store.put("x", array),
            "pwrite": by_pwrite,
            "mapping": by_mapping,
            "mapping, 2 threads": by_two_threads,
            "pwrite, 2 threads": by_two_writers,
        },
        15,
    )
    os.close(descriptor)
    store.drop_run()
    store.sweep(empty_pool=True)
    path.unlink()
    return _medians(found)


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
    return {**_medians(found), "get from disk": from_disk, "get from memory": from_memory}


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
            found.setdefault("get from S3, bytes of memory", []).append(memory[0])
            store._stack.lower[0].delete("default", "x")
        with watched_memory() as memory:
            store.persist("x")
        found["persist, bytes of memory"] = [memory[0]]
        store.drop_run()
        store.sweep(empty_pool=True)
    return _medians(found)


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


def _medians(found: Mapping[str, Sequence[float]]) -> dict[str, float]:
    return {name: statistics.median(values) for name, values in found.items()}


def as_table(title: str, facts: Mapping[str, Any]) -> Table:
    """A row for each figure; a column for each number of objects, where there are several."""
    columns = facts if isinstance(next(iter(facts.values())), dict) else {"": facts}
    rows = [
        [
            row.replace(", bytes of", ","),
            *(format_size(each[row]) if "bytes" in row else duration(each[row]) for each in columns.values()),
        ]
        for row in next(iter(columns.values()))
    ]
    return Table(title, "", ["", *(f"{int(column):,} objects" if column else "" for column in columns)], rows)


@click.command()
@click.argument("words", nargs=-1)
@output_option("tiers.json")
@json_option
def tiers(words: tuple[str, ...], output: Path, *, as_json: bool) -> None:
    """Warm puts, moves between tiers and many small objects.

    Each beside the best that this machine can do at the same time. WORDS choose the parts that have one of them in their
    name.

    \b
    Examples:
      bodega bench tiers
      bodega bench tiers disk many
    """
    parts: dict[str, Callable[[Path, Path], dict[str, Any]]] = {
        "warm puts of 100 MB": lambda folder, _: warm_puts(folder),
        "1 GB and a disk": disk,
        "1 GB and S3": lambda folder, _: s3(folder),
        "many objects": lambda folder, _: many(folder),
    }
    chosen = [name for name in parts if not words or any(word in name for word in words)]
    if not chosen:
        raise click.UsageError(f"No part has {' or '.join(words)} in its name: there are {'; '.join(parts)}.")
    found = {}
    with scratch("bodega-bench-", memory_folder()) as folder, scratch("bodega-bench-", "/var/tmp") as below:
        for name in track(chosen, description="tiers", console=Console(stderr=True), transient=True):
            found[name] = parts[name](folder, below)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    finish(
        "tiers",
        {**found, "peak memory": peak},
        [as_table(*each) for each in found.items()],
        output,
        as_json=as_json,
    )
