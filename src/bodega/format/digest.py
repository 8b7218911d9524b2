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
    """Takes the digests of an object's parts as they are written."""

    def __init__(self) -> None:
        self.stream = digester()
        """To be fed with the pickle stream."""
        self._buffers: list[Any] = []

    def watch(self, number: int, buffer: Buffer) -> Buffer:
        """A buffer in place of another, whose digest is taken by the time that all of it is read.

        Args:
            number: its place among the buffers; a second one there replaces the first.
            buffer: what is to be written.
        """
        hasher = self.hasher(number)
        hasher.reset()
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
        while len(self._buffers) <= number:
            self._buffers.append(digester())
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
        header: header of the object.
        description: description of the object, where it is known before the first bytes pass.
    """

    def __init__(self, header: Header, description: Description | None) -> None:
        self._header = header
        self._digests = Digests()
        self._ranges: list[tuple[int, int, Any]] = []
        if header.format == FIRST_FORMAT:
            self._ranges = [(HEADER_SIZE, header.total, self._digests.stream)]
        elif description is not None and not description.segments:
            self._ranges = [
                (offset, offset + length, hasher)
                for hasher, offset, length in _parts(self._digests, header, description)
            ]
        self._in_order = bool(self._ranges) and all(
            before[1] <= after[0] for before, after in zip(self._ranges, self._ranges[1:], strict=False)
        )
        self._next = 0 if self._in_order else len(self._ranges)
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

    def block(self, description: Description, read: Read) -> bytes:
        """The digests, when all bytes have passed.

        Args:
            description: description of the object.
            read: gives bytes once more, where they did not pass in the order of the object's parts.
        """
        if self._header.format == FIRST_FORMAT:
            found: bytes = self._digests.stream.digest()
            return found
        if self._in_order:
            return _block(self._digests, self._header, description)
        return measure(self._header, description, read)


def measure(header: Header, description: Description, read: Read) -> bytes:
    """The digests of an object in one segment, each part read by itself.

    Raises:
        LayoutError: it lies in more than one.
    """
    description.require_own()
    digests = Digests()
    if header.format == FIRST_FORMAT:
        _feed(digests.stream, HEADER_SIZE, header.total - HEADER_SIZE, read)
        found: bytes = digests.stream.digest()
        return found
    for part in _parts(digests, header, description):
        _feed(*part, read)
    return _block(digests, header, description)


def _parts(digests: Digests, header: Header, description: Description) -> Iterator[tuple[Any, int, int]]:
    """What takes a digest, and the offset and the length of what it is fed with, in order."""
    yield digests.stream, header.stream_offset, header.stream_length
    for number, extents in enumerate(description.buffers):
        hasher = digests.hasher(number)
        for _, offset, length in extents:
            yield hasher, offset, length


def _feed(hasher: Any, offset: int, length: int, read: Read) -> None:
    for start in range(offset, offset + length, _PART):
        hasher.update(read(start, min(_PART, offset + length - start)))


def _block(digests: Digests, header: Header, description: Description) -> bytes:
    lengths = [length_of(extents) for extents in description.buffers]
    return digests.block(header.id, description.encoded_text, header.stream_length, lengths)


def stated(header: Header, read: Read) -> View:
    """The digests that an object states: zeros, or nothing in the first format, where it states none."""
    return read(header.digests_offset, header.digests_length) if header.digests_offset else header.first_digest


def is_sealed(said: View) -> bool:
    """Whether an object states its digest."""
    return bytes(said[:DIGEST_SIZE]) not in {b"", _NONE}


def compare(said: View, found: bytes, path: str) -> None:
    """Compare the digests that an object states with those that its bytes have; what it does not state is not compared.

    Raises:
        LayoutError: they differ.
    """
    for start in range(0, len(said), DIGEST_SIZE):
        digest = bytes(said[start : start + DIGEST_SIZE])
        if digest not in {_NONE, found[start : start + DIGEST_SIZE]}:
            raise damaged(path, "its bytes do not match its digest")


def verify(header: Header, description: Description, read: Read, path: str) -> bool:
    """Compare an object in one segment with the digests that it states.

    Returns:
        Whether it states its own.

    Raises:
        LayoutError: they differ.
    """
    said = stated(header, read)
    if any(said):
        compare(said, measure(header, description, read), path)
    return is_sealed(said)
