"""What Kedro-Viz shows of an object.

Kedro-Viz (12) calls ``preview()`` and picks the way to show the answer by the *name* of the method's return
annotation; the names are those of ``kedro_datasets._typing``, which need not be installed.
"""

from __future__ import annotations

import base64
import json
import math
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict
from io import BytesIO
from typing import TYPE_CHECKING, Any, NewType

from bodega.codecs.chunks import KIND as CHUNKS
from bodega.codecs.chunks import Chunks

if TYPE_CHECKING:
    from bodega.store import Store

TablePreview = NewType("TablePreview", dict[str, Any])
"""``index``, ``columns`` and ``data`` (rows), of plain JSON values."""
JSONPreview = NewType("JSONPreview", str)
"""A JSON document."""

ImagePreview = NewType("ImagePreview", str)
"""A PNG (or another image that browsers know) in base64."""

Preview = TablePreview | JSONPreview | ImagePreview

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
_FIGURE = "matplotlib.figure.Figure"
_IMAGES = "PIL."
_MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8")
"""What the images begin with that browsers show whatever they are called: PNG, JPEG, GIF."""
_LARGEST_IMAGE = 16 << 20
"""Bytes that are looked at to find out whether they are an image."""


def preview_of(store: Store, name: str) -> Callable[..., Preview]:
    """A function that shows an object, annotated with the way to show it; of a stream it shows the first chunk.

    Raises:
        ObjectNotFound: no such name.
    """
    info = store.info(name)
    kind = str(info.schema.get("of", info.kind)) if info.kind == CHUNKS else info.kind

    def load() -> Any:
        value = store.get(name)
        return value[0] if isinstance(value, Chunks) else value

    def table(nrows: int = 5) -> TablePreview:
        return table_preview(load(), nrows)

    def image() -> ImagePreview:
        return image_preview(load())

    def plain() -> JSONPreview:
        return json_preview(load())

    def facts() -> JSONPreview:
        return json_preview(asdict(info))  # Without unpickling it.

    if kind in _TABLES:
        return table
    if kind == _FIGURE or kind.startswith(_IMAGES):
        return image
    if kind in ("bytes", "bytearray") and info.nbytes <= _LARGEST_IMAGE and load().startswith(_MAGIC):
        return image
    return plain if kind in _PLAIN else facts


def image_preview(value: Any) -> ImagePreview:
    """A figure of matplotlib, an image of Pillow, or the bytes of an image file."""
    data = value
    if not isinstance(value, (bytes, bytearray)):
        file = BytesIO()
        (value.savefig if hasattr(value, "savefig") else value.save)(file, format="png")
        data = file.getvalue()
        if "matplotlib.pyplot" in sys.modules and hasattr(value, "savefig"):
            sys.modules["matplotlib.pyplot"].close(value)  # Unpickled, it is one of pyplot's, which keeps them all.
    return ImagePreview(base64.b64encode(data).decode())


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


def json_preview(value: Any) -> JSONPreview:
    """A value as JSON, as far as it goes: what JSON does not know is shown as text."""
    return JSONPreview(json.dumps(value, default=str, skipkeys=True, indent=2))


def _plain(item: Any) -> str | int | float | bool | None:
    """The item as a JSON value; not-a-number is null."""
    if hasattr(item, "item") and getattr(item, "ndim", 0) == 0:  # A scalar of numpy.
        item = item.item()
    if isinstance(item, float) and not math.isfinite(item):
        return None
    return item if isinstance(item, (str, int, float, bool, type(None))) else str(item)
