"""The steps, as plain functions from frame to frame; none changes its input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

AREAS = ["TotalBsmtSF", "1stFlrSF", "2ndFlrSF"]


def multiply(houses: pd.DataFrame, multiplier: int, seed: int) -> pd.DataFrame:
    """The houses, then ``multiplier - 1`` times as many random ones.

    Each column of a random house is drawn on its own from the real values (missing ones too), so that columns keep
    their dtypes and distributions. ``Id`` goes on counting.
    """
    if isinstance(multiplier, bool) or not isinstance(multiplier, int) or multiplier < 1:
        raise ValueError(f"The multiplier is a whole number from 1 up, not {multiplier!r}: see MULTIPLIER.")
    if multiplier == 1:
        return houses
    real = len(houses)
    random = np.random.default_rng(seed)
    drawn = {
        name: column.take(random.integers(real, size=real * (multiplier - 1))).array for name, column in houses.items()
    }
    many = pd.concat([houses, pd.DataFrame(drawn)], ignore_index=True)
    return many.assign(Id=np.arange(1, len(many) + 1))


def drop_outliers(houses: pd.DataFrame, largest_area: int) -> pd.DataFrame:
    """Only houses of up to ``largest_area`` square feet above ground."""
    return houses[houses["GrLivArea"] <= largest_area].reset_index(drop=True)


def log_price(houses: pd.DataFrame) -> pd.DataFrame:
    """The target as ``log(1 + SalePrice)``: an error of ten per cent weighs the same at every price."""
    return houses.assign(SalePrice=np.log1p(houses["SalePrice"]))


def drop_columns(houses: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """The houses without the columns that tell nothing."""
    return houses.drop(columns=columns)


def fill_missing(houses: pd.DataFrame, filling: dict[str, Any]) -> pd.DataFrame:
    """No gap left in the columns that ``filling`` names.

    Args:
        houses: The table.
        filling: ``constants`` (a value: the columns that get it), ``group_medians`` (a column: the column whose
            groups give the median; the median of all where a group has none) and ``most_frequent`` (columns).
    """
    values = {column: value for value, columns in filling["constants"].items() for column in columns}
    values |= {column: houses[column].mode().iloc[0] for column in filling["most_frequent"]}
    medians = {
        column: houses[column].fillna(houses.groupby(group)[column].transform("median")).fillna(houses[column].median())
        for column, group in filling["group_medians"].items()
    }
    return houses.fillna(values).assign(**medians)


def add_total_area(houses: pd.DataFrame) -> pd.DataFrame:
    """One more column, ``TotalSF``: the square feet of basement and floors."""
    return houses.assign(TotalSF=houses[AREAS].sum(axis="columns"))
