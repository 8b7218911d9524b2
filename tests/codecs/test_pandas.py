from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from hypothesis.extra import pandas as hpd

import bodega
from bodega.cli import main
from bodega.codecs.pandas import restore_arrow_backed
from bodega.errors import LayoutError
from bodega.format import Pieces

DAYS = pd.date_range("2024-01-01", periods=4, freq="D")
TEXTS = ["a", None, "a somewhat longer text", "ü"]


def _attributed() -> pd.DataFrame:
    frame = pd.DataFrame({"a": [1, 2]})
    frame.attrs = {"source": {"file": "x.csv"}, "rows": [1, 2]}
    return frame


def _no_duplicates() -> pd.DataFrame:
    return pd.DataFrame({"a": [1, 2]}).set_flags(allows_duplicate_labels=False)


class Located(pd.DataFrame):
    """A subclass with an attribute of its own."""

    _metadata = ["place"]  # noqa: RUF012 - pandas wants a list

    @property
    def _constructor(self) -> type[pd.DataFrame]:
        return Located


def _located() -> pd.DataFrame:
    frame = Located({"a": [1.5, 2.5]})
    frame.place = "Oslo"  # type: ignore[attr-defined]
    return frame


def _nan_texts() -> Iterator[tuple[str, Any]]:
    """Text whose missing value is not-a-number: pandas 2.2 had one storage of it, later versions have two."""
    if pd.__version__ < "2.3":
        yield "text-nan-pyarrow", pd.StringDtype("pyarrow_numpy")
    else:
        yield "text-nan-python", pd.StringDtype("python", na_value=np.nan)
        yield "text-nan-pyarrow", pd.StringDtype("pyarrow", na_value=np.nan)


def _arrow(values: Any, kind: pa.DataType) -> Any:
    return pd.array(values, pd.ArrowDtype(kind))


COLUMNS = {
    "ints": pd.array([1, 2, 3, 4], "int16"),
    "floats": np.array([1.5, np.nan, -0.0, np.inf]),
    "bools": np.array([True, False, True, True]),
    "complex": np.array([1j, 2, 3, 4]),
    "objects": np.array([1, "a", None, [1, 2]], dtype=object),
    "text-default": pd.Series(TEXTS).array,
    "text-python": pd.array(TEXTS, pd.StringDtype("python")),
    "text-pyarrow": pd.array(TEXTS, pd.StringDtype("pyarrow")),
    **{name: pd.array(TEXTS, dtype) for name, dtype in _nan_texts()},
    "text-objects": np.array(TEXTS, dtype=object),
    "category": pd.Categorical(["a", "b", "a", None], categories=["c", "b", "a"]),
    "category-ordered": pd.Categorical([2, 1, 2, 3], ordered=True),
    "category-dates": pd.Categorical(DAYS),
    "nullable-int": pd.array([1, None, 3, 4], "Int64"),
    "nullable-float": pd.array([1.5, None, 3, 4], "Float32"),
    "nullable-bool": pd.array([True, None, False, True], "boolean"),
    "arrow-int": _arrow([1, None, 3, 4], pa.int32()),
    "arrow-list": _arrow([[1], None, [], [2, 3]], pa.list_(pa.int64())),
    "arrow-decimal": _arrow([Decimal("1.5"), None] * 2, pa.decimal128(5, 2)),
    "arrow-date": _arrow([dt.date(2020, 1, 1), None] * 2, pa.date32()),
    "arrow-zoned": _arrow(list(DAYS.tz_localize("UTC")), pa.timestamp("us", "UTC")),
    "arrow-dictionary": _arrow(["a", "b", None, "a"], pa.dictionary(pa.int8(), pa.string())),
    "dates": DAYS.array,
    "dates-s": DAYS.as_unit("s").array,
    "dates-zoned": DAYS.tz_localize("Europe/Oslo").array,
    "dates-offset": DAYS.tz_localize(dt.timezone(dt.timedelta(hours=5, minutes=30))).array,
    "durations": pd.to_timedelta([1, 2, None, 4], unit="s").array,
    "periods": pd.period_range("2024-01", periods=4, freq="M").array,
    "intervals": pd.interval_range(0, 4, closed="left").array,
    "sparse": pd.arrays.SparseArray([0.0, 0.0, 1.5, 0.0], fill_value=0.0),
    "sparse-bools": pd.arrays.SparseArray([False, True, False, False]),
}
INDEXES = {
    "range": pd.RangeIndex(2, 10, 2, name="r"),
    "ints": pd.Index([3, 1, 2, 1], dtype="uint8", name=("a", 1)),
    "text": pd.Index(["b", "a", "c", "d"]),
    "objects": pd.Index([1, "a", None, 2.5], dtype=object),
    "dates-freq": DAYS,
    "dates-zoned": pd.date_range("2024-03-30", periods=4, freq="h", tz="Europe/Oslo", name="when"),
    "durations": pd.timedelta_range("1h", periods=4, freq="h"),
    "periods": pd.period_range("2024-01", periods=4, freq="Q"),
    "intervals": pd.interval_range(0, 4),
    "category": pd.CategoricalIndex(["a", "b", "a", "c"], ordered=True),
    "nullable": pd.Index(pd.array([1, None, 3, 4], "Int64")),
    "multi": pd.MultiIndex.from_product([["x", "y"], DAYS[:2]], names=["k", None]),
    "multi-unused": pd.MultiIndex.from_product([["x", "y"], range(4)])[4:],
}
FRAMES = {
    "many-blocks": pd.DataFrame({name: column for name, column in COLUMNS.items() if name != "arrow-list"}),
    "one-block": pd.DataFrame(np.arange(12.0).reshape(4, 3), columns=list("abc")),
    "fortran": pd.DataFrame(np.asfortranarray(np.arange(12.0).reshape(4, 3))),
    "duplicate-columns": pd.DataFrame([[1, 2.0, "x"]], columns=["a", "a", "b"]),
    "odd-columns": pd.DataFrame([[1, 2, 3, 4]], columns=[1, ("t", 2), None, dt.date(2020, 1, 1)]),
    "multi-columns": pd.DataFrame(
        np.eye(4), columns=pd.MultiIndex.from_product([["a", "b"], [1, 2]], names=["l", "m"])
    ),
    "date-columns": pd.DataFrame(np.eye(4), columns=DAYS),
    "named-columns": pd.DataFrame({"a": [1]}).rename_axis(columns="what"),
    "empty": pd.DataFrame(),
    "no-rows": pd.DataFrame({"a": pd.Series([], dtype="Int8"), "b": pd.Series([], dtype="str"), "c": []}),
    "no-columns": pd.DataFrame(index=pd.Index(["a", "b"], name="i")),
    "attributes": _attributed(),
    "no-duplicates": _no_duplicates(),
    "subclass": _located(),
    "rows": pd.DataFrame({"a": np.arange(100), "b": np.arange(100.0), "t": ["text"] * 100})[10:20],
    "every-second-row": pd.DataFrame({"a": np.arange(100), "b": np.arange(100.0), "t": ["text"] * 100})[::-2],
    "some-columns": pd.DataFrame(np.arange(40.0).reshape(4, 10))[[1, 3, 8]],
    "transposed": pd.DataFrame(np.arange(12.0).reshape(3, 4)).T,
    "nested-frames": pd.DataFrame({"f": [pd.Series([1, 2]), pd.Series(["a"])]}),
}


def assert_same_index(got: pd.Index, wanted: pd.Index) -> None:
    pd.testing.assert_index_equal(got, wanted, exact=True, check_exact=True)
    assert got.names == wanted.names
    assert getattr(got, "freq", None) == getattr(wanted, "freq", None)
    if isinstance(wanted, pd.MultiIndex):
        assert isinstance(got, pd.MultiIndex)
        for one, other in zip(got.levels, wanted.levels, strict=True):
            assert_same_index(one, other)


def assert_same_frame(got: pd.DataFrame, wanted: pd.DataFrame) -> None:
    assert type(got) is type(wanted)
    assert list(got.dtypes) == list(wanted.dtypes)
    assert [getattr(dtype, "storage", None) for dtype in got.dtypes] == [
        getattr(dtype, "storage", None) for dtype in wanted.dtypes
    ]
    assert got.attrs == wanted.attrs
    assert got.flags.allows_duplicate_labels == wanted.flags.allows_duplicate_labels
    assert_same_index(got.index, wanted.index)
    assert_same_index(got.columns, wanted.columns)
    for place in range(wanted.shape[1]):
        assert_same_column(got.iloc[:, place].array, wanted.iloc[:, place].array)


def assert_same_column(got: pd.api.extensions.ExtensionArray, wanted: pd.api.extensions.ExtensionArray) -> None:
    assert type(got) is type(wanted)
    if isinstance(wanted, pd.arrays.NumpyExtensionArray):
        one, other = np.asarray(got), np.asarray(wanted)
        assert one.dtype == other.dtype
        if one.dtype == object:
            assert repr(one.tolist()) == repr(other.tolist())
        else:
            assert one.tobytes() == other.tobytes()
    elif isinstance(wanted, pd.arrays.SparseArray):
        assert got.fill_value == wanted.fill_value
        assert got.sp_index.equals(wanted.sp_index)
        assert got.sp_values.tobytes() == wanted.sp_values.tobytes()
    else:
        pd.testing.assert_extension_array_equal(got, wanted, check_exact=True)


@pytest.mark.parametrize("name", COLUMNS)
def test_every_kind_of_column(store, name):
    series = pd.Series(COLUMNS[name], name=(name, 1))
    got = store(series).get()
    assert got.dtype == series.dtype
    assert got.name == series.name
    assert_same_column(got.array, series.array)
    assert_same_column(store([series.array]).get()[0], series.array)


@pytest.mark.parametrize("name", INDEXES)
def test_every_kind_of_index(store, name):
    index = INDEXES[name]
    assert_same_index(store(index).get(), index)
    assert_same_index(store(pd.Series(range(4), index=index)).get().index, index)


@pytest.mark.filterwarnings("ignore:Passing a BlockManager:DeprecationWarning")  # of pandas 2.2 to itself
@pytest.mark.parametrize("name", FRAMES)
def test_frames(store, name):
    frame = FRAMES[name]
    before = frame.copy(deep=True)
    assert_same_frame(store(frame).get(), frame)
    assert_same_frame(store({"x": [frame]}).get()["x"][0], frame)
    assert_same_frame(frame, before)


def test_an_attribute_of_a_subclass_comes_along(store):
    assert store(_located()).get().place == "Oslo"


def test_columns_are_read_in_place(store):
    frame = pd.DataFrame({"f": np.arange(50.0), "i": np.arange(50), "d": pd.date_range("2024", periods=50)})
    stored = store(frame)
    got = stored.get()
    for name in frame:
        values = np.asarray(got[name])
        assert stored.holds(values.ctypes.data, values.nbytes)
    assert not any(isinstance(buffer, Pieces) for buffer in stored.encoded.buffers)


def test_arrow_texts_are_read_in_place(store):
    frame = pd.DataFrame({"t": pd.array(["abc"] * 50, pd.StringDtype("pyarrow"))})
    stored = store(frame)
    (chunk,) = stored.get()["t"].array.__arrow_array__().chunks
    for buffer in chunk.buffers()[1:]:
        assert stored.holds(buffer.address, buffer.size)


def test_frames_can_be_changed_in_place_and_nobody_else_sees_it(store):
    frame = pd.DataFrame({"a": np.arange(4.0), "b": [1, 2, 3, 4], "t": list("wxyz"), "c": pd.Categorical(list("abab"))})
    stored = store(frame)
    got = stored.get()
    where = got["a"].to_numpy().ctypes.data
    got.loc[0, "a"] = 99.0
    got.loc[:, "b"] += 1
    got.loc[1, "t"] = "changed"
    got.loc[1, "c"] = "a"
    got["new"] = 1
    got.index = list("abcd")

    assert got["a"].to_numpy().ctypes.data == where
    assert got["a"].tolist() == [99, 1, 2, 3]
    assert_same_frame(stored.get(), frame)


@pytest.mark.skipif(pd.__version__ < "3", reason="in pandas 2 the two are meant to change together")
def test_a_copy_that_shares_memory_stays_independent(store):
    frame = pd.DataFrame({"a": [1.0, 2.0]})
    one, other = store((frame, frame.copy(deep=False))).get()
    one.iloc[0, 0] = 99.0
    assert other["a"].tolist() == [1.0, 2.0]


@pytest.mark.parametrize("dtype", [pd.StringDtype("pyarrow"), pd.ArrowDtype(pa.string()), pd.ArrowDtype(pa.int64())])
def test_a_slice_stores_only_its_own_bytes(store, dtype):
    values = range(100_000) if dtype == pd.ArrowDtype(pa.int64()) else ["a text of some length"] * 100_000
    frame = pd.DataFrame({"x": pd.array(values, dtype), "n": np.arange(100_000)})[50_000:50_100]
    stored = store(frame)
    assert stored.nbytes < 100 * 60
    assert_same_frame(stored.get(), frame)


def test_chunks_of_a_text_column_stay_apart(store):
    frame = pd.concat([pd.DataFrame({"t": pd.array(["ab"] * 10, pd.StringDtype("pyarrow"))})] * 3)
    stored = store(frame)
    assert_same_frame(stored.get(), frame)
    assert stored.get()["t"].array.__arrow_array__().num_chunks == 3
    # All three are the same memory.
    assert stored.nbytes < frame.memory_usage(deep=True).sum()


@pytest.mark.parametrize("dtype", ["object", "string[python]", "string[pyarrow]", "category"])
def test_a_view_stores_only_its_own_bytes(store_small, dtype):
    rows = 50_000
    texts = pd.Series([f"text {at}" for at in range(rows)], dtype="object")
    frame = pd.DataFrame({"t": texts if dtype != "category" else texts.str[:6], "n": range(rows), "x": 1.5})
    frame["t"] = frame["t"].astype(dtype)
    for part in (frame.head(20), frame[frame["n"] % 2500 == 0], frame.iloc[5:25], frame["t"].head(20)):
        stored = store_small(part)
        assert stored.nbytes + len(stored.stream) < 5_000
        assert stored.get().equals(part)


def test_many_small_frames_need_no_buffers(store_small):
    frames = [pd.DataFrame({"n": [at], "t": [f"text {at}"]}) for at in range(100)]
    stored = store_small(frames)
    assert len(stored.encoded.buffers) == 0
    for got, frame in zip(stored.get(), frames, strict=True):
        assert_same_frame(got, frame)


def test_kinds_and_schemas(store):
    frame = pd.DataFrame({"a": [1], 2: ["x"]}, index=pd.Index([7], name="id"))
    encoded = store(frame).encoded
    assert encoded.kind == "pandas.DataFrame"
    assert encoded.schema == {
        "shape": [1, 2],
        "columns": [["a", "int64"], ["2", str(frame[2].dtype)]],
        "index": [["id", "int64"]],
    }
    assert store(pd.Series([1.5], name="s")).encoded.schema == {
        "shape": [1],
        "dtype": "float64",
        "name": "s",
        "index": [[None, "int64"]],
    }
    assert store(pd.Index([1.5])).encoded.schema == {"shape": [1], "dtype": "float64"}
    multi = store(INDEXES["multi"]).encoded
    assert multi.kind == "pandas.MultiIndex"
    assert [name for name, _ in multi.schema["index"]] == ["k", None]
    wide = store(pd.DataFrame(np.zeros((1, 1500)))).encoded.schema
    assert wide["shape"] == [1, 1500]
    assert len(wide["columns"]) == 100
    assert store(_located()).encoded.kind.endswith("test_pandas.Located")
    assert store(_located()).encoded.schema["columns"] == [["a", "float64"]]


class Unprintable:
    def __str__(self) -> str:
        raise ValueError("no text")

    __repr__ = __str__

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self)

    def __hash__(self) -> int:
        return 1


def test_labels_that_cannot_be_printed_are_described_by_their_type(store):
    schema = store(pd.DataFrame({Unprintable(): [1], "b": [2]})).encoded.schema
    assert schema["columns"] == [["<Unprintable>", "int64"], ["b", "int64"]]
    series = store(pd.Series([1], pd.Index([1], name=Unprintable()), name=Unprintable()))
    assert series.encoded.schema["name"] == "<Unprintable>"
    assert series.get().name == Unprintable()


def test_types_of_arrow_keep_their_fields(store):
    kind = pa.list_(pa.field("element", pa.int8(), nullable=False, metadata={"k": "v"}), 2)
    series = pd.Series(pd.arrays.ArrowExtensionArray(pa.chunked_array([[[1, 2]]], kind)))
    got = store(pd.DataFrame({"a": series})).get()["a"].dtype
    assert got.pyarrow_dtype.equals(kind, check_metadata=True)


@given(
    hpd.data_frames(
        [
            hpd.column("f", dtype=float),
            hpd.column("i", dtype="int32"),
            hpd.column("t", elements=st.text(max_size=5)),
            hpd.column("d", elements=hnp.from_dtype(np.dtype("M8[ns]"))),
            hpd.column("b", dtype=bool),
        ],
        index=hpd.range_indexes(max_size=8) | hpd.indexes(elements=st.text(max_size=3), max_size=8),
    ),
    st.slices(8),
)
def test_any_frame_and_any_part_of_it(store, frame, rows):
    assert_same_frame(store(frame).get(), frame)
    assert_same_frame(store(frame[rows]).get(), frame[rows])


@pytest.mark.parametrize("cls", [dict, 5, pd.Series])
def test_only_arrays_over_arrow_are_restored(cls):
    with pytest.raises(LayoutError):
        restore_arrow_backed(cls, {"_pa_array": pa.chunked_array([[1]])})


def test_a_wide_frame_is_described_by_its_first_columns(root: Path) -> None:
    store = bodega.open(root)
    store.put("x", pd.DataFrame(np.zeros((2, 300)), columns=[f"c{number}" for number in range(300)]))
    schema = store.info("x").schema
    assert schema["shape"] == [2, 300]
    assert [name for name, _ in schema["columns"]] == [f"c{number}" for number in range(100)]
    said = CliRunner().invoke(main, ["info", "x"]).stdout
    assert said.endswith("and 200 more\n")
