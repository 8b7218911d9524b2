"""What Kedro-Viz shows of an object.

Kedro-Viz (12) calls ``preview()`` and picks the way to show the answer by the *name* of the method's return
annotation; the names are those of ``kedro_datasets._typing``, which need not be installed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NewType

if TYPE_CHECKING:
    from bodega.layout import ObjectInfo

TablePreview = NewType("TablePreview", dict[str, Any])
"""``index``, ``columns`` and ``data`` (rows), of plain JSON values."""
JSONPreview = NewType("JSONPreview", str)
"""A JSON document."""

_TABLES = {
    "numpy.ndarray",
    "pandas.DataFrame",
    "pandas.Series",
    "polars.DataFrame",
    "polars.Series",
    "pyarrow.RecordBatch",
    "pyarrow.Table",
}
_PLAIN = {"dict", "list", "tuple", "str", "int", "float", "bool"}


def is_table(kind: str) -> bool:
    """Whether objects of this kind (see `ObjectInfo.kind`) are shown as rows and columns."""
    return kind in _TABLES


def table_preview(value: Any, nrows: int) -> TablePreview:
    """The first rows of a table, a series or an array."""
    library = type(value).__module__.partition(".")[0]
    index: Iterable[Any]
    if library == "pandas":
        frame = value.iloc[:nrows]
        frame = frame.to_frame() if frame.ndim == 1 else frame
        index, columns, rows = frame.index, frame.columns, frame.itertuples(index=False, name=None)
    elif library == "numpy":
        # Rows of an array of any shape; what is deeper than a column is shown as text.
        head = value[:nrows] if value.ndim else value[None]
        index = range(len(head))
        columns = range(head.shape[1]) if head.ndim > 1 else ["value"]
        rows = head if head.ndim > 1 else ([item] for item in head)
    else:
        frame = value.slice(0, nrows)
        if library == "polars":
            frame = frame.to_frame() if type(value).__name__ == "Series" else frame
            columns, rows = frame.columns, frame.rows()
        else:
            columns, rows = frame.schema.names, zip(*(column.to_pylist() for column in frame.columns), strict=True)
        index = range(len(frame))
    return TablePreview(
        {
            "index": [_plain(label) for label in index],
            "columns": [_plain(label) for label in columns],
            "data": [[_plain(item) for item in row] for row in rows],
        }
    )


def json_preview(info: ObjectInfo, load: Callable[[], Any]) -> JSONPreview:
    """A plain value as JSON; of anything else what the store knows about it, without unpickling it."""
    shown = load() if info.kind.removeprefix("builtins.") in _PLAIN else asdict(info)
    return JSONPreview(json.dumps(shown, default=str, skipkeys=True, indent=2))


def _plain(item: Any) -> str | int | float | bool | None:
    """The item as a JSON value; not-a-number is null."""
    if hasattr(item, "item") and getattr(item, "ndim", 0) == 0:  # A scalar of numpy.
        item = item.item()
    if isinstance(item, float) and not math.isfinite(item):
        return None
    return item if isinstance(item, (str, int, float, bool, type(None))) else str(item)
