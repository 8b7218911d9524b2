"""The first 128 bytes of an object: what it is, and where its parts are.

Two formats are read, one is written. What they have in common is the magic number, the number of the format behind
it, and the checksum; whatever else is there, its number decides.
"""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

from bodega.format.info import MOST, damaged, too_new
from bodega.format.segments import ENTRY_SIZE, ID_SIZE, MOST_EXTENTS, MOST_SEGMENTS

MAGIC = b"\x89BODEGA\n"
FORMAT = 2
FIRST_FORMAT = 1
"""What version 0.1 wrote. It is read, and never written."""
HEADER_SIZE = 128
DIGEST_SIZE = 16
_HEADER = struct.Struct("<8sHHIIHBx32sQIIIxxxxQQQQ16x")
"""magic, format, flags that a reader must know, CRC of header, texts and table, CRC of the stream, flags that it need not
know, number of foreign segments, the two ids, then: description's offset, length of its texts, number of extents,
number of buffers, stream's offset and length, the digests' offset, and the object's end."""
_FIRST_HEADER = struct.Struct("<24x16sQIIQQQ16s")
"""What differs: id, description's offset, length of its texts, number of buffers, stream's offset and length, the object's
end, and its digest where the flag says so."""
_FIRST_HAS_DIGEST = 1
_CRC_FIELD = slice(12, 16)
_BLANK = bytes(4)
"""Stands for the CRC while it is computed."""

View = bytes | bytearray | memoryview


class Header(NamedTuple):
    """The fixed part, checked against the size of its file."""

    format: int
    crc: int
    """CRC-32 of header, texts and tables."""
    id: str
    segment: str
    """Id of the file's bytes: what other objects call them by; files of one segment id have the same buffers in the
    same places."""
    segments: int
    """How many foreign segments it refers to."""
    extents: int
    buffers: int
    description_offset: int
    description_length: int
    """Bytes of the two JSON texts."""
    block_length: int
    """Bytes of texts, segments and extents together."""
    stream_offset: int
    stream_length: int
    stream_crc: int
    digests_offset: int
    """Where its digests stand; 0 in the first format, which has one in the header."""
    total: int
    """Where it ends in its file."""
    first_digest: bytes = b""
    """XXH3-128 of all bytes behind the header, of an object of the first format that has one."""

    @property
    def digests_length(self) -> int:
        """Bytes of its digests: the object's, the stream's and one for each buffer."""
        return DIGEST_SIZE * (2 + self.buffers) if self.digests_offset else 0


def pack_header(
    block: bytes,
    *,
    ids: str,
    segments: int,
    extents: int,
    buffers: int,
    description_offset: int,
    description_length: int,
    stream_offset: int,
    stream_length: int,
    stream_crc: int,
    digests_offset: int,
    total: int,
) -> bytes:
    """The 128 bytes of a header of the current format.

    Args:
        block: texts and tables, which the checksum covers too.
        ids: that of the object and that of its segment, one behind the other.
        segments: how many foreign segments there are.
        extents: how many extents there are.
        buffers: how many buffers there are.
        description_offset: where the block is.
        description_length: bytes of the texts in it.
        stream_offset: where the pickle stream is.
        stream_length: its bytes.
        stream_crc: its CRC-32.
        digests_offset: where the digests are.
        total: where the object ends.
    """
    head = bytearray(
        _HEADER.pack(
            MAGIC, FORMAT, 0, 0, stream_crc, 0, segments, bytes.fromhex(ids), description_offset, description_length, extents,
            buffers, stream_offset, stream_length, digests_offset, total,
        )
    )  # fmt: skip
    head[_CRC_FIELD] = zlib.crc32(block, zlib.crc32(head)).to_bytes(4, "little")
    return bytes(head)


def parse_header(data: View, size: int, path: str) -> Header:
    """Read the header at the start of a file's bytes.

    Args:
        data: at least the first 128 bytes of the file, if it has so many.
        size: of the whole file.
        path: for messages.

    Raises:
        LayoutError: not an object, of another format, or cut short.
    """
    if size < HEADER_SIZE or len(data) < HEADER_SIZE:
        raise damaged(path, f"it has {size} bytes, less than a header")
    (
        magic, version, flags, crc, stream_crc, _, segments, ids, description_offset, description_length,
        extents, buffers, stream_offset, stream_length, digests_offset, total,
    ) = _HEADER.unpack_from(data)  # fmt: skip
    first_digest = b""
    if magic != MAGIC:
        raise damaged(path, "it does not begin like an object of a store")
    if version == FORMAT and not flags:
        if segments > MOST_SEGMENTS or not buffers <= extents <= MOST_EXTENTS * buffers:
            raise damaged(path, f"its header counts {segments} segments and {extents} extents of {buffers} buffers")
        if digests_offset < HEADER_SIZE or digests_offset + DIGEST_SIZE * (2 + buffers) > total:
            raise damaged(path, "its header points outside the object")
    elif version == FIRST_FORMAT and not flags & ~_FIRST_HAS_DIGEST:
        (
            identity, description_offset, description_length, buffers, stream_offset, stream_length, total, digest,
        ) = _FIRST_HEADER.unpack_from(data)  # fmt: skip
        # Nothing refers to a segment of that format, which has no id of its own.
        ids, segments, extents, digests_offset = identity + identity, 0, buffers, 0
        first_digest = digest if flags else b""
    else:
        raise too_new(
            path,
            f"it has format {version} (flags {flags}); this version knows the formats {FIRST_FORMAT} and {FORMAT} "
            "(flags 0)",
        )
    if total > min(size, MOST):
        raise damaged(path, f"it is cut short: {size} bytes of {total}")
    block_length = description_length + ID_SIZE * segments + ENTRY_SIZE * extents
    for offset, length in ((description_offset, block_length), (stream_offset, stream_length)):
        if offset < HEADER_SIZE or offset + length > total:
            raise damaged(path, "its header points outside the object")
    both = ids.hex()
    return Header(
        version, crc, both[:32], both[32:], segments, extents, buffers, description_offset, description_length,
        block_length, stream_offset, stream_length, stream_crc, digests_offset, total, first_digest,
    )  # fmt: skip


def check_block(head: View, block: View, header: Header, path: str) -> None:
    """Compare a header, and the texts and tables that belong to it, with their checksum.

    Raises:
        LayoutError: they do not match it.
    """
    blank = bytearray(head[:HEADER_SIZE])
    blank[_CRC_FIELD] = _BLANK
    if len(block) != header.block_length or zlib.crc32(block, zlib.crc32(blank)) != header.crc:
        raise damaged(path, "its description does not match its checksum")
