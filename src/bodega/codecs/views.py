"""Memoryviews: the bytes they show, which is all that another process can have of them."""

from __future__ import annotations

from typing import Any

from bodega.codecs.outofband import out_of_band
from bodega.errors import LayoutError, NotShareable


def restore_view(buffer: memoryview | bytearray, kind: str, shape: tuple[int, ...]) -> memoryview:
    """A view of elements over a buffer.

    Raises:
        LayoutError: they do not fit each other.
    """
    try:
        flat = memoryview(buffer).cast("B")
        return flat.cast(kind) if len(shape) == 1 else flat.cast(kind, shape)  # type: ignore[call-overload, no-any-return]
    except (TypeError, ValueError) as error:
        raise LayoutError(f"A memoryview of format {kind!r} and shape {shape!r} cannot be rebuilt: {error}.") from error


def reduce_view(view: memoryview) -> Any:
    """How to pickle a memoryview."""
    kind = view.format.removeprefix("@")
    try:
        flat = view.cast("B") if view.c_contiguous else memoryview(view.tobytes())
        restore_view(bytearray(flat[: view.itemsize]), kind, (1,))
        if view.ndim != 1 and not view.nbytes:
            raise ValueError("nothing has this shape")
    except (TypeError, ValueError, LayoutError):
        message = (
            f"The memoryview has elements of the format {view.format!r} in the shape {view.shape!r}, which none can be "
            "made of again. Store a numpy array over it, or bytes() of it."
        )
        raise NotShareable(message, kind="memoryview") from None
    return restore_view, (out_of_band(flat), kind, view.shape)
