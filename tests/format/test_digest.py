import pytest
import xxhash
from tests.format._objects import IDENTITY, make, parse, seal

from bodega import format as layout
from bodega.errors import LayoutError

FOREIGN = memoryview(bytes(range(256)) * 100)


def reader(data):
    return lambda offset, length: memoryview(data)[offset : offset + length]


def never(offset, length):
    raise AssertionError("read once more")


def digests_of(data):
    header, _ = parse(data)
    return bytes(data[header.digests_offset : header.digests_offset + header.digests_length])


def test_a_put_computes_no_digest():
    data = make([b"a" * 100], b"stream")
    assert digests_of(data) == bytes(48)
    assert not layout.is_sealed(digests_of(data))
    header, description = parse(data)
    assert not layout.verify(header, description, reader(data), "x")


def test_the_digest_is_what_the_documentation_says():
    data = make([b"a" * 100, b"b"], b"stream", sealed=True)
    header, description = parse(data)
    assert layout.is_sealed(digests_of(data))
    parts = [xxhash.xxh3_128_digest(each) for each in (b"stream", b"a" * 100, b"b")]
    whole = b"bodega object 1\0" + bytes.fromhex(IDENTITY)
    text = description.encoded_text
    for length, part in zip((len(text), 6, 100, 1), (text, *parts), strict=True):
        whole += length.to_bytes(8, "little") + part
    assert digests_of(data) == xxhash.xxh3_128_digest(whole) + b"".join(parts)
    assert layout.verify(header, description, reader(data), "x")


def test_a_shared_object_and_a_whole_one_have_one_digest():
    """It says nothing of where the buffers are, and no more of the file than that."""
    whole = make([bytes(FOREIGN[1001:1078]), b"own", bytes(FOREIGN[: 3 * 4096])], b"stream", sealed=True)
    shared = make(
        [((1, 1001, 77),), b"own", ((2, 4096, 4096), (1, 4096, 4096), (1, 8192, 4096))],
        b"stream", segments=["1" * 32, "2" * 32], segment="3" * 32,
    )  # fmt: skip
    other = memoryview(bytearray(FOREIGN))
    other[4096:8192] = FOREIGN[:4096]
    assert seal(shared, [FOREIGN, other]) == digests_of(whole)
    last = make([b"x" * 10], b"stream", written=200)
    assert digests_of(last) == bytes(48)


def test_digests_are_taken_as_the_bytes_pass():
    data = make([b"a" * 100, b"", b"c" * 10_000], b"stream")
    header, description = parse(data)
    expected = layout.measure(header, description, reader(data))
    for size in (1, 7, 128, 4096, len(data)):
        passing = layout.Passing(header, description)
        for start in range(0, len(data), size):
            passing.feed(data[start : start + size])
        assert passing.block(description, never) == expected


def test_parts_out_of_order_are_read_by_themselves():
    data = make([b"a" * 4096, b"b" * 4096])
    first, second = (extents[0] for extents in parse(data)[1].buffers)
    for buffers in ([(second,), (first,)], [(first,), (first,)], [(second, first)]):
        turned = make(buffers, written=len(data))
        turned[layout.HEADER_SIZE : len(data)] = data[layout.HEADER_SIZE :]
        header, description = parse(turned)
        passing = layout.Passing(header, description)
        passing.feed(turned)
        assert passing.block(description, reader(turned)) == seal(turned)
        with pytest.raises(AssertionError):
            passing.block(description, never)
        assert layout.measure(header, description, reader(turned)) == seal(turned)


def test_every_changed_byte_is_found():
    data = make([b"a" * 100, b"b" * 70], b"stream", sealed=True)
    header, description = parse(data)
    begin = min(header.digests_offset, header.stream_offset)
    between = set(range(header.stream_offset + header.stream_length, header.total))
    for ((_, offset, length),) in description.buffers:
        between -= set(range(offset, offset + length))
    for position in range(begin, len(data)):
        changed = bytearray(data)
        changed[position] ^= 0x10
        if position in between:  # What lies between the parts is nobody's.
            assert layout.verify(header, description, reader(changed), "x")
        else:
            with pytest.raises(LayoutError, match="do not match its digest"):
                layout.verify(header, description, reader(changed), "x")


def test_what_is_known_of_some_buffers_is_compared():
    """Digests are known one by one: a buffer that is shared may have one, and what was added none."""
    data = make([b"a" * 100, b"b" * 70], b"stream", sealed=True)
    header, description = parse(data)
    data[header.digests_offset : header.digests_offset + 32] = bytes(32)
    assert not layout.verify(header, description, reader(data), "x")
    data[description.buffers[0][0][1]] ^= 1
    with pytest.raises(LayoutError, match="do not match its digest"):
        layout.verify(header, description, reader(data), "x")


def test_buffers_are_digested_as_they_are_written():
    def parts():
        yield memoryview(b"ab")
        yield memoryview(b"c")

    digests = layout.Digests()
    digests.stream.update(b"stream")
    for _ in range(2):  # A write that failed is tried again.
        watched = digests.watch(0, layout.Pieces(3, parts))
        assert isinstance(watched, layout.Pieces) and b"".join(watched.parts()) == b"abc"
        second = digests.watch(1, memoryview(b"d"))
        assert isinstance(second, memoryview) and second.tobytes() == b"d"
    data = make([b"abc", b"d"], b"stream", sealed=True)
    assert digests.block(IDENTITY, parse(data)[1].encoded_text, 6, [3, 1]) == digests_of(data)
