"""Damaged tables and headers whose checksum fits: refused, or within bounds; ``tests/faults/test_fuzz.py`` does whole objects."""

import os
import random
import struct

from tests.format._objects import make, make_good, parse, seal

from bodega import format as layout
from bodega.errors import LayoutError

COUNT = 300_000 if os.environ.get("BODEGA_STRESS") else 4_000
PAGE = layout.PAGE
FOREIGN = [memoryview(bytes(range(256)) * 128), memoryview(bytes(3 * PAGE))]
EXTREMES = (
    0,
    1,
    2,
    63,
    64,
    127,
    128,
    255,
    256,
    257,
    511,
    4095,
    4096,
    4097,
    2**31,
    2**32 - 1,
    2**32,
    2**63 - 1,
    2**63,
    2**64 - 1,
)
FIELDS = (
    (8, "H"), (10, "H"), (16, "I"), (20, "H"), (22, "B"), (24, "Q"), (40, "Q"), (56, "Q"), (64, "I"), (68, "I"), (72, "I"),
    (76, "I"), (80, "Q"), (88, "Q"), (96, "Q"), (104, "Q"), (112, "Q"),
)  # fmt: skip


def objects():
    shared = make(
        [((1, 1001, 77),), b"own" * 50, ((1, PAGE - 8, 8), (1, 2 * PAGE, PAGE), (2, PAGE, 100))], b"stream",
        segments=["1" * 32, "2" * 32],
    )  # fmt: skip
    seal(shared, FOREIGN)
    return [
        (make([b"a" * 100, b"b" * 5000], b"a stream", sealed=True), []),
        (make([], b"a stream", sealed=True), []),
        (make([b"a"], written=500), []),
        (shared, FOREIGN),
    ]


def damage(chance, data, header):
    """Change one or two things of an object, and have its checksum fit again."""
    for _ in range(chance.choice([1, 1, 2])):
        kind = chance.choice(["field", "field", "table", "table", "table", "byte", "cut"])
        if kind == "field":
            place, of = chance.choice(FIELDS)
        elif kind == "table":
            begin = header.description_offset + header.description_length
            words = (header.block_length - header.description_length) // 8
            if not words:
                continue
            place, of = begin + 8 * chance.randrange(words), "Q"
        elif kind == "byte":
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
            continue
        else:
            del data[chance.randrange(len(data)) :]
            if len(data) < layout.HEADER_SIZE:
                return
            continue
        size = struct.calcsize(f"<{of}")
        if place + size > len(data):
            continue
        (there,) = struct.unpack_from(f"<{of}", data, place)
        number = chance.choice([chance.choice(EXTREMES), there + chance.choice([-64, -8, -1, 1, 8, 64, 256, 4096])])
        struct.pack_into(f"<{of}", data, place, number % (1 << 8 * size))
    make_good(data)


def test_what_is_not_refused_lies_within_its_segments():
    chance, outcomes = random.Random(5), {"refused": 0, "taken": 0}
    originals = objects()
    for _ in range(COUNT):
        original, foreign = chance.choice(originals)
        data = bytearray(original)
        damage(chance, data, parse(original)[0])
        try:
            header, description = parse(data)
            view = memoryview(data)
            layout.parse_stream(header, view, "x")
            views = description.views(view, foreign)
            assert sum(each.nbytes for each in views) <= sum(map(layout.length_of, description.buffers))
            assert len(views) == header.buffers
            description.info
            if not foreign:
                layout.verify(header, description, lambda offset, length: view[offset : offset + length], "x")
                read = lambda offset, length: view[offset : offset + length]
                passing = layout.Passing(header, description)
                passing.feed(data[: header.total])
                assert passing.block(description, read) == layout.measure(header, description, read)
            outcomes["taken"] += 1
        except LayoutError:
            outcomes["refused"] += 1
    assert min(outcomes.values()) > COUNT // 20, outcomes
