"""Where the buffers of an object are: in its own file, or in segments that it shares with others.

An object refers to at most eight foreign segments, by their ids. A buffer lies in one extent nearly always, and in eight at
most: bytes of one segment that follow one another in memory. The borders between the extents of a buffer are borders of
pages, both in memory and in the files, so that a reader can map them side by side. A buffer in the own segment begins at
a multiple of 64 bytes; one in a foreign segment at any byte, since it may be a slice of what lies there.

Nothing here opens anything: an id is 16 bytes and never a path, and what a table says is checked before it is used.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bodega.format.info import MOST, damaged

if TYPE_CHECKING:
    from bodega.format.header import Header

ALIGNMENT = 64
"""Alignment of buffers: a cache line, and what Arrow recommends."""
PAGE = 4096
"""Alignment of buffers of a page or more, so that what a reader changes in one never copies a page of another."""
MOST_SEGMENTS = 8
"""Foreign segments that one object may refer to."""
MOST_EXTENTS = 8
"""Extents that one buffer may have."""
ID_SIZE = 16
_ENTRY = struct.Struct("<QQQ")
"""place, offset, length. The place's first byte is the segment, its second has flags, the others are zero."""
ENTRY_SIZE = _ENTRY.size
_GOES_ON = 1 << 8
"""The flag of an extent that the next one follows in the same buffer."""
_SEGMENT = 0xFF
_FIRST_BYTE = 128
"""The header's place is nobody's buffer."""

Extent = tuple[int, int, int]
"""Segment (0: the own one, else the place in the list of foreign ones, from 1), offset, length."""
Extents = tuple[Extent, ...]
"""A buffer: what its bytes are, one behind the other."""


def length_of(extents: Extents) -> int:
    """Bytes of a buffer."""
    return sum(length for _, _, length in extents)


def pack_segments(segments: Sequence[str], buffers: Sequence[Extents]) -> bytes:
    """The two tables: ids of foreign segments, then the extents of all buffers."""
    entries = []
    for extents in buffers:
        if len(extents) > 1:
            entries += [_ENTRY.pack(segment | _GOES_ON, offset, length) for segment, offset, length in extents[:-1]]
        entries.append(_ENTRY.pack(*extents[-1]))
    return bytes.fromhex("".join(segments)) + b"".join(entries)


def parse_segments(
    tables: bytes | bytearray | memoryview, header: Header, path: str
) -> tuple[tuple[str, ...], list[Extents]]:
    """Read the two tables.

    Args:
        tables: what the header calls so.
        header: counts what is in them.
        path: for messages.

    Returns:
        Ids of the foreign segments, and the extents of each buffer.

    Raises:
        LayoutError: they break a rule.
    """
    ids: tuple[str, ...] = ()
    segments, total = header.segments, header.total
    if segments:
        ids = tuple(bytes(tables[start : start + ID_SIZE]).hex() for start in range(0, ID_SIZE * segments, ID_SIZE))
        tables = tables[ID_SIZE * segments :]
        if len({header.segment, *ids}) <= segments:
            raise damaged(path, "the segments that it refers to are not others, or not different ones")
    found: list[Extents] = []
    extents: Extents = ()
    for entry in _ENTRY.iter_unpack(tables):
        place, offset, length = entry
        end = offset + length
        if place == 0 and not extents:  # As nearly all of them are.
            if offset % ALIGNMENT or offset < _FIRST_BYTE or end > total:
                raise damaged(path, "a buffer lies outside the object")
            found.append((entry,))
            continue
        segment, goes_on = place & _SEGMENT, place & _GOES_ON
        if place != segment | goes_on or segment > segments:
            raise damaged(path, "a buffer lies in a segment that it does not name")
        if offset < _FIRST_BYTE or end > (MOST if segment else total):
            raise damaged(path, "a buffer lies outside its segment")
        if (offset % PAGE if extents else not segment and offset % ALIGNMENT) or (goes_on and end % PAGE):
            raise damaged(path, "a part of a buffer begins or ends in the middle of a page")
        if not length and (extents or goes_on):
            raise damaged(path, "a part of a buffer is empty")
        extents = (*extents, (segment, offset, length))
        if len(extents) > MOST_EXTENTS:
            raise damaged(path, f"a buffer has more than {MOST_EXTENTS} parts")
        if not goes_on:
            found.append(extents)
            extents = ()
    if extents or len(found) != header.buffers:
        raise damaged(path, f"its table has {len(found)} buffers of {header.buffers}")
    return ids, found


def resolve(buffers: Sequence[Extents], segments: Sequence[memoryview], path: str) -> list[memoryview]:
    """The buffers as views of the segments; what lies in several parts is copied.

    Args:
        buffers: the extents of each.
        segments: bytes of the own segment, then of the foreign ones.
        path: for messages.

    Raises:
        LayoutError: a segment is shorter than it should be.
    """
    found = []
    # Copies never take more than there is: a table may name the same bytes many times.
    room = sum(segment.nbytes for segment in segments)
    for extents in buffers:
        views = []
        for segment, offset, length in extents:
            view = segments[segment][offset : offset + length]
            if view.nbytes != length:
                raise damaged(path, "a buffer ends behind its segment")
            views.append(view)
        if len(views) > 1:
            room -= length_of(extents)
            if room < 0:
                raise damaged(path, "its buffers are larger than the segments that they lie in")
            views = [memoryview(bytearray().join(views))]
        found.append(views[0])
    return found
