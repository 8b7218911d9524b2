"""What an object's bytes are checked by wherever they go: XXH3, 128 bits, of its parts.

The digests of an object are its own, that of its pickle stream, and one for each buffer, 16 bytes each; zeros stand for
one that nobody has computed. They are a block of their own, which a writer that goes from the front to the back leaves to
the end. The object's digest is over its id, its description, and the lengths and digests of stream and buffers: wherever
these are, in its own file or in others', it is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from bodega.format.description import Description
from bodega.format.header import DIGEST_SIZE, FIRST_FORMAT, HEADER_SIZE, Header, View
from bodega.format.info import damaged
from bodega.format.parts import Buffer, Pieces
from bodega.format.segments import length_of

_TAG = b"bodega object 1\0"
_NONE = bytes(DIGEST_SIZE)
_PART = 1 << 20
"""Bytes that are read at a time where an object is read a second time."""

Read = Callable[[int, int], View]
"""Gives the bytes at an offset of an object's own segment, of a length."""


def digester() -> Any:
    """What computes a digest."""
    from xxhash import xxh3_128  # Most puts need none.

    return xxh3_128()


class Digests:
    """Takes the digests of an object's parts as they are written.

    Args:
        buffers: how many buffers there are, where that is known.
    """

    def __init__(self, buffers: int = 0) -> None:
        self.stream = digester()
        """To be fed with the pickle stream."""
        self._buffers: list[Any] = [None] * buffers

    def watch(self, number: int, buffer: Buffer) -> Buffer:
        """A buffer in place of another, whose digest is taken by the time that all of it is read.

        Args:
            number: its place among the buffers; a second one there replaces the first.
            buffer: what is to be written.
        """
        hasher = digester()
        self._buffers += [None] * (number + 1 - len(self._buffers))
        self._buffers[number] = hasher
        if not isinstance(buffer, Pieces):
            hasher.update(buffer)
            return buffer

        def parts() -> Iterator[memoryview]:
            hasher.reset()
            for part in buffer.parts():
                hasher.update(part)
                yield part

        return Pieces(buffer.nbytes, parts)

    def hasher(self, number: int) -> Any:
        """What computes the digest of one buffer; to be fed with its bytes, in order."""
        if self._buffers[number] is None:
            self._buffers[number] = digester()
        return self._buffers[number]

    def block(self, identity: str, text: bytes, stream_length: int, lengths: Sequence[int]) -> bytes:
        """The digests of an object whose parts have all passed, as they stand in its file."""
        parts = [self.stream.digest(), *(self.hasher(number).digest() for number in range(len(lengths)))]
        whole = digester()
        whole.update(_TAG + bytes.fromhex(identity))
        for length, part in zip((len(text), stream_length, *lengths), (text, *parts), strict=True):
            whole.update(length.to_bytes(8, "little"))
            whole.update(part)
        return b"".join([whole.digest(), *parts])


class Passing:
    """Takes the digests of an object whose bytes pass by in the order of its file.

    Args:
        header: of the object.
        description: of the object.
    """

    def __init__(self, header: Header, description: Description) -> None:
        self._header, self._description = header, description
        self._digests = Digests(len(description.buffers))
        self._ranges: list[tuple[int, int, Any]] = [
            (header.stream_offset, header.stream_offset + header.stream_length, self._digests.stream)
        ]
        for number, extents in enumerate(description.buffers):
            hasher = self._digests.hasher(number)
            self._ranges += [(offset, offset + length, hasher) for _, offset, length in extents]
        self.in_order = not description.segments and all(
            before[1] <= after[0] for before, after in zip(self._ranges, self._ranges[1:], strict=False)
        )
        """Whether its parts follow one another in the file; else they have to be read by themselves."""
        self._next = 0
        self._end = 0

    def feed(self, data: View) -> None:
        """Take the next bytes of the file."""
        begin, self._end = self._end, self._end + len(data)
        while self._next < len(self._ranges):
            start, end, hasher = self._ranges[self._next]
            if start >= self._end and end > start:
                break
            hasher.update(data[max(start - begin, 0) : max(end - begin, 0)])
            if end > self._end:
                break
            self._next += 1

    def block(self) -> bytes:
        """The digests, when all bytes have passed."""
        lengths = [length_of(extents) for extents in self._description.buffers]
        return self._digests.block(self._header.id, self._description.encoded_text, self._header.stream_length, lengths)


def measure(header: Header, description: Description, read: Read) -> bytes:
    """The digests of an object in one segment, each part read by itself."""
    digests = Digests(len(description.buffers))
    parts = [(digests.stream, header.stream_offset, header.stream_length)]
    for number, extents in enumerate(description.buffers):
        parts += [(digests.hasher(number), offset, length) for _, offset, length in extents]
    for hasher, offset, length in parts:
        _feed(hasher, offset, length, read)
    lengths = [length_of(extents) for extents in description.buffers]
    return digests.block(header.id, description.encoded_text, header.stream_length, lengths)


def _feed(hasher: Any, offset: int, length: int, read: Read) -> None:
    for start in range(offset, offset + length, _PART):
        hasher.update(read(start, min(_PART, offset + length - start)))


def is_sealed(block: View) -> bool:
    """Whether the digests of an object are known; a block without any byte is one of the first format."""
    return bytes(block[:DIGEST_SIZE]) not in {b"", _NONE}


def compare(stated: View, found: bytes, path: str) -> None:
    """Compare the digests that an object states with those that its bytes have; what it does not state is not compared.

    Raises:
        LayoutError: they differ.
    """
    stated = bytes(stated)
    if stated == found:
        return
    for start in range(0, len(found), DIGEST_SIZE):
        digest = stated[start : start + DIGEST_SIZE]
        if digest not in {_NONE, found[start : start + DIGEST_SIZE]}:
            raise damaged(path, "its bytes do not match its digest")


def first_digest(header: Header, read: Read) -> bytes:
    """The digest of an object of the first format: of all bytes behind its header."""
    hasher = digester()
    _feed(hasher, HEADER_SIZE, header.total - HEADER_SIZE, read)
    found: bytes = hasher.digest()
    return found


def verify(header: Header, description: Description, read: Read, path: str) -> bool:
    """Compare an object in one segment with its digests.

    Returns:
        Whether it has its own.

    Raises:
        LayoutError: they differ.
    """
    if header.format == FIRST_FORMAT:
        if header.first_digest and header.first_digest != first_digest(header, read):
            raise damaged(path, "its bytes do not match its digest")
        return bool(header.first_digest)
    stated = read(header.digests_offset, header.digests_length)
    if not any(stated):
        return False
    compare(stated, measure(header, description, read), path)
    return is_sealed(stated)
