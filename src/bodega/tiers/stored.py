"""An object as a directory tier hands it out: its bytes under a lease, and what they say."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from bodega.format import (
    FORMAT,
    Buffer,
    Description,
    Header,
    Pieces,
    damaged,
    is_sealed,
    measure,
    parse_description,
    parse_header,
    parse_stream,
    plan,
    stated,
    verify,
)  # fmt: skip
from bodega.tiers.base import Fetch
from bodega.tiers.writing import NO_DIGEST, copy

_PART = 256 << 10
"""Bytes that are checked and written at a time when an object moves between tiers: they stay in the cache."""


class Stored(NamedTuple):
    """An object, ready to be decoded: its description and its bytes."""

    path: str
    tier: str
    """The URL of the tier that it was opened in."""
    status: os.stat_result
    """Of the segment, from before this use."""
    header: Header
    description: Description
    data: memoryview
    """The whole object; writable, and private to whoever opened it."""

    @property
    def used_before(self) -> bool:
        """Whether anybody opened it since it was written."""
        return self.status.st_atime_ns > self.status.st_mtime_ns

    def parts(self) -> Iterator[memoryview]:
        """All bytes of the object, some megabytes at a time."""
        return Whole(self.header, self.data).parts()

    def read(self, offset: int, length: int) -> memoryview:
        """Bytes of the object."""
        return self.data[offset : offset + length]

    def outgoing(self) -> Stored:
        """The object as it leaves for another tier: in one file, and in the current format.

        Raises:
            LayoutError: it is damaged.
        """
        if self.header.format == FORMAT and not self.description.segments:
            return self
        self.verify()
        stream, buffers = parse_stream(self.header, self.data, self.path), self.description.views(self.data)
        copied = plan(
            self.header.id,
            self.description.encoded_text,
            [view.nbytes for view in buffers],
            segment=os.urandom(16).hex(),
            stream=(stream.nbytes, self.header.stream_crc),
        )
        memory = Private()
        memory.begin(copied.total)
        for offset, parts in copied.writes(buffers, [stream]):
            memory.write(offset, parts)
        description = self.description._replace(segments=(), buffers=list(copied.buffers), are_plain=True)
        header = parse_header(copied.head, copied.total, self.path)
        return self._replace(header=header, description=description, data=memory.data)

    def verify(self) -> None:
        """Compare the bytes with the digests, where there are any.

        Raises:
            LayoutError: they differ.
        """
        verify(self.header, self.description, self.read, self.path)


def sealed(run: str, name: str, data: memoryview) -> memoryview:
    """All bytes of an object, with its digests.

    Args:
        run: namespace of the name.
        name: name of the object.
        data: all its bytes, private to the caller; digests that are missing are written there, where that can be.

    Raises:
        LayoutError: it is no object, or is to get digests and is another one, or damaged.
    """
    where = f"{run}/{name}"
    header = parse_header(data, data.nbytes, where)

    def read(offset: int, length: int) -> memoryview:
        return data[offset : offset + length]

    if is_sealed(stated(header, read)):
        return data
    if not header.digests_offset:
        raise damaged(where, NO_DIGEST)
    block = data[header.description_offset :][: header.block_length]
    description = parse_description(header, data, block, owner=(run, name), path=where)
    found = measure(header, description, read)
    data = memoryview(bytearray(data)) if data.readonly else data
    data[header.digests_offset :][: header.digests_length] = found
    return data


class Whole(NamedTuple):
    """An object that is in memory already, on its way to a tier."""

    header: Header
    data: memoryview

    def parts(self) -> Iterator[memoryview]:
        """All bytes of the object, a part at a time."""
        return (self.data[start : start + _PART] for start in range(0, self.header.total, _PART))


class Private:
    """Memory of this process alone that an object is copied to."""

    def __init__(self) -> None:
        self.data = memoryview(b"")

    def begin(self, need: int, *, grows: bool = False) -> None:  # noqa: ARG002 - nothing grows here
        """Get so many bytes, which is all there will be."""
        self.data = memoryview(mmap.mmap(-1, need))

    def write(self, offset: int, buffers: Sequence[Buffer]) -> int:
        """Copy buffers; see `bodega.tiers.writing.Out`."""
        for buffer in buffers:
            for view in buffer.parts() if isinstance(buffer, Pieces) else (buffer,):
                self.data[offset : offset + view.nbytes] = view
                offset += view.nbytes
        return offset

    def read(self, offset: int, length: int) -> memoryview:
        """What was written there."""
        return self.data[offset : offset + length]


def read_whole(tier: str, run: str, name: str, fetch: Fetch) -> Stored:
    """Read an object of another tier into memory of this process alone, and compare it with its digest.

    Raises:
        LayoutError: its bytes are not those that were sent.
        TierError: the tier failed.
    """
    where, memory = f"{tier} {run}/{name}", Private()
    description = copy(fetch, memory, run, name, where)
    return Stored(where, tier, os.stat_result((0,) * 10), fetch.header, description, memory.data)


class Listed(NamedTuple):
    """An object as a listing of the folder shows it."""

    used: int
    """When it was last put or opened, nanoseconds."""
    nbytes: int
    """In whole pages."""
    run: str
    name: str
    pinned: bool
