"""Copies into a mapping write what the system calls write."""

import os

import numpy as np
import pytest

import bodega
from bodega.memory import drafts
from bodega.memory.copying import WORTH_IT, copy_mapped
from bodega.memory.filesystems import FileSystem


@pytest.mark.parametrize("offset", [0, 1, 128, 4096, 4097, 1 << 20])
def test_views_land_one_behind_the_other(tmp_path, offset):
    rng = np.random.default_rng(offset)
    views = [rng.integers(0, 255, size, "u1").data for size in (1, 128, 5 << 20, 9_000_001, 17)]
    expected = bytearray(b"\x07") * (15 << 20)
    path = tmp_path / "file"
    path.write_bytes(expected)
    descriptor = os.open(path, os.O_RDWR)
    try:
        total = copy_mapped(descriptor, offset, views)
    finally:
        os.close(descriptor)
    expected[offset : offset + total] = b"".join(views)
    assert path.read_bytes() == expected


@pytest.mark.skipif(bool(os.environ.get("BODEGA_WITHOUT")), reason="without exchange nothing is kept warm")
@pytest.mark.parametrize("verify", [False, True])
def test_a_store_on_huge_pages_overwrites_through_a_mapping(root, monkeypatch, verify):
    """The mount option is pretended, since mounting takes an administrator; everything else is real."""
    monkeypatch.setattr(FileSystem, "has_huge_pages", property(lambda _self: True))
    copied = []

    def watched(descriptor, offset, views):
        copied.append(offset)
        return copy_mapped(descriptor, offset, views)

    monkeypatch.setattr(drafts, "copy_mapped", watched)
    store = bodega.open(root, verify=verify)
    size = 2 * WORTH_IT
    for number in range(4):
        store.put("x", {"a": np.full(size, number, "u1"), "b": f"text {number}"})
        assert store.get("x")["b"] == f"text {number}"
        assert store.get("x")["a"].min() == store.get("x")["a"].max() == number
    assert copied
    # A longer one does not fit into what is there, and is written by system calls.
    copied.clear()
    store.put("x", np.ones(size + (4 << 20), "u1"))
    assert store.get("x").sum() == size + (4 << 20)
    assert not copied
