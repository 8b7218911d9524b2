"""The bytes of an object: a fixed header, a description, a pickle stream and aligned buffers.

Pure functions over bytes, no files and no locks. ``docs/format.md`` is the specification; this module is its only
implementation, and refuses with `LayoutError` whatever it does not know.

A segment holds, in this order (see `plan`):

    header (128 bytes) | description (JSON) | buffer table | pickle stream | buffers

Every offset is in the header or in the table. A segment may be longer than its object: lengths are never taken
from the file.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, NamedTuple

from bodega.errors import LayoutError

MAGIC = b"\x89BODEGA\n"
FORMAT = 1
HEADER_SIZE = 128
ALIGNMENT = 64
"""Of every buffer: a cache line, and what Arrow recommends."""
PAGE = 4096
"""Alignment of buffers of a page or more, so that what a reader changes in one never copies a page of another."""


class Pieces(NamedTuple):
    """A buffer that is not contiguous in memory: its length in bytes, and its bytes in order, a part at a time."""

    nbytes: int
    parts: Callable[[], Iterator[memoryview]]


Buffer = memoryview | Pieces
"""What an encoder hands over: a one-dimensional contiguous view of bytes (format ``B``), or `Pieces`."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """A value as its codec describes it, without the pickle stream (which goes to the sink as it is made)."""

    kind: str
    """The type's public name, such as ``pandas.DataFrame``."""
    schema: dict[str, Any]
    """JSON: what a person wants to know (shape, dtypes, columns, length)."""
    recipe: dict[str, Any]
    """JSON: what the decoder needs besides stream and buffers; ``codec`` names the decoder."""
    buffers: Sequence[Buffer] = ()


@dataclass(frozen=True, slots=True)
class Producer:
    """Who put an object."""

    process: int
    host: str
    task: str | None = None
    """The Kedro node, where there is one."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What is known of an object without reading its data."""

    name: str
    run: str
    id: str
    """128 random bits in hexadecimal: new with every put."""
    nbytes: int
    """Bytes of stream and buffers."""
    kind: str
    created: datetime
    """Time zone aware, UTC."""
    producer: Producer
    schema: dict[str, Any] = field(default_factory=dict)
