"""Values of many small parts: put and get beside pickle's own dump to a file and load from it, in the same folder.

``bodega bench values`` (``make bench-values``).
"""

from __future__ import annotations

import pickle
import statistics
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
from rich.console import Console
from rich.progress import track

import bodega
from bodega.testing.lifeline import scratch
from bodega_bench.formats import duration, ratio
from bodega_bench.machine import memory_folder
from bodega_bench.results import finish, json_option, output_option
from bodega_bench.tables import Table
from bodega_bench.timing import ratio_of_pairs, timed_in_turns

MOST = {"put / dump": 2.0, "get / load": 1.5}
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
    taken = timed_in_turns(steps, ROUNDS)
    row = {name: statistics.median(times) for name, times in taken.items()}
    for name in MOST:
        ours, theirs = name.split(" / ")
        row[name] = ratio_of_pairs(taken[ours], taken[theirs])
    return row | {"bytes / pickle's": store.info("x").nbytes / file.stat().st_size}


def as_table(rows: Mapping[str, Mapping[str, float]]) -> Table:
    """The rows; a ratio that is larger than it should be stands out."""
    header = list(next(iter(rows.values())))
    lines = [
        [name, *(ratio(row[part]) if "/" in part else duration(row[part]) for part in header)]
        for name, row in rows.items()
    ]
    large = {
        number: 1 + header.index(part)
        for number, row in enumerate(rows.values())
        for part, most in MOST.items()
        if row[part] > most
    }
    limits = ", ".join(f"{part} is above {most:g}" for part, most in MOST.items())
    return Table("Values", f"Medians. It stands out where {limits}.", ["", *header], lines, best=large)


@click.command()
@click.argument("words", nargs=-1)
@output_option("values.json")
@json_option
def values(words: tuple[str, ...], output: Path, *, as_json: bool) -> None:
    """Values of many small parts, beside pickle.

    WORDS choose the values that have one of them in their name.

    \b
    Examples:
      bodega bench values
      bodega bench values polars Arrow
    """
    chosen = [name for name in CASES if not words or any(word in name for word in words)]
    if not chosen:
        raise click.UsageError(f"No value has {' or '.join(words)} in its name: there are {'; '.join(CASES)}.")
    with scratch("bodega-bench-", memory_folder()) as folder:
        store = bodega.open(folder / "root", run="bench")
        shown = track(chosen, description="values", console=Console(stderr=True), transient=True)
        rows = {name: measure(store, folder / "pickle", CASES[name]()) for name in shown}
    finish("values", {"values": rows}, [as_table(rows)], output, as_json=as_json)
