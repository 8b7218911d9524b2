"""Frames and tables as those of another library."""

from __future__ import annotations

import numpy as np
import pytest

from bodega.codecs.tabular import convert

pd, pa, pl = pytest.importorskip("pandas"), pytest.importorskip("pyarrow"), pytest.importorskip("polars")

COLUMNS = {"number": [1.5, 2.5], "text": ["a", "b"], "whole": [1, 2]}
VALUES = {
    "pandas": pd.DataFrame(COLUMNS),
    "polars": pl.DataFrame(COLUMNS),
    "arrow": pa.table(COLUMNS),
    "batch": pa.record_batch(COLUMNS),
}
LISTS = {
    "pandas": lambda frame: frame.to_dict("list"),
    "polars": lambda frame: frame.to_dict(as_series=False),
    "arrow": lambda table: table.to_pydict(),
}


@pytest.mark.parametrize("library", LISTS)
@pytest.mark.parametrize("value", VALUES)
def test_any_becomes_any(value, library) -> None:
    converted = convert(VALUES[value], library)
    expected = pa.Table if library == "arrow" else type(VALUES[library])
    assert type(converted) is expected
    assert LISTS[library](converted) == COLUMNS


@pytest.mark.parametrize("library", LISTS)
def test_what_is_of_the_library_stays_as_it_is(library) -> None:
    assert convert(VALUES[library], library) is VALUES[library]


def test_numbers_of_pandas_are_not_copied() -> None:
    frame = pd.DataFrame({"x": np.arange(1000.0), "y": np.arange(1000)})
    address = frame["x"].to_numpy().ctypes.data
    assert convert(frame, "polars")["x"].to_numpy().ctypes.data == address
    assert convert(frame, "arrow")["x"].chunk(0).buffers()[1].address == address


@pytest.mark.parametrize("value", ["polars", "arrow"])
def test_a_frame_of_pandas_can_be_changed_in_place(value) -> None:
    frame = convert(VALUES[value], "pandas")
    frame.loc[0, "number"] = 9.0
    frame.iloc[1, 2] = 7
    assert frame["number"].tolist() == [9.0, 2.5]
    assert frame["whole"].tolist() == [1, 7]
    assert LISTS[value](VALUES[value]) == COLUMNS


def test_an_index_that_says_something_is_a_column() -> None:
    frame = pd.DataFrame({"x": [1, 2]}, index=pd.Index(["a", "b"], name="key"))
    assert convert(frame, "polars").to_dict(as_series=False) == {"x": [1, 2], "key": ["a", "b"]}
    pd.testing.assert_frame_equal(convert(convert(frame, "arrow"), "pandas"), frame)


@pytest.mark.parametrize("value", [{"x": 1}, np.zeros(3), pd.Series([1]), pl.Series([1])])
def test_what_is_no_table_is_refused(value) -> None:
    with pytest.raises(TypeError, match="no frame or table"):
        convert(value, "polars")
