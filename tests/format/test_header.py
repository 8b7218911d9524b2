import struct

import pytest
from tests.format._objects import IDENTITY, SEGMENT, make, make_good, parse

from bodega import format as layout
from bodega.errors import LayoutError

REQUIRED, OPTIONAL = slice(10, 12), slice(20, 22)
"""The flags that a reader must know, and those that it need not."""


def test_a_header_says_where_everything_is():
    data = make([b"a" * 10, b"b" * 5000], b"stream")
    header, description = parse(data)
    assert (header.format, header.id, header.segment) == (2, IDENTITY, SEGMENT)
    assert (header.segments, header.extents, header.buffers) == (0, 2, 2)
    assert header.total == len(data)
    assert header.digests_length == 16 * 4
    assert data[header.stream_offset :][:6] == b"stream"
    assert [bytes(view) for view in description.views(memoryview(data))] == [b"a" * 10, b"b" * 5000]
    assert description.info.id == IDENTITY


def test_every_flipped_bit_of_header_and_description_is_found():
    data = make([b"a" * 10], b"stream")
    header, _ = parse(data)
    for position in range(8 * (layout.HEADER_SIZE + header.block_length)):
        changed = bytearray(data)
        changed[position // 8] ^= 1 << position % 8
        with pytest.raises(LayoutError):
            parse(changed)


def test_every_truncation_is_found():
    data = make([b"a" * 10], b"stream")
    for length in range(len(data)):
        with pytest.raises(LayoutError):
            parse(data[:length])


def test_what_lies_behind_an_object_is_no_part_of_it():
    data = make([b"a" * 10])
    header, description = parse(data + b"what was there before" * 1000)
    assert header.total == len(data)
    assert bytes(description.views(memoryview(data))[0]) == b"a" * 10


@pytest.mark.parametrize("bit", range(16))
def test_a_flag_that_must_be_known_is_refused(bit):
    data = make([b"a"])
    data[REQUIRED] = (1 << bit).to_bytes(2, "little")
    make_good(data)
    with pytest.raises(LayoutError, match=rf"format 2 \(flags {1 << bit}\).*Read it with that version"):
        parse(data)


@pytest.mark.parametrize("bit", range(16))
def test_a_flag_that_need_not_be_known_is_ignored(bit):
    data = make([b"a"])
    data[OPTIONAL] = (1 << bit).to_bytes(2, "little")
    make_good(data)
    assert bytes(parse(data)[1].views(memoryview(data))[0]) == b"a"


@pytest.mark.parametrize("version", [0, 3, 2**16 - 1])
def test_another_format_is_refused_by_its_number(version):
    data = make([b"a"])
    struct.pack_into("<H", data, 8, version)
    with pytest.raises(LayoutError, match=f"format {version} .*knows the formats 1 and 2"):
        parse(data)


@pytest.mark.parametrize(("place", "kind", "number"), [
    (22, "B", 9), (22, "B", 255), (68, "I", 0), (68, "I", 2), (68, "I", 2**32 - 1), (72, "I", 0), (72, "I", 2),
    (72, "I", 2**32 - 1), (56, "Q", 0), (56, "Q", 127), (56, "Q", 2**64 - 1), (64, "I", 2**32 - 1), (80, "Q", 127),
    (80, "Q", 2**64 - 1), (88, "Q", 2**63), (88, "Q", 2**64 - 1), (96, "Q", 0), (96, "Q", 127), (96, "Q", 2**64 - 1),
    (104, "Q", 0), (104, "Q", 2**63), (104, "Q", 2**64 - 1),
])  # fmt: skip
def test_numbers_out_of_bounds_are_refused_before_they_are_used(place, kind, number):
    """Of a header, each of whose counts, offsets and lengths is none that its file could have."""
    data = make([b"a" * 10], b"stream")
    struct.pack_into(f"<{kind}", data, place, number)
    make_good(data)
    with pytest.raises(LayoutError):
        parse(data)


@pytest.mark.parametrize("content", [b"", b"\x89BODEGA\n", b"PK\x03\x04" * 100, bytes(4096)])
def test_foreign_files_are_refused(content):
    with pytest.raises(LayoutError, match="not a readable object"):
        parse(content)


def test_an_id_is_32_digits_and_never_a_path():
    assert layout.is_id("0123456789abcdef" * 2)
    for text in (
        "",
        "0" * 31,
        "0" * 33,
        "G" * 32,
        "A" * 32,
        "../" + "0" * 29,
        "0" * 31 + "/",
        "0" * 32 + "\n",
        None,
        5,
    ):
        assert not layout.is_id(text)
