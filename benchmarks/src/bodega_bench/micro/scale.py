"""What an operation costs in a store of few and of many names and runs: flat is the same cost wherever it is.

``bodega bench scale`` (``make bench-scale``).
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import click
from rich.console import Console
from rich.progress import track

import bodega
from bodega.testing.lifeline import scratch
from bodega_bench.formats import duration, ratio
from bodega_bench.machine import memory_folder
from bodega_bench.results import finish, json_option, output_option
from bodega_bench.tables import Table
from bodega_bench.timing import seconds

SIZES = (1_000, 20_000, 200_000)
"""Names of one run; of runs with one name each there are a twentieth."""
REPEATS = 200
_LONG_AGO = (0, 0)


def of_names(parent: Path, count: int) -> dict[str, float]:
    """Seconds of each operation on a run of so many names; of those that list, for each name."""
    store = bodega.open(parent / f"names-{count}", run="bench")
    for number in range(count):
        store.put(f"name {number}", number)
    some = f"name {count // 2}"
    command = [sys.executable, "-m", "bodega", "ls", "--run", "bench", "--root", str(store.root)]
    single: dict[str, Callable[[], object]] = {
        "put": lambda: store.put(some, 1),
        "get": lambda: store.get(some),
        "get of a missing name, with a default": lambda: store.get("missing", None),
        "in, of a missing name": lambda: "missing" in store,
    }
    listing: dict[str, Callable[[], object]] = {
        "names": store.names,
        "list": store.list,
        "usage": store.usage,
        "sweep": store.sweep,
        "bodega ls, as a process": lambda: subprocess.run(command, stdout=subprocess.DEVNULL, check=True),
    }
    row = {name: seconds(step, REPEATS) for name, step in single.items()}
    row |= {f"{name} / name": seconds(step, 3) / count for name, step in listing.items()}
    row["drop_run / name"] = seconds(store.drop_run, 1) / count
    return row


def of_runs(parent: Path, count: int) -> dict[str, float]:
    """Seconds of operations beside so many runs whose time is up; what drops them all, for each run."""
    root = parent / f"runs-{count}"
    first = bodega.open(root, run="run", time_to_live="1h")
    first.put("x", 1)
    for number in range(count):
        store = first.with_run(f"run {number}")
        store.put("x", 1)
        store._stack.top.set_time_to_live(f"run {number}", 3600.0)  # noqa: SLF001 - cheaper than to open each
        os.utime(root / "runs" / f"run {number}", _LONG_AGO)
    store = bodega.open(root, run="bench")
    os.utime(root / "locks" / "swept", _LONG_AGO)
    row = {"the put that looks after expired runs": seconds(lambda: store.put("x", 1), 1)}
    row["the puts after it"] = seconds(lambda: store.put("x", 1), REPEATS)
    left = len(store.runs())
    row["runs / run"] = seconds(store.runs, 3) / left
    row["sweep of expired runs / run"] = seconds(store.sweep, 1) / left
    return row


def as_table(title: str, columns: Mapping[int, Mapping[str, float]]) -> Table:
    """A column for each size, with the ratio to the smallest."""
    smallest = next(iter(columns.values()))
    rows = [
        [name, *(f"{duration(row[name])} ({ratio(row[name] / smallest[name])}x)" for row in columns.values())]
        for name in smallest
    ]
    return Table(title, "Medians, and how many times the smallest.", ["", *(f"{count:,}" for count in columns)], rows)


@click.command()
@click.argument("sizes", nargs=-1, type=click.IntRange(1))
@output_option("scale.json")
@json_option
def scale(sizes: tuple[int, ...], output: Path, *, as_json: bool) -> None:
    """Operations in stores of few and of many names and runs.

    SIZES are names of one run; of runs with one name each there are a twentieth. Flat is the same cost at every size.

    \b
    Examples:
      bodega bench scale
      bodega bench scale 1000 20000
    """
    counts = sizes or SIZES
    found: dict[str, dict[int, dict[str, float]]] = {}
    with scratch("bodega-bench-", memory_folder()) as folder:
        for title, measure, of in (
            ("In a run of so many names", of_names, counts),
            ("Beside so many expired runs", of_runs, [max(10, count // 20) for count in counts]),
        ):
            shown = track(of, description=title, console=Console(stderr=True), transient=True)
            found[title] = {count: measure(folder, count) for count in shown}
    finish("scale", found, [as_table(*each) for each in found.items()], output, as_json=as_json)
