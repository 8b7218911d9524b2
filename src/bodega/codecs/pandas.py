"""pandas frames, series and indexes: pandas pickles itself well, all but the columns that Arrow keeps.

Those it makes into one chunk first, and takes whole buffers where only a slice is used; the Arrow codec does neither.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from bodega.codecs.numpy import dtype_name
from bodega.codecs.types import SHOWN
from bodega.errors import LayoutError


def describe(value: object) -> dict[str, Any] | None:
    """Shape, columns or dtype, and the levels of the index."""
    if isinstance(value, pd.DataFrame):
        dtypes = value.dtypes.to_numpy()[:SHOWN].tolist()
        # Many columns have few dtypes, whose names take long to make, and of pandas' own to compare.
        names = {id(dtype): _dtype_name(dtype) for dtype in {id(dtype): dtype for dtype in dtypes}.values()}
        labels = value.columns[:SHOWN].tolist()
        columns = [
            [label if type(label) is str else _text(label), names[id(dtype)]]
            for label, dtype in zip(labels, dtypes, strict=True)
        ]
        return {"shape": list(value.shape), "columns": columns, "index": _levels(value.index)}
    if isinstance(value, pd.Series):
        return {
            "shape": [len(value)],
            "dtype": _dtype_name(value.dtype),
            **_named(value),
            "index": _levels(value.index),
        }
    if isinstance(value, pd.MultiIndex):
        return {"shape": [len(value)], "index": _levels(value)}
    if isinstance(value, pd.Index):
        return {"shape": [len(value)], "dtype": _dtype_name(value.dtype), **_named(value)}
    if isinstance(value, pd.api.extensions.ExtensionArray):
        return {"shape": [len(value)], "dtype": _dtype_name(value.dtype)}
    return None


def restore_arrow_backed(cls: type, state: dict[str, Any]) -> Any:
    """A pandas array over a chunked Arrow array, with the attributes it had."""
    if not isinstance(cls, type) or not issubclass(cls, pd.arrays.ArrowExtensionArray) or "_pa_array" not in state:
        raise LayoutError(f"A pandas array over Arrow cannot be of type {cls!r} with the attributes {sorted(state)}.")
    array = cls.__new__(cls)
    array.__dict__.update(state)
    return array


def join(parts: list[Any]) -> Any:
    """One frame or series of several. Rows that are only numbered are numbered anew; other indexes stay."""
    numbered = all(isinstance(part.index, pd.RangeIndex) and part.index.name is None for part in parts)
    return pd.concat(parts, ignore_index=numbered)


def to_table(frame: pd.DataFrame) -> pa.Table:
    """As an Arrow table, without copying what Arrow can take as it is. An index that says something is a column."""
    return pa.Table.from_pandas(frame)


def from_table(table: pa.Table) -> pd.DataFrame:
    """Of an Arrow table. Numbers are copied, for a frame's can be changed in place and a table's cannot."""
    frame: pd.DataFrame = table.to_pandas()
    return frame


def reducer(cls: type) -> Callable[[Any], Any] | None:
    """How to pickle values of this class, where pandas' own way would copy."""
    return _reduce_arrow_backed if issubclass(cls, pd.arrays.ArrowExtensionArray) else None


def _reduce_arrow_backed(array: Any) -> Any:
    state = dict(vars(array))
    if "_pa_array" not in state:
        return NotImplemented
    if "_cache" in state:
        state["_cache"] = {}
    return restore_arrow_backed, (type(array), state)


def _dtype_name(dtype: object) -> str:
    return dtype_name(dtype) if isinstance(dtype, np.dtype) else str(dtype)


def _levels(index: pd.Index) -> list[list[str | None]]:
    """Name and dtype of each level of an index."""
    if isinstance(index, pd.MultiIndex):
        return [[_name(name), _dtype_name(level.dtype)] for name, level in zip(index.names, index.levels, strict=True)]
    return [[_name(index.name), _dtype_name(index.dtype)]]


def _named(value: pd.Series | pd.Index) -> dict[str, str]:
    return {} if value.name is None else {"name": _text(value.name)}


def _name(name: object) -> str | None:
    return None if name is None else _text(name)


def _text(label: object) -> str:
    """A label for people, whose class need not be able to print it."""
    try:
        return str(label)
    except Exception:
        return f"<{type(label).__name__}>"
