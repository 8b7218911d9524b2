"""The three runners: on any project, with data that nobody else sees change."""

from __future__ import annotations

import gc
import multiprocessing
import operator
import os
import subprocess
import sys
from multiprocessing.reduction import ForkingPickler

import numpy as np
import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import node, pipeline

import bodega
import kedro
from bodega.errors import SettingsError
from bodega.kedro import BodegaDataset, ParallelRunner, SequentialRunner, ThreadRunner

RUNNERS = (SequentialRunner, ThreadRunner, ParallelRunner)
START_METHODS = ("fork", "spawn", "forkserver")
TOTAL = {"sum": 2.5 * sum(range(10))}
needs_runner_params = pytest.mark.skipif(
    tuple(map(int, kedro.__version__.split(".")[:2])) < (1, 3), reason="Kedro without --runner-params"
)


@pytest.mark.parametrize("runner", RUNNERS)
def test_runs_any_project_and_returns_readable_outputs(project, runner) -> None:
    outputs = project.session().run(runner=runner())
    assert isinstance(outputs["total"], BodegaDataset)
    assert outputs["total"].load() == TOTAL
    assert project.stored().info("doubled").producer.task == "double"


@pytest.mark.parametrize("runner", ["SequentialRunner", "ThreadRunner", "ParallelRunner"])
def test_runs_by_class_path(project, runner: str) -> None:
    output = project.run(f"--runner=bodega.kedro.{runner}")
    assert project.stored().get("total") == TOTAL
    for progress in ("Completed node: add", "Completed 4 out of 4 tasks", "Pipeline execution completed successfully"):
        assert progress in output


@needs_runner_params
def test_takes_runner_params(project) -> None:
    project.code(
        "def where(size):\n    return os.getpid()\n", ", ".join(f"node(where, 'params:size', 'p{i}')" for i in "123")
    )
    project.run("--runner=bodega.kedro.ParallelRunner", "--runner-params=max_workers=1")
    store = project.stored()
    assert len({store.get(name) for name in store.names()}) == 1


@pytest.mark.parametrize("max_workers", [0, -1])
def test_without_workers_there_is_an_error(max_workers: int) -> None:
    with pytest.raises(ValueError, match="positive"):
        ParallelRunner(max_workers=max_workers)


def test_starts_no_manager_process() -> None:
    runner = ParallelRunner()
    assert multiprocessing.active_children() == []
    del runner
    gc.collect()


@pytest.mark.parametrize(("method", "is_async"), [*((method, False) for method in START_METHODS), ("fork", True)])
def test_works_under_every_start_method(project, monkeypatch, method: str, is_async: bool) -> None:
    monkeypatch.setenv("KEDRO_MP_CONTEXT", method)
    outputs = project.session().run(runner=ParallelRunner(max_workers=2, is_async=is_async))
    assert outputs["total"].load() == TOTAL
    pids = {info.producer.process for info in project.stored().list()}
    assert os.getpid() not in pids


HOOKS = """
import os
from pathlib import Path
from kedro.framework.hooks import hook_impl

class Recorder:
    def __init__(self, name):
        self.name = name
    def note(self, what):
        with open(os.environ["NOTES"], "a") as notes:
            notes.write(f"{self.name} {what} {os.getpid()}\\n")
    @hook_impl
    def before_node_run(self, node):
        self.note(f"before_node_run:{node.name}")
    @hook_impl
    def after_node_run(self, node, outputs):
        self.note(f"after_node_run:{node.name}")
    @hook_impl
    def before_dataset_loaded(self, dataset_name):
        self.note(f"before_dataset_loaded:{dataset_name}")
    @hook_impl
    def after_dataset_loaded(self, dataset_name, data):
        self.note(f"after_dataset_loaded:{dataset_name}")
    @hook_impl
    def before_dataset_saved(self, dataset_name, data):
        self.note(f"before_dataset_saved:{dataset_name}")
    @hook_impl
    def after_dataset_saved(self, dataset_name, data):
        self.note(f"after_dataset_saved:{dataset_name}")
    @hook_impl
    def on_node_error(self, node, error):
        self.note(f"on_node_error:{node.name}")

plugin = Recorder("plugin")
"""


@pytest.mark.parametrize("method", START_METHODS)
def test_hooks_of_plugins_and_settings_run_in_the_workers(project, tmp_path, method: str) -> None:
    project.write("src/recorder.py", HOOKS)
    project.write(
        f"src/{project.package}/settings.py", "from recorder import Recorder\nHOOKS = (Recorder('settings'),)\n"
    )
    project.write(
        "src/recorder_plugin-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: recorder-plugin\nVersion: 1.0\n"
    )
    project.write("src/recorder_plugin-1.0.dist-info/entry_points.txt", "[kedro.hooks]\nrecorder = recorder:plugin\n")
    project.code(
        """
        def make(size):
            return [size]

        def fail(numbers):
            raise ValueError("broken on purpose")
        """,
        "node(make, 'params:size', 'numbers', name='make'), node(fail, 'numbers', 'never', name='fail')",
    )
    notes = tmp_path / "notes"
    process = project.start("--runner=bodega.kedro.ParallelRunner", KEDRO_MP_CONTEXT=method, NOTES=str(notes))
    output, _ = process.communicate(timeout=300)
    assert process.returncode != 0
    assert "broken on purpose" in output
    lines = [line.split() for line in notes.read_text().splitlines()]
    expected = {
        "before_dataset_loaded:params:size",
        "after_dataset_loaded:params:size",
        "before_node_run:make",
        "after_node_run:make",
        "before_dataset_saved:numbers",
        "after_dataset_saved:numbers",
        "before_dataset_loaded:numbers",
        "after_dataset_loaded:numbers",
        "before_node_run:fail",
        "on_node_error:fail",
    }
    for recorder in ("settings", "plugin"):
        assert sorted(what for who, what, _ in lines if who == recorder) == sorted(expected)
    assert str(process.pid) not in {pid for *_, pid in lines}


def test_a_node_starts_as_soon_as_its_inputs_exist(project, tmp_path) -> None:
    project.code(
        f"""
        done = Path({str(tmp_path / "done")!r})

        def slow(size):
            deadline = time.monotonic() + 300
            while not done.exists():  # Made by a node two layers down.
                assert time.monotonic() < deadline
                time.sleep(0.01)
            return [size]

        def quick(size):
            return [size]

        def after_quick(quick):
            done.touch()
            return quick
        """,
        "node(slow, 'params:size', 'a'), node(quick, 'params:size', 'b'), node(after_quick, 'b', 'c')",
    )
    outputs = project.session().run(runner=ParallelRunner(max_workers=2))
    assert {name: item.load() for name, item in outputs.items()} == {"a": [10], "c": [10]}


@pytest.mark.parametrize("runner", RUNNERS)
def test_what_a_node_changes_in_its_input_nobody_else_sees(project, runner) -> None:
    project.code(
        """
        def make(size):
            return {"array": np.zeros(size), "list": [0]}

        def spoil(things):
            things["array"] += 1
            things["list"].append(1)
            return float(things["array"].sum())
        """,
        "node(make, 'params:size', 'things'),"
        + ",".join(f"node(spoil, 'things', 'sum{i}', name='spoil{i}')" for i in range(4)),
    )
    outputs = project.session(runtime_params={"size": 100_000}).run(runner=runner())
    assert [item.load() for item in outputs.values()] == [100_000.0] * 4
    things = project.stored().get("things")
    assert things["array"].sum() == 0
    assert things["list"] == [0]


def test_no_large_value_is_pickled_between_processes(project, monkeypatch) -> None:
    from bodega.kedro.run import workers

    sizes = []

    class Watched(ForkingPickler):
        @classmethod
        def dumps(cls, *arguments):
            pickled = ForkingPickler.dumps(*arguments)
            sizes.append(len(pickled))
            return pickled

    monkeypatch.setattr(workers, "ForkingPickler", Watched)
    catalog = DataCatalog({"numbers": MemoryDataset(np.zeros(1_000_000)), "by": MemoryDataset(2)})
    outputs = ParallelRunner(max_workers=2).run(pipeline([node(operator.add, ["numbers", "by"], "sums")]), catalog)
    assert outputs["sums"].load().sum() == 2_000_000
    assert len(sizes) == 2  # The catalog once, the node once.
    assert sum(sizes) < 20_000


def test_caches_do_not_outlive_their_node_in_a_worker(project) -> None:
    project.write("src/counting_dataset.py", COUNTING_DATASET)
    project.write("conf/base/catalog.yml", "raw:\n  type: counting_dataset.CountingDataset\n")
    project.code(
        "def first(raw):\n    return [raw]\n\ndef second(raw, first):\n    return [raw]\n",
        "node(first, 'raw', 'one', name='first'), node(second, ['raw', 'one'], 'two', name='second')",
    )
    outputs = project.session().run(runner=ParallelRunner(max_workers=1))
    assert project.stored().get("one") == [1]
    assert outputs["two"].load() == [2]


COUNTING_DATASET = """
from kedro.io import AbstractDataset

class CountingDataset(AbstractDataset):
    loads = 0
    cached = None
    def load(self):
        if self.cached is None:
            CountingDataset.loads += 1
            self.cached = CountingDataset.loads
        return self.cached
    def save(self, data):
        pass
    def _release(self):
        self.cached = None
    def _describe(self):
        return {}
"""


# Memory datasets and rules


MEMORY = "numbers:\n  type: MemoryDataset\n"


@pytest.mark.parametrize("runner", RUNNERS)
def test_memory_datasets_of_the_catalog_are_replaced(project, runner) -> None:
    project.write("conf/base/catalog.yml", MEMORY + "total:\n  type: MemoryDataset\n")
    assert project.session().run(runner=runner())["total"].load() == TOTAL
    assert project.stored().names() == ["doubled", "halved", "numbers", "total"]


@pytest.mark.parametrize("rule", ["memory_datasets: keep", "exclude: [numbers]", "datasets: ['*ed']"])
def test_what_has_to_cross_processes_but_may_not_is_refused_by_name(project, rule: str) -> None:
    if not rule.startswith("datasets"):
        project.write("conf/base/catalog.yml", MEMORY)
    project.write("conf/base/bodega.yml", rule + "\n")
    with pytest.raises(SettingsError, match=r"'(numbers|total)' has to go through the store, but .*bodega.yml"):
        project.session().run(runner=ParallelRunner())


def test_what_may_stay_in_memory_stays_there_in_one_process(project) -> None:
    project.write("conf/base/catalog.yml", MEMORY)
    project.write("conf/base/bodega.yml", "memory_datasets: keep\n")
    assert project.session().run(runner=SequentialRunner())["total"].load() == TOTAL
    assert "numbers" not in project.stored().names()


# Without a session


def double(numbers):
    return numbers * 2


BARE = pipeline([node(double, "numbers", "doubled", name="first"), node(double, "doubled", "fourfold", name="second")])


@pytest.mark.parametrize("runner", RUNNERS)
def test_works_without_a_project(runner) -> None:
    catalog = DataCatalog({"numbers": MemoryDataset(np.ones(3))})
    outputs = runner().run(BARE, catalog)
    assert outputs["fourfold"].load().tolist() == [4, 4, 4]
    # What one pipeline left in a catalog the next one finds there.
    again = runner().run(pipeline([node(double, "fourfold", "eightfold")]), catalog)
    assert again["eightfold"].load().tolist() == [8, 8, 8]


def test_runs_without_a_project_never_mix_and_leave_nothing() -> None:
    outputs = [
        ParallelRunner().run(BARE, DataCatalog({"numbers": MemoryDataset(np.full(3, start))})) for start in (1, 2)
    ]
    assert [item["fourfold"].load()[0] for item in outputs] == [4, 8]
    assert len(bodega.open().runs()) == 2
    del outputs
    gc.collect()
    assert bodega.open().runs() == []


def test_a_script_leaves_nothing_behind() -> None:
    script = """
import operator
import numpy as np, bodega
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import node, pipeline
from bodega.kedro import ParallelRunner

outputs = ParallelRunner().run(
    pipeline([node(operator.neg, "a", "b"), node(operator.neg, "b", "c")]), DataCatalog({"a": MemoryDataset(np.ones(3))})
)
assert len(bodega.open().runs()) == 1
print(outputs["c"].load())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "[1. 1. 1.]" in done.stdout
    assert bodega.open().runs() == []


def test_unpicklable_nodes_get_kedros_error() -> None:
    with pytest.raises(AttributeError, match="cannot be serialised"):
        ParallelRunner().run(pipeline([node(lambda: 1, None, "one")]), DataCatalog())


HOLDING_DATASET = """
from kedro.io import AbstractDataset

class HoldingDataset(AbstractDataset):
    def __init__(self):
        self.data = [7]
    def load(self):
        return self.data
    def save(self, data):
        self.data = data
    def _release(self):
        self.data = None
    def _describe(self):
        return {}
"""


def test_what_a_dataset_holds_each_node_of_a_worker_finds(project) -> None:
    project.write("src/holding_dataset.py", HOLDING_DATASET)
    project.write("conf/base/catalog.yml", "raw:\n  type: holding_dataset.HoldingDataset\n")
    project.code(
        "def first(raw):\n    return raw\n\ndef second(raw, one):\n    return raw\n",
        "node(first, 'raw', 'one', name='first'), node(second, ['raw', 'one'], 'two', name='second')",
    )
    assert project.session().run(runner=ParallelRunner(max_workers=1))["two"].load() == [7]
