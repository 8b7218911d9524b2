"""`BodegaDataset` by itself."""

from __future__ import annotations

import doctest
import json
import pickle
import shutil
from inspect import signature
from multiprocessing.reduction import ForkingPickler

import numpy as np
import pytest
import yaml
from kedro.io import DataCatalog, DatasetError

import bodega
from bodega.errors import NotShareable, ObjectNotFound
from bodega.kedro import BodegaDataset, dataset
from bodega.kedro.config import ProjectSettings
from bodega.kedro.place import Place
from bodega.settings import current_task


def test_the_python_example_works() -> None:
    outcome = doctest.testmod(dataset)
    assert outcome.attempted > 4
    assert outcome.failed == 0


def test_the_yaml_example_works() -> None:
    text = BodegaDataset.__doc__.partition("```yaml")[2].partition("```")[0]  # type: ignore[union-attr]
    catalog = DataCatalog.from_config(yaml.safe_load(text), {"bucket_keys": {"region": "eu-west-1"}})
    assert isinstance(catalog["france.features"], BodegaDataset)
    catalog.save("nightly_scores", [1, 2])
    assert bodega.open(run="nightly").get("scores") == [1, 2]
    assert catalog["nightly_scores"].metadata == {"kedro-viz": {"layer": "model_output"}}


def test_arguments_are_keyword_only() -> None:
    with pytest.raises(TypeError):
        BodegaDataset("prices")  # type: ignore[misc]


@pytest.mark.parametrize("use", [lambda it: it.load(), lambda it: it.save(1), lambda it: it.exists()])
def test_without_a_name_the_error_says_how_to_give_one(use) -> None:
    with pytest.raises(DatasetError, match=r"(?s)no name.*name: .*BodegaDataset\(name=.*kedro run"):
        use(BodegaDataset())


def test_what_a_reader_changes_is_its_own() -> None:
    prices = BodegaDataset(name="prices")
    prices.save(np.zeros(100_000))
    changed = prices.load()
    changed += 1
    assert prices.load().sum() == 0


def test_survives_the_pickling_between_processes() -> None:
    prices = BodegaDataset(name="prices", run="nightly", metadata={"layer": "raw"})
    prices.save({"a": 1})
    copy = pickle.loads(ForkingPickler.dumps(prices))
    assert copy.load() == {"a": 1}
    assert copy.metadata == {"layer": "raw"}
    assert len(ForkingPickler.dumps(prices)) < 1000


def test_release_keeps_the_object() -> None:
    prices = BodegaDataset(name="prices")
    assert not prices.exists()
    prices.save([1])
    prices.release()
    assert prices.exists()
    assert prices.load() == [1]


def test_describes_where_it_is_and_nothing_else() -> None:
    prices = BodegaDataset(
        name="prices",
        run="nightly",
        root="/dev/shm/x",
        spill="s3://bucket",
        credentials={"secret_access_key": "s3cret"},
        metadata={"token": "s3cret"},
    )
    assert prices._describe() == {"name": "prices", "run": "nightly", "root": "/dev/shm/x", "persist": False}
    assert "s3cret" not in repr(prices)
    assert "prices" in repr(prices)


def test_persisted_data_outlives_the_memory(root, tmp_path) -> None:
    prices = BodegaDataset(name="prices", spill=str(tmp_path / "disk"), persist=True, capacity="50%")
    prices.save([1, 2])
    shutil.rmtree(root)
    elsewhere = BodegaDataset(name="prices", root=str(tmp_path / "other"), spill=str(tmp_path / "disk"))
    assert elsewhere.load() == [1, 2]


def test_a_projects_rules_say_what_persists(tmp_path) -> None:
    settings = ProjectSettings(spill=(str(tmp_path / "disk"),), persist=("models.*",))
    for name in ("models.one", "scratch"):
        dataset = BodegaDataset()
        dataset.settle(Place("nightly", str(tmp_path / "root"), settings), name)
        dataset.save(name)
    shutil.rmtree(tmp_path / "root")
    assert bodega.open(tmp_path / "other", run="nightly", spill=tmp_path / "disk").names() == ["models.one"]


def test_is_rebuilt_from_its_configuration() -> None:
    catalog = DataCatalog({"prices": BodegaDataset(name="prices", run="nightly")})
    catalog.save("prices", [1])
    config, *_ = catalog.to_config()
    assert DataCatalog.from_config(config).load("prices") == [1]


def test_a_missing_object_is_named_with_what_looks_like_it() -> None:
    BodegaDataset(name="prices").save([1])
    with pytest.raises(DatasetError, match="prices") as caught:
        BodegaDataset(name="price").load()
    assert isinstance(caught.value.__cause__, ObjectNotFound)


def test_a_handle_is_refused_with_the_way_out(tmp_path) -> None:
    with (tmp_path / "file").open("w") as handle, pytest.raises(DatasetError, match="exclude") as caught:
        BodegaDataset(name="log").save(handle)
    assert isinstance(caught.value.__cause__, NotShareable)


def test_none_is_refused_by_kedro() -> None:
    with pytest.raises(DatasetError, match="None"):
        BodegaDataset(name="nothing").save(None)


def test_the_task_at_work_is_the_producer() -> None:
    token = current_task.set("cook")
    try:
        BodegaDataset(name="meal").save([1])
    finally:
        current_task.reset(token)
    assert bodega.open().info("meal").producer.task == "cook"


def shown(value) -> tuple[str, object]:
    """The kind of preview that Kedro-Viz picks for a value, and what it would show."""
    item = BodegaDataset(name="shown")
    item.save(value)
    annotation = signature(item.preview).return_annotation
    return getattr(annotation, "__name__", str(annotation)), item.preview()


def test_preview_of_a_pandas_frame_is_a_table() -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"x": [1.5, float("nan")] * 5, "when": pd.Timestamp("2024-01-02")}, index=list("abcdefghij"))
    kind, table = shown(frame)
    assert kind == "TablePreview"
    assert table == {
        "index": list("abcde"),
        "columns": ["x", "when"],
        "data": [[x, "2024-01-02 00:00:00"] for x in (1.5, None, 1.5, None, 1.5)],
    }
    json.dumps(table, allow_nan=False)


def test_preview_of_a_pandas_series_is_a_table() -> None:
    pd = pytest.importorskip("pandas")
    assert shown(pd.Series([1, 2], name="x")) == (
        "TablePreview",
        {"index": [0, 1], "columns": ["x"], "data": [[1], [2]]},
    )


def test_preview_of_other_tables() -> None:
    pa, pl = pytest.importorskip("pyarrow"), pytest.importorskip("polars")
    expected = ("TablePreview", {"index": [0, 1], "columns": ["x", "y"], "data": [[1, "a"], [2, None]]})
    assert shown(pl.DataFrame({"x": [1, 2], "y": ["a", None]})) == expected
    assert shown(pa.table({"x": [1, 2], "y": ["a", None]})) == expected


@pytest.mark.parametrize(
    ("array", "columns", "data"),
    [
        (np.arange(3), ["value"], [[0], [1], [2]]),
        (np.eye(2), [0, 1], [[1, 0], [0, 1]]),
        (np.array(7), ["value"], [[7]]),
        (np.zeros((0, 2)), [0, 1], []),
    ],
)
def test_preview_of_an_array_is_a_table(array, columns, data) -> None:
    assert shown(array) == ("TablePreview", {"index": list(range(len(data))), "columns": columns, "data": data})


def test_preview_of_plain_values_is_json() -> None:
    kind, text = shown({"mae": 0.5, "when": {1, 2}})
    assert kind == "JSONPreview"
    assert json.loads(text)["mae"] == 0.5  # type: ignore[arg-type]


def test_preview_of_anything_else_tells_of_it_without_unpickling() -> None:
    kind, text = shown(ValueError("a model, say"))
    assert kind == "JSONPreview"
    assert json.loads(text)["name"] == "shown"  # type: ignore[arg-type]


def test_preview_arguments_come_from_the_catalog() -> None:
    item = BodegaDataset(name="shown")
    item.save(np.arange(10))
    assert len(item.preview(nrows=2)["data"]) == 2  # type: ignore[call-arg,index]


def test_what_is_not_there_has_no_preview() -> None:
    assert not hasattr(BodegaDataset(name="nothing"), "preview")
    assert not hasattr(BodegaDataset(), "preview")
