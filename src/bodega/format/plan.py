"""Where everything of an object goes in its segment."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from bodega.format.header import DIGEST_SIZE, HEADER_SIZE, pack_header
from bodega.format.info import MOST
from bodega.format.parts import Buffer
from bodega.format.segments import ALIGNMENT, ENTRY_SIZE, ID_SIZE, PAGE, Extents, pack_segments

_ZEROS = memoryview(bytes(PAGE))


def aligned(end: int, nbytes: int) -> int:
    """Where a buffer of so many bytes goes that follows what ends there."""
    alignment = PAGE if nbytes >= PAGE else ALIGNMENT
    return -(-end // alignment) * alignment


def padding(nbytes: int) -> memoryview:
    """Zeros to fill the way to the next buffer: less than a page."""
    return _ZEROS[:nbytes]


class Plan(NamedTuple):
    """Where everything of an object goes."""

    head: bytes
    """The header's 128 bytes."""
    block: bytes
    """Texts and tables."""
    buffers: Sequence[Extents]
    """Where each buffer is, or will be."""
    placed: Sequence[int]
    """Which of them are to be written, by their numbers; the others are there already."""
    front: bool
    """Whether texts and tables follow the header; else they come last."""
    free: int
    """Where the part ends that was written before there was a plan; else where the header ends."""
    digests_offset: int
    digests_length: int
    total: int
    """The object's end in its segment."""

    def writes(
        self,
        buffers: Sequence[Buffer],
        stream: Sequence[memoryview] = (),
        digests: Callable[[], bytes] | None = None,
    ) -> Iterator[tuple[int, list[Buffer]]]:
        """What to write where: offsets, and what goes behind each without a hole.

        The header is the first. What comes last in the file is the last, so that a writer which goes from the front to the
        back needs to know the header alone before everything else.

        Args:
            buffers: those that are to be written, see `placed`.
            stream: the parts of its pickle stream, unless they have been written already.
            digests: gives the digests, when all else is written; without it there are none.
        """
        none = bytes(self.digests_length)
        if self.front:
            run: list[Buffer] = [memoryview(self.head + self.block + none), *stream]
            start = end = 0
        else:
            yield 0, [memoryview(self.head)]
            run, start, end = [*stream], self.free, self.free
        for part in run:
            end += part.nbytes
        if self.free > end:
            yield start, run
            run, start, end = [], self.free, self.free
        for number, buffer in zip(self.placed, buffers, strict=True):
            _, offset, length = self.buffers[number][0]
            if offset > end:
                run.append(padding(offset - end))
            run.append(buffer)
            end = offset + length
        if not self.front:
            run.append(memoryview(self.block if digests else self.block + none))
        yield start, run
        if digests:
            yield self.digests_offset, [memoryview(digests())]


def plan(
    identity: str,
    text: bytes,
    buffers: Sequence[int | Extents] = (),
    *,
    segment: str,
    stream: tuple[int, int] = (0, 0),
    segments: Sequence[str] = (),
    written: int | None = None,
) -> Plan:
    """Lay out an object.

    Args:
        identity: its id.
        text: its description, see `pack_description`.
        buffers: length of each one that is to be written, or where it is, of one that is there already.
        segment: id of the segment, another one for each file that is not a copy byte for byte.
        stream: bytes of its pickle stream, and their CRC-32.
        segments: ids of the foreign segments that buffers lie in.
        written: where the part behind the header ends that is written already, such as a long pickle stream, which then
            begins behind the header. Description and digests then go to the end, be that part empty.
    """
    stream_length, stream_crc = stream
    extents, free, first = len(buffers), written or HEADER_SIZE, MOST
    for each in buffers:
        if isinstance(each, tuple):
            extents += len(each) - 1
            for place, offset, length in each:
                if place == 0:
                    first, free = min(first, offset), max(free, offset + length)
    block_length = len(text) + ID_SIZE * len(segments) + ENTRY_SIZE * extents
    digests_length = DIGEST_SIZE * (2 + len(buffers))
    stream_offset = HEADER_SIZE + block_length + digests_length
    # In front where there is room: nothing is written yet, or nothing but an array that was made in place far behind.
    front = written is None and stream_offset + stream_length <= first
    if front:
        end = max(free, stream_offset + stream_length)
    elif written is not None:
        stream_offset, end = HEADER_SIZE, free
    else:
        stream_offset, end = free, free + stream_length
    found: list[Extents] = []
    placed = []
    for number, each in enumerate(buffers):
        if isinstance(each, tuple):
            found.append(each)
        else:
            offset = aligned(end, each)
            found.append(((0, offset, each),))
            placed.append(number)
            end = offset + each
    description_offset = HEADER_SIZE
    if not front:
        description_offset, end = end, end + block_length + digests_length
    block = text + pack_segments(segments, found)
    digests_offset = description_offset + block_length
    head = pack_header(
        block,
        ids=identity + segment,
        segments=len(segments),
        extents=extents,
        buffers=len(buffers),
        description_offset=description_offset,
        description_length=len(text),
        stream_offset=stream_offset,
        stream_length=stream_length,
        stream_crc=stream_crc,
        digests_offset=digests_offset,
        total=end,
    )
    return Plan(head, block, found, placed, front, free, digests_offset, digests_length, end)
