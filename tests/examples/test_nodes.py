"""The steps of the house-prices example, on its real data."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from house_prices import nodes
from pandas.testing import assert_frame_equal

PROJECT = Path(__file__).parents[2] / "examples" / "house-prices"
FILLING = yaml.safe_load((PROJECT / "conf" / "base" / "parameters.yml").read_text(encoding="utf-8"))["filling"]


@pytest.fixture
def houses() -> pd.DataFrame:
    return pd.read_csv(PROJECT / "data" / "01_raw" / "house_prices.csv")


def test_data_has_the_shape_and_names_of_the_published_table(houses: pd.DataFrame) -> None:
    assert houses.shape == (1460, 81)
    assert (houses.columns[0], houses.columns[-1]) == ("Id", "SalePrice")
    assert {"MSSubClass", "LotFrontage", "GrLivArea", "1stFlrSF", "3SsnPorch", "YearRemodAdd"} <= set(houses.columns)
    assert not any("." in column for column in houses.columns)
    assert houses["LotFrontage"].isna().any()


def test_multiply_by_one_changes_nothing(houses: pd.DataFrame) -> None:
    assert_frame_equal(nodes.multiply(houses, 1, 7), houses)


def test_multiplied_data_begins_with_the_real_rows_and_keeps_the_dtypes(houses: pd.DataFrame) -> None:
    many = nodes.multiply(houses, 4, 7)
    assert len(many) == 4 * 1460
    assert_frame_equal(many.head(1460), houses)
    assert many["Id"].is_unique
    assert (many.dtypes == houses.dtypes).all()


def test_random_rows_hold_real_values_only(houses: pd.DataFrame) -> None:
    random = nodes.multiply(houses, 3, 7).iloc[1460:]
    for column in houses.columns.drop("Id"):
        assert set(random[column].dropna()) <= set(houses[column].dropna())
    assert random["Alley"].isna().any()
    assert random["Alley"].notna().any()


def test_multiplied_data_depends_on_the_seed_alone(houses: pd.DataFrame) -> None:
    assert_frame_equal(nodes.multiply(houses, 3, 7), nodes.multiply(houses, 3, 7))
    assert not nodes.multiply(houses, 3, 7).equals(nodes.multiply(houses, 3, 8))


@pytest.mark.parametrize("multiplier", [0, -1, 1.5, "x", True, None])
def test_a_multiplier_that_is_no_positive_whole_number_is_refused(houses: pd.DataFrame, multiplier: object) -> None:
    with pytest.raises(ValueError, match="whole number from 1 up"):
        nodes.multiply(houses, multiplier, 7)


def test_drop_outliers_keeps_the_limit_itself() -> None:
    houses = pd.DataFrame({"GrLivArea": [3999, 4001, 4000]})
    assert_frame_equal(nodes.drop_outliers(houses, 4000), pd.DataFrame({"GrLivArea": [3999, 4000]}))


def test_the_real_data_has_three_outliers(houses: pd.DataFrame) -> None:
    assert len(nodes.drop_outliers(houses, 4000)) == 1457


def test_log_price_can_be_undone_and_leaves_its_input(houses: pd.DataFrame) -> None:
    before = houses.copy(deep=True)
    np.testing.assert_allclose(np.expm1(nodes.log_price(houses)["SalePrice"]), houses["SalePrice"])
    assert_frame_equal(houses, before)


def test_drop_columns_refuses_a_column_that_is_not_there(houses: pd.DataFrame) -> None:
    assert list(nodes.drop_columns(houses, ["Id"]).columns) == list(houses.columns[1:])
    with pytest.raises(KeyError, match="Idd"):
        nodes.drop_columns(houses, ["Idd"])


def test_fill_missing_fills_each_column_its_own_way() -> None:
    houses = pd.DataFrame(
        {
            "Fence": ["Wood", None, None, None, None],
            "Cars": [1.0, np.nan, 2.0, 3.0, 3.0],
            "Front": [10.0, 30.0, np.nan, 50.0, np.nan],
            "Area": ["a", "a", "a", "b", "c"],
            "Heat": ["x", "y", "y", None, "y"],
        }
    )
    filling = {
        "constants": {"None": ["Fence"], 0: ["Cars"]},
        "group_medians": {"Front": "Area"},
        "most_frequent": ["Heat"],
    }
    filled = nodes.fill_missing(houses, filling)
    assert filled["Fence"].tolist() == ["Wood", "None", "None", "None", "None"]
    assert filled["Cars"].tolist() == [1, 0, 2, 3, 3]
    # The median of group a; of all, where group c has none.
    assert filled["Front"].tolist() == [10, 30, 20, 50, 30]
    assert filled["Heat"].tolist() == ["x", "y", "y", "y", "y"]
    assert houses["Cars"].isna().sum() == 1


@pytest.mark.parametrize("multiplier", [1, 3])
def test_no_gap_is_left_in_the_real_data(houses: pd.DataFrame, multiplier: int) -> None:
    slim = nodes.drop_columns(
        nodes.multiply(houses, multiplier, 7), ["Id", "Street", "Utilities", "Alley", "PoolQC", "Fence", "MiscFeature"]
    )
    filled = nodes.fill_missing(slim, FILLING)
    assert slim.isna().any().any()
    assert not filled.isna().any().any()
    assert filled.shape == slim.shape


def test_total_area_is_the_sum_of_basement_and_floors() -> None:
    houses = pd.DataFrame({"TotalBsmtSF": [1, 0], "1stFlrSF": [20, 5], "2ndFlrSF": [300, 0]})
    assert nodes.add_total_area(houses)["TotalSF"].tolist() == [321, 5]
