"""Where buffers may lie. Nothing opens foreign segments yet; what an object may say of them is settled all the same."""

import struct
from typing import Any

import pytest
from tests.format._objects import SEGMENT, make, make_good, parse

from bodega import format as layout
from bodega.errors import LayoutError

PAGE = layout.PAGE
OTHERS = tuple(f"{number:032x}" for number in range(1, 10))
FOREIGN = memoryview(bytes(range(256)) * 256)
"""Bytes of a foreign segment: 16 pages."""


def at(offset, length, segment=1):
    return (segment, offset, length)


def test_a_buffer_in_a_foreign_segment_begins_at_any_byte():
    data = make([(at(1001, 77),), b"own" * 30, (at(4096, 0),)], b"stream", segments=OTHERS[:1])
    header, description = parse(data)
    assert (header.segments, header.extents, header.buffers) == (1, 3, 3)
    assert description.segments == OTHERS[:1]
    views = description.views(memoryview(data), [FOREIGN])
    assert [bytes(view) for view in views] == [FOREIGN[1001:1078], b"own" * 30, b""]
    assert description.info.nbytes == 77 + 90


def test_a_foreign_segment_is_no_copy():
    data = make([(at(1001, 77),)], segments=OTHERS[:1])
    assert parse(data)[1].views(memoryview(data), [FOREIGN])[0].obj is FOREIGN.obj


def test_without_its_segments_an_object_is_refused_by_name():
    data = make([(at(1001, 77),)], segments=OTHERS[:1])
    with pytest.raises(LayoutError, match=f"segments of other objects.*{OTHERS[0]}.*does not open"):
        parse(data)[1].views(memoryview(data))


@pytest.mark.parametrize("parts", range(2, 9))
def test_a_buffer_may_have_parts_whose_inner_borders_are_those_of_pages(parts):
    inner = [at(PAGE * number, PAGE) for number in range(1, parts - 1)]
    extents = (at(PAGE - 10, 10), *inner, at(0x8000, 5, segment=2))
    data = make([extents, b"own"], segments=OTHERS[:2])
    header, description = parse(data)
    assert header.extents == parts + 1
    assert description.buffers[0] == extents
    both = [FOREIGN, memoryview(bytes(FOREIGN[::-1]))]
    whole = bytes(FOREIGN[PAGE - 10 : PAGE * (parts - 1)]) + bytes(both[1][0x8000:0x8005])
    assert [bytes(view) for view in description.views(memoryview(data), both)] == [whole, b"own"]


def test_parts_may_lie_in_the_own_segment():
    data = make([b"a" * PAGE, b"b" * PAGE, b"c" * 100])
    extents = [extents[0] for extents in parse(data)[1].buffers]
    joined = make([(extents[1], extents[0], extents[2])], written=len(data))
    joined[layout.HEADER_SIZE : len(data)] = data[layout.HEADER_SIZE :]
    header, description = parse(joined)
    assert header.extents == 3
    assert bytes(description.views(memoryview(joined))[0]) == b"b" * PAGE + b"a" * PAGE + b"c" * 100


WRONG: dict[str, dict[str, Any]] = {
    "nine foreign segments": dict(buffers=[(at(128, 1),)], segments=OTHERS),
    "a segment that is not named": dict(buffers=[(at(128, 1, segment=2),)], segments=OTHERS[:1]),
    "a segment where none is named": dict(buffers=[(at(128, 1),)]),
    "itself": dict(buffers=[(at(128, 1),)], segments=[SEGMENT]),
    "a segment twice": dict(buffers=[(at(128, 1),)], segments=[OTHERS[0], OTHERS[0]]),
    "nine parts": dict(
        buffers=[tuple(at(PAGE * number, PAGE) for number in range(1, 10)), (at(128, 1),)], segments=OTHERS[:1]
    ),
    "a part that begins in a page": dict(buffers=[(at(PAGE, PAGE), at(128, 5))], segments=OTHERS[:1]),
    "a part that ends in a page": dict(buffers=[(at(PAGE, 5), at(PAGE, 5))], segments=OTHERS[:1]),
    "an empty part": dict(buffers=[(at(PAGE, PAGE), at(PAGE, 0))], segments=OTHERS[:1]),
    "an empty first part": dict(buffers=[(at(PAGE, 0), at(PAGE, 5))], segments=OTHERS[:1]),
    "the place of a header": dict(buffers=[(at(0, 200),)], segments=OTHERS[:1]),
    "what no file has": dict(buffers=[(at(2**63, 1),)], segments=OTHERS[:1]),
    "what no number holds": dict(buffers=[(at(2**64 - 1, 2**64 - 1),)], segments=OTHERS[:1]),
    "the own segment at any byte": dict(buffers=[(at(129, 1, segment=0),)]),
    "the own header": dict(buffers=[(at(64, 1, segment=0),)]),
    "behind the object": dict(buffers=[(at(1 << 20, 1 << 20, segment=0),), b"x"], end=200),
    "an unknown flag of an extent": dict(buffers=[(at(128, 1 << 9),)], place=1 << 9),
    "a part that nothing follows": dict(buffers=[(at(128, 1),)], place=1 | 1 << 8, segments=OTHERS[:1]),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_breaks_a_rule_is_refused(what):
    case = dict(WRONG[what])
    place, end = case.pop("place", None), case.pop("end", None)
    data = make(**case)
    header = layout.parse_header(data[:22] + bytes([min(data[22], 8)]) + data[23:], len(data), "x")
    if place is not None:
        table = header.description_offset + header.block_length - 24
        struct.pack_into("<Q", data, table, place)
    if end is not None:
        struct.pack_into("<Q", data, 104, header.digests_offset + header.digests_length)
    make_good(data)
    with pytest.raises(LayoutError):
        parse(data)


def test_a_segment_that_is_too_short_is_found_when_it_is_used():
    data = make([(at(1001, 77),)], segments=OTHERS[:1])
    with pytest.raises(LayoutError, match="ends behind its segment"):
        parse(data)[1].views(memoryview(data), [FOREIGN[:1050]])


def test_parts_that_are_named_many_times_take_no_more_than_there_is():
    """A small file must not become a large object: what is copied is bounded by what is there."""
    extents = tuple(at(PAGE, 15 * PAGE) for _ in range(8))
    data = make([extents] * 1000, segments=OTHERS[:1])
    with pytest.raises(LayoutError, match="larger than the segments"):
        parse(data)[1].views(memoryview(data), [FOREIGN])
