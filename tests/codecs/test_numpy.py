from __future__ import annotations

import datetime as dt
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bodega.codecs import decode
from bodega.codecs.numpy import restore_array, restore_view
from bodega.errors import LayoutError
from bodega.format import Pieces

PADDED = np.dtype({"names": ["a", "b"], "formats": ["u1", "f8"], "offsets": [0, 16], "itemsize": 32})
TITLED = np.dtype([(("A title", "a"), "i4"), ("b", "f2", (2, 3))], align=True)
NESTED = np.dtype([("p", [("x", "f4"), ("y", ">i2")]), ("s", "S3"), ("when", "M8[ms]")])
CUBE = np.arange(2 * 3 * 4.0).reshape(2, 3, 4)

PLAIN = {
    **{f"type-{code}": np.arange(6).astype(code).reshape(2, 3) for code in "?bBhHiIlLqQefdgFDG"},
    "big-endian": np.arange(5, dtype=">i4"),
    "dates": np.array(["2020-01-01", "NaT"], "M8[ns]"),
    "dates-of-25-s": np.array([1, 2], "M8[25s]"),
    "durations": np.array([1, "NaT"], "m8[h]"),
    "text": np.array(["ä", "", "long text"]),
    "bytes": np.array([b"a", b"bcd"]),
    "void": np.array([b"abc", b"def"], "V3"),
    "zero-d": np.array(3.5),
    "zero-d-date": np.array("2020-01-01", "M8[D]"),
    "empty": np.empty((0,), "i4"),
    "empty-3d": np.empty((2, 0, 3), "f4"),
    "no-itemsize": np.ndarray((3,), "S0"),
    "nan-payloads": np.frombuffer(np.array([0x7FF8000000000001, 0xFFF0000000000000], "u8").tobytes(), "f8"),
    "padded": np.zeros(3, PADDED),
    "titled": np.ones(3, TITLED),
    "nested": np.array([((1.5, 2), b"abc", "2020-01-01")], NESTED),
    "metadata": np.arange(3, dtype=np.dtype("i8", metadata={"unit": "m"})),
    "fortran": np.asfortranarray(np.arange(12.0).reshape(3, 4)),
    "read-only": np.frombuffer(b"12345678", "u2"),
}
ORDERS = {f"axes-{axes}": CUBE.transpose(axes) for axes in [(0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]}
STRIDED = {
    "every-second": np.arange(20)[::2],
    "backwards": np.arange(20)[::-1],
    "window": np.arange(100.0).reshape(10, 10)[2:5, 3:7],
    "column": np.arange(12.0).reshape(3, 4)[:, 1],
    "broadcast": np.broadcast_to(np.arange(3), (4, 3)),
    "strided-dates": np.arange(10).astype("M8[D]")[::3],
    "field": np.ones(3, TITLED)["b"],
    "several-pieces": np.arange(6_000_000, dtype="f4").reshape(3000, 2000)[:, ::-1],
    "long-strided": np.arange(5_000_000)[::2],
    "one-long-row": np.zeros((2, 3_000_000))[:1, ::2],
    "huge-items": np.zeros(4, [("a", "u1", (9 << 20,))])[::2],
}
OBJECTS = {
    "objects": np.array([1, "a", None, [2]], dtype=object),
    "objects-f": np.asfortranarray(np.array([[1, "a"], [None, 2.5]], dtype=object)),
    "record-with-object": np.array([(1, "a")], [("n", "i4"), ("o", "O")]),
}
ARRAYS = {**PLAIN, **ORDERS, **STRIDED, **OBJECTS}


def assert_same_array(got: np.ndarray, wanted: np.ndarray) -> None:
    assert type(got) is type(wanted)
    assert got.dtype == wanted.dtype
    assert got.dtype.fields == wanted.dtype.fields
    assert got.dtype.metadata == wanted.dtype.metadata
    assert got.dtype.isalignedstruct == wanted.dtype.isalignedstruct
    assert got.shape == wanted.shape
    if wanted.dtype.hasobject:
        assert got.tolist() == wanted.tolist()
    else:
        assert got.tobytes() == wanted.tobytes()


@pytest.mark.parametrize("wrap", [lambda array: array, lambda array: {"a": [array]}], ids=["alone", "inside"])
@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_come_back_the_same_and_writable(store, name, wrap):
    array = ARRAYS[name]
    before = array.tobytes() if not array.dtype.hasobject else array.tolist()
    stored = store(wrap(array))
    got = stored.get()
    got = got["a"][0] if isinstance(got, dict) else got

    assert_same_array(got, array)
    assert got.flags.writeable
    assert got.flags.aligned or not array.flags.aligned
    assert (array.tobytes() if not array.dtype.hasobject else array.tolist()) == before
    if name not in OBJECTS and got.nbytes:
        low, high = np.lib.array_utils.byte_bounds(got) if hasattr(np.lib, "array_utils") else np.byte_bounds(got)  # type: ignore[attr-defined]
        assert stored.holds(low, high - low)
        assert stored.nbytes == array.nbytes
        if wrap(0) == 0 and name not in ("titled", "nested", "padded", "metadata", "field", "huge-items"):
            assert not stored.stream


@pytest.mark.parametrize("name", ["fortran", *ORDERS])
def test_memory_without_gaps_keeps_its_order_and_is_not_copied(store, name):
    array = ARRAYS[name]
    stored = store([array])

    assert not isinstance(stored.encoded.buffers[0], Pieces)
    assert np.shares_memory(np.frombuffer(stored.encoded.buffers[0], "u1"), array)
    assert stored.get()[0].strides == array.strides
    assert store(array).get().strides == array.strides


@pytest.mark.parametrize("name", STRIDED)
def test_strided_memory_is_stored_in_pieces(store, name):
    assert isinstance(store(ARRAYS[name]).encoded.buffers[0], Pieces)


def test_what_one_reader_changes_no_other_sees(store):
    stored = store({"a": np.zeros(3)})
    one = stored.get()
    one["a"][:] = 7
    assert stored.get()["a"].tolist() == [0, 0, 0]


def test_one_array_under_two_names_stays_one(store):
    array = np.arange(3)
    stored = store({"a": array, "b": array, "c": array.copy()})
    got = stored.get()
    assert got["a"] is got["b"]
    assert got["a"] is not got["c"]
    assert len(stored.buffers) == 2


def test_views_of_one_array_become_independent(store):
    array = np.arange(4)
    got = store([array, array[:2]]).get()
    got[0][0] = 99
    assert got[1].tolist() == [0, 1]


def test_a_map_is_stored_as_an_array(store, tmp_path):
    mapped = np.memmap(tmp_path / "data", "f8", mode="w+", shape=(2, 3))
    mapped[:] = 5
    stored = store(mapped)
    assert stored.encoded.kind == "numpy.memmap"
    assert_same_array(stored.get(), np.full((2, 3), 5.0))


def test_records_matrices_and_masks_share_memory(store):
    records = np.rec.array([(1, 2.5), (3, 4.5)], dtype=[("a", "i4"), ("b", "f8")])
    matrix = np.arange(4.0).reshape(2, 2).view(np.matrix)
    stored = store([records, matrix])
    got_records, got_matrix = stored.get()

    assert type(got_records) is np.recarray
    assert got_records.dtype == records.dtype
    assert got_records.a.tolist() == [1, 3]
    assert isinstance(got_records[0], np.record)
    assert type(got_matrix) is np.matrix
    assert np.array_equal(got_matrix, matrix)
    for got in (got_records, got_matrix):
        assert stored.holds(got.ctypes.data, got.nbytes)


@pytest.mark.parametrize(
    "masked",
    [
        np.ma.MaskedArray([1.0, 2.0, 3.0], mask=[False, True, False], fill_value=-1),
        np.ma.MaskedArray([1, 2], mask=np.ma.nomask),
        np.ma.MaskedArray(np.arange(6).reshape(2, 3), mask=np.eye(2, 3, dtype=bool), hard_mask=True),
        np.ma.MaskedArray([(1, 2.0)], mask=[(True, False)], dtype=[("a", "i4"), ("b", "f8")]),
        np.ma.MaskedArray(np.array(["2020-01-01"], "M8[D]"), mask=[True]),
    ],
    ids=["floats", "no-mask", "hard", "records", "dates"],
)
def test_masked_arrays(store, masked):
    fill_value = masked._fill_value
    stored = store(masked)
    got = stored.get()

    assert type(got) is np.ma.MaskedArray
    assert (getattr(got, "_fill_value") is None) == (fill_value is None)  # noqa: B009 - no stub has it
    assert got.dtype == masked.dtype
    assert got.data.tobytes() == masked.data.tobytes()
    assert (got.mask is np.ma.nomask) == (masked.mask is np.ma.nomask)
    assert np.array_equal(np.ma.getmaskarray(got), np.ma.getmaskarray(masked))
    assert got.hardmask == masked.hardmask
    assert repr(got.fill_value) == repr(masked.fill_value)
    assert stored.holds(got.data.ctypes.data, got.data.nbytes)
    if isinstance(got.mask, np.ndarray):
        assert stored.holds(got.mask.ctypes.data, got.mask.nbytes)
    assert got.data.flags.writeable


@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3)])
@pytest.mark.parametrize("dtype", ["<f8", ">i4", "M8[s]", "S3", "U2", "?"])
def test_small_masked_arrays_of_all_kinds_are_writable_and_keep_their_dtype(store, shape, dtype):
    array = np.ma.array(np.zeros(shape, dtype), mask=np.ones(shape, bool))
    array.flags.writeable = False
    got = store([array, array[...]]).get()
    for each in got:
        assert type(each) is np.ma.MaskedArray
        assert (each.dtype, each.shape) == (array.dtype, shape)
        assert np.ma.getmaskarray(each).all()
        assert each.data.tobytes() == array.data.tobytes()
    if array.size:
        got[0].mask = False
        got[0][...] = got[1].data
        assert not np.ma.getmaskarray(got[0]).any()
        assert np.ma.getmaskarray(got[1]).all()


def test_the_masked_constant_and_scalars(store):
    got = store([np.ma.masked, np.float32(2.5), np.datetime64("2020-01-01"), np.str_("x")]).get()
    assert got[0] is np.ma.masked
    assert got[1:] == [np.float32(2.5), np.datetime64("2020-01-01"), np.str_("x")]
    assert type(got[1]) is np.float32


@pytest.mark.skipif(not hasattr(np.dtypes, "StringDType"), reason="numpy 1 has no strings of variable width")
@pytest.mark.parametrize("missing", [{}, {"na_object": None}, {"na_object": float("nan")}])
def test_strings_of_variable_width(store, missing):
    dtype = np.dtypes.StringDType(**missing)
    values = np.array(["a", "a longer text than fits inline", ""], dtype)
    got = store(values).get()
    assert got.dtype == dtype
    assert got.tolist() == values.tolist()


def test_a_subclass_keeps_its_class(store):
    class Metres(np.ndarray):
        pass

    got = store(np.arange(3.0).view(Metres)).get()
    assert type(got).__name__ == "Metres"
    assert got.tolist() == [0, 1, 2]


def test_kind_and_schema(store):
    encoded = store(np.zeros((2, 3), "M8[ns]")).encoded
    assert encoded.kind == "numpy.ndarray"
    assert encoded.schema == {"shape": [2, 3], "dtype": "datetime64[ns]"}
    assert json.loads(json.dumps(encoded.schema)) == encoded.schema


@given(hnp.arrays(hnp.array_dtypes() | hnp.scalar_dtypes(), hnp.array_shapes(min_dims=0, min_side=0)), st.data())
def test_any_array_in_any_view(store, array, data):
    index = data.draw(hnp.basic_indices(array.shape, allow_newaxis=True))
    view = array[index]
    view = view if isinstance(view, np.ndarray) else np.asarray(array)
    for wrapped in (view, [view]):
        got = store(wrapped).get()
        assert_same_array(got[0] if isinstance(wrapped, list) else got, view)


@pytest.mark.parametrize(
    ("buffer", "dtype", "shape", "order"),
    [
        (8, "<f8", (2,), None),
        (16, "<f8", (1,), None),
        (8, "O", (1,), None),
        (8, "nonsense", (1,), None),
        (8, None, (1,), None),
        (8, 5, (1,), None),
        (8, "<f8", (-1,), None),
        (8, "<f8", (-1, -1), None),
        (8, "<f8", ("1",), None),
        (8, "<f8", (1.0,), None),
        (0, "<f8", (0, 2**62, 2**62), None),
        (48, "<f8", (2, 3), (0,)),
        (48, "<f8", (2, 3), (0, 0)),
        (48, "<f8", (2, 3), (0, 1, 2)),
        (48, "<f8", (2, 3), (-1, 0)),
        (48, "<f8", (2, 3), ("a", 0)),
        (8, "(1,", (1,), None),
    ],
)
def test_what_does_not_fit_is_a_layout_error(buffer, dtype, shape, order):
    view = memoryview(bytearray(buffer))
    with pytest.raises(LayoutError):
        restore_array(view, dtype, shape, order)
    with pytest.raises(LayoutError):
        recipe = {"codec": "array", "dtype": dtype, "shape": list(shape), "order": order and list(order)}
        decode(recipe, memoryview(b""), [view])


@pytest.mark.parametrize("recipe", [{}, {"shape": 3}, {"shape": [1], "order": 5}, {"shape": None, "dtype": "<f8"}])
def test_a_recipe_with_missing_parts_is_a_layout_error(recipe):
    with pytest.raises(LayoutError):
        decode({"codec": "array", **recipe}, memoryview(b""), [memoryview(bytearray(8))])


def test_only_known_views_are_made():
    with pytest.raises(LayoutError):
        restore_view(np.zeros(3), "chararray")
    with pytest.raises(LayoutError):
        restore_view(dt.date(2020, 1, 1), "matrix")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "array",
    [
        np.arange(5.0),
        np.arange(5, dtype=">i4"),
        np.array(["2024-01-01", "NaT"], "M8[D]"),
        np.array(["2024-01-01", "NaT"], ">M8[Y]"),
        np.zeros(3, [("a", "i4"), ("b", ">f8")]),
        np.array(["a", "bc"]),
        np.zeros((0, 3)),
        np.array(7),
        np.asfortranarray(np.arange(12).reshape(3, 4)),
        np.arange(24).reshape(2, 3, 4).transpose(2, 0, 1),
        np.arange(20)[::-3],
        np.broadcast_to(np.arange(3), (2, 3)),
        np.ma.array([1, 2], mask=[True, False]),
        np.rec.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
    ],
    ids=lambda array: f"{type(array).__name__}-{array.dtype.str}-{array.shape}",
)
@pytest.mark.parametrize("writable", [True, False])
def test_small_arrays_stay_in_the_stream_and_come_back_writable(store_small, array, writable):
    array = array.copy(order="K") if writable else array
    array.flags.writeable = writable
    stored = store_small([array, array])
    assert len(stored.encoded.buffers) == 0
    got, same = stored.get()
    assert got is same
    assert (type(got), got.dtype, got.shape) == (type(array), array.dtype, array.shape)
    assert got.dtype.str == array.dtype.str
    np.testing.assert_array_equal(got, array)
    assert got.flags.writeable


def test_large_arrays_leave_the_stream_among_many_small_ones(store_small):
    large = np.arange(1000)
    stored = store_small([*(np.arange(4) + at for at in range(100)), large])
    assert len(stored.encoded.buffers) == 1
    assert stored.holds(stored.get()[-1].ctypes.data, large.nbytes)
