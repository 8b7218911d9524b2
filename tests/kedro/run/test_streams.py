"""Generator nodes under `kedro run`: chunks saved as they come, visible when the generator has ended."""

from __future__ import annotations

import os

import numpy as np
import pytest
from kedro.io import DataCatalog
from kedro.pipeline import node, pipeline

import bodega
from bodega import Chunks
from bodega.env import SHARED_VARIABLE
from bodega.kedro import BodegaDataset, ParallelRunner, SequentialRunner, ThreadRunner
from kedro import runner as kedro_runner

RUNNERS = (SequentialRunner, ThreadRunner, ParallelRunner)

NODES = """
def make(size):
    for number in range(3):
        yield np.full(size, number)

def add(numbers):
    return float(numbers.sum())

def count(numbers):
    return [len(chunk) for chunk in numbers]
"""
PIPELINE = """
    node(make, "params:size", "numbers@chunks", name="make"),
    node(add, "numbers@whole", "total", name="add"),
    node(count, "numbers@chunks", "lengths", name="count"),
"""


@pytest.mark.parametrize("runner", [*RUNNERS, kedro_runner.SequentialRunner, kedro_runner.ThreadRunner])
def test_a_generator_node_streams_under_every_runner(opted_in, runner) -> None:
    opted_in.code(NODES, PIPELINE)
    outputs = opted_in.session().run(runner=runner())
    assert outputs["total"].load() == 30
    assert outputs["lengths"].load() == [10, 10, 10]
    info = opted_in.stored().info("numbers")
    assert info.schema == {"chunks": 3, "of": "numpy.ndarray", "shape": [30], "dtype": "int64"}
    assert info.producer.task == "make"


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_stream_that_fails_leaves_the_old_one_and_nothing_else(opted_in, root, runner) -> None:
    opted_in.code(
        """
        def make(size):
            for number in range(size):
                yield np.full(300_000, number)
                if number == 3:
                    raise ValueError("broken on purpose")
        """,
        "node(make, 'params:size', 'numbers', name='make')",
    )
    opted_in.session(runtime_params={"size": 2}).run(runner=runner())
    before = opted_in.stored().info("numbers")
    with pytest.raises(ValueError, match="broken on purpose"):
        opted_in.session(runtime_params={"size": 9}).run(runner=runner())
    assert opted_in.stored().info("numbers") == before
    assert opted_in.stored().names() == ["numbers"]
    bodega.open().sweep()
    assert os.listdir(root / "tmp") == []


@pytest.mark.parametrize("runner", RUNNERS)
def test_in_a_group_of_nodes_that_does_not_share_it_a_stream_is_whole(opted_in, monkeypatch, runner) -> None:
    monkeypatch.setenv(SHARED_VARIABLE, '["total", "lengths"]')
    opted_in.code(NODES, PIPELINE)
    outputs = opted_in.session().run(runner=runner())
    assert outputs["total"].load() == 30
    assert outputs["lengths"].load() == [10, 10, 10]


def test_nobody_sees_a_stream_before_its_end(opted_in) -> None:
    opted_in.code(
        """
        def make(size):
            seen = []
            for number in range(3):
                yield [number]
                seen.append(bodega.open().runs())
            assert seen == [[], [], []], seen
        """,
        "node(make, 'params:size', 'numbers', name='make')",
    )
    opted_in.session().run()
    assert opted_in.stored().get("numbers").whole() == [0, 1, 2]


@pytest.mark.parametrize("outputs", ["['odd', 'even']", "{'odd': 'odd', 'even': 'even'}"])
def test_several_outputs_end_together(opted_in, outputs: str) -> None:
    chunk = "[[number], [-number]]" if outputs.startswith("[") else "{'odd': [number], 'even': [-number]}"
    opted_in.code(
        f"def split(size):\n    for number in range(size):\n        yield {chunk}\n",
        f"node(split, 'params:size', {outputs}, name='split')",
    )
    opted_in.session(runtime_params={"size": 3}).run()
    store = opted_in.stored()
    assert (store["odd"].whole(), store["even"].whole()) == ([0, 1, 2], [0, -1, -2])


def test_of_several_outputs_none_is_there_when_the_last_chunk_fails(opted_in) -> None:
    opted_in.code(
        "def split(size):\n    yield [1], [2]\n    yield [3], threading.Lock()\n",
        "node(split, 'params:size', ['good', 'bad'], name='split')",
    )
    with pytest.raises(Exception, match="exclude"):
        opted_in.session().run()
    assert bodega.open().runs() == []


def test_a_generator_that_yields_nothing_replaces_what_was_there(opted_in) -> None:
    opted_in.code(NODES, "node(make, 'params:size', 'numbers', name='make')")
    opted_in.session().run()
    opted_in.code("def make(size):\n    yield from ()\n", "node(make, 'params:size', 'numbers', name='make')")
    opted_in.run()
    assert len(opted_in.stored().get("numbers")) == 0


def test_what_the_body_puts_itself_has_the_node_as_its_producer(opted_in) -> None:
    opted_in.code(
        "def cook(size):\n    yield [1]\n    bodega.open(run='aside').put('aside', [1])\n    yield [2]\n",
        "node(cook, 'params:size', 'soup', name='cook')",
    )
    opted_in.session().run()
    assert bodega.open(run="aside").info("aside").producer.task == "cook"
    assert bodega.open(run="aside").put("x", [1]).producer.task is None


def test_hooks_of_datasets_see_each_chunk(opted_in, tmp_path) -> None:
    opted_in.write(
        "src/counter.py",
        f"""
        from kedro.framework.hooks import hook_impl

        class Counter:
            @hook_impl
            def after_dataset_saved(self, dataset_name, data):
                with open({str(tmp_path / "notes")!r}, "a") as notes:
                    notes.write(f"{{dataset_name}} {{len(data)}}\\n")
        """,
    )
    opted_in.write(f"src/{opted_in.package}/settings.py", "from counter import Counter\nHOOKS = (Counter(),)\n")
    opted_in.code(NODES, "node(make, 'params:size', 'numbers', name='make')")
    opted_in.run()
    assert (tmp_path / "notes").read_text() == "numbers 10\n" * 3


def test_a_hook_may_change_the_chunks(opted_in) -> None:
    opted_in.write(
        "src/changer.py",
        """
        from kedro.framework.hooks import hook_impl

        class Changer:
            @hook_impl
            def after_node_run(self, outputs):
                outputs["numbers"] = map(list, outputs["numbers"])
        """,
    )
    opted_in.write(f"src/{opted_in.package}/settings.py", "from changer import Changer\nHOOKS = (Changer(),)\n")
    opted_in.code(NODES, "node(make, 'params:size', 'numbers', name='make')")
    opted_in.run("--params", "size=1")
    assert opted_in.stored().get("numbers").whole() == [0, 1, 2]


@pytest.mark.parametrize("runner", RUNNERS)
def test_runners_of_ours_stream_where_the_plugin_is_switched_off(project, runner) -> None:
    project.write(f"src/{project.package}/settings.py", "DISABLE_HOOKS_FOR_PLUGINS = ('bodega',)\n")
    project.code(NODES, PIPELINE)
    outputs = project.session().run(runner=runner())
    assert outputs["lengths"].load() == [10, 10, 10]


def triple(number):
    """Three chunks."""
    for _ in range(3):
        yield [number]


@pytest.mark.parametrize("runner", RUNNERS)
def test_runners_of_ours_stream_without_a_session(runner) -> None:
    catalog = DataCatalog({"number": BodegaDataset(name="number", run="nightly")})
    catalog.save("number", 7)
    outputs = runner().run(pipeline([node(triple, "number", "numbers")]), catalog)
    assert outputs["numbers"].load() == [7, 7, 7]


def test_a_plain_function_that_returns_a_generator_is_refused_or_streams(opted_in) -> None:
    """Kedro 1.0 streams it, later versions save the generator itself, which is no data."""
    opted_in.code(
        "def make(size):\n    return ([number] for number in range(3))\n",
        "node(make, 'params:size', 'numbers', name='make')",
    )
    try:
        opted_in.session().run()
    except Exception as error:
        assert "generator" in str(error)
        assert bodega.open().runs() == []
    else:
        assert opted_in.stored().get("numbers").whole() == [0, 1, 2]


def test_a_stream_larger_than_the_memory_goes_through(opted_in, tmp_path) -> None:
    opted_in.write("conf/base/bodega.yml", f"capacity: 8MiB\nspill: {tmp_path / 'disk'}\n")
    opted_in.code(
        "def make(size):\n    for number in range(40):\n        yield np.full(1 << 17, number)\n\n"
        "def add(numbers):\n    return [int(chunk[0]) for chunk in numbers]\n",
        "node(make, 'params:size', 'numbers@chunks', name='make'), node(add, 'numbers@chunks', 'firsts', name='add')",
    )
    opted_in.run()
    assert opted_in.stored().get("firsts") == list(range(40))
    assert isinstance(opted_in.stored().get("numbers"), Chunks)
    assert opted_in.stored().info("numbers").tier == str(tmp_path / "disk")


def test_the_chunks_of_an_array_are_mapped(opted_in) -> None:
    opted_in.code(NODES, "node(make, 'params:size', 'numbers', name='make')")
    opted_in.session(runtime_params={"size": 100_000}).run()
    chunk = opted_in.stored().get("numbers")[1]
    assert not chunk.flags.owndata
    assert np.unique(chunk).tolist() == [1]
