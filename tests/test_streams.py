"""Values that come in chunks: one object, visible when the last chunk is there."""

from __future__ import annotations

import doctest
import os
import pickle
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

import bodega
from bodega import LayoutError, NotShareable, SettingsError, StoreFull, UntrustedObject
from bodega.codecs import chunks

MIB = 1 << 20


def put_chunks(store, name, values, **options):
    """Stream values under a name."""
    with store.stream(name, **options) as stream:
        for value in values:
            stream.append(value)


def drafts(root):
    """What is being written there."""
    return os.listdir(root / "tmp")


def test_the_example_works(root):
    outcome = doctest.testmod(chunks)
    assert outcome.attempted > 5
    assert outcome.failed == 0


def test_chunks_come_back_one_by_one(store):
    values = [np.arange(100_000), {"deep": [np.ones(5000)]}, "text", b"bytes", [1]]
    put_chunks(store, "x", values)
    found = store["x"]
    assert len(found) == 5
    np.testing.assert_equal(list(found), values)
    assert list(found[2:4]) == ["text", b"bytes"]
    assert found[-1] == [1]
    with pytest.raises(IndexError):
        found[5]


def test_the_bytes_of_chunks_are_mapped_and_private(store):
    put_chunks(store, "x", [np.zeros(100_000)] * 2)
    chunk = store["x"][1]
    assert not chunk.flags.owndata
    chunk += 1
    assert store["x"][1].sum() == 0


def test_a_stream_is_one_object(store):
    put_chunks(store, "x", [np.zeros((10, 3)), np.zeros((20, 3))])
    assert store.names() == ["x"]
    info = store.info("x")
    assert info.kind == "bodega.Chunks"
    assert info.schema == {"chunks": 2, "of": "numpy.ndarray", "shape": [30, 3], "dtype": "float64"}
    assert info.nbytes == 30 * 3 * 8
    del store["x"]
    assert store.usage().used == 0


def test_until_the_end_readers_have_the_old_object(store):
    store["x"] = "old"
    with store.stream("x") as stream:
        stream.append(np.zeros(MIB))
        assert store["x"] == "old"
        other = subprocess.run(
            [sys.executable, "-c", "import bodega; print(bodega.open()['x'])"], capture_output=True, text=True
        )
        assert other.stdout.strip() == "old"
    assert len(store["x"]) == 1


def test_who_reads_the_old_stream_reads_it_to_its_end(store):
    put_chunks(store, "x", [np.full(100_000, number) for number in range(3)])
    reading = iter(store["x"])
    assert next(reading)[0] == 0
    put_chunks(store, "x", [np.full(100_000, 7)])
    del store["x"]
    store.sweep(empty_pool=True)
    assert [chunk[0] for chunk in reading] == [1, 2]


class Broken(Exception):
    """On purpose."""


@pytest.mark.parametrize("nbytes", [1, 3 * MIB])
def test_a_stream_that_fails_leaves_nothing_and_the_old_object(store, root, nbytes):
    store["x"] = "old"
    used = store.usage().used
    with pytest.raises(Broken), store.stream("x") as stream:
        stream.append(bytes(nbytes))
        raise Broken
    assert store["x"] == "old"
    assert drafts(root) == []
    assert store.usage().used == used


def test_a_chunk_that_cannot_be_stored_ends_the_stream(store, root):
    stream = store.stream("x")
    stream.append([1])
    with pytest.raises(NotShareable), open(__file__) as file:
        stream.append(file)
    assert drafts(root) == []
    for use in (lambda: stream.append([2]), stream.publish):
        with pytest.raises(ValueError, match="closed"):
            use()
    assert "x" not in store


def test_a_stream_that_nobody_holds_goes(store, root):
    stream = store.stream("x")
    stream.append(bytes(2 * MIB))
    assert len(drafts(root)) == 1
    del stream
    assert drafts(root) == []
    assert store.usage().used == 0


def test_what_a_killed_writer_left_is_swept(store, root):
    code = (
        "import os, signal, bodega\nstream = bodega.open().stream('x')\nstream.append(bytes(4 << 20))\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", code])
    assert killed.returncode == -signal.SIGKILL
    assert store.names() == []
    assert len(drafts(root)) == 1
    store.sweep(empty_pool=True)
    assert drafts(root) == []
    assert store.usage().used == 0


def test_a_writer_needs_the_memory_of_one_chunk(root):
    code = """
import resource, bodega, numpy as np
store = bodega.open()
def put(count):
    with store.stream("x") as stream:
        for number in range(count):
            stream.append(np.full(1 << 20, number))
put(2)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
put(40)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    grown = int(done.stdout) * (1 if sys.platform == "darwin" else 1024)
    assert grown < 5 * 8 * MIB  # Of 40 chunks of 8 MiB.


def test_a_stream_that_does_not_fit_leaves_the_old_object(root):
    store = bodega.open(root, capacity=8 * MIB)
    store["x"] = "old"
    with pytest.raises(StoreFull, match="'x' needs"):
        put_chunks(store, "x", [bytes(MIB)] * 20)
    assert store["x"] == "old"
    assert drafts(root) == []


@pytest.fixture
def disk(tmp_path):
    """A folder for a lower tier."""
    return tmp_path / "disk"


def test_a_stream_larger_than_memory_goes_on_in_the_folder_below(root, disk):
    store = bodega.open(root, capacity=8 * MIB, spill=disk)
    store["x"] = "old"
    chunks = [np.full(MIB // 8, number) for number in range(20)]
    with store.stream("x") as stream:
        for number, chunk in enumerate(chunks):
            stream.append(chunk)
            assert store["x"] == "old"
            assert len(drafts(root)) + len(drafts(disk)) == 1, number
            assert store.usage().used <= 8 * MIB
    info = store.info("x")
    assert info.tier == str(disk)
    assert info.schema["shape"] == [20 * MIB // 8]
    assert [chunk[-1] for chunk in store["x"]] == list(range(20))
    assert np.array_equal(bodega.open(root, verify=True)["x"].whole(), np.concatenate(chunks))
    del store["x"]
    assert store.usage().tiers[0].used == 0


def test_with_no_room_below_either_a_stream_leaves_nothing(root, disk):
    store = bodega.open(root, capacity=4 * MIB, spill=f"{disk}?capacity=8MiB")
    store["x"] = "old"
    with pytest.raises(StoreFull, match=str(disk)):
        put_chunks(store, "x", [bytes(MIB)] * 20)
    assert store["x"] == "old"
    assert drafts(root) == drafts(disk) == []


def test_a_stream_moves_down_and_comes_up_as_any_object(root, disk):
    store = bodega.open(root, capacity=16 * MIB, spill=disk)
    put_chunks(store, "x", [np.full(MIB // 8, number) for number in range(6)])
    store["y"] = bytes(12 * MIB)
    assert store.info("x").tier == str(disk)
    del store["y"]
    for _ in range(3):
        assert [chunk[0] for chunk in store["x"]] == list(range(6))
    assert store.info("x").tier == str(root)


@pytest.mark.parametrize("capacity", ["64MiB", "4MiB"])
def test_a_persisted_stream_outlives_the_memory(root, disk, capacity):
    store = bodega.open(root, capacity=capacity, spill=disk)
    put_chunks(store, "x", [bytes(MIB)] * 8, persist=True)
    shutil.rmtree(root)
    assert bodega.open(root, spill=disk)["x"].whole() == bytes(8 * MIB)


def test_without_a_durable_tier_nothing_persists(store):
    with pytest.raises(SettingsError, match="no lower tier"):
        store.stream("x", persist=True).append([1])


def test_damage_is_found(store, root):
    put_chunks(store, "x", [["a text to look for"]])
    path = root / "runs" / "default" / "x"
    data = path.read_bytes()
    path.write_bytes(data.replace(b"a text to look", b"a TEXT to look"))
    with pytest.raises(LayoutError, match="chunk 0 does not match its checksum"):
        store["x"].whole()


@pytest.mark.parametrize(
    "recipe",
    [
        {},
        {"chunks": 3},
        {"chunks": [[{"codec": "bytes"}, 0]]},
        {"chunks": [[{"codec": "bytes"}, 0, -1]]},
        {"chunks": [[{"codec": "bytes"}, 0, 2]]},
        {"chunks": []},
        {"chunks": [[{"codec": "chunks", "chunks": []}, 0, 1]]},
    ],
)
def test_a_recipe_that_makes_no_sense_is_refused(recipe):
    with pytest.raises(LayoutError, match="damaged"):
        chunks.decode_chunks(recipe, [memoryview(b"")] * 2)


def test_only_chunks_of_plain_data_are_trusted(root, store):
    put_chunks(store, "plain", [np.zeros(3), b"x"])
    put_chunks(store, "pickled", [np.zeros(3), [1]])
    cautious = bodega.open(root, trust="data")
    assert cautious["plain"][1] == b"x"
    with pytest.raises(UntrustedObject):
        cautious["pickled"]


def test_chunks_elsewhere_are_a_list(store):
    put_chunks(store, "x", [[1], [2]])
    assert pickle.loads(pickle.dumps(store["x"])) == [[1], [2]]
    store["y"] = store["x"]
    assert store["y"] == [[1], [2]]


# As one value


def whole(store, *values):
    """What values come to, streamed one by one."""
    put_chunks(store, "x", values)
    return store["x"].whole()


def test_lists_texts_and_bytes_are_joined(store):
    assert whole(store, [1, 2], [3]) == [1, 2, 3]
    assert whole(store, (1, 2), (3,)) == [1, 2, 3]
    assert whole(store, "a", "bc") == "abc"
    assert whole(store, b"a", b"bc") == b"abc"
    assert whole(store, bytearray(b"a"), bytearray(b"b")) == bytearray(b"ab")


def test_other_values_and_several_kinds_are_a_list(store):
    assert whole(store, {"a": 1}, {"a": 2}) == [{"a": 1}, {"a": 2}]
    assert whole(store, [1], "a") == [[1], "a"]
    assert store.info("x").schema == {"chunks": 2, "of": "list or str"}


def test_of_nothing_no_whole_can_be_made(store):
    put_chunks(store, "x", [])
    assert list(store["x"]) == []
    assert repr(store["x"]).startswith("<0 chunks of nothing")
    with pytest.raises(ValueError, match="without a chunk"):
        store["x"].whole()


def test_arrays_are_joined_along_the_first_axis(store):
    assert whole(store, np.ones((2, 3)), np.zeros((1, 3))).tolist() == [[1, 1, 1], [1, 1, 1], [0, 0, 0]]
    assert whole(store, np.array(1), np.array(2)).tolist() == [1, 2]
    assert store.info("x").schema["chunks"] == 2


def test_frames_that_number_their_rows_are_numbered_anew(store):
    pd = pytest.importorskip("pandas")
    one, two = pd.DataFrame({"x": [1, 2], "s": ["a", None]}), pd.DataFrame({"x": [3], "s": ["c"]})
    pd.testing.assert_frame_equal(whole(store, one, two), pd.DataFrame({"x": [1, 2, 3], "s": ["a", None, "c"]}))
    assert store.info("x").schema["shape"] == [3, 2]
    pd.testing.assert_series_equal(whole(store, one["x"], two["x"]), pd.Series([1, 2, 3], name="x"))


def test_an_index_that_says_something_stays(store):
    pd = pytest.importorskip("pandas")
    one, two = pd.DataFrame({"x": [1]}, index=["a"]), pd.DataFrame({"x": [2]}, index=["b"])
    pd.testing.assert_frame_equal(whole(store, one, two), pd.DataFrame({"x": [1, 2]}, index=["a", "b"]))


def test_frames_of_polars_and_tables_of_arrow_are_joined(store):
    pa, pl = pytest.importorskip("pyarrow"), pytest.importorskip("polars")
    assert whole(store, pl.DataFrame({"x": [1]}), pl.DataFrame({"x": [2]})).equals(pl.DataFrame({"x": [1, 2]}))
    assert whole(store, pl.Series("x", [1]), pl.Series("x", [2])).to_list() == [1, 2]
    assert whole(store, pa.table({"x": [1]}), pa.table({"x": [2]})).to_pydict() == {"x": [1, 2]}
    batch = pa.record_batch({"x": [1]})
    assert whole(store, batch, batch).to_pydict() == {"x": [1, 1]}


def test_a_stream_that_is_put_again_and_again_takes_what_is_warm(store):
    for _ in range(20):
        put_chunks(store, "s", [np.ones(MIB // 4)] * 3)
    usage = store.usage()
    assert usage.pool <= 2 * store.info("s").nbytes
    put_chunks(store, "s", [np.ones(MIB // 8)])
    # What is warm and too long was cut, so that little data never keeps much memory.
    assert store.usage().used - store.usage().pool < 2 * MIB
    assert [chunk.sum() for chunk in store["s"]] == [MIB // 8]
    store.sweep()
    assert store.usage().used == sum(
        path.stat().st_size + -path.stat().st_size % 4096
        for part in ("runs", "pool")
        for path in (store.root / part).rglob("*-*")
        if path.is_file()
    ) + sum(path.stat().st_size + -path.stat().st_size % 4096 for path in (store.root / "runs").rglob("s"))


def test_a_long_pickle_that_is_put_again_and_again_takes_what_is_warm(store):
    for _ in range(8):
        store.put("p", "x" * (40 * MIB))
    assert store.usage().pool <= 2 * store.info("p").nbytes
