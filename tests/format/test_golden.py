"""Files that every later version must read.

``tests/data/root-1`` is a whole root as version 0.1 made it, format 1 (without its empty folders and lock files):

    store = bodega.open(root, run="golden")
    store.put("array", np.arange(12, dtype="<i4").reshape(3, 4))
    store.put("bytes", b"some bytes")
    store.put("dict", {"a": np.arange(300.0), "b": ["text", None, 1.5]})
    store.put("frame", pd.DataFrame({"n": range(200), "x": np.arange(200) / 4}))
    store.put("table", pa.table({"n": [1, None, 3], "s": ["x", "yy", None]}))
    with store.stream("chunks") as stream:
        for chunk in ([1, 2], np.arange(200.0), "three"):
            stream.append(chunk)
    bodega.open(root, run="golden", verify=True).put("sealed", np.arange(12, dtype="<i4"))

``tests/data/format-2`` has objects of format 2, made by `make_format_2` below: run this file as a program, with a folder to
put them into.
"""

from pathlib import Path

import numpy as np
import pytest

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


@pytest.mark.parametrize("name", values())
def test_objects_of_the_first_format_are_read(name):
    data = (ROOT_1 / "runs/golden" / name).read_bytes()
    header, description, value, has_digest = read(data, "golden", name)
    assert (header.format, header.segments, header.digests_length) == (1, 0, 0)
    assert same(list(value) if name == "chunks" else value, values()[name])
    assert has_digest == (name in {"sealed", "chunks"})
    assert description.info.producer.host == "host"


@pytest.mark.parametrize("name", ["sealed", "chunks"])
def test_damage_to_an_object_of_the_first_format_is_found(name):
    data = bytearray((ROOT_1 / "runs/golden" / name).read_bytes())
    data[200 if name == "chunks" else -1] ^= 1
    with pytest.raises(LayoutError, match="digest"):
        read(data, "golden", name)
