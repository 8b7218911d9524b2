"""What an object says of itself: two JSON texts, one for the decoder and one for people, and where its buffers are."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from bodega.format.header import Header, View, check_block
from bodega.format.info import ObjectInfo, Producer, damaged, is_sound, too_new
from bodega.format.segments import Extents, parse_segments, resolve

_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_from_json = json.JSONDecoder().raw_decode


def _json_encoder() -> Callable[[object], str]:
    """What makes JSON: the encoder in C, which `json.JSONEncoder` makes anew for each text, made once."""
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:
        return _ENCODER.encode
    encode = make(None, _ENCODER.default, json.encoder.encode_basestring, None, ":", ",", False, False, True)
    return lambda value: "".join(encode(value, 0))


_to_json = _json_encoder()


def pack_description(info: ObjectInfo, recipe: Mapping[str, Any]) -> bytes:
    """The two texts, one right behind the other: a get need not parse what people read."""
    facts = {
        "kind": info.kind,
        "nbytes": info.nbytes,
        "created": info.created.timestamp(),
        "producer": [info.producer.process, info.producer.host, info.producer.task],
        "schema": info.schema,
    }
    return (_to_json([info.run, info.name, recipe]) + _to_json(facts)).encode("utf-8", "surrogatepass")


class Description(NamedTuple):
    """The description of an object, and where its buffers are."""

    identity: str
    run: str
    name: str
    recipe: dict[str, Any]
    """What the decoder reads."""
    segments: tuple[str, ...]
    """Ids of the foreign segments that it refers to."""
    buffers: list[Extents]
    """Where each buffer is."""
    are_plain: bool
    """Whether each of them is in one extent of the own segment."""
    text: str
    facts_at: int
    """Where in the text the part begins that people read."""
    path: str
    """For messages."""

    @property
    def info(self) -> ObjectInfo:
        """The part that people read.

        Raises:
            LayoutError: it is not what `pack_description` writes.
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
        if not is_sound(info):
            raise damaged(self.path, "its description has parts of other types than it should, or out of bounds")
        return info

    @property
    def encoded_text(self) -> bytes:
        """The two texts as they stand in the file."""
        return self.text.encode("utf-8", "surrogatepass")

    def require_own(self) -> None:
        """Refuse an object whose buffers lie in other segments than its own.

        Raises:
            LayoutError: it is one.
        """
        if self.segments:
            raise too_new(
                self.path,
                f"its buffers lie in segments of other objects ({', '.join(self.segments)}), which this version does not "
                "open",
            )

    def views(self, own: memoryview, foreign: Sequence[memoryview] = ()) -> list[memoryview]:
        """The buffers of the object.

        Args:
            own: all bytes of its own segment.
            foreign: those of the segments that it refers to, in their order.

        Raises:
            LayoutError: a segment is missing, or shorter than it should be.
        """
        if self.are_plain:
            return [own[offset : offset + length] for ((_, offset, length),) in self.buffers]
        if not foreign:
            self.require_own()
        return resolve(self.buffers, (own, *foreign), self.path)


def parse_description(header: Header, head: View, block: View, *, owner: tuple[str, str], path: str) -> Description:
    """Read texts and tables, after checking them and the header against their checksum.

    Args:
        header: as parsed from ``head``.
        head: at least the first 128 bytes of the file.
        block: the bytes that the header calls texts and tables.
        owner: the run and the name under which the file was found, which it must know itself.
        path: for messages.

    Raises:
        LayoutError: damaged.
    """
    check_block(head, block, header, path)
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
    segments, buffers = parse_segments(block[header.description_length :], header, path)
    are_plain = header.extents == header.buffers and not header.segments
    return Description(header.id, run, name, recipe, segments, buffers, are_plain, text, facts_at, path)


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
