from __future__ import annotations

import datetime as dt
from decimal import Decimal

import polars as pl
import pyarrow as pa
import pytest
from polars.testing import assert_frame_equal, assert_series_equal

from bodega.errors import NotShareable

MOMENT = dt.datetime(2024, 3, 1, 12, 30)
SERIES = {
    "int": pl.Series("n", [1, None, 3], dtype=pl.Int16),
    "unsigned": pl.Series("n", [1, 2**64 - 1], dtype=pl.UInt64),
    "float": pl.Series("n", [1.5, None, float("nan")]),
    "bool": pl.Series("n", [True, None, False]),
    "text": pl.Series("n", ["a", None, "longer than twelve bytes", ""]),
    "bytes": pl.Series("n", [b"a", None, b"longer than twelve bytes"]),
    "date": pl.Series("n", [MOMENT.date(), None]),
    "datetime": pl.Series("n", [MOMENT, None], dtype=pl.Datetime("ms")),
    "datetime-zoned": pl.Series("n", [MOMENT]).dt.replace_time_zone("Europe/Oslo"),
    "time": pl.Series("n", [MOMENT.time(), None]),
    "duration": pl.Series("n", [dt.timedelta(1), None], dtype=pl.Duration("ns")),
    "decimal": pl.Series("n", [Decimal("1.25"), None], dtype=pl.Decimal(10, 2)),
    "category": pl.Series("n", ["a", "b", None, "a"], dtype=pl.Categorical),
    "enum": pl.Series("n", ["a", "b", None], dtype=pl.Enum(["b", "a", "unused"])),
    "null": pl.Series("n", [None, None]),
    "list": pl.Series("n", [[1, 2], None, []]),
    "list-of-enums": pl.Series("n", [["a"], ["b", "a"]], dtype=pl.List(pl.Enum(["a", "b"]))),
    "array": pl.Series("n", [[1, 2], None, [3, 4]], dtype=pl.Array(pl.Int8, 2)),
    "array-of-enums": pl.Series("n", [["a"], ["b"]], dtype=pl.Array(pl.Enum(["a", "b"]), 1)),
    "struct-of-arrays": pl.Series("n", [{"x": ["a"]}], dtype=pl.Struct({"x": pl.Array(pl.Enum(["a"]), 1)})),
    "array-2d": pl.Series("n", [[[1, 2]], [[3, 4]]], dtype=pl.Array(pl.Int8, (1, 2))),
    "struct": pl.Series("n", [{"x": 1, "y": "a"}, {"x": None, "y": "b"}]),
    "empty": pl.Series("n", [], dtype=pl.List(pl.String)),
    "no-name": pl.Series([1, 2]),
}
# Integers that Arrow does not have, and old versions of polars neither.
WIDE = (
    {
        "int128": pl.Series("n", [1, None, 2**100], dtype=pl.Int128),
        "list-of-int128": pl.Series("n", [[1], None, [2**100]], dtype=pl.List(pl.Int128)),
    }
    if hasattr(pl, "Int128")
    else {}
)
SERIES.update(WIDE)


@pytest.mark.parametrize("name", SERIES)
def test_every_dtype(store, name):
    series = SERIES[name]
    got = store(series).get()
    assert_series_equal(got, series, check_exact=True)
    assert got.dtype == series.dtype
    assert_series_equal(store({"a": [series]}).get()["a"][0], series)
    for part in (series.slice(1, 1), series.slice(1), series.slice(0, 0)):
        assert_series_equal(store(part).get(), part)


def test_frames_of_all_dtypes(store):
    whole = pl.DataFrame(
        {
            name: series.extend_constant(None, 5 - len(series))
            for name, series in ((name, series.clone()) for name, series in SERIES.items())
        }
    )
    for frame in (whole, whole.drop(*WIDE)):
        got = store(frame).get()
        assert_frame_equal(got, frame)
        assert got.schema == frame.schema


@pytest.mark.parametrize("frame", [pl.DataFrame(), pl.DataFrame(schema={"a": pl.Int8, "b": pl.Enum(["x"])})])
def test_empty_frames(store, frame):
    got = store(frame).get()
    assert got.schema == frame.schema
    assert got.shape == frame.shape


def test_columns_are_read_in_place(store):
    frame = pl.DataFrame({"n": range(1000), "t": ["a text longer than twelve bytes"] * 1000})
    stored = store(frame)
    table = stored.get().to_arrow(compat_level=pl.CompatLevel.newest())
    for column in table.columns:
        for buffer in column.chunk(0).buffers():
            if buffer is not None:
                assert stored.holds(buffer.address, buffer.size)


@pytest.mark.skipif(int(pa.__version__.split(".")[0]) < 19, reason="this pyarrow cannot measure views")
def test_a_slice_stores_only_its_own_bytes(store):
    frame = pl.DataFrame({"n": range(100_000), "t": ["a text longer than twelve bytes"] * 100_000})
    part = frame.slice(50_000, 100)
    stored = store(part)
    assert stored.nbytes < 100 * (8 + 16 + 31) + 200
    assert_frame_equal(stored.get(), part)


def test_chunks_and_sortedness_are_kept(store):
    frame = pl.DataFrame({"up": [1, 2], "no": [2, 1]}).with_columns(pl.col("up").set_sorted())
    frame = frame.with_columns(pl.col("no").sort(descending=True).alias("down"))
    got = store(frame).get()
    assert [got[name].flags for name in got.columns] == [frame[name].flags for name in frame.columns]


@pytest.mark.parametrize("rows", [10, 100_000])
def test_small_chunks_are_joined_and_large_ones_are_not(store_small, rows):
    frame = pl.DataFrame({"n": range(rows), "x": [1.5] * rows})
    chunked = pl.concat([frame] * 3 + [frame.with_columns(pl.col("n") + rows)] * 3, rechunk=False)
    stored = store_small(chunked)
    assert_frame_equal(stored.get(), chunked)
    # What three chunks share is stored once.
    assert (stored.get().n_chunks(), len(stored.encoded.buffers)) == ((1, 0) if rows == 10 else (6, 3))


@pytest.mark.parametrize("name", SERIES)
def test_small_series_stay_in_the_stream(store_small, name):
    series = SERIES[name]
    stored = store_small({"series": [series] * 2, "frame": series.to_frame()})
    assert len(stored.encoded.buffers) == 0
    got = stored.get()
    assert got["series"][0].dtype == series.dtype
    assert_series_equal(got["series"][0], series, check_exact=True)
    assert_frame_equal(got["frame"], series.to_frame())


def test_many_short_columns_are_one_text_of_bytes(store_small):
    frame = pl.DataFrame({f"c{at}": [at, at + 1] for at in range(500)}).with_columns(pl.col("c7").set_sorted())
    stored = store_small(frame)
    assert len(stored.encoded.buffers) == 0
    assert_frame_equal(stored.get(), frame)
    assert stored.get()["c7"].flags == frame["c7"].flags


WAYS = {
    "head": lambda frame: frame.head(50),
    "slice": lambda frame: frame.slice(70, 50),
    "filter": lambda frame: frame.filter(pl.col("n") % 2000 == 0),
    "sample": lambda frame: frame.sample(50, seed=1),
    "gather": lambda frame: frame[[1, 50_000, 7]],
    "partition": lambda frame: frame.partition_by("key")[3],
    "sort": lambda frame: frame.sort("n", descending=True).head(50),
    "series": lambda frame: frame["text"].filter(frame["n"] < 50),
    "in-lists": lambda frame: frame.head(50).select(pl.col("text").implode()),
    "many-rows": lambda frame: frame.filter(pl.col("n") % 10 == 0),
    "many-rows-in-lists": lambda frame: frame.filter(pl.col("n") % 10 == 0).select(pl.col("text").implode()),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.skipif(int(pa.__version__.split(".")[0]) < 19, reason="this pyarrow cannot measure views")
def test_a_view_stores_only_its_own_bytes(store_small, way):
    rows = 100_000
    frame = pl.DataFrame(
        {
            "n": range(rows),
            "key": [at // 100 for at in range(rows)],
            "text": [f"a text longer than twelve bytes {at}" for at in range(rows)],
        }
    )
    part = WAYS[way](frame)
    stored = store_small(part)
    assert stored.nbytes + len(stored.stream) < 1.5 * part.estimated_size() + 20_000
    compare = assert_series_equal if isinstance(part, pl.Series) else assert_frame_equal
    compare(stored.get(), part)


def test_changing_a_frame_changes_no_other(store):
    frame = pl.DataFrame({"n": [1, 2, 3]})
    stored = store(frame)
    one = stored.get()
    one[0, "n"] = 99
    assert_frame_equal(stored.get(), frame)


def test_lazy_frames_are_refused_with_a_hint(store):
    with pytest.raises(NotShareable, match=r"collect\(\)") as caught:
        store({"query": pl.DataFrame({"a": [1]}).lazy()})
    assert caught.value.kind == "polars.LazyFrame"
    assert "['query']" in str(caught.value)


def test_python_objects_in_a_frame_are_refused(store):
    with pytest.raises(NotShareable, match="'o' holds Python objects"):
        store(pl.DataFrame({"o": pl.Series([object()], dtype=pl.Object)}))


@pytest.mark.parametrize(
    "dtype",
    [
        pl.Array(pl.Int8, 0),
        pl.Array(pl.Int8, (1, 0)),
        pl.List(pl.Array(pl.Int8, 0)),
        pl.Struct({"x": pl.Array(pl.Int8, 0)}),
    ],
    ids=str,
)
def test_arrays_of_no_elements_are_refused_since_polars_cannot_read_them(store, dtype):
    series = pl.Series("n", [], dtype=dtype)
    for value in (series, series.to_frame()):
        with pytest.raises(NotShareable, match=r"'n' .*arrays of no elements"):
            store(value)


@pytest.mark.parametrize(
    "frame", [pl.DataFrame({"a\0b": [1]}), pl.DataFrame({"a": [{"x\0": 1}]}), pl.DataFrame({"a\0b": ["x"], "c": [1.5]})]
)
def test_names_that_arrow_panics_at_are_left_to_polars(store, frame):
    assert_frame_equal(store(frame).get(), frame)
    series = frame.to_series()
    assert_series_equal(store([series]).get()[0], series)


def test_kinds_and_schemas(store):
    encoded = store(pl.DataFrame({"a": [1], "b": ["x"]})).encoded
    assert encoded.kind == "polars.DataFrame"
    assert encoded.schema == {"shape": [1, 2], "columns": [["a", "Int64"], ["b", "String"]]}
    encoded = store(pl.Series("s", [1.5])).encoded
    assert (encoded.kind, encoded.schema) == ("polars.Series", {"shape": [1], "dtype": "Float64", "name": "s"})


def test_a_table_of_polars_in_pyarrow_is_the_same_memory(store):
    frame = pl.DataFrame({"n": range(1000)})
    stored = store([frame, frame.to_arrow()])
    assert stored.nbytes == 8000
    assert isinstance(stored.get()[1], pa.Table)
