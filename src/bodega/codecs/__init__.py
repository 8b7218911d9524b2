"""Values to bytes and back: a recipe, a pickle stream and buffers that are neither copied nor serialised.

Two ways lead through here. A plain array or byte string is described by its recipe alone and is one buffer. Everything
else is a pickle (protocol 5) whose big parts stay out of band, however deep they lie: see `bodega.codecs.pickling`.
What is put chunk by chunk is both, once a chunk: see `bodega.codecs.chunks`.

This package imports no library of data. The codec of one is loaded when a value of it turns up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from bodega.errors import LayoutError
from bodega.format import Encoded

_PLAIN = ("array", "bytes", "bytearray")
"""Codecs that need no pickle stream."""


class Sink(Protocol):
    """Takes a pickle stream piece by piece, as a file does."""

    def write(self, data: bytes | memoryview, /) -> int:
        """Take the next bytes and say how many were taken: all of them."""


def encode(value: object, sink: Sink) -> Encoded:
    """Describe a value. Its buffers are views on its own memory; its pickle stream, if it needs one, goes to the sink.

    The value is not altered. What is written must be read from the buffers before the caller changes the value.

    Raises:
        NotShareable: the value, or something in it, is a handle and not data, or cannot be pickled.
    """
    cls = type(value)
    # Exact types by name: looking must not import numpy.
    if cls.__module__ == "numpy" and cls.__name__ == "ndarray":
        from bodega.codecs.numpy import encode_array

        encoded = encode_array(value)  # type: ignore[arg-type]
        if encoded is not None:
            return encoded
    if isinstance(value, (bytes, bytearray)) and cls in (bytes, bytearray):
        name = cls.__name__
        return Encoded(name, {"length": len(value)}, {"codec": name}, (memoryview(value),))
    from bodega.codecs.pickling import encode_object

    return encode_object(value, sink)


def is_plain(recipe: Mapping[str, Any]) -> bool:
    """Whether a value is rebuilt without unpickling anything."""
    if recipe.get("codec") == "chunks":
        from bodega.codecs.chunks import are_plain

        return are_plain(recipe)
    return recipe.get("codec") in _PLAIN


def decode(recipe: Mapping[str, Any], stream: memoryview, buffers: Sequence[memoryview]) -> Any:
    """Rebuild a value over its buffers, which it then uses as its own memory.

    Raises:
        LayoutError: the recipe, the stream and the buffers do not fit each other, or are of no known codec.
        CannotRebuild: a class of the value cannot be imported here.
    """
    codec = recipe.get("codec")
    if codec == "pickle":
        from bodega.codecs.pickling import decode_object

        return decode_object(recipe, stream, buffers)
    if codec == "chunks":
        from bodega.codecs.chunks import decode_chunks

        return decode_chunks(recipe, buffers)
    if not is_plain(recipe):
        raise LayoutError(f"The codec {codec!r} is not known: the object was put by a newer version, or is damaged.")
    if len(buffers) != 1:
        raise LayoutError(f"An object of the codec {codec!r} has one buffer, not {len(buffers)}: it is damaged.")
    if codec == "array":
        from bodega.codecs.numpy import decode_array

        return decode_array(recipe, buffers[0])
    return bytes(buffers[0]) if codec == "bytes" else bytearray(buffers[0])
