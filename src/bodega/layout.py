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
import math
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
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


class Encoded(NamedTuple):
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
    tier: str = ""
    """The folder or URL of the tier that has it."""


_HEADER = struct.Struct("<8sHHII4x16sQIIQQQ16s")
"""magic, format, flags, CRC of header, description and table, CRC of the stream, id, then: description's offset and
length, number of buffers, stream's offset and length, the object's end, and its digest."""
_SEALED = 1
"""The flag of a header that has the digest."""
_FLAGS_FIELD = slice(10, 12)
_DIGEST_FIELD = slice(80, 96)
_ENTRY = struct.Struct("<QQQ")
"""segment (0: this one), offset, length."""
_CRC_FIELD = slice(12, 16)
_BLANK = bytes(4)
"""Stands for the CRC while it is computed."""
_MOST = 2**63 - 1
"""Of whatever a description counts: the lengths of files end there."""
_LAST_YEAR = 3000
"""Of the time of a put: dates near the end of the calendar cannot be shown in every time zone."""
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_from_json = json.JSONDecoder().raw_decode
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
    """The header with its padding, to be written at 0."""
    description: bytes
    """Description and buffer table."""
    offsets: list[int]
    """Of the buffers."""
    total: int
    """The object's end in its segment."""


def _json_encoder() -> Callable[[object], str]:
    """What makes JSON: the encoder in C, which `json.JSONEncoder` makes anew for each text, made once."""
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:
        return _ENCODER.encode
    encode = make(None, _ENCODER.default, json.encoder.encode_basestring, None, ":", ",", False, False, True)
    return lambda value: "".join(encode(value, 0))


_to_json = _json_encoder()


def plan(
    info: ObjectInfo,
    recipe: dict[str, Any],
    lengths: Sequence[int],
    *,
    stream_length: int,
    stream_crc: int,
    description_last: bool,
) -> Plan:
    """Lay out an object.

    Args:
        info: what the description will say to people.
        recipe: what it will say to the decoder.
        lengths: bytes of each buffer, in order.
        stream_length: bytes of the pickle stream.
        stream_crc: its CRC-32.
        description_last: the stream stands right behind the header, and the description at the end: for what was written
            before all of it was known.
    """
    # Two texts, one behind the other, so that a get need not parse what people read.
    facts = {
        "kind": info.kind,
        "nbytes": info.nbytes,
        "created": info.created.timestamp(),
        "producer": [info.producer.process, info.producer.host, info.producer.task],
        "schema": info.schema,
    }
    text = (_to_json([info.run, info.name, recipe]) + _to_json(facts)).encode("utf-8", "surrogatepass")
    block_length = len(text) + _ENTRY.size * len(lengths)
    stream_offset = HEADER_SIZE if description_last else HEADER_SIZE + block_length
    end = stream_offset + stream_length
    offsets = []
    for length in lengths:
        offsets.append(end := aligned(end, length))
        end += length
    description_offset = end if description_last else HEADER_SIZE
    total = end + block_length if description_last else end
    table = b"".join(_ENTRY.pack(0, offset, length) for offset, length in zip(offsets, lengths, strict=True))
    description = text + table
    head = bytearray(HEADER_SIZE)
    _HEADER.pack_into(
        head, 0, MAGIC, FORMAT, 0, 0, stream_crc, bytes.fromhex(info.id),
        description_offset, len(text), len(lengths), stream_offset, stream_length, total, bytes(16),
    )  # fmt: skip
    head[_CRC_FIELD] = _crc(head, description)
    return Plan(bytes(head), description, offsets, total)


class Header(NamedTuple):
    """The fixed part, checked against the size of its file."""

    id: str
    description_offset: int
    description_length: int
    """Of the JSON text alone."""
    block_length: int
    """Of description and buffer table."""
    stream_offset: int
    stream_length: int
    stream_crc: int
    total: int
    digest: bytes
    """Of all bytes behind the header; empty where the object has none (see `seal`)."""


def parse_header(data: bytes | bytearray | memoryview, size: int, path: str, *, whole: bool = True) -> Header:
    """Read the header at the start of a file's bytes.

    Args:
        data: at least the first 128 bytes of the file, if it has so many.
        size: of the whole file.
        path: for messages.
        whole: the object must end within the size; otherwise the size is only of what was read of it.

    Raises:
        LayoutError: not an object, of another format, or cut short.
    """
    if size < HEADER_SIZE or len(data) < HEADER_SIZE:
        raise damaged(path, f"it has {size} bytes, less than a header")
    (
        magic, version, flags, _, stream_crc, identity, description_offset, description_length, buffer_count,
        stream_offset, stream_length, total, digest,
    ) = _HEADER.unpack_from(data)  # fmt: skip
    if magic != MAGIC:
        raise damaged(path, "it does not begin like an object of a store")
    if version != FORMAT or flags & ~_SEALED:
        raise damaged(
            path, f"it has format {version} (flags {flags}); this version of bodega knows {FORMAT} (flags 0, 1)"
        )
    block_length = description_length + _ENTRY.size * buffer_count
    if whole and total > size:
        raise damaged(path, f"it is cut short: {size} bytes of {total}")
    for offset, length in ((description_offset, block_length), (stream_offset, stream_length)):
        if offset < HEADER_SIZE or offset + length > total:
            raise damaged(path, "its header points outside the object")
    return Header(
        identity.hex(), description_offset, description_length, block_length, stream_offset, stream_length,
        stream_crc, total, digest if flags else b"",
    )  # fmt: skip


class Description(NamedTuple):
    """The description of an object, and where its buffers are."""

    identity: str
    run: str
    name: str
    recipe: dict[str, Any]
    """What the decoder reads."""
    buffers: list[tuple[int, int]]
    """Offset and length of each."""
    text: str
    facts_at: int
    """Where in the text the part begins that people read."""
    path: str
    """For messages."""

    @property
    def info(self) -> ObjectInfo:
        """The part that people read.

        Raises:
            LayoutError: it is not what `plan` writes.
        """
        try:
            facts = _from_json(self.text, self.facts_at)[0]
            info = ObjectInfo(
                name=self.name,
                run=self.run,
                id=self.identity,
                nbytes=facts["nbytes"],
                kind=facts["kind"],
                created=datetime.fromtimestamp(facts["created"], tz=UTC),
                producer=Producer(*facts["producer"]),
                schema=facts["schema"],
            )
        except (ValueError, TypeError, KeyError, OverflowError, OSError, RecursionError) as error:
            raise damaged(self.path, f"its description cannot be read ({error!r:.200})") from error
        if not _is_sound(info):
            raise damaged(self.path, "its description has parts of other types than it should, or out of bounds")
        return info


def _is_sound(info: ObjectInfo) -> bool:
    """Whether the facts of a description are what people's tables, and programs, can take them for."""
    process, host, task = info.producer.process, info.producer.host, info.producer.task
    return (
        _is_count(info.nbytes)
        and isinstance(info.kind, str)
        and info.created.year < _LAST_YEAR
        and _is_count(process)
        and isinstance(host, str)
        and (task is None or isinstance(task, str))
        and isinstance(info.schema, dict)
        and all(_is_fact(key, value) for key, value in info.schema.items())
    )


def _is_fact(key: str, value: object) -> bool:
    if key == "shape":
        return isinstance(value, list) and all(map(_is_count, value))
    if key == "length":
        return _is_count(value)
    if key in {"columns", "index"}:
        return isinstance(value, list) and all(
            isinstance(each, list) and len(each) == 2 and all(map(_is_scalar, each)) for each in value
        )
    return _is_scalar(value) or (isinstance(value, list) and all(map(_is_scalar, value)))


def _is_scalar(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)  # JSON has no others.
    if isinstance(value, int):
        return abs(value) <= _MOST
    return value is None or isinstance(value, str)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST


def parse_description(
    header: Header,
    head: bytes | bytearray | memoryview,
    block: bytes | bytearray | memoryview,
    *,
    owner: tuple[str, str],
    path: str,
) -> Description:
    """Read description and buffer table, after checking them and the header against their CRC.

    Args:
        header: as parsed from ``head``.
        head: at least the first 128 bytes of the file.
        block: the bytes that the header calls description and table.
        owner: the run and the name under which the file was found, which it must know itself.
        path: for messages.

    Raises:
        LayoutError: damaged.
    """
    if len(block) != header.block_length or bytes(head[_CRC_FIELD]) != _crc(head[:HEADER_SIZE], block):
        raise damaged(path, "its description does not match its checksum")
    # What passed the checksum was written by `plan`, or by somebody who meant to deceive.
    try:
        text = str(block[: header.description_length], "utf-8", "surrogatepass")
        (run, name, recipe), facts_at = _from_json(text)
    except (ValueError, TypeError, RecursionError) as error:
        raise damaged(path, f"its description cannot be read ({error!r:.200})") from error
    if not isinstance(recipe, dict):
        raise damaged(path, "its description has no recipe")
    if (run, name) != owner:
        raise damaged(path, f"it is the object {name!r} of run {run!r}, moved here from outside")
    buffers = []
    for segment, offset, length in _ENTRY.iter_unpack(block[header.description_length :]):
        if segment != 0:
            raise damaged(path, "it refers to another segment, which this version of bodega does not know")
        if offset % ALIGNMENT or offset < HEADER_SIZE or offset + length > header.total:
            raise damaged(path, "a buffer lies outside the object")
        buffers.append((offset, length))
    return Description(header.id, run, name, recipe, buffers, text, facts_at, path)


def parse_stream(header: Header, data: memoryview, path: str) -> memoryview:
    """The pickle stream in a view of the whole object, checked: a damaged one could do anything when loaded.

    Raises:
        LayoutError: damaged.
    """
    if not header.stream_length:
        return data[:0]
    stream = data[header.stream_offset : header.stream_offset + header.stream_length]
    if zlib.crc32(stream) != header.stream_crc:
        raise damaged(path, "its pickle stream does not match its checksum")
    return stream


def digester() -> Any:
    """What computes the digest of an object: XXH3, 128 bits, fed with all its bytes behind the header."""
    from xxhash import xxh3_128

    return xxh3_128()


def seal(head: bytes | bytearray | memoryview, block: bytes | bytearray | memoryview, digest: bytes) -> bytes:
    """A header with the digest of its object, so that a copy can be checked wherever it goes.

    Args:
        head: the first 128 bytes of the object.
        block: the bytes that the header calls description and table.
        digest: what a `digester` says of all bytes behind the header.
    """
    sealed = bytearray(head[:HEADER_SIZE])
    sealed[_FLAGS_FIELD] = _SEALED.to_bytes(2, "little")
    sealed[_DIGEST_FIELD] = digest
    sealed[_CRC_FIELD] = _crc(sealed, block)
    return bytes(sealed)


def verify(header: Header, digest: bytes, path: str) -> None:
    """Compare an object's digest with what a `digester` says of its bytes.

    Raises:
        LayoutError: they differ.
    """
    if header.digest != digest:
        raise damaged(path, "its bytes do not match its digest")


def damaged(path: str, reason: str) -> LayoutError:
    """The error for a file that is not a readable object."""
    return LayoutError(
        f"{path} is not a readable object: {reason}. Remove it ('bodega rm') and put the object again.",
        path=path,
        reason=reason,
    )


def _crc(head: bytes | bytearray | memoryview, block: bytes | bytearray | memoryview) -> bytes:
    before = zlib.crc32(_BLANK, zlib.crc32(head[: _CRC_FIELD.start]))
    return zlib.crc32(block, zlib.crc32(head[_CRC_FIELD.stop :], before)).to_bytes(4, "little")
