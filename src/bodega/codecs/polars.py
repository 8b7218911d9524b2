"""polars frames and series by way of Arrow, whose buffers polars takes without copying.

A dtype that would not come back the same (128-bit integers, in most versions) is left to polars' own pickle.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from typing import Any

import polars as pl
import pyarrow as pa

from bodega.codecs.types import SHOWN
from bodega.errors import NotShareable, Panic, panics_as_errors

_SMALL = 16 << 10
"""Bytes of a column, on average, below which polars' own pickle is faster than a buffer of its own and a view of it."""
_MISTAKES_ARRAYS = pl.__version__.startswith("1.")
"""Before polars 2 a slice of a column of arrays with nulls gave Arrow other rows than its own."""


def describe(value: object) -> dict[str, Any] | None:
    """Shape, and columns or dtype."""
    if isinstance(value, pl.DataFrame):
        columns = [[name, str(dtype)] for name, dtype in zip(value.columns[:SHOWN], value.dtypes, strict=False)]
        return {"shape": list(value.shape), "columns": columns}
    if isinstance(value, pl.Series):
        named = {"name": value.name} if value.name else {}
        return {"shape": [len(value)], "dtype": str(value.dtype), **named}
    return None


def restore_frame(table: pa.Table, order: dict[str, bool]) -> pl.DataFrame:
    """A frame over an Arrow table; `order` names the sorted columns, and whether they descend."""
    frame = pl.from_arrow(table, rechunk=False)
    if not isinstance(frame, pl.DataFrame):
        raise TypeError(f"A table was expected, not {type(table).__name__}.")
    marks = [pl.col(name).set_sorted(descending=descending) for name, descending in order.items()]
    return frame.with_columns(marks) if marks else frame


def restore_columns(columns: Sequence[pl.Series]) -> pl.DataFrame:
    """A frame of columns that were stored one by one."""
    return pl.DataFrame(list(columns))


def restore_series(table: pa.Table, order: dict[str, bool]) -> pl.Series:
    """A series over an Arrow table of one column."""
    return restore_frame(table, order).to_series()


def join(parts: list[Any]) -> Any:
    """One frame or series of several."""
    return pl.concat(parts)


def to_table(frame: pl.DataFrame) -> pa.Table:
    """As an Arrow table."""
    return frame.to_arrow()


def from_table(table: pa.Table) -> pl.DataFrame:
    """Of an Arrow table, over its buffers."""
    return restore_frame(table, {})


def reducer(cls: type) -> Callable[[Any], Any] | None:
    """How to pickle values of exactly this class, where polars' own way would copy."""
    reducers: dict[type, Callable[[Any], Any]] = {pl.DataFrame: _reduce_frame, pl.Series: _reduce_series}
    return reducers.get(cls)


def _reduce_frame(frame: pl.DataFrame) -> Any:
    _refuse_what_is_lost(frame.columns, frame.dtypes)
    if not frame.width or _is_small(frame, frame.width):
        reduced = _by_polars(frame)
        if not _holds_more(reduced, frame.width):
            return reduced
    frame = _in_large_chunks(frame)
    table = _arrow(frame)
    if table is None:
        return restore_columns, (frame.get_columns(),)
    return restore_frame, (table, _order(frame))


def _reduce_series(series: pl.Series) -> Any:
    _refuse_what_is_lost([series.name], [series.dtype])
    if _is_small(series, 1):
        reduced = _by_polars(series)
        if not _holds_more(reduced, 1):
            return reduced
    frame = _in_large_chunks(series.to_frame())
    table = _arrow(frame)
    return _by_polars(series) if table is None else (restore_series, (table, _order(frame)))


def _is_small(value: pl.DataFrame | pl.Series, arrays: int) -> bool:
    """Whether the arrays of a value are small on average. Its size is what it shows, not what it is a view of."""
    return value.estimated_size() < arrays * _SMALL


def _by_polars(value: pl.DataFrame | pl.Series) -> Any:
    """Polars' own pickle: bytes in the stream, of what the value shows alone, but for nested texts."""
    return value.__reduce_ex__(pickle.HIGHEST_PROTOCOL)


def _holds_more(reduced: Any, arrays: int) -> bool:
    """Whether polars' pickle of small arrays has more than they show: texts inside lists are not cut out by polars."""
    state = reduced[2]
    return isinstance(state, bytes) and len(state) > 2 * max(arrays, 1) * _SMALL


def _in_large_chunks(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame, as one chunk where it has many small ones."""
    chunks = sum(frame.n_chunks("all"))
    return frame.rechunk() if chunks > frame.width and _is_small(frame, chunks) else frame


def _arrow(frame: pl.DataFrame) -> pa.Table | None:
    """The frame as an Arrow table, or nothing where its dtypes would not survive that."""
    if _MISTAKES_ARRAYS and any("Array(" in str(dtype) for dtype in frame.dtypes):
        return None
    try:
        with panics_as_errors():
            table = frame.to_arrow(compat_level=pl.CompatLevel.newest())
            empty = pl.from_arrow(table.slice(0, 0))
    except (pa.ArrowException, pl.exceptions.PolarsError, NotImplementedError, Panic):
        return None
    return table if isinstance(empty, pl.DataFrame) and empty.schema == frame.schema else None


def _refuse_what_is_lost(names: Sequence[str], dtypes: Sequence[pl.DataType]) -> None:
    """Complain of what polars cannot store, or not read again.

    Raises:
        NotShareable: there are Python objects, or arrays of no elements.
    """
    for name, dtype in zip(names, dtypes, strict=True):
        # By class: comparing dtypes takes polars longer than storing a short column.
        if isinstance(dtype, pl.Object):
            message = (
                f"The polars column {name!r} holds Python objects, which polars cannot store. "
                "Cast it to a dtype of polars, or store its values as a list."
            )
            raise NotShareable(message, kind="polars.Object")
        if dtype.is_nested() and _has_empty_arrays(dtype):
            message = (
                f"The polars column {name!r} ({dtype}) holds arrays of no elements, which polars cannot "
                "read again. Drop the column, or cast it to lists."
            )
            raise NotShareable(message, kind="polars.Array")


def _has_empty_arrays(dtype: pl.DataType) -> bool:
    """Whether it is an array of no elements, or has one inside."""
    if isinstance(dtype, pl.Array):
        return 0 in dtype.shape or _has_empty_arrays(dtype.inner)  # type: ignore[arg-type] # an instance, of a series
    if isinstance(dtype, pl.List):
        return _has_empty_arrays(dtype.inner)  # type: ignore[arg-type]
    return isinstance(dtype, pl.Struct) and any(_has_empty_arrays(field.dtype) for field in dtype.fields)  # type: ignore[arg-type]


def _order(frame: pl.DataFrame) -> dict[str, bool]:
    """Which columns are known to be sorted, which Arrow does not say; and whether they descend."""
    flags = {series.name: series.flags for series in frame.get_columns()}
    return {name: known["SORTED_DESC"] for name, known in flags.items() if known["SORTED_ASC"] or known["SORTED_DESC"]}
