"""numpy arrays: any dtype without Python objects is one buffer, read in place, writable, in the order of its axes.

Arrays of objects and of variable-width strings hold pointers; numpy's own pickle takes them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from bodega.codecs.outofband import out_of_band, stays_inside
from bodega.errors import LayoutError
from bodega.format import Buffer, Encoded, Pieces

Array = npt.NDArray[Any]

_LAST_PLAIN_TYPE = 23
"""``numpy.half``; higher type numbers belong to strings of variable width and to other libraries' types."""
_LONGEST_AXIS = 2**63 - 1
_PIECE = 8 << 20
"""Bytes of a strided array that are made contiguous at a time."""


def encode_array(array: Array) -> Encoded | None:
    """Describe an array without a pickle, or nothing where its dtype is more than a text can say."""
    text = _dtype_text(array.dtype)
    if text is None:
        return None
    buffer, order = array_buffer(array)
    recipe = {"codec": "array", "dtype": text, "shape": array.shape, "order": order}
    return Encoded("numpy.ndarray", describe(array) or {}, recipe, (buffer,))


def decode_array(recipe: Mapping[str, Any], buffer: memoryview) -> Array:
    """The inverse of `encode_array`, over the buffer."""
    order = recipe.get("order")
    shape = recipe.get("shape")
    if not isinstance(shape, (list, tuple)) or not (order is None or isinstance(order, (list, tuple))):
        raise LayoutError(
            f"The recipe of an array has the shape {shape!r:.200} and the order {order!r:.200}: it is damaged."
        )
    return restore_array(buffer, recipe.get("dtype"), tuple(shape), None if order is None else tuple(order))


def describe(value: Any) -> dict[str, Any] | None:
    """Shape and dtype of what has them: arrays, numbers, sparse matrices."""
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    if not isinstance(shape, tuple) or not isinstance(dtype, np.dtype):
        return None
    return {"shape": [int(size) for size in shape], "dtype": dtype_name(dtype)}


def array_buffer(array: Array) -> tuple[Buffer, tuple[int, ...] | None]:
    """The bytes of an array, and the order of axes they lie in (outermost first; none for the usual one).

    Memory without gaps is taken as it is, whatever the order. Other strides become `Pieces` in the usual order.
    """
    if array.flags.c_contiguous:
        return _flat(array), None
    strides = array.strides
    order = tuple(sorted(range(array.ndim), key=lambda axis: -strides[axis]))
    turned = array.transpose(order)
    if turned.flags.c_contiguous:
        return _flat(turned), order
    return Pieces(array.nbytes, lambda: _pieces(array)), None


def restore_array(
    buffer: memoryview | bytearray,
    dtype: object,
    shape: tuple[int, ...],
    order: tuple[int, ...] | None,
) -> Array:
    """An array over a buffer.

    Args:
        buffer: exactly the bytes of the array.
        dtype: a ``numpy.dtype`` or its text, without Python objects.
        shape: of the array.
        order: the axes from the outermost in memory to the innermost, or none for the usual order.

    Raises:
        LayoutError: the arguments do not fit each other.
    """
    try:
        if not isinstance(dtype, (str, np.dtype)):
            raise TypeError("no dtype")
        kind = np.dtype(dtype)
        if kind.hasobject:
            raise TypeError("pointers in a buffer")
        # Before anything is computed of them: a text times a number would be made of as many bytes.
        if not all(isinstance(length, int) and 0 <= length <= _LONGEST_AXIS for length in shape):
            raise TypeError("no shape")
        nbytes = memoryview(buffer).nbytes
        if nbytes != math.prod(shape) * kind.itemsize:
            raise ValueError(f"{nbytes} bytes in the buffer")
        # An empty buffer may be read-only, and numpy refuses shapes such as (0, 3) over one.
        source = buffer if nbytes else None
        if order is None:
            array: Array = np.ndarray(shape, kind, source)
        else:
            inverse = [order.index(axis) for axis in range(len(shape))]
            array = np.ndarray(tuple(shape[axis] for axis in order), kind, source).transpose(inverse)
        return array
    except (TypeError, ValueError, IndexError, OverflowError, SyntaxError) as error:
        message = f"An array of shape {shape!r:.200}, dtype {dtype!r:.200} and order {order!r:.200} cannot be rebuilt: {error}."
        raise LayoutError(message) from error


def restore_view(array: Array, name: str) -> Array:
    """An array as one of numpy's own subclasses: ``recarray`` or ``matrix``."""
    subclass = {"recarray": np.recarray, "matrix": np.matrix}.get(name)
    if subclass is None or not isinstance(array, np.ndarray):
        raise LayoutError(f"No view {name!r} of a value of type {type(array).__name__} is known.")
    return array.view(subclass)


def restore_masked(
    data: Array,
    mask: Array | None,
    fill_value: Array | None,
    hard_mask: bool,
    extras: dict[str, Any],
) -> np.ma.MaskedArray[Any, Any]:
    """A masked array over its data and its mask."""
    masked = np.ma.MaskedArray(
        data,
        mask=np.ma.nomask if mask is None else mask,
        copy=False,
        keep_mask=False,
        hard_mask=hard_mask,
        fill_value=fill_value,  # type: ignore[arg-type]
    )
    masked._optinfo.update(extras)  # type: ignore[attr-defined]  # noqa: SLF001 - has no public setter
    return masked


def restore_small_masked(
    data: bytearray, dtype: object, shape: tuple[int, ...], mask: bytearray | None, *rest: Any
) -> np.ma.MaskedArray[Any, Any]:
    """A masked array whose data and mask lie in the stream, without an array of their own."""
    marks = None if mask is None else restore_array(mask, "?", shape, None)
    return restore_masked(restore_array(data, dtype, shape, None), marks, *rest)


def join(arrays: list[Array]) -> Array:
    """One array of several, along the first axis; single values become a row."""
    return np.stack(arrays) if all(array.ndim == 0 for array in arrays) else np.concatenate(arrays)


def reducer(cls: type) -> Callable[[Any], Any] | None:
    """How to pickle values of exactly this class, where numpy's own way would copy."""
    return {
        np.ndarray: _reduce_array,
        np.memmap: _reduce_array,
        np.recarray: _reduce_view,
        np.matrix: _reduce_view,
        np.ma.MaskedArray: _reduce_masked,
    }.get(cls)


def _reduce_array(array: Array) -> Any:
    dtype = array.dtype
    if dtype.hasobject:
        return NotImplemented
    if stays_inside(array.nbytes) and type(array) is np.ndarray and dtype.isbuiltin == 1 and array.flags.writeable:
        # numpy's own way is the fastest for few bytes. It would keep what is read-only so, and lose other byte orders.
        return NotImplemented
    buffer, order = array_buffer(array)
    return restore_array, (out_of_band(buffer), _dtype_text(dtype) or dtype, array.shape, order)


def _reduce_view(array: Array) -> Any:
    return restore_view, (np.ndarray.view(array, np.ndarray), type(array).__name__)


def _reduce_masked(array: Any) -> Any:
    data = array.data
    mask = None if array._mask is np.ma.nomask else array._mask  # noqa: SLF001 - the property makes a full mask
    rest = array._fill_value, array._hardmask, dict(array._optinfo)  # noqa: SLF001 - cheaper than the properties
    text = _dtype_text(data.dtype) if stays_inside(data.nbytes) and type(data) is np.ndarray else None
    if text is None or not (data.flags.c_contiguous and (mask is None or mask.flags.c_contiguous)):
        return restore_masked, (data, mask, *rest)
    # Of many small ones the two arrays inside would take most of the time.
    marks = None if mask is None else bytearray(mask.tobytes())
    return restore_small_masked, (bytearray(data.tobytes()), text, data.shape, marks, *rest)


def _dtype_text(dtype: np.dtype[Any]) -> str | None:
    """The dtype as a text, where that says everything about it."""
    if dtype.num > _LAST_PLAIN_TYPE or dtype.hasobject or dtype.names is not None or dtype.metadata is not None:
        return None
    return str(dtype.str)


@lru_cache(maxsize=256)
def dtype_name(dtype: np.dtype[Any]) -> str:
    """What numpy prints for a dtype; it takes numpy longer than all the rest of a small array."""
    return str(dtype)


def _flat(array: Array) -> memoryview:
    """The bytes of an array without gaps."""
    if not array.nbytes:
        return memoryview(b"")
    # By way of bytes: dates, records and other byte orders have no buffer that memoryview could cast.
    return np.ndarray.view(array.reshape(-1), np.ndarray).view(np.uint8).data


def _pieces(array: Array) -> Iterator[memoryview]:
    """The bytes of an array in the usual order, some megabytes of it made contiguous at a time."""
    if array.nbytes <= _PIECE:
        yield _flat(np.ascontiguousarray(array))
    elif array.ndim == 0 or array.flags.c_contiguous:
        flat = _flat(array)
        yield from (flat[start : start + _PIECE] for start in range(0, flat.nbytes, _PIECE))
    else:
        rows = _PIECE // (array.nbytes // len(array))
        for start in range(0, len(array), rows or 1):
            yield from _pieces(array[start : start + rows] if rows else array[start, ...])
