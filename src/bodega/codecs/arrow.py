"""Arrow arrays and tables, buffer by buffer, and of a slice only the bytes that it uses.

pyarrow's own pickle keeps the buffers of whole parents. Here every array is taken apart until its offset is zero:
values are cut out in place; what must be rewritten (the offsets of strings and lists, bits that do not begin at a
byte) is rewritten in pieces while it is stored. Only kinds that are rare and sliced (sparse unions, views, run ends)
are copied first. What is small or has nothing to cut is left to pyarrow's own pickle, which is faster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import pyarrow as pa

from bodega.codecs.outofband import out_of_band
from bodega.codecs.types import SHOWN
from bodega.errors import LayoutError, NotShareable
from bodega.format import Pieces

_PIECE = 1 << 20
"""Values of a rewritten buffer that are made at a time."""
_BYTE = 8
_SMALL = 1024
"""Bytes of all buffers of an array below which it is pickled by pyarrow, whatever it is a slice of."""
_SMALL_CHUNK = 64 << 10
"""Bytes of a chunk, on average, below which chunks are joined: each costs more than copying so little does."""
_SLACK = 64
"""Bytes by which the buffers of an array may be longer than what they hold: the last offset, a rounded bitmap."""
_WORTH_KEEPING = 0.75
"""Part of its buffers that an array of views must use, or what it uses is copied together."""
_VIEW = 16
"""Bytes of a view."""
_INLINE_VIEW = 12
"""Bytes of a text that stand in its view itself."""

_FLAT = frozenset({
    pa.lib.Type_BOOL, pa.lib.Type_INT8, pa.lib.Type_INT16, pa.lib.Type_INT32, pa.lib.Type_INT64,
    pa.lib.Type_UINT8, pa.lib.Type_UINT16, pa.lib.Type_UINT32, pa.lib.Type_UINT64,
    pa.lib.Type_HALF_FLOAT, pa.lib.Type_FLOAT, pa.lib.Type_DOUBLE, pa.lib.Type_DECIMAL128, pa.lib.Type_DECIMAL256,
    pa.lib.Type_DATE32, pa.lib.Type_DATE64, pa.lib.Type_TIME32, pa.lib.Type_TIME64, pa.lib.Type_TIMESTAMP,
    pa.lib.Type_DURATION, pa.lib.Type_STRING, pa.lib.Type_LARGE_STRING, pa.lib.Type_BINARY, pa.lib.Type_LARGE_BINARY,
    pa.lib.Type_FIXED_SIZE_BINARY,
})  # fmt: skip
"""Types of which an array knows its own size to the byte."""
_BY_NUMBER = frozenset({
    pa.lib.Type_DATE32, pa.lib.Type_DATE64, pa.lib.Type_TIME32, pa.lib.Type_TIME64, pa.lib.Type_TIMESTAMP,
    pa.lib.Type_DURATION,
})  # fmt: skip
"""Types of scalars that are a number of units of time."""
_BY_PYTHON = _FLAT - _BY_NUMBER - {pa.lib.Type_HALF_FLOAT}
"""Types of scalars that Python has as well."""


def describe(value: object) -> dict[str, Any] | None:
    """Shape and columns, or length and dtype."""
    if isinstance(value, (pa.Table, pa.RecordBatch)):
        columns = [[field.name, str(field.type)] for field in list(value.schema)[:SHOWN]]
        return {"shape": [value.num_rows, value.num_columns], "columns": columns}
    if isinstance(value, (pa.Array, pa.ChunkedArray)):
        return {"shape": [len(value)], "dtype": str(value.type)}
    if isinstance(value, pa.Schema):
        return {"columns": [[field.name, str(field.type)] for field in list(value)[:SHOWN]]}
    if isinstance(value, pa.Scalar):
        return {"dtype": str(value.type)}
    return {"length": value.size} if isinstance(value, pa.Buffer) else None


def restore_buffer(buffer: memoryview | bytearray) -> pa.Buffer:
    """An Arrow buffer over memory that it keeps alive."""
    return pa.py_buffer(buffer)


def restore_array(
    kind: pa.DataType,
    length: int,
    null_count: int,
    buffers: Sequence[memoryview | bytearray | pa.Buffer | None],
    children: Sequence[pa.Array],
) -> pa.Array:
    """An array over its buffers (in the order of Arrow's format, without an offset) and its children.

    Raises:
        LayoutError: they are not those of this type and length.
    """
    try:
        taken = [pa.py_buffer(buffer) if isinstance(buffer, (memoryview, bytearray)) else buffer for buffer in buffers]
        return pa.Array.from_buffers(kind, length, taken, null_count, 0, list(children))
    except (TypeError, ValueError, OverflowError) as error:
        raise LayoutError(f"An Arrow array of type {kind} and length {length} cannot be rebuilt: {error}.") from error


def restore_dictionary(kind: pa.DictionaryType, indices: pa.Array, dictionary: pa.Array) -> pa.Array:
    """A dictionary-encoded array."""
    return pa.DictionaryArray.from_arrays(indices, dictionary, ordered=kind.ordered, safe=False)


def restore_extension(kind: pa.BaseExtensionType, storage: pa.Array) -> pa.Array:
    """An array of an extension type over the array that stores it."""
    return pa.ExtensionArray.from_storage(kind, storage)


def restore_chunked(kind: pa.DataType, chunks: Sequence[pa.Array]) -> pa.ChunkedArray:
    """A chunked array over its chunks."""
    return pa.chunked_array(chunks, type=kind)


def restore_table(schema: pa.Schema, columns: Sequence[pa.ChunkedArray], rows: int) -> pa.Table:
    """A table. Without columns it still has rows."""
    if not columns:
        return pa.Table.from_batches([_rows(schema, rows)])
    return pa.Table.from_arrays(list(columns), schema=schema)


def restore_batch(schema: pa.Schema, columns: Sequence[pa.Array], rows: int) -> pa.RecordBatch:
    """A record batch. Without columns it still has rows."""
    return pa.RecordBatch.from_arrays(list(columns), schema=schema) if columns else _rows(schema, rows)


def _rows(schema: pa.Schema, rows: int) -> pa.RecordBatch:
    """A record batch without columns."""
    # Taking the columns away keeps the rows; no constructor does.
    one = pa.schema([("", pa.null())], metadata=schema.metadata)
    return pa.RecordBatch.from_arrays([pa.nulls(rows)], schema=one).select([])


def restore_scalar(array: pa.Array) -> pa.Scalar:
    """The only value of an array."""
    return array[0]


def join(parts: list[Any]) -> pa.Table:
    """One table of several, or of record batches, without copying."""
    return pa.concat_tables(map(to_table, parts))


def to_table(value: pa.Table | pa.RecordBatch) -> pa.Table:
    """A record batch as a table."""
    return value if isinstance(value, pa.Table) else pa.Table.from_batches([value])


def from_table(table: pa.Table) -> pa.Table:
    """The table itself."""
    return table


def reducer(cls: type) -> Callable[[Any], Any] | None:
    """How to pickle values of this class, where pyarrow's own way would keep more than the value."""
    if issubclass(cls, pa.DataType) and cls is not pa.DataType:
        return _reduce_type
    for base, reduce in _REDUCERS:
        if issubclass(cls, base):
            return reduce
    return None


def _reduce_type(kind: pa.DataType) -> Any:
    # pyarrow's own pickle loses the field of the first, and the order of the second.
    if isinstance(kind, pa.FixedSizeListType):
        reduced: Any = (pa.list_, (kind.value_field, kind.list_size))
    elif isinstance(kind, pa.MapType):
        reduced = (pa.map_, (kind.key_field, kind.item_field, kind.keys_sorted))
    else:
        reduced = kind.__reduce__()
    # Of types inside, the same is asked when they are pickled in their turn.
    rebuild, arguments = reduced[:2]
    if not rebuild(*arguments).equals(kind, check_metadata=True):
        raise NotShareable(
            f"The Arrow type {kind} would come back as another ({rebuild(*arguments)}). Cast the data to a type that "
            "pyarrow can pickle.",
            kind="pyarrow.DataType",
        )
    return reduced


def _reduce_buffer(buffer: pa.Buffer) -> Any:
    return restore_buffer, (_stored(buffer),)


def _reduce_chunked(chunked: pa.ChunkedArray) -> Any:
    return restore_chunked, (chunked.type, _in_large_chunks(chunked).chunks)


def _in_large_chunks(chunked: pa.ChunkedArray) -> pa.ChunkedArray:
    """The values, in one chunk where they have many small ones."""
    chunks = chunked.num_chunks
    try:
        if chunks < 2 or pa.types.is_dictionary(chunked.type) or chunked.nbytes >= chunks * _SMALL_CHUNK:
            return chunked
        if chunked.get_total_buffer_size() < chunked.nbytes:
            return chunked  # Chunks that share memory are stored once.
        joined = chunked.combine_chunks()
    except pa.ArrowException:
        return chunked  # Not every version can measure or join every type.
    return joined if isinstance(joined, pa.ChunkedArray) else pa.chunked_array([joined])


def _reduce_table(table: pa.Table) -> Any:
    return restore_table, (table.schema, table.columns, table.num_rows)


def _reduce_batch(batch: pa.RecordBatch) -> Any:
    return restore_batch, (batch.schema, batch.columns, batch.num_rows)


def _reduce_scalar(scalar: pa.Scalar) -> Any:
    kind = scalar.type
    if kind.id in _BY_PYTHON:
        with suppress(UnicodeDecodeError):  # Arrow does not look whether texts are UTF-8.
            return pa.scalar, (scalar.as_py(), kind)
    if kind.id in _BY_NUMBER:
        return pa.scalar, (scalar.value, kind)
    if isinstance(kind, pa.BaseExtensionType):
        storage = pa.nulls(1, kind.storage_type) if scalar.value is None else pa.repeat(scalar.value, 1)
        return restore_scalar, (pa.ExtensionArray.from_storage(kind, storage),)
    return restore_scalar, (pa.repeat(scalar, 1),)


def _reduce_array(array: pa.Array) -> Any:
    kind = array.type
    if _is_whole(array, kind):
        return array.__reduce__()
    if isinstance(kind, pa.BaseExtensionType):
        return restore_extension, (kind, array.storage)
    if pa.types.is_dictionary(kind):
        return restore_dictionary, (kind, array.indices, array.dictionary)
    parts = _parts(array)
    if parts is None:
        # No way to cut these in place: pyarrow's own pickle, of the slice alone.
        return _trimmed(array).__reduce__()
    buffers, children = parts
    nulls = array.null_count
    if not pa.types.is_null(kind):
        buffers = [_bits(array, array.buffers()[0]) if nulls else None, *buffers]
    return restore_array, (kind, len(array), nulls, buffers, children)


_REDUCERS: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (pa.Array, _reduce_array),
    (pa.ChunkedArray, _reduce_chunked),
    (pa.Table, _reduce_table),
    (pa.RecordBatch, _reduce_batch),
    (pa.Scalar, _reduce_scalar),
    (pa.Buffer, _reduce_buffer),
)


def _is_whole(array: pa.Array, kind: pa.DataType) -> bool:
    """Whether there is nothing worth cutting off, so that pyarrow's own pickle, which is faster, does as well."""
    try:
        held, used = array.get_total_buffer_size(), array.nbytes + _SLACK
        # Of nested types children count as a whole, and of views their data, however little is used.
        small = held < _SMALL and held <= 2 * used and not kind.num_fields
        return small or (kind.id in _FLAT and array.offset == 0 and held <= used)
    except pa.ArrowException:
        return False  # Old versions cannot measure every type.


def _parts(array: pa.Array) -> tuple[list[Any], list[pa.Array]] | None:
    """The buffers of an array besides its validity, and its children; or nothing for a kind that is not cut here."""
    kind, types = array.type, pa.types
    if types.is_null(kind):
        return [None], []
    if types.is_boolean(kind):
        return [_bits(array, array.buffers()[1])], []
    if types.is_string(kind) or types.is_binary(kind):
        return _cut_values(array, np.int32)
    if types.is_large_string(kind) or types.is_large_binary(kind):
        return _cut_values(array, np.int64)
    if types.is_list(kind) or types.is_map(kind):
        return _cut_list(array, np.int32)
    if types.is_large_list(kind):
        return _cut_list(array, np.int64)
    if types.is_fixed_size_list(kind):
        values = array.values.slice(array.offset * kind.list_size, len(array) * kind.list_size)
        if len(values) != len(array) * kind.list_size:
            raise ValueError(f"an Arrow array of type {kind} has fewer values than its rows need")
        return [], [values]
    if types.is_struct(kind):
        return [], [array.field(place) for place in range(kind.num_fields)]
    if types.is_union(kind) and kind.mode == "dense":
        return _cut_dense_union(array)
    if types.is_primitive(kind) or types.is_decimal(kind) or types.is_fixed_size_binary(kind):
        width = kind.bit_width // _BYTE
        return [_cut(array.buffers()[1], array.offset * width, len(array) * width)], []
    return None


def _trimmed(array: pa.Array) -> pa.Array:
    """The array without the parts of its buffers that it does not use."""
    try:
        for view, flat in ((pa.types.is_string_view, pa.large_string()), (pa.types.is_binary_view, pa.large_binary())):
            if view(array.type):
                # Joining views keeps the buffers they point to; casting does not.
                wasteful = _use_of_views(array) < _WORTH_KEEPING * array.get_total_buffer_size()
                return _without_missing_data(array.cast(flat).cast(array.type)) if wasteful else array
        if array.offset == 0 and array.get_total_buffer_size() <= array.nbytes:
            return array
        return pa.concat_arrays([array])
    except pa.ArrowException:
        # Old versions can neither measure nor cast these types: then the parents' buffers are stored as well.
        return array


def _use_of_views(array: pa.Array) -> int:
    """Bytes that an array of views needs: the views, and the longer texts that they point to."""
    views = array.buffers()[1]
    if views is None:
        return 0
    # A view is four numbers, the first of which is the length.
    lengths = np.frombuffer(views, np.int32)[:: _VIEW // 4][array.offset : array.offset + len(array)]
    return len(array) * _VIEW + int(np.sum(lengths, dtype=np.int64, where=lengths > _INLINE_VIEW))


def _without_missing_data(array: pa.Array) -> pa.Array:
    """An array of views without the empty place for data that casting leaves; polars 1 crashes on it."""
    validity, views, *data = array.buffers()
    if len(data) != 1 or data[0] is not None:
        return array
    return pa.Array.from_buffers(array.type, len(array), [validity, views], array.null_count, array.offset)


def _cut_values(array: pa.Array, width: type[np.signedinteger[Any]]) -> tuple[list[Any], list[pa.Array]]:
    """Offsets and data of strings."""
    _, offsets, data = array.buffers()
    stored, first, last = _offsets(array, offsets, width)
    return [stored, _cut(data, first, last - first)], []


def _cut_list(array: pa.Array, width: type[np.signedinteger[Any]]) -> tuple[list[Any], list[pa.Array]]:
    """Offsets and values of lists."""
    stored, first, last = _offsets(array, array.buffers()[1], width)
    return [stored], [array.values.slice(first, last - first)]


def _cut_dense_union(array: pa.Array) -> tuple[list[Any], list[pa.Array]]:
    """Type codes and offsets of a union, and of each child what the offsets point to."""
    _, codes, places = array.buffers()[:3]
    if not len(array):
        return [_cut(None, 0, 0)] * 2, [array.field(child).slice(0, 0) for child in range(array.type.num_fields)]
    of = np.frombuffer(codes, np.int8)[array.offset : array.offset + len(array)]
    offsets = np.frombuffer(places, np.int32)[array.offset : array.offset + len(array)].copy()
    children = []
    for child, code in enumerate(array.type.type_codes):
        used = offsets[of == code]
        first, last = (int(used.min()), int(used.max()) + 1) if len(used) else (0, 0)
        offsets[of == code] -= first
        children.append(array.field(child).slice(first, last - first))
    return [_cut(codes, array.offset, len(array)), out_of_band(offsets.view(np.uint8).data)], children


def _offsets(array: pa.Array, buffer: pa.Buffer | None, width: type[np.signedinteger[Any]]) -> tuple[Any, int, int]:
    """The offsets of a slice, counted from its own first one; and where its data begin and end."""
    size = np.dtype(width).itemsize
    if not len(array) or buffer is None:
        return out_of_band(memoryview(bytes(size))), 0, 0
    taken = buffer.slice(array.offset * size, (len(array) + 1) * size)
    offsets = np.frombuffer(taken, width)
    first, last = int(offsets[0]), int(offsets[-1])
    if first == 0:
        return _stored(taken), first, last

    def rewritten() -> Iterator[memoryview]:
        for start in range(0, len(offsets), _PIECE):
            yield (offsets[start : start + _PIECE] - width(first)).view(np.uint8).data

    return out_of_band(Pieces(offsets.nbytes, rewritten)), first, last


def _bits(array: pa.Array, buffer: pa.Buffer | None) -> Any:
    """The bits of a slice, beginning at a byte."""
    start, shift = divmod(array.offset, _BYTE)
    nbytes = -(-len(array) // _BYTE)
    if shift == 0 or buffer is None:
        return _cut(buffer, start, nbytes)
    bits = np.frombuffer(buffer, np.uint8)[start : start + nbytes + 1]

    def shifted() -> Iterator[memoryview]:
        for begin in range(0, nbytes, _PIECE):
            here = bits[begin : min(begin + _PIECE, nbytes)]
            after = np.zeros_like(here)
            following = bits[begin + 1 : begin + 1 + len(here)]
            after[: len(following)] = following
            yield ((here >> shift) | (after << (_BYTE - shift))).data

    return out_of_band(Pieces(nbytes, shifted))


def _cut(buffer: pa.Buffer | None, start: int, nbytes: int) -> Any:
    """A part of a buffer, in place."""
    return _stored(buffer.slice(start, nbytes)) if buffer is not None and nbytes else out_of_band(memoryview(b""))


def _stored(buffer: pa.Buffer) -> Any:
    """A buffer out of band; the same memory met again is not stored twice."""
    view = memoryview(buffer).cast("B")
    # Two slices of no bytes say nothing of their memory.
    return out_of_band(view, identity=(buffer.address, buffer.size) if buffer.size else None)
