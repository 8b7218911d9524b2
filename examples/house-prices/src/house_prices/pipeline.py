"""The pipeline: read the houses, then five steps that each change the whole table."""

from kedro.pipeline import Pipeline, node

from house_prices import nodes


def create_pipeline() -> Pipeline:
    """From ``house_prices_raw`` to ``with_total_area``."""
    return Pipeline(
        [
            node(
                nodes.multiply,
                inputs=["house_prices_raw", "params:multiplier", "params:seed"],
                outputs="house_prices",
                name="read_houses",
            ),
            node(
                nodes.drop_outliers,
                inputs=["house_prices", "params:largest_area"],
                outputs="without_outliers",
                name="drop_outliers",
            ),
            node(
                nodes.log_price,
                inputs="without_outliers",
                outputs="with_log_price",
                name="log_price",
            ),
            node(
                nodes.drop_columns,
                inputs=["with_log_price", "params:dropped_columns"],
                outputs="without_sparse_columns",
                name="drop_columns",
            ),
            node(
                nodes.fill_missing,
                inputs=["without_sparse_columns", "params:filling"],
                outputs="without_gaps",
                name="fill_missing",
            ),
            node(
                nodes.add_total_area,
                inputs="without_gaps",
                outputs="with_total_area",
                name="add_total_area",
            ),
        ]
    )
