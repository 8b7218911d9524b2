"""Values of many small parts: put and get beside pickle's own dump to a file and load from it, in the same folder.

Run with ``make bench-values``; words behind it (``python -m bodega_bench.micro.values polars arrow``) choose the rows that have
one in their name. Prints a table and writes ``bench-results/values.json``. The four steps take turns; times and ratios
are medians, a ratio that of a pair of neighbours.
"""

from __future__ import annotations

import json
import pickle
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
from rich.console import Console
from rich.progress import track
from rich.table import Table

import bodega
from bodega_bench.timing import seconds

MOST = {"put over dump": 2.0, "get over load": 1.5}
"""Ratios that no row should pass."""
ROUNDS = 9


class Node:
    """An object as a program has many of."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.name = f"node {number}"


def texts(count: int) -> list[str]:
    """A short column of texts."""
    return [f"name {number % 97}" for number in range(count)]


def columns(of: Any) -> dict[str, Any]:
    """A thousand columns of the same values."""
    return {f"column {number}": of for number in range(1000)}


def chunk() -> dict[str, Any]:
    """Ten rows of ten columns."""
    return {f"column {number}": range(10) for number in range(10)}


CASES: dict[str, Callable[[], object]] = {
    "polars, 1,000 chunks x 10 columns": lambda: pl.concat([pl.DataFrame(chunk()) for _ in range(1000)], rechunk=False),
    "polars, 1,000 columns": lambda: pl.DataFrame(columns(np.arange(100.0))),
    "polars, 1,000 text columns": lambda: pl.DataFrame(columns(texts(100))),
    "polars, 500 small frames in a dict": lambda: {
        at: pl.DataFrame({"a": [1, at], "b": ["x", "y"]}) for at in range(500)
    },
    "polars, 500 small series": lambda: [pl.Series("a", [1, at]) for at in range(500)],
    "polars, ten rows of 100,000 texts": lambda: pl.DataFrame({"a": [f"a longer text {at}" for at in range(100_000)]})[
        :10
    ],
    "Arrow, 1,000 chunks x 10 columns": lambda: pa.concat_tables([pa.table(chunk()) for _ in range(1000)]),
    "Arrow, 1,000 columns": lambda: pa.table(columns(np.arange(100.0))),
    "Arrow, 5,000 scalars": lambda: list(pa.array(range(5000))),
    "Arrow, 5,000 timestamps": lambda: list(pa.array(range(5000), pa.timestamp("us"))),
    "Arrow, 5,000 small arrays": lambda: [pa.array([1, at]) for at in range(5000)],
    "Arrow, 5,000 small text arrays": lambda: [pa.array(["a", str(at)]) for at in range(5000)],
    "Arrow, 500 record batches": lambda: [pa.record_batch({"a": [1, at], "b": ["x", "y"]}) for at in range(500)],
    "pandas, 1,000 columns": lambda: pd.DataFrame(columns(np.arange(100.0))),
    "pandas, 1,000 text columns": lambda: pd.DataFrame(columns(texts(100))),
    "pandas, 500 small frames": lambda: [pd.DataFrame({"a": [1, at], "b": ["x", "y"]}) for at in range(500)],
    "NumPy, 20,000 small arrays": lambda: [np.arange(10.0) + at for at in range(20_000)],
    "NumPy, 20,000 scalars": lambda: [np.float64(at) for at in range(20_000)],
    "NumPy, 2,000 masked arrays": lambda: [np.ma.array([1, at, 3], mask=[False, True, False]) for at in range(2000)],
    "20,000 objects": lambda: [Node(at) for at in range(20_000)],
    "20,000 dates": lambda: [date(2024, 1, 1) + timedelta(at) for at in range(20_000)],
    "1,000,000 whole numbers": lambda: list(range(1_000_000)),
    "100,000 texts": lambda: texts(100_000),
    "one text of 100 MB": lambda: "x" * 100_000_000,
    "one text of 75 MB that is no ASCII": lambda: "xé" * 25_000_000,
    "bytes of 100 MB in a dict": lambda: {"a": bytes(100_000_000)},
}


def measure(store: bodega.Store, file: Path, value: object) -> dict[str, float]:
    """One row: the four steps in turns."""
    steps: dict[str, Callable[[], object]] = {
        "put": lambda: store.put("x", value),
        "dump": lambda: file.write_bytes(pickle.dumps(value, 5)),
        "get": lambda: store.get("x"),
        "load": lambda: pickle.loads(file.read_bytes()),
    }
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(ROUNDS):
        for name, step in steps.items():
            taken[name].append(seconds(step, 1))
    row = {name: statistics.median(times) for name, times in taken.items()}
    for ratio in MOST:
        ours, theirs = ratio.split(" over ")
        row[ratio] = statistics.median(a / b for a, b in zip(taken[ours], taken[theirs], strict=True))
    return row | {"bytes over pickle's": store.info("x").nbytes / file.stat().st_size}


def main() -> None:
    """Measure, print and keep."""
    console = Console()
    console.width = max(console.width, 120)
    chosen = [name for name in CASES if not sys.argv[1:] or any(word in name for word in sys.argv[1:])]
    parent = Path(tempfile.mkdtemp(prefix="bodega-bench-", dir="/dev/shm"))
    try:
        store = bodega.open(parent / "root", run="bench")
        rows = {name: measure(store, parent / "pickle", CASES[name]()) for name in track(chosen, description="values")}
    finally:
        shutil.rmtree(parent)
    table = Table(title="Values, milliseconds")
    table.add_column("value", no_wrap=True)
    for column in next(iter(rows.values()), {}):
        table.add_column(column, justify="right")
    for name, row in rows.items():
        cells = [f"{part:.2f}x" if " " in column else f"{part * 1e3:,.2f}" for column, part in row.items()]
        slow = any(row[ratio] > most for ratio, most in MOST.items())
        table.add_row(name, *cells, style="bold" if slow else "")
    console.print(table)
    results = Path("bench-results")
    results.mkdir(exist_ok=True)
    (results / "values.json").write_text(json.dumps(rows, indent=2), encoding="utf-8")
    console.print(f"In bold what is over {MOST}. Written to {results / 'values.json'}")


if __name__ == "__main__":
    main()
