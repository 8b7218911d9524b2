import pytest

import bodega
from bodega import LayoutError


@pytest.fixture
def path(store):
    store.put("x", {"numbers": [1, 2, 3], "text": "abc"})
    return store.root / "runs" / "default" / "x"


def test_every_flipped_byte_of_the_header_is_found(store, path):
    original = path.read_bytes()
    for position in range(len(original)):
        changed = bytearray(original)
        changed[position] ^= 0xFF
        path.write_bytes(changed)
        try:
            value = store.get("x")
        except LayoutError as error:
            assert str(path) in str(error)
        else:
            assert value == {"numbers": [1, 2, 3], "text": "abc"}


def test_every_truncation_is_found(store, path):
    original = path.read_bytes()
    for length in range(len(original)):
        path.write_bytes(original[:length])
        with pytest.raises(LayoutError):
            store.get("x")
        with pytest.raises(LayoutError):
            store.info("x")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04" * 100, bytes(4096)])
def test_foreign_files_are_refused(store, path, content):
    path.write_bytes(content)
    with pytest.raises(LayoutError, match="not a readable object"):
        store.get("x")


def test_a_folder_a_link_and_a_fifo_in_place_of_an_object_are_refused(store, path):
    import os

    path.unlink()
    path.mkdir()
    with pytest.raises(LayoutError):
        store.get("x")
    path.rmdir()
    path.symlink_to("/etc/passwd")
    with pytest.raises(LayoutError):
        store.get("x")
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(LayoutError):
        store.get("x")


def test_an_object_moved_to_another_name_is_refused(store, path):
    path.rename(path.with_name("y"))
    with pytest.raises(LayoutError, match="moved here"):
        store.get("y")


def test_a_long_stream_goes_to_the_segment_as_it_is_made(store):
    value = [f"item {number}" for number in range(1_500_000)]
    info = store.put("long", value)
    assert info.nbytes > 8 << 20
    assert store.get("long") == value
    assert store.info("long") == info


def test_info_survives_a_very_wide_schema(store):
    import pandas as pd

    frame = pd.DataFrame({f"a rather long column name {number}": [number] for number in range(900)})
    info = store.put("wide", frame)
    assert store.info("wide") == info
    pd.testing.assert_frame_equal(store["wide"], frame)


def test_version_is_told():
    assert bodega.__version__
