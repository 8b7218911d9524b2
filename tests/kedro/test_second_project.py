"""A project with namespaces, factories, transcoding, generator nodes, versions and parameters, in every form of a run.

What it comes to through files, by Kedro's own runners, is the measure.
"""

from __future__ import annotations

import importlib
import json
import shutil

import pandas as pd
import polars as pl
import pytest
from kedro.framework.project import pipelines
from kedro.framework.startup import bootstrap_project
from kedro.io import DatasetError

import bodega
from bodega import Chunks
from bodega.kedro import ParallelRunner, SequentialRunner, ThreadRunner
from kedro import runner as kedro_runner

OURS = (SequentialRunner, ThreadRunner, ParallelRunner)
KEDROS = ("SequentialRunner", "ThreadRunner", "ParallelRunner")
NODES = (
    "record_rides",
    "split_week",
    "count_week",
    "north.sum_up",
    "north.fit",
    "north.look_ahead",
    "south.sum_up",
    "south.fit",
    "south.look_ahead",
    "find_busiest",
    "write_report",
)


def report(project):
    """What a run came to."""
    return json.loads((project.path / "data/report.json").read_text())


@pytest.fixture
def measure(bikeshare):
    """What the project comes to without bodega."""
    bikeshare.session().run()
    expected = report(bikeshare)
    shutil.rmtree(bikeshare.path / "data")
    assert bodega.open().runs() == []
    return expected


def unversioned(names):
    """Names of objects, without versions."""
    return sorted(name.partition("@")[0] for name in names)


@pytest.mark.parametrize("runner", KEDROS)
def test_kedros_own_runners_agree(bikeshare, measure, runner: str) -> None:
    # By itself: Kedro forks its processes, and this one has threads of polars by now.
    bikeshare.run("--runner", runner)
    assert report(bikeshare) == measure


@pytest.mark.parametrize("runner", [*OURS, kedro_runner.SequentialRunner, kedro_runner.ThreadRunner])
def test_every_runner_comes_to_the_same(bikeshare, measure, runner) -> None:
    bikeshare.session(env="bodega").run(runner=runner())
    assert report(bikeshare) == measure
    assert [file.name for file in (bikeshare.path / "data").iterdir()] == ["report.json"]
    assert unversioned(bikeshare.stored().names()) == [
        "busiest",
        "leisure_rides",
        "north.daily",
        "north.forecast",
        "north_ahead",
        "rides",
        "south.daily",
        "south.forecast",
        "south_ahead",
        "week",
        "working_rides",
    ]


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_every_start_method_comes_to_the_same(bikeshare, measure, monkeypatch, method: str) -> None:
    monkeypatch.setenv("KEDRO_MP_CONTEXT", method)
    bikeshare.session(env="bodega").run(runner=ParallelRunner(max_workers=2))
    assert report(bikeshare) == measure


def test_a_process_for_each_node_comes_to_the_same(bikeshare, measure) -> None:
    for name in NODES:
        bikeshare.run("--env", "bodega", "--nodes", name)
    assert report(bikeshare) == measure


def test_the_stream_is_what_an_appending_dataset_has(bikeshare) -> None:
    bikeshare.session().run(pipeline_names=["ingest"]) if takes_names() else bikeshare.session().run("ingest")
    datasets = importlib.import_module("bikeshare.datasets")
    appended = datasets.AppendingDataset(filepath=bikeshare.path / "data/rides.pkl").load()
    bikeshare.session(env="bodega").run(node_names=["record_rides"])
    stream = bikeshare.stored().get("rides")
    assert isinstance(stream, Chunks)
    assert len(stream) == 21
    pd.testing.assert_frame_equal(stream.whole(), appended)
    catalog = bikeshare.session(env="bodega").load_context().catalog
    assert isinstance(catalog.load("rides@pandas"), pd.DataFrame)
    assert isinstance(catalog.load("rides@polars"), pl.DataFrame)
    assert isinstance(catalog.load("rides@chunks"), Chunks)
    assert catalog.load("rides@polars").equals(pl.from_pandas(appended))


def takes_names() -> bool:
    """Whether Kedro runs several pipelines at once."""
    from inspect import signature

    from kedro.framework.session import KedroSession

    return "pipeline_names" in signature(KedroSession.run).parameters


# Every form of a run


def run(project, **options):
    """Run a part of the project, and tell which of its nodes ran."""
    before = {} if not bodega.open().runs() else {each.name: each.id for each in project.stored().list()}
    project.session(env="bodega").run(**options)
    return {each.producer.task for each in project.stored().list() if before.get(each.name) != each.id}


@pytest.fixture
def recorded(bikeshare):
    """The project after the first node has run."""
    run(bikeshare, node_names=["record_rides"])
    return bikeshare


def test_tags(recorded) -> None:
    assert run(recorded, tags=["table"]) == {"record_rides", "split_week", "north.sum_up", "south.sum_up"}
    assert run(recorded, tags=["model"]) == {"north.fit", "north.look_ahead", "south.fit", "south.look_ahead"}


def test_namespaces(recorded) -> None:
    assert run(recorded, namespaces=["north"]) == {"north.sum_up", "north.fit", "north.look_ahead"}


def test_from_and_to(recorded) -> None:
    assert run(recorded, to_outputs=["north.daily"], from_nodes=["north.sum_up"]) == {"north.sum_up"}
    assert run(recorded, from_inputs=["north.daily"], to_nodes=["north.fit"]) == {"north.fit"}
    assert run(recorded, from_inputs=["rides@polars"], to_outputs=["busiest"]) == {"find_busiest"}


def test_pipelines_by_name(recorded) -> None:
    options = {"pipeline_names": ["cities"]} if takes_names() else {"pipeline_name": "cities"}
    assert run(recorded, **options) == {name for name in NODES if "." in name}


def test_only_missing_outputs(bikeshare, measure) -> None:
    run(bikeshare)
    for name in ("rides", "north.daily"):
        bikeshare.stored().delete(name)
    assert run(bikeshare, only_missing_outputs=True) >= {"record_rides", "north.sum_up"}
    assert run(bikeshare, only_missing_outputs=True) == set()
    assert report(bikeshare) == measure


def test_parameters_on_the_command_line(bikeshare) -> None:
    bikeshare.run("--params", "days=7,model.degree=1")
    expected = report(bikeshare)
    assert expected["degree"] == 1
    shutil.rmtree(bikeshare.path / "data")
    bikeshare.run("--env", "bodega", "--params", "days=7,model.degree=1", "--runner", "bodega.kedro.ParallelRunner")
    assert report(bikeshare) == expected


def test_async(recorded) -> None:
    recorded.run("--env", "bodega", "--async", "--nodes", "find_busiest,north.sum_up")
    assert recorded.stored().info("north.daily").producer.task == "north.sum_up"


def test_async_with_a_generator_node_gets_kedros_error(bikeshare) -> None:
    output = bikeshare.run("--env", "bodega", "--async", "--nodes", "record_rides", fails=True)
    assert "does not work with nodes wrapping generator functions" in " ".join(output.split())


def test_a_service_session(bikeshare, measure) -> None:
    module = pytest.importorskip("kedro.framework.session.service_session", reason="Kedro without KedroServiceSession")
    bootstrap_project(bikeshare.path)
    session = module.KedroServiceSession.create(project_path=bikeshare.path, env="bodega", session_id="api")
    session.run(run_id="one", node_names=["record_rides", "find_busiest", "split_week", "count_week"])
    session.run(run_id="one", namespaces=["north", "south"])
    session.run(run_id="one", node_names=["write_report"])
    assert report(bikeshare) == measure
    assert bodega.open().runs() == ["api-one"]


def test_a_node_that_fails_and_a_run_that_goes_on(bikeshare, measure) -> None:
    broken = bikeshare.path / "src/bikeshare/nodes.py"
    text = broken.read_text()
    broken.write_text(
        text.replace("def fit(daily, degree):", "def fit(daily, degree):\n    raise ValueError('broken')")
    )
    output = " ".join(bikeshare.run("--env", "bodega", fails=True).split())
    hint = output.partition('--from-nodes "')[2].partition('"')[0].replace(" ", "")
    assert "fit" in hint
    made = bikeshare.stored().info("rides").id
    broken.write_text(text)
    bikeshare.run("--env", "bodega", "--from-nodes", hint)
    assert report(bikeshare) == measure
    assert bikeshare.stored().info("rides").id == made


# Versions


def test_versions_are_kept_and_can_be_chosen(bikeshare) -> None:
    run(bikeshare)
    first = report(bikeshare)
    (version,) = bikeshare.stored().names("north.forecast@*")
    bikeshare.session(env="bodega", **runtime_params(model={"degree": 1})).run(namespaces=["north"])
    assert len(bikeshare.stored().names("north.forecast@*")) == 2
    run(bikeshare, node_names=["north.look_ahead", "write_report"])
    assert report(bikeshare) != first
    bikeshare.run("--env", "bodega", "--nodes", "north.look_ahead", "--load-versions", version.replace("@", ":", 1))
    run(bikeshare, node_names=["write_report"])
    assert report(bikeshare) == first


def runtime_params(**values):
    """As a session takes them."""
    return {"runtime_params": values}


def test_a_version_that_is_not_there_is_named(recorded) -> None:
    with pytest.raises(DatasetError, match=r"no version of 'north.forecast'.*'north.fit' makes it"):
        run(recorded, node_names=["north.sum_up", "north.look_ahead"])
    with pytest.raises(DatasetError, match="north.forecast@2020-01-01"):
        run(recorded, node_names=["north.look_ahead"], load_versions={"north.forecast": "2020-01-01T00.00.00.000Z"})


def test_the_project_is_what_the_tests_say(bikeshare) -> None:
    bootstrap_project(bikeshare.path)
    assert {node.name for node in pipelines["__default__"].nodes} == set(NODES)
