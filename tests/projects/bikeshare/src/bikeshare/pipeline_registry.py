"""The pipelines."""

from functools import partial, update_wrapper

from kedro.pipeline import Pipeline, node, pipeline

from bikeshare import nodes


def of_city(name):
    """What is done for each city, under a namespace of its own."""
    sum_up = update_wrapper(partial(nodes.sum_up, city=name), nodes.sum_up)
    template = pipeline(
        [
            node(sum_up, ["rides@pandas", "params:slope", "params:model.drop"], "daily", name="sum_up", tags="table"),
            node(nodes.fit, ["daily", "params:model.degree"], "forecast", name="fit", tags="model"),
            node(nodes.look_ahead, ["daily", "forecast"], "ahead", name="look_ahead", tags="model"),
        ]
    )
    return pipeline(
        template,
        namespace=name,
        inputs={"rides@pandas"},
        outputs={"ahead": f"{name}_ahead"},
        parameters={"params:model.drop", "params:model.degree"},
    )


def register_pipelines() -> dict[str, Pipeline]:
    """By name; the default is all of them."""
    ingest = pipeline(
        [
            node(
                nodes.record_rides,
                ["params:seed", "params:days", "params:rides_a_day", "params:cities"],
                "rides@chunks",
                name="record_rides",
                tags="table",
            )
        ]
    )
    week = pipeline(
        [
            node(
                nodes.split_week,
                "rides@pandas",
                {"work": "working_rides", "leisure": "leisure_rides"},
                name="split_week",
                tags="table",
            ),
            node(nodes.count_week, ["working_rides", "leisure_rides"], "week", name="count_week"),
        ]
    )
    report = pipeline(
        [
            node(nodes.find_busiest, "rides@polars", "busiest", name="find_busiest"),
            node(
                nodes.write_report,
                ["north_ahead", "south_ahead", "busiest", "week", "parameters"],
                "report",
                name="write_report",
            ),
        ]
    )
    cities = of_city("north") + of_city("south")
    return {
        "__default__": ingest + week + cities + report,
        "ingest": ingest,
        "cities": cities,
    }
