"""What people rely on in Kedro's datasets, each by its name; under every runner that it means something for."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from kedro.io import DataCatalog, DatasetError

import bodega
from bodega.kedro import BodegaDataset, ParallelRunner, SequentialRunner, ThreadRunner
from kedro import runner as kedro_runner

RUNNERS = (
    SequentialRunner,
    ThreadRunner,
    ParallelRunner,
    kedro_runner.SequentialRunner,
    kedro_runner.ThreadRunner,
    kedro_runner.ParallelRunner,
)
"""Ours and, in a project that has opted in, Kedro's own."""
every_runner = pytest.mark.parametrize(
    "runner", RUNNERS, ids=lambda cls: f"{cls.__module__.split('.')[0]}-{cls.__name__}"
)
VALUES = {
    "array": np.arange(100_000.0),
    "small array": np.arange(3),
    "nested": {"deep": [np.zeros(100_000), {"list": [1]}]},
    "bytes": bytearray(100_000),
}


def spoil(value) -> None:
    """Change a value in every place that can be changed."""
    if isinstance(value, np.ndarray):
        value += 1
    elif isinstance(value, dict):
        for item in value.values():
            spoil(item)
        value["more"] = True
    elif isinstance(value, list):
        for item in value:
            spoil(item)
        value.append("more")
    elif isinstance(value, bytearray):
        value[0] = (value[0] + 1) % 256


def same(value, other) -> bool:
    """Whether two values are alike."""
    try:
        np.testing.assert_equal(value, other)
    except AssertionError:
        return False
    return True


# Mutation isolation


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_mutation_isolation_from_who_saved(value) -> None:
    dataset = BodegaDataset(name="x")
    dataset.save(value)
    before = dataset.load()
    kept = dataset.load()
    dataset.save(value)
    mine = dataset.load()
    spoil(mine)
    dataset.save(mine)
    saved = dataset.load()
    spoil(mine)
    assert not same(saved, mine)
    assert same(dataset.load(), saved)
    assert same(before, kept)


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_mutation_isolation_from_who_loaded(value) -> None:
    dataset = BodegaDataset(name="x")
    dataset.save(value)
    first, second = dataset.load(), dataset.load()
    spoil(first)
    assert not same(first, value)
    assert same(second, value)
    assert same(dataset.load(), value)


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_what_a_reader_has_outlives_the_next_save(value) -> None:
    dataset = BodegaDataset(name="x")
    dataset.save(value)
    before = dataset.load()
    dataset.save("something else")
    assert same(before, value)


@every_runner
def test_mutation_isolation_between_nodes(opted_in, runner) -> None:
    opted_in.code(
        """
        kept = []

        def make(size):
            made = {"array": np.zeros(size), "list": [0]}
            kept.append(made)
            return made

        def spoil(things, first):
            for made in kept:  # Of the node that made it, where that was in this process.
                made["array"] += 7
                made["list"].append("spoilt by its maker")
            things["array"] += 1
            things["list"].append("spoilt by a reader")
            return float(things["array"].sum())

        def look(things, one, two):
            return [float(things["array"].sum()), things["list"]]
        """,
        "node(make, 'params:size', 'things'), node(spoil, ['things', 'params:size'], 'one', name='one'),"
        "node(spoil, ['things', 'one'], 'two', name='two'), node(look, ['things', 'one', 'two'], 'seen')",
    )
    outputs = opted_in.session(runtime_params={"size": 100_000}).run(runner=runner())
    assert outputs["seen"].load() == [0.0, [0]]
    assert opted_in.stored().get("two") == 100_000.0


def test_mutation_isolation_of_parameters(opted_in) -> None:
    opted_in.write("conf/base/parameters.yml", "model: {drop: [1]}\n")
    opted_in.code(
        "def spoil(model):\n    model['drop'].append(2)\n    return 1\n\ndef look(model, one):\n    return model\n",
        "node(spoil, 'params:model', 'one'), node(look, ['params:model', 'one'], 'seen')",
    )
    assert opted_in.session().run()["seen"].load() == {"drop": [1]}


# Exists, release, confirms


def test_exists_says_whether_a_load_would_find_something(opted_in) -> None:
    catalog = DataCatalog({"x": BodegaDataset(name="x")})
    assert not catalog.exists("x")
    catalog.save("x", 0)
    assert catalog.exists("x")
    assert DataCatalog({"x": BodegaDataset(name="x")}).exists("x")
    bodega.open().delete("x")
    assert not catalog.exists("x")
    with pytest.raises(DatasetError, match="no object 'x'"):
        catalog.load("x")


@every_runner
def test_release_keeps_what_others_may_still_need(opted_in, runner) -> None:
    opted_in.session().run(runner=runner())
    assert opted_in.stored().names() == ["doubled", "halved", "numbers", "total"]
    opted_in.session().run(runner=runner(), node_names=["add"])
    assert opted_in.stored().get("total") == {"sum": 112.5}


INCREMENTAL = """
from pathlib import Path
from kedro.io import AbstractDataset

class Incremental(AbstractDataset):
    def __init__(self, *, filepath):
        self._filepath = Path(filepath)
    def load(self):
        return [1, 2, 3]
    def save(self, data):
        raise NotImplementedError
    def confirm(self):
        with self._filepath.open("a") as file:
            file.write("confirmed\\n")
    def _describe(self):
        return {}
"""
CONFIRMING = """
def read(size):
    return [size]

def use(new, made):
    if made == [0]:
        raise ValueError("broken on purpose")
    return new
"""


@every_runner
@pytest.mark.parametrize("fails", [False, True])
def test_confirms_happen_when_the_node_has_saved_and_not_when_it_failed(opted_in, runner, fails: bool) -> None:
    checkpoint = opted_in.path / "checkpoint"
    opted_in.write("src/incremental.py", INCREMENTAL)
    opted_in.write("conf/base/catalog.yml", f"new:\n  type: incremental.Incremental\n  filepath: {checkpoint}\n")
    opted_in.code(CONFIRMING, "node(read, 'params:size', 'made'), node(use, ['new', 'made'], 'used', confirms='new')")
    session = opted_in.session(runtime_params={"size": 0 if fails else 1})
    if fails:
        with pytest.raises(ValueError, match="broken on purpose"):
            session.run(runner=runner())
        assert not checkpoint.exists()
    else:
        assert session.run(runner=runner())["used"].load() == [1, 2, 3]
        assert checkpoint.read_text() == "confirmed\n"


def test_confirms_of_a_dataset_that_has_nothing_to_confirm_gets_kedros_error(opted_in) -> None:
    opted_in.code(CONFIRMING, "node(read, 'params:size', 'made', confirms='made')")
    with pytest.raises(DatasetError, match="'made' does not have 'confirm' method"):
        opted_in.session().run()


# Resuming


@pytest.mark.parametrize(
    "runner",
    ["SequentialRunner", "bodega.kedro.SequentialRunner", "bodega.kedro.ThreadRunner", "bodega.kedro.ParallelRunner"],
)
def test_resume_hints_begin_at_the_node_that_failed(opted_in, runner: str) -> None:
    opted_in.code(
        """
        def make(size):
            return np.arange(float(size))

        def double(numbers):
            return numbers * 2

        def add(doubled):
            if os.environ.get("BREAK"):
                raise ValueError("broken on purpose")
            return float(doubled.sum())
        """,
        "node(make, 'params:size', 'numbers', name='make'), node(double, 'numbers', 'doubled', name='double'),"
        "node(add, 'doubled', 'total', name='add')",
    )
    output = " ".join(opted_in.run("--runner", runner, fails=True, BREAK="1").split())
    assert '--from-nodes "add"' in output
    opted_in.run("--runner", runner, "--from-nodes", "add")
    assert opted_in.stored().get("total") == 90


@every_runner
def test_only_missing_outputs_are_made_again(opted_in, runner) -> None:
    opted_in.session().run(runner=runner())
    store = opted_in.stored()
    before = {each.name: each.id for each in store.list()}
    for name in ("halved", "total"):
        store.delete(name)
    opted_in.session().run(runner=runner(), only_missing_outputs=True)
    assert {each.name for each in store.list() if before[each.name] != each.id} == {"halved", "total"}


# Hooks


HOOKS = """
import os
from kedro.framework.hooks import hook_impl

class Recorder:
    @hook_impl
    def before_dataset_loaded(self, dataset_name, node):
        self.note(f"load {dataset_name} for {node.name}")
    @hook_impl
    def after_dataset_loaded(self, dataset_name, data):
        self.note(f"loaded {dataset_name} {type(data).__name__}")
    @hook_impl
    def before_node_run(self, node, catalog, inputs):
        self.note(f"run {node.name}")
        if node.name == "double":
            return {"numbers": inputs["numbers"] + 1}
    @hook_impl
    def after_node_run(self, node, outputs):
        self.note(f"ran {node.name}")
    @hook_impl
    def before_dataset_saved(self, dataset_name, data):
        self.note(f"save {dataset_name} {type(data).__name__}")
    @hook_impl
    def after_dataset_saved(self, dataset_name, data):
        self.note(f"saved {dataset_name}")
    def note(self, what):
        with open(os.environ["NOTES"], "a") as notes:
            notes.write(f"{os.getpid()} {what}\\n")
"""


@pytest.mark.parametrize("runner", RUNNERS[:5], ids=lambda cls: f"{cls.__module__.split('.')[0]}-{cls.__name__}")
def test_hooks_run_around_the_node_where_it_runs(opted_in, monkeypatch, tmp_path, runner) -> None:
    opted_in.write("src/recorder.py", HOOKS)
    opted_in.write(f"src/{opted_in.package}/settings.py", "from recorder import Recorder\nHOOKS = (Recorder(),)\n")
    monkeypatch.setenv("NOTES", str(tmp_path / "notes"))
    opted_in.session().run(runner=runner(), to_nodes=["double"])
    notes = [line.partition(" ")[::2] for line in (tmp_path / "notes").read_text().splitlines()]
    assert [what for _, what in notes] == [
        "load params:size for make",
        "loaded params:size int",
        "run make",
        "ran make",
        "save numbers ndarray",
        "saved numbers",
        "load numbers for double",
        "loaded numbers ndarray",
        "run double",
        "ran double",
        "save doubled ndarray",
        "saved doubled",
    ]
    in_workers = issubclass(runner, ParallelRunner)
    assert all((int(pid) != os.getpid()) == in_workers for pid, _ in notes)
    # What a hook puts in the place of an input is what the node gets, and nobody else.
    assert opted_in.stored().get("doubled").sum() == 2 * (45 + 10)
    assert opted_in.stored().get("numbers").sum() == 45


def test_hooks_find_every_output_when_the_pipeline_has_run(opted_in, monkeypatch, tmp_path) -> None:
    opted_in.write(
        "src/reader.py",
        """
        import os
        from pathlib import Path
        from kedro.framework.hooks import hook_impl

        class Reader:
            @hook_impl
            def after_pipeline_run(self, run_result, catalog):
                Path(os.environ["NOTES"]).write_text(f"{run_result['total'].load()} {catalog.load('doubled').sum()}")
        """,
    )
    opted_in.write(f"src/{opted_in.package}/settings.py", "from reader import Reader\nHOOKS = (Reader(),)\n")
    monkeypatch.setenv("NOTES", str(tmp_path / "notes"))
    opted_in.session().run(runner=ParallelRunner())
    assert Path(tmp_path / "notes").read_text() == "{'sum': 112.5} 90.0"


# What a run gives back, and errors


@every_runner
def test_a_run_gives_back_the_free_outputs_as_datasets(opted_in, runner) -> None:
    outputs = opted_in.session().run(runner=runner())
    assert list(outputs) == ["total"]
    assert outputs["total"].load() == {"sum": 112.5}


def test_none_is_no_data(opted_in) -> None:
    opted_in.code("def nothing(size):\n    return None\n", "node(nothing, 'params:size', 'x')")
    with pytest.raises(DatasetError, match="Saving 'None' to a 'Dataset' is not allowed"):
        opted_in.session().run()


def test_what_was_not_saved_yet_is_an_error_that_names_its_node(opted_in) -> None:
    with pytest.raises(DatasetError, match="no object 'numbers'.*Node 'make' makes it"):
        opted_in.session().run(node_names=["double"])


def test_a_dataset_keeps_its_data_in_a_copied_catalog() -> None:
    catalog = DataCatalog({"x": BodegaDataset(name="x")})
    catalog.save("x", [1])
    config, credentials, *_ = catalog.to_config()
    assert DataCatalog.from_config(config, credentials).load("x") == [1]


def test_namespaced_names_are_names_of_objects(opted_in) -> None:
    opted_in.code(
        "def make(size):\n    return [size]\n",
        "*pipeline([node(make, 'params:size', 'made', name='make')], namespace='shop', parameters='params:size').nodes",
    )
    opted_in.session().run()
    assert opted_in.stored().names() == ["shop.made"]
    assert opted_in.stored().info("shop.made").producer.task == "shop.make"
