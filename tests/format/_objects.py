"""Objects made by the pure functions alone, with ids and times of their own choosing."""

import zlib
from datetime import UTC, datetime

from bodega import format as layout
from bodega.errors import LayoutError

RUN, NAME = "a run", "a name"
IDENTITY, SEGMENT = "0123456789abcdef" * 2, "fedcba9876543210" * 2
CREATED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def info(nbytes=0, *, identity=IDENTITY, name=NAME, kind="bytes", schema=None):
    producer = layout.Producer(1, "host", "a task")
    return layout.ObjectInfo(name, RUN, identity, nbytes, kind, CREATED, producer, schema or {})


def written(plan, buffers, stream=(), *, into=b""):
    """The bytes of a planned object; what is there already is behind what is written."""
    data = bytearray(max(plan.total, len(into)))
    data[: len(into)] = into
    for offset, parts in plan.writes(buffers, stream):
        for part in parts:
            for view in part.parts() if isinstance(part, layout.Pieces) else (part,):
                data[offset : offset + view.nbytes] = view
                offset += view.nbytes
    return data


def make(buffers=(), stream=b"", *, identity=IDENTITY, segment=SEGMENT, name=NAME, recipe=None, sealed=False, **more):
    """An object with these buffers, each bytes to be written or the extents of some that are there already."""
    lengths = [each if isinstance(each, tuple) else len(each) for each in buffers]
    nbytes = sum(layout.length_of(each) if isinstance(each, tuple) else each for each in lengths)
    text = layout.pack_description(info(nbytes, identity=identity, name=name), recipe or {"codec": "bytes"})
    made = layout.plan(identity, text, lengths, segment=segment, stream=(len(stream), zlib.crc32(stream)), **more)
    own = [memoryview(each) for each in buffers if not isinstance(each, tuple)]
    data = written(made, own, [memoryview(stream)] if stream else [])
    if sealed:
        seal(data, name=name)
    return data


def seal(data, foreign=(), *, name=NAME):
    """Fill in the digests; returns them."""
    header, description = parse(data, name=name)
    digests = layout.Digests()
    digests.stream.update(layout.parse_stream(header, memoryview(data), "x"))
    for number, view in enumerate(description.views(memoryview(data), foreign)):
        digests.hasher(number).update(view)
    lengths = [layout.length_of(each) for each in description.buffers]
    block = digests.block(header.id, description.encoded_text, header.stream_length, lengths)
    data[header.digests_offset : header.digests_offset + len(block)] = block
    return block


def parse(data, *, name=NAME, size=None):
    header = layout.parse_header(data, len(data) if size is None else size, "x")
    block = bytes(data[header.description_offset : header.description_offset + header.block_length])
    return header, layout.parse_description(header, data, block, owner=(RUN, name), path="x")


def make_good(data):
    """Have the checksum fit again, as if what was changed had been meant; as far as there is a header."""
    try:
        header = layout.parse_header(data, len(data), "x")
    except LayoutError:
        return
    block = data[header.description_offset : header.description_offset + header.block_length]
    head = bytearray(data[: layout.HEADER_SIZE])
    head[12:16] = bytes(4)
    data[12:16] = zlib.crc32(block, zlib.crc32(head)).to_bytes(4, "little")
