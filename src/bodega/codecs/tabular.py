"""Frames and tables as those of another library, and several as one."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from bodega.codecs.handles import root_module
from bodega.codecs.types import public_name

LIBRARIES = {"pandas": "bodega.codecs.pandas", "polars": "bodega.codecs.polars", "arrow": "bodega.codecs.arrow"}
"""What frames can be converted to: the module that has `to_table`, `from_table` and `join` for it."""
_ROWS = {
    "numpy": ("bodega.codecs.numpy", {"ndarray"}),
    "pandas": (LIBRARIES["pandas"], {"DataFrame", "Series"}),
    "polars": (LIBRARIES["polars"], {"DataFrame", "Series"}),
    "pyarrow": (LIBRARIES["arrow"], {"Table", "RecordBatch"}),
}
"""By the first part of a class's module: where its codec is, and which classes are made of rows."""


def convert(value: Any, library: str) -> Any:
    """A frame or table of another library, by way of Arrow, without copying what need not be copied.

    Args:
        value: a frame of pandas or polars, or a table or record batch of Arrow.
        library: one of `LIBRARIES`.

    Raises:
        TypeError: the value is no frame or table.
    """
    codec, kind = _codec(type(value)), type(value).__name__
    if codec is None or kind not in ("DataFrame", "Table", "RecordBatch"):
        raise TypeError(f"a {public_name(type(value))} is no frame or table, so it cannot be one of {library}")
    if codec == LIBRARIES[library] and kind != "RecordBatch":
        return value
    return import_module(LIBRARIES[library]).from_table(import_module(codec).to_table(value))


def joiner(cls: type) -> Callable[[list[Any]], Any] | None:
    """How several values of a class become one with the rows of all, if they are made of rows."""
    codec = _codec(cls)
    join: Callable[[list[Any]], Any] | None = None if codec is None else import_module(codec).join
    return join


def _codec(cls: type) -> str | None:
    codec, classes = _ROWS.get(root_module(cls), ("", set[str]()))
    return codec if cls.__name__ in classes else None
