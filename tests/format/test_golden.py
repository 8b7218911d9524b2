"""Files that every later version must read.

``tests/data/root-1`` and ``root-2`` are whole roots as `make_root` made them (without empty folders, lock files, and what lies
behind an object in its segment): the first with version 0.1, before there was a format 2. ``tests/data/format-2`` has what no
put writes yet, by `make_format_2`: objects that share segments, buffers in parts, and flags. They are never made anew; for a
new format, or what is new in one, run this file as a program and add what it makes:

    python -m tests.format.test_golden root FOLDER
    python -m tests.format.test_golden format-2 FOLDER
"""

import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.format._objects import IDENTITY, NAME, RUN, make, make_good, parse, seal

import bodega
from bodega import codecs
from bodega import format as layout
from bodega.errors import LayoutError

DATA = Path(__file__).parents[1] / "data"
ROOT_1 = DATA / "root-1"


def values():
    """What the objects of both formats hold."""
    made = {
        "array": np.arange(12, dtype="<i4").reshape(3, 4),
        "bytes": b"some bytes",
        "dict": {"a": np.arange(300.0), "b": ["text", None, 1.5]},
        "chunks": [[1, 2], np.arange(200.0), "three"],
        "sealed": np.arange(12, dtype="<i4"),
    }
    try:
        import pandas as pd

        made["frame"] = pd.DataFrame({"n": range(200), "x": np.arange(200) / 4})
    except ImportError:
        pass
    try:
        import pyarrow as pa

        made["table"] = pa.table({"n": [1, None, 3], "s": ["x", "yy", None]})
    except ImportError:
        pass
    return made


def make_root(folder):
    """A root with one object of each kind."""
    store = bodega.open(folder, run="golden")
    for name, value in values().items():
        if name == "chunks":
            with store.stream(name) as stream:
                for chunk in value:
                    stream.append(chunk)
        else:
            opened = bodega.open(folder, run="golden", verify=name == "sealed")
            opened.put(name, value)
    store.sweep(empty_pool=True)
    for path in Path(folder, "runs/golden").iterdir():
        data = path.read_bytes()
        os.truncate(path, layout.parse_header(data, len(data), "").total)
    for path in Path(folder, "locks").iterdir():
        if path.name != "usage":
            path.unlink()
    for path in Path(folder).rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)


PAGE = layout.PAGE
SEGMENTS = ("a" * 32, "b" * 32)
SHARED = [
    ((1, 1001, 77),), b"own" * 30, ((1, 2 * PAGE - 8, 8), (2, 2 * PAGE, PAGE), (1, 3 * PAGE, 100)), ((2, 4097, 0),),
]  # fmt: skip
"""The buffers of the shared object: at any byte, in the own segment, in three parts, and empty."""


def make_format_2(folder):
    """Objects that other tests make as well, by the same functions."""
    Path(folder).mkdir(parents=True)
    made = {
        "segment-a": make([bytes(range(256)) * 48], identity="1" * 32, segment=SEGMENTS[0]),
        "segment-b": make([bytes(reversed(range(256))) * 48], identity="2" * 32, segment=SEGMENTS[1]),
        "shared": make(SHARED, b"a stream", segments=SEGMENTS),
        "flags": make([b"some bytes"], sealed=True),
        "last": make([((0, 128, 10),)], written=140, sealed=True),
    }
    foreign = [memoryview(made[name]) for name in ("segment-a", "segment-b")]
    seal(made["shared"], foreign)
    views = parse(made["shared"])[1].views(memoryview(made["shared"]), foreign)
    made["whole"] = make([bytes(view) for view in views], b"a stream", segment="c" * 32, sealed=True)
    made["flags"][20:22] = b"\xff\xff"
    make_good(made["flags"])
    made["last"][128:138] = b"some bytes"
    seal(made["last"])
    for name, data in made.items():
        Path(folder, name).write_bytes(data)


def same(one, other):
    if isinstance(other, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other)
    if isinstance(other, dict):
        return one.keys() == other.keys() and all(map(same, one.values(), other.values()))
    if isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and (one.equals(other) if hasattr(other, "equals") else one == other)


def read(data, run, name):
    """Header, description, value, and whether it has a digest, which is then right."""
    header = layout.parse_header(data, len(data), name)
    block = data[header.description_offset : header.description_offset + header.block_length]
    description = layout.parse_description(header, data, block, owner=(run, name), path=name)
    view = memoryview(bytearray(data))[: header.total]
    has_digest = layout.verify(header, description, lambda offset, length: view[offset : offset + length], name)
    stream = layout.parse_stream(header, view, name)
    return header, description, codecs.decode(description.recipe, stream, description.views(view)), has_digest


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("name", values())
def test_objects_of_every_format_are_read(name, version):
    data = (DATA / f"root-{version}" / "runs/golden" / name).read_bytes()
    header, description, value, has_digest = read(data, "golden", name)
    assert (header.format, header.segments, bool(header.digests_length)) == (version, 0, version == 2)
    assert same(list(value) if name == "chunks" else value, values()[name])
    assert has_digest == (name in {"sealed", "chunks"})
    assert description.info.producer.task is None


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("name", ["sealed", "chunks"])
def test_damage_to_an_object_of_any_format_is_found(name, version):
    data = bytearray((DATA / f"root-{version}" / "runs/golden" / name).read_bytes())
    data[200 if name == "chunks" else -1] ^= 1
    with pytest.raises(LayoutError, match="digest"):
        read(data, "golden", name)


@pytest.mark.parametrize("version", [1, 2])
def test_a_root_of_every_format_is_opened(version, root):
    """Its objects are read, replaced and moved; what moves is of the current format then, and has the same id."""
    shutil.rmtree(root)
    shutil.copytree(DATA / f"root-{version}", root)
    root.chmod(0o700)
    below = root.with_name(f"{root.name}-below")
    try:
        store = bodega.open(root, run="golden", spill=below)
        infos = {info.name: info for info in store.list()}
        assert infos.keys() >= values().keys()
        for name, value in values().items():
            found = store[name]
            assert same(list(found) if name == "chunks" else found, value)
            store.persist(name)
        for name, value in values().items():
            data = (below / "runs/golden" / name).read_bytes()
            header, description, found, has_digest = read(data, "golden", name)
            assert (header.format, has_digest, description.info.id) == (2, True, infos[name].id)
            assert same(list(found) if name == "chunks" else found, value)
        store["array"] = "new"
        assert store["array"] == "new"
        assert not store.usage().leftovers
    finally:
        shutil.rmtree(below, ignore_errors=True)


def test_an_old_object_below_memory_comes_up(root, tmp_path):
    store = bodega.open(root, run="golden", spill=tmp_path / "below")
    store.put("sealed", 1, persist=True)
    store.delete("sealed")
    (tmp_path / "below/runs/golden/sealed").write_bytes((ROOT_1 / "runs/golden/sealed").read_bytes())
    for _ in range(3):
        assert same(store["sealed"], values()["sealed"])
    assert store.info("sealed").tier == str(root)
    unsealed = (ROOT_1 / "runs/golden/array").read_bytes()
    (tmp_path / "below/runs/golden/array").write_bytes(unsealed)
    with pytest.raises(LayoutError, match="no digest"):
        store.pin("array")


def golden(name):
    return memoryview((DATA / "format-2" / name).read_bytes())


def foreign():
    found = {}
    for name in ("segment-b", "whole", "segment-a"):
        data = golden(name)
        found[layout.parse_header(data, len(data), name).segment] = data
    return found


def test_an_object_that_shares_segments_is_read_and_is_the_same_as_its_whole_copy():
    data, whole = golden("shared"), golden("whole")
    header, description = parse(data)
    assert (header.id, description.run, description.name) == (IDENTITY, RUN, NAME)
    views = description.views(data, [foreign()[segment] for segment in description.segments])
    first, second = golden("segment-a"), golden("segment-b")
    joined = first[2 * PAGE - 8 : 2 * PAGE].tobytes() + second[2 * PAGE : 3 * PAGE].tobytes()
    joined += first[3 * PAGE : 3 * PAGE + 100].tobytes()
    assert [bytes(view) for view in views] == [bytes(first[1001:1078]), b"own" * 30, joined, b""]
    other, copied = parse(whole)
    assert [bytes(view) for view in copied.views(whole)] == [bytes(view) for view in views]
    assert layout.verify(other, copied, lambda offset, length: whole[offset : offset + length], "whole")
    digests = [data[each.digests_offset :][: each.digests_length] for each, data in ((header, data), (other, whole))]
    assert layout.is_sealed(digests[0])
    assert digests[0] == digests[1]


@pytest.mark.parametrize("name", ["flags", "last"])
def test_flags_and_what_comes_last_are_read(name):
    data = golden(name)
    header, description = parse(data)
    assert [bytes(view) for view in description.views(data)] == [b"some bytes"]
    assert layout.verify(header, description, lambda offset, length: data[offset : offset + length], name)


def test_a_store_says_which_segments_it_does_not_open(store):
    """It shows and removes what a later version put, and refuses to read or to move it."""
    other = store.with_run(RUN)
    other.put(NAME, b"x")
    path = next(Path(store.root, "runs").glob("a*/a*"))
    path.write_bytes(golden("shared"))
    assert other.info(NAME).id == IDENTITY
    with pytest.raises(LayoutError, match=f"segments of other objects \\({SEGMENTS[0]}, {SEGMENTS[1]}\\)"):
        other[NAME]
    with pytest.raises(LayoutError, match="segments of other objects"):
        other._stack.top.open(RUN, NAME).outgoing()
    other.delete(NAME)
    assert NAME not in other


if __name__ == "__main__":
    {"root": make_root, "format-2": make_format_2}[sys.argv[1]](sys.argv[2])
