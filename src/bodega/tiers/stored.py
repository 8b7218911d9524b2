"""An object as a directory tier hands it out: its bytes under a lease, and what they say."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from bodega import layout
from bodega.tiers.base import Fetch
from bodega.tiers.writing import copy

_PART = 256 << 10
"""Bytes that are checked and written at a time when an object moves between tiers: they stay in the cache."""


class Stored(NamedTuple):
    """An object, ready to be decoded: its description and its bytes."""

    path: str
    tier: str
    """The URL of the tier that it was opened in."""
    status: os.stat_result
    """Of the segment, from before this use."""
    header: layout.Header
    description: layout.Description
    data: memoryview
    """The whole object; writable, and private to whoever opened it."""

    @property
    def used_before(self) -> bool:
        """Whether anybody opened it since it was written."""
        return self.status.st_atime_ns > self.status.st_mtime_ns

    def parts(self) -> Iterator[memoryview]:
        """All bytes of the object, some megabytes at a time."""
        return Whole(self.header, self.data).parts()

    def verify(self) -> None:
        """Compare the bytes with the digest, if there is one.

        Raises:
            LayoutError: they differ.
        """
        if self.header.digest:
            digest = layout.digester()
            digest.update(self.data[layout.HEADER_SIZE :])
            layout.verify(self.header, digest.digest(), self.path)


def sealed(header: layout.Header, data: memoryview) -> memoryview:
    """All bytes of an object, with its digest in the header.

    Args:
        header: of the object.
        data: all its bytes, private to the caller; a digest that is missing is written there, where that can be.
    """
    if header.digest:
        return data
    digest = layout.digester()
    digest.update(data[layout.HEADER_SIZE :])
    data = memoryview(bytearray(data)) if data.readonly else data
    block = data[header.description_offset : header.description_offset + header.block_length]
    data[: layout.HEADER_SIZE] = layout.seal(data, block, digest.digest())
    return data


class Whole(NamedTuple):
    """An object that is in memory already, on its way to a tier."""

    header: layout.Header
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

    def write(self, offset: int, buffers: Sequence[layout.Buffer], digest: Any = None) -> int:
        """Copy buffers; see `bodega.tiers.writing.Out`."""
        for buffer in buffers:
            for view in buffer.parts() if isinstance(buffer, layout.Pieces) else (buffer,):
                if digest is not None:
                    digest.update(view)
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


class Entry(NamedTuple):
    """An object as a listing of the folder shows it."""

    used: int
    """When it was last put or opened, nanoseconds."""
    nbytes: int
    """In whole pages."""
    run: str
    name: str
    pinned: bool
