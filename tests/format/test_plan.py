import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.format._objects import IDENTITY, SEGMENT, info, make, parse, written

from bodega import format as layout

sizes = st.one_of(st.integers(0, 200), st.sampled_from([4095, 4096, 4097, 10_000]))


def filled(number, size):
    return bytes([number + 1]) * size


@settings(deadline=None)
@given(st.lists(sizes, max_size=6), sizes)
def test_what_is_written_is_read(lengths, stream_length):
    """Whatever there is: parts lie one behind the other, aligned, and what is between them is zeros."""
    buffers = [filled(number, size) for number, size in enumerate(lengths)]
    stream = b"s" * stream_length
    data = make(buffers, stream)
    header, description = parse(data)
    view = memoryview(data)
    assert bytes(layout.parse_stream(header, view, "x")) == stream
    assert [bytes(each) for each in description.views(view)] == buffers
    end = header.stream_offset + stream_length
    for ((_, offset, length),) in description.buffers:
        assert offset % (layout.PAGE if length >= layout.PAGE else layout.ALIGNMENT) == 0
        assert not any(data[end:offset])
        end = offset + length
    assert end == header.total == len(data)


@settings(deadline=None)
@given(st.lists(sizes, max_size=6), st.integers(1, 10_000))
def test_a_stream_that_was_written_as_it_was_made_lies_in_front(lengths, stream_length):
    buffers = [filled(number, size) for number, size in enumerate(lengths)]
    stream = b"s" * stream_length
    text = layout.pack_description(info(), {"codec": "pickle"})
    made = layout.plan(
        IDENTITY, text, lengths, segment=SEGMENT, stream=(stream_length, zlib.crc32(stream)),
        written=layout.HEADER_SIZE + stream_length,
    )  # fmt: skip
    data = written(made, [memoryview(buffer) for buffer in buffers], into=bytes(layout.HEADER_SIZE) + stream)
    header, description = parse(data)
    assert header.stream_offset == layout.HEADER_SIZE
    assert header.digests_offset + header.digests_length == header.total == len(data)
    assert bytes(layout.parse_stream(header, memoryview(data), "x")) == stream
    assert [bytes(each) for each in description.views(memoryview(data))] == buffers


def test_buffers_that_were_written_one_by_one_are_described_last():
    """As the chunks of a stream are."""
    data, extents, end = bytearray(layout.HEADER_SIZE), [], layout.HEADER_SIZE
    for number, size in enumerate([10, 5000, 0, 64]):
        offset = layout.aligned(end, size)
        data += bytes(offset - end) + filled(number, size)
        extents.append(((0, offset, size),))
        end = offset + size
    text = layout.pack_description(info(), {"codec": "chunks"})
    made = layout.plan(IDENTITY, text, extents, segment=SEGMENT, written=end)
    assert not made.placed
    data = written(made, [], into=data)
    header, description = parse(data)
    assert header.description_offset == end
    assert [bytes(each) for each in description.views(memoryview(data))] == [
        filled(number, size) for number, size in enumerate([10, 5000, 0, 64])
    ]


@pytest.mark.parametrize("start", [192, 4096, 2 << 20])
def test_an_array_that_was_made_in_place_stays_where_it_is(start):
    """The description stands before it, where there is room for that, and behind it otherwise."""
    array, other, stream = b"a" * 5000, b"o" * 5000, b"stream"
    text = layout.pack_description(info(), {"codec": "pickle"})
    made = layout.plan(
        IDENTITY, text, [((0, start, len(array)),), len(other)], segment=SEGMENT,
        stream=(len(stream), zlib.crc32(stream)),
    )  # fmt: skip
    data = written(made, [memoryview(other)], [memoryview(stream)], into=bytes(start) + array)
    header, description = parse(data)
    assert (header.description_offset < start) == (start >= 4096)
    assert bytes(layout.parse_stream(header, memoryview(data), "x")) == stream
    assert [bytes(each) for each in description.views(memoryview(data))] == [array, other]


def test_a_copy_in_one_file_is_the_same_object():
    """What refers to other segments becomes whole by a plan of the same description with lengths in place of extents."""
    foreign = memoryview(bytes(range(256)) * 100)
    shared = make([((1, 1001, 5000),), b"own"], b"stream", segments=["1" * 32])
    header, description = parse(shared)
    views = description.views(memoryview(shared), [foreign])
    made = layout.plan(
        header.id, description.encoded_text, [each.nbytes for each in views], segment="2" * 32,
        stream=(header.stream_length, header.stream_crc),
    )  # fmt: skip
    data = written(made, views, [layout.parse_stream(header, memoryview(shared), "x")])
    copy, copied = parse(data)
    assert (copy.id, copy.segment, copied.segments) == (header.id, "2" * 32, ())
    assert copied.info == description.info
    assert [bytes(each) for each in copied.views(memoryview(data))] == [bytes(each) for each in views]
