"""What an operation costs in a store of few and of many names and runs: flat is the same cost wherever it is.

Run with ``make bench-scale``; numbers behind it (``python -m bodega_bench.micro.scale 1000 20000``) are the sizes instead of
those of the module. Prints a table and writes ``bench-results/scale.json``. Times are medians, ratios to the smallest size.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

import bodega
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


def main() -> None:
    """Measure, print and keep."""
    sizes = [int(each) for each in sys.argv[1:]] or list(SIZES)
    parent = Path(tempfile.mkdtemp(prefix="bodega-bench-", dir="/dev/shm"))
    tables: list[tuple[str, dict[int, dict[str, float]]]] = []
    try:
        for title, measure, counts in (
            ("In a run of so many names", of_names, sizes),
            ("Beside so many expired runs", of_runs, [max(10, size // 20) for size in sizes]),
        ):
            tables.append((title, {count: measure(parent, count) for count in track(counts, description=title)}))
    finally:
        shutil.rmtree(parent)
    console = Console()
    for title, columns in tables:
        table = Table(title=f"{title}, microseconds")
        table.add_column("operation", no_wrap=True)
        smallest, *_ = columns
        for count in columns:
            table.add_column(f"{count:,}", justify="right")
        for name in columns[smallest]:
            cells = [f"{row[name] * 1e6:,.1f} ({row[name] / columns[smallest][name]:.2f}x)" for row in columns.values()]
            table.add_row(name, *cells)
        console.print(table)
    results = Path("bench-results")
    results.mkdir(exist_ok=True)
    (results / "scale.json").write_text(json.dumps(dict(tables), indent=2), encoding="utf-8")
    console.print(f"Written to {results / 'scale.json'}")


if __name__ == "__main__":
    main()
