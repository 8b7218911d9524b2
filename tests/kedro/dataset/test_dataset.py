"""`BodegaDataset` by itself."""

from __future__ import annotations

import base64
import doctest
import json
import os
import pickle
import shutil
from inspect import signature
from io import BytesIO
from multiprocessing.reduction import ForkingPickler
from typing import Any

import numpy as np
import pytest
import yaml
from kedro.io import DataCatalog, DatasetError, Version

import bodega
from bodega import Chunks
from bodega.errors import NotShareable, ObjectNotFound, SettingsError, StoreFull
from bodega.kedro import BodegaDataset, dataset
from bodega.kedro.project.config import ProjectSettings
from bodega.kedro.project.place import Place
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
    scores = catalog["nightly_scores"]
    assert isinstance(scores, BodegaDataset) and scores.metadata == {"kedro-viz": {"layer": "model_output"}}


def test_arguments_are_keyword_only() -> None:
    with pytest.raises(TypeError):
        BodegaDataset("prices")  # type: ignore[call-arg]


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


def decoded(text: object) -> bytes:
    """The image that Kedro-Viz would show."""
    assert isinstance(text, str)
    return base64.b64decode(text)


def test_preview_of_a_figure_is_an_image() -> None:
    pytest.importorskip("matplotlib").use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots()
    axes.plot([1, 2, 3])
    kind, text = shown(figure)
    plt.close(figure)
    assert kind == "ImagePreview"
    assert decoded(text).startswith(b"\x89PNG")
    assert plt.get_fignums() == []


def test_preview_of_an_image_is_an_image() -> None:
    module = pytest.importorskip("PIL.Image")
    kind, text = shown(module.new("RGB", (4, 2), "red"))
    assert kind == "ImagePreview"
    assert module.open(BytesIO(decoded(text))).getpixel((3, 1)) == (255, 0, 0)


@pytest.mark.parametrize("start", [b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"GIF89a"])
def test_preview_of_the_bytes_of_an_image_is_the_image(start: bytes) -> None:
    kind, text = shown(start + b"...")
    assert (kind, decoded(text)) == ("ImagePreview", start + b"...")


def test_preview_of_other_bytes_tells_of_them() -> None:
    kind, text = shown(b"no image")
    assert kind == "JSONPreview"
    assert json.loads(text)["nbytes"] == 8  # type: ignore[arg-type]


def test_preview_of_a_stream_is_that_of_its_first_chunk() -> None:
    item = BodegaDataset(name="shown")
    stream(item, np.arange(3), np.arange(3))
    assert item.preview()["data"] == [[0], [1], [2]]  # type: ignore[index]


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
    assert len(item.preview(nrows=2)["data"]) == 2  # type: ignore[index]


def test_what_is_not_there_has_no_preview() -> None:
    assert not hasattr(BodegaDataset(name="nothing"), "preview")
    assert not hasattr(BodegaDataset(), "preview")


# Loaded as


COLUMNS = {"x": [1.5, 2.5], "y": ["a", "b"]}


@pytest.mark.parametrize(("library", "kind"), [("pandas", "DataFrame"), ("polars", "DataFrame"), ("arrow", "Table")])
@pytest.mark.parametrize("saved", ["pandas", "polars"])
def test_a_frame_is_loaded_as_one_of_any_library(library: str, kind: str, saved: str) -> None:
    module = pytest.importorskip(saved)
    BodegaDataset(name="cars").save(module.DataFrame(COLUMNS))
    loaded = BodegaDataset(name="cars", load_as=library).load()
    assert type(loaded).__module__.startswith("pyarrow" if library == "arrow" else library)
    assert type(loaded).__name__ == kind
    assert list(loaded["y"].to_pylist() if library == "arrow" else loaded["y"]) == ["a", "b"]


def test_a_transcoded_name_says_what_it_is_loaded_as(root) -> None:
    pd, pl = pytest.importorskip("pandas"), pytest.importorskip("polars")
    place = Place("nightly", str(root))
    kinds = {}
    for name in ("cars@pandas", "cars@polars", "cars@spark"):
        item = BodegaDataset()
        item.settle(place, name)
        if not kinds:
            item.save(pd.DataFrame(COLUMNS))
        kinds[name] = type(item.load())
    assert kinds == {"cars@pandas": pd.DataFrame, "cars@polars": pl.DataFrame, "cars@spark": pd.DataFrame}
    explicit = BodegaDataset(load_as="polars")
    explicit.settle(place, "cars@pandas")
    assert isinstance(explicit.load(), pl.DataFrame)


def test_what_is_no_frame_cannot_be_loaded_as_one() -> None:
    BodegaDataset(name="x").save({"a": 1})
    with pytest.raises(DatasetError, match=r"'x' cannot be loaded \(load_as: pandas\): a dict is no frame"):
        BodegaDataset(name="x", load_as="pandas").load()


def test_an_unknown_library_is_refused_with_a_near_match() -> None:
    with pytest.raises(SettingsError, match="did you mean 'polars'"):
        BodegaDataset(load_as="polar")
    with pytest.raises(DatasetError, match="chunks, pandas, polars, arrow"):
        DataCatalog.from_config({"x": {"type": "bodega.kedro.BodegaDataset", "load_as": "spark"}}).get("x")


# Streams


def stream(item, *chunks) -> None:
    """Save chunks as Kedro does for a generator node."""
    item.begin_stream()
    for chunk in chunks:
        item.save(chunk)
    item.end_stream()


def test_a_stream_is_visible_when_it_has_ended() -> None:
    item, reader = BodegaDataset(name="x"), BodegaDataset(name="x")
    item.save("old")
    item.begin_stream()
    item.save([1])
    item.save([2, 3])
    assert reader.load() == "old"
    item.end_stream()
    assert reader.load() == [1, 2, 3]
    item.save("whole again")
    assert reader.load() == "whole again"


def test_a_stream_is_loaded_whole_or_chunk_by_chunk() -> None:
    stream(BodegaDataset(name="x"), [1], [2, 3])
    chunks = BodegaDataset(name="x", load_as="chunks").load()
    assert isinstance(chunks, Chunks)
    assert list(chunks) == [[1], [2, 3]]
    BodegaDataset(name="x").save([4])
    assert list(BodegaDataset(name="x", load_as="chunks").load()) == [[4]]


def test_a_stream_of_frames_is_loaded_as_a_frame_of_another_library() -> None:
    pd, pl = pytest.importorskip("pandas"), pytest.importorskip("polars")
    stream(BodegaDataset(name="x"), pd.DataFrame({"x": [1]}), pd.DataFrame({"x": [2]}))
    assert BodegaDataset(name="x", load_as="polars").load().equals(pl.DataFrame({"x": [1, 2]}))


def test_a_stream_that_is_given_up_leaves_the_old_object() -> None:
    item = BodegaDataset(name="x")
    item.save("old")
    item.begin_stream()
    item.save([1])
    item.give_up_stream()
    assert item.load() == "old"


def test_a_chunk_that_does_not_fit_ends_the_stream(root) -> None:
    item = BodegaDataset(name="x", capacity="4MiB")
    item.save("old")
    item.begin_stream()
    with pytest.raises(DatasetError) as caught:
        for _ in range(10):
            item.save(bytes(1 << 20))
    assert isinstance(caught.value.__cause__, StoreFull)
    item.give_up_stream()
    assert item.load() == "old"
    assert list((root / "tmp").iterdir()) == []


def test_an_empty_stream_is_nothing_to_load_whole() -> None:
    item = BodegaDataset(name="x")
    stream(item)
    assert item.exists()
    with pytest.raises(DatasetError, match="'x' cannot be loaded: the stream ended without a chunk"):
        item.load()
    assert list(BodegaDataset(name="x", load_as="chunks").load()) == []


# Versions


def version(save: str | None, load: str | None = None) -> BodegaDataset:
    """A dataset with versions to save and to load."""
    return BodegaDataset(name="model", version=Version(load, save))


def test_each_version_is_kept() -> None:
    version("2024-01-01").save("first")
    version("2024-02-01").save("second")
    assert version(None).load() == "second"
    assert version(None, "2024-01-01").load() == "first"
    assert version(None).list_versions(full_path=False) == ["2024-02-01", "2024-01-01"]
    assert version(None).list_versions() == bodega.open().names()[::-1]


def test_a_version_is_never_replaced() -> None:
    version("2024-01-01").save("first")
    for save in (lambda: version("2024-01-01").save("second"), version("2024-01-01").begin_stream):
        with pytest.raises(DatasetError, match="'model@2024-01-01' is there already"):
            save()
    assert version(None).load() == "first"


def test_without_a_version_there_is_nothing() -> None:
    assert not version(None).exists()
    with pytest.raises(DatasetError, match="no version of 'model'"):
        version(None).load()
    version("2024-01-01").save("first")
    assert version(None).exists()
    assert not version(None, "2023-01-01").exists()
    with pytest.raises(DatasetError, match="model@2023-01-01"):
        version(None, "2023-01-01").load()


def test_the_catalog_loads_any_version() -> None:
    version("2024-01-01").save("first")
    version("2024-02-01").save("second")
    catalog = DataCatalog({"model": version(None)})
    assert catalog.load("model") == "second"
    assert catalog.load("model", version="2024-01-01") == "first"


def test_saving_another_version_than_is_loaded_gets_kedros_warning() -> None:
    version("2024-02-01").save("second")
    with pytest.warns(UserWarning, match="Save version '2024-01-01' did not match load version '2024-02-01'"):
        version("2024-01-01").save("first")


@pytest.mark.parametrize("save", ["2024-01-01", None])
def test_a_stream_can_be_a_version(save: str | None) -> None:
    item = version(save)
    stream(item, [1], [2])
    (name,) = bodega.open().names()
    assert name.startswith("model@")
    assert version(None).load() == [1, 2]


def test_versions_that_persist_are_shared_by_runs_and_a_run_goes_on_with_its_own(root, tmp_path) -> None:
    settings = ProjectSettings(spill=(str(tmp_path / "disk"),), persist=("model",), time_to_live=1.0)

    def of_run(run: str, save: str | None = None) -> BodegaDataset:
        item = BodegaDataset(version=Version(None, save))
        item.settle(Place(run, str(root), settings), "model")
        return item

    of_run("monday", "2024-01-01").save("first")
    of_run("tuesday", "2024-01-02").save("second")
    assert of_run("monday").load() == "first"
    assert of_run("tuesday").load() == "second"
    assert of_run("wednesday").load() == "second"
    for run in ("monday", "tuesday"):
        assert bodega.open(run=run).names() == []
        bodega.open().drop_run(run)
    assert of_run("monday").load() == "second"
    shutil.rmtree(root)
    assert of_run("monday").list_versions(full_path=False) == ["2024-01-02", "2024-01-01"]
    assert of_run("monday").load() == "second"


@pytest.mark.parametrize("is_task", [True, False])
def test_a_workflow_goes_on_with_the_version_that_its_first_reader_found(root, tmp_path, is_task) -> None:
    settings = ProjectSettings(spill=(str(tmp_path / "disk"),), persist=("model",))

    def of_run(run: str, save: str | None = None) -> BodegaDataset:
        item = BodegaDataset(version=Version(None, save))
        item.settle(Place(run, str(root), settings, shared=frozenset() if is_task else None), "model")
        return item

    of_run("monday", "2024-01-01").save("first")
    assert of_run("workflow").exists()
    of_run("tuesday", "2024-01-02").save("second")
    assert of_run("workflow").load() == "second"  # To look whether there is one settles nothing.
    of_run("wednesday", "2024-01-03").save("third")
    assert of_run("workflow").load() == ("second" if is_task else "third")
    assert of_run("another").load() == "third"


def test_versions_that_are_only_handed_to_other_hosts_are_the_runs_own(root, tmp_path) -> None:
    settings = ProjectSettings(spill=("s3://bucket",))
    assert Place("monday", shared=frozenset({"model"}), settings=settings).persists("model")
    settings = ProjectSettings(spill=(str(tmp_path / "disk"),))
    place = Place("monday", str(root), settings, shared=frozenset({"model"}))
    item = BodegaDataset(version=Version(None, "2024-01-01"))
    item.settle(place, "model")
    item.save("first")
    assert bodega.open(run="monday").names() == ["model@2024-01-01"]


def test_versions_that_do_not_persist_are_the_runs_own(root) -> None:
    def of_run(run: str) -> BodegaDataset:
        item = BodegaDataset(version=Version(None, "2024-01-01"))
        item.settle(Place(run, str(root)), "model")
        return item

    of_run("monday").save("first")
    assert not of_run("tuesday").exists()
    assert bodega.open(run="monday").names() == ["model@2024-01-01"]


def test_a_versioned_dataset_is_rebuilt_from_its_configuration() -> None:
    catalog = DataCatalog({"model": version("2024-01-01")})
    catalog.save("model", [1])
    config, credentials, load_versions, save_version = catalog.to_config()
    assert config["model"]["versioned"] is True
    versions: Any = load_versions  # Kedro itself gives None for the newest.
    assert DataCatalog.from_config(config, credentials, versions, save_version).load("model") == [1]


def test_a_time_to_live_is_that_of_the_projects_run_and_not_of_one_that_is_named(root, monkeypatch, tmp_path) -> None:
    # As in a task of a workflow, whose result is to stay: in memory and in the durable tier.
    settings = ProjectSettings(spill=(str(tmp_path / "disk"),), time_to_live=3600.0)
    place = Place("workflow", str(root), settings)
    for name, item in {"inner": BodegaDataset(), "result": BodegaDataset(run="results", persist=True)}.items():
        item.settle(place, name)
        item.save(name)
    for folder in (root, tmp_path / "disk"):
        for run in (folder / "runs").iterdir():
            os.utime(run, (0, 0))
    assert bodega.open().sweep().runs == 1
    assert bodega.open().runs() == ["results"]
    assert bodega.open(run="results").get("result") == "result"
