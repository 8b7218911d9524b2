"""What an encoder hands over: a value as facts, a recipe and buffers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple


class Pieces(NamedTuple):
    """A buffer that is not contiguous in memory: its length in bytes, and its bytes in order, a part at a time."""

    nbytes: int
    parts: Callable[[], Iterator[memoryview]]


Buffer = memoryview | Pieces
"""What an encoder hands over: a one-dimensional contiguous view of bytes (format ``B``), or `Pieces`."""


class Encoded(NamedTuple):
    """A value as its codec describes it, without the pickle stream (which goes to the sink as it is made)."""

    kind: str
    """The type's public name, such as ``pandas.DataFrame``."""
    schema: dict[str, Any]
    """JSON: what a person wants to know (shape, dtypes, columns, length)."""
    recipe: dict[str, Any]
    """JSON: what the decoder needs besides stream and buffers; ``codec`` names the decoder."""
    buffers: Sequence[Buffer] = ()
