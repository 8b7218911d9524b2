"""The project's pipelines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from house_prices.pipeline import create_pipeline

if TYPE_CHECKING:
    from kedro.pipeline import Pipeline


def register_pipelines() -> dict[str, Pipeline]:
    """The only pipeline, under Kedro's default name."""
    return {"__default__": create_pipeline()}
