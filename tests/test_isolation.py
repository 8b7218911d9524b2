"""What one process changes in what it loaded is seen by no other, nor by its own next get, nor in the file.

Run as a script, this file is one such process: it gets objects, holds them, and changes every byte that it can reach.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import bodega

SMALL, LARGE = 100, 50_000
"""Rows: objects below 64 KiB are read into private memory, others are mapped."""
MAPS = Path("/proc/self/maps")


# The memory of a value


class Memory:
    """Memory at an address, as numpy takes it: writable, whatever the library that owns it says."""

    def __init__(self, owner: object, address: int, nbytes: int) -> None:
        self.owner = owner
        self.__array_interface__ = {"version": 3, "typestr": "|u1", "shape": (nbytes,), "data": (address, False)}


def parts(value: Any) -> Iterator[np.ndarray | list | dict]:
    """All that can be changed in a value: its bytes, its arrays of objects, its lists and its dictionaries."""
    if isinstance(value, np.ndarray):
        array = value.view()
        assert array.flags.forc
        if array.dtype.hasobject:
            array.flags.writeable = True
            yield array
        elif array.nbytes:
            yield np.asarray(Memory(value, array.ctypes.data, array.nbytes))
    elif isinstance(value, pa.DictionaryArray):
        yield from parts(value.indices)
        yield from parts(value.dictionary)
    elif isinstance(value, pa.Array):
        for buffer in value.buffers():
            if buffer is not None and buffer.size:
                yield np.asarray(Memory(buffer, buffer.address, buffer.size))
    elif isinstance(value, (list, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from parts(item)
        yield value
    else:
        for item in contents(value):
            yield from parts(item)


def contents(value: Any) -> list[Any]:
    """What a value is made of; numbers and texts are made of nothing."""
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, (pa.Table, pa.RecordBatch)):
        return value.columns
    if isinstance(value, pa.ChunkedArray):
        return value.chunks
    if isinstance(value, pl.DataFrame):
        return [value.to_arrow(compat_level=pl.CompatLevel.newest())]
    if isinstance(value, pl.Series):
        return [value.to_frame()]
    if isinstance(value, pd.DataFrame):
        return [value.index, *(column.array for _, column in value.items())]
    if isinstance(value, pd.Series):
        return [value.index, value.array]
    if isinstance(value, pd.RangeIndex):
        return []
    if isinstance(value, pd.Index):
        return [value.array]
    if isinstance(value, pd.Categorical):
        return [np.asarray(value.codes), value.categories]
    if isinstance(value, pd.arrays.ArrowExtensionArray):
        return [value.__arrow_array__()]
    if isinstance(value, (pd.arrays.DatetimeArray, pd.arrays.TimedeltaArray)):
        return [value.view("i8")]
    if isinstance(value, pd.arrays.IntegerArray):
        return [value._data, value._mask]  # type: ignore[attr-defined]
    if isinstance(value, pd.arrays.NumpyExtensionArray):
        return [value.to_numpy()]
    assert isinstance(value, (int, float, str)), type(value)
    return []


def fingerprint(found: Iterable[np.ndarray | list | dict]) -> str:
    """A digest of the parts of a value."""
    digest = hashlib.sha256()
    for part in found:
        if isinstance(part, np.ndarray) and not part.dtype.hasobject:
            digest.update(part.data)
        else:
            plain = [item for item in part if isinstance(item, (str, int, float))]
            digest.update(f"{type(part)} {len(part)} {plain}".encode())
    return digest.hexdigest()


def spoil(found: Iterable[np.ndarray | list | dict]) -> dict[str, int]:
    """Change every byte, element and container of a value; how many bytes, and how many of them lie in a mapped file."""
    mapped = mapped_files()
    changed = {"bytes": 0, "mapped": 0}
    for part in found:
        if isinstance(part, list):
            part.append("spoilt")
        elif isinstance(part, dict):
            part["spoilt"] = "spoilt"
        elif part.dtype.hasobject:
            part[...] = "spoilt"
        else:
            np.invert(part, out=part)
            changed["bytes"] += part.nbytes
            address = part.ctypes.data
            changed["mapped"] += part.nbytes * any(
                start <= address and address + part.nbytes <= end for start, end in mapped
            )
    return changed


def mapped_files() -> list[tuple[int, int]]:
    """Where the files of stores lie in this process's memory, where the system tells."""
    lines = [line.split() for line in MAPS.read_text().splitlines()] if MAPS.exists() else []
    ranges = [line[0].split("-") for line in lines if len(line) > 5 and "bodega-test-" in line[5]]
    return [(int(start, 16), int(end, 16)) for start, end in ranges]


# The processes


class Process:
    """A process of its own that gets, holds and changes objects."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, what: str, root: Path) -> Any:
        """Let it do one of the things of `serve`."""
        print(json.dumps([what, str(root)]), file=self.process.stdin, flush=True)
        assert self.process.stdout is not None
        answer = self.process.stdout.readline()
        assert answer, f"the process died of {what!r}"
        return json.loads(answer)

    def end(self) -> None:
        self.process.communicate()


def serve() -> None:
    """Do what comes in, line by line."""
    held: list[Any] = []
    for line in sys.stdin:
        what, root = json.loads(line)
        if what == "get":
            # Taken apart once: of changed offsets and lengths, the libraries could make nothing.
            held = list(parts(bodega.open(root).get("x")))
        if what == "spoil":
            answer: Any = spoil(held)
        else:
            answer = fingerprint(parts(bodega.open(root).get("x")) if what == "get anew" else held)
        print(json.dumps(answer), flush=True)


@pytest.fixture(scope="module")
def processes() -> Iterator[tuple[Process, Process]]:
    """One that changes what it gets, and one that holds the same object."""
    changing, holding = Process(), Process()
    yield changing, holding
    changing.end()
    holding.end()


# The values


def array(rows: int) -> np.ndarray:
    return np.random.default_rng(0).random(rows)


def in_fortran_order(rows: int) -> np.ndarray:
    return np.asfortranarray(array(2 * rows).reshape(rows, 2))


def structured(rows: int) -> np.ndarray:
    records = np.zeros(rows, [("when", "M8[s]"), ("what", "S3"), ("how", "?"), ("much", "c16")])
    records["much"] = array(rows)
    return records


def of_objects(rows: int) -> np.ndarray:
    return np.array([f"text {number}" for number in range(rows)], dtype=object)


def frame(rows: int) -> pd.DataFrame:
    numbers = np.arange(rows)
    return pd.DataFrame(
        {
            "float": array(rows),
            "more": array(rows),
            "int": numbers,
            "bool": numbers % 2 == 0,
            "time": pd.date_range("2024-03-01", periods=rows, freq="s"),
            "zoned": pd.date_range("2024-03-01", periods=rows, freq="s", tz="Europe/Oslo"),
            "elapsed": pd.to_timedelta(numbers, unit="s"),
            "category": pd.Categorical(np.array(["a", "b", "c"])[numbers % 3]),
            "nullable": pd.array([None, *numbers[1:]], dtype="Int64"),
            "text": pd.array([f"text {number}" for number in numbers], dtype="string[pyarrow]"),
            "arrow": pd.array(numbers, dtype="int64[pyarrow]"),  # type: ignore[call-overload]
            "object": of_objects(rows),
        },
        index=pd.Index(numbers[::-1].copy(), name="row"),
    )


def series(rows: int) -> pd.Series:
    return pd.Series(array(rows), name="numbers")


def table(rows: int) -> pa.Table:
    numbers = np.arange(rows)
    return pa.table(
        {
            "int": pa.array(numbers, mask=numbers % 3 == 0),
            "bool": pa.array(numbers % 2 == 0),
            "text": pa.array([f"text {number}" for number in numbers]),
            "list": pa.array([[number, number] for number in numbers]),
            "struct": pa.array([{"a": number, "b": number / 2} for number in numbers]),
            "dictionary": pa.array([f"word {number % 7}" for number in numbers]).dictionary_encode(),
        }
    )


def sliced_table(rows: int) -> pa.Table:
    return table(2 * rows).slice(rows // 2, rows)


def arrow_array(rows: int) -> pa.Array:
    return pa.array(array(rows))


def polars_frame(rows: int) -> pl.DataFrame:
    numbers = np.arange(rows)
    return pl.DataFrame(
        {
            "float": array(rows),
            "int": pl.Series(numbers).set(pl.Series(numbers % 3 == 0), None),
            "text": [f"a text that is too long to lie in its view {number}" for number in numbers],
            "list": [[number, number] for number in numbers],
        }
    )


def polars_series(rows: int) -> pl.Series:
    return pl.Series("numbers", array(rows))


def nested(rows: int) -> dict[str, Any]:
    return {
        "array": array(rows),
        "frame": frame(rows // 5),
        "deep": [(table(rows // 5), {"polars": polars_frame(rows // 5), "texts": ["a", "b"]}), {"more": array(rows)}],
        "number": 1.5,
    }


VALUES = (
    array, in_fortran_order, structured, of_objects, frame, series, table, sliced_table, arrow_array,
    polars_frame, polars_series, nested,
)  # fmt: skip


@pytest.mark.parametrize("rows", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("make", VALUES, ids=lambda make: make.__name__)
def test_what_a_process_changes_nobody_else_sees(root, processes, make, rows: int) -> None:
    changing, holding = processes
    store = bodega.open(root)
    info = store.put("x", make(rows))
    assert (info.nbytes < 64 * 1024) == (rows == SMALL)
    original = fingerprint(parts(store.get("x")))
    (file,) = (path for path in (root / "runs").rglob("*") if path.is_file())
    stored = file.read_bytes()
    assert [process.ask("get", root) for process in processes] == [original, original]

    changed = changing.ask("spoil", root)

    assert changing.ask("look", root) != original
    assert changing.ask("get anew", root) == original
    assert holding.ask("look", root) == original
    assert holding.ask("get anew", root) == original
    assert fingerprint(parts(store.get("x"))) == original
    assert file.read_bytes() == stored
    # It did change what it got, and that lay in the file's mapping where it is mapped.
    if rows == LARGE and make is not of_objects:
        assert changed["bytes"] > 0.8 * info.nbytes
    if MAPS.exists() and rows == LARGE:
        # Buffers below a kilobyte are copies of what is in the pickle stream.
        assert 0 <= changed["bytes"] - changed["mapped"] < 1024
    elif MAPS.exists():
        assert changed["mapped"] == 0


if __name__ == "__main__":
    serve()
