"""xarray's datasets and arrays, without what would close the file that they were read from.

That refers to the file, although all data are in memory by then; data that are not are refused as handles.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_PROTOCOL = 5


def describe(_value: object) -> dict[str, Any] | None:
    """Nothing: xarray's own text for people is too long."""
    return None


def reducer(cls: type) -> Callable[[Any], Any] | None:
    """How to pickle values of this class, where they may know how to close a file."""
    return _reduce_closable if cls.__name__ in ("Dataset", "DataArray", "DataTree") else None


def _reduce_closable(value: object) -> Any:
    reduced = value.__reduce_ex__(_PROTOCOL)
    match reduced:
        case (function, arguments, (own, {"_close": _} as slots), *rest):
            return function, arguments, (own, {**slots, "_close": None}), *rest
    return reduced
