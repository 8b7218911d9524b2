"""The hook: which datasets go to the store, and under which run."""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest.mock import ANY

import pytest
from kedro.io import DatasetError, MemoryDataset

import bodega
from bodega.errors import SettingsError
from bodega.kedro import BodegaDataset
from bodega.kedro.project.place import Project


def diamond_total(size):
    """What the diamond of conftest makes of a size."""
    return {"sum": 2.5 * sum(range(size))}


def load(outputs, name="total"):
    """What a run returned: datasets."""
    return outputs[name].load()


# Opting in


def test_nothing_happens_until_a_project_opts_in(project) -> None:
    outputs = project.session().run()
    assert isinstance(outputs["total"], MemoryDataset)
    assert bodega.open().runs() == []


def test_an_empty_file_opts_in(opted_in) -> None:
    assert load(opted_in.session().run()) == diamond_total(10)
    assert opted_in.stored().names() == ["doubled", "halved", "numbers", "total"]


def test_the_file_of_an_environment_opts_that_environment_in(project) -> None:
    project.write("conf/shared/bodega.yml", "")
    project.session().run()
    assert bodega.open().runs() == []
    project.session(env="shared").run()
    assert len(bodega.open().runs()) == 1


def test_an_unknown_key_stops_the_run_with_its_file_and_near_match(project) -> None:
    project.write("conf/base/bodega.yml", "rum: nightly\n")
    output = project.run(fails=True)
    assert "SettingsError: The key 'rum' in" in output
    assert "conf/base/bodega.yml is not known: did you mean 'run'?" in output


def test_a_root_and_a_capacity_are_the_projects(opted_in, monkeypatch, tmp_path) -> None:
    monkeypatch.delenv("BODEGA_ROOT")
    opted_in.write("conf/base/bodega.yml", "root: stock\ncapacity: 64MiB\nrun: nightly\n")
    opted_in.session().run()
    store = bodega.open(opted_in.path / "stock", run="nightly")
    assert store.get("total") == diamond_total(10)


def test_the_environment_variable_wins_over_the_projects_root(opted_in, root) -> None:
    opted_in.write("conf/base/bodega.yml", "root: stock\n")
    opted_in.session().run()
    assert not (opted_in.path / "stock").exists()
    assert len(bodega.open(root).runs()) == 1


# Processes


def test_each_node_in_a_process_of_its_own_gives_the_result_of_one_process(opted_in) -> None:
    for name in ("make", "double", "halve", "add"):
        opted_in.run("--nodes", name)
    assert opted_in.stored().get("total") == diamond_total(10)
    assert opted_in.stored().info("doubled").producer.task == "double"


def test_two_runs_at_once_never_mix(opted_in) -> None:
    sizes = {"one": 5, "two": 7}
    for nodes in (("--to-nodes", "double"), ("--nodes", "halve,add")):
        started = [opted_in.start(*nodes, "--params", f"size={size}", BODEGA_RUN=run) for run, size in sizes.items()]
        for process in started:
            output, _ = process.communicate(timeout=300)
            assert process.returncode == 0, output
    for run, size in sizes.items():
        assert opted_in.stored(run).get("total") == diamond_total(size)
    assert sorted(bodega.open().runs()) == ["one", "two"]


def test_without_the_file_a_node_by_itself_gets_kedros_error(project) -> None:
    assert "Pipeline input(s) {'numbers'} not found" in project.run("--nodes", "double", fails=True)


def test_an_input_that_was_not_made_yet_names_the_node_that_makes_it(opted_in) -> None:
    with pytest.raises(DatasetError, match="Node 'make' makes it"):
        opted_in.session().run(node_names=["double"])


def test_an_input_that_only_the_store_has_is_found(opted_in) -> None:
    opted_in.code("def show(extra):\n    return len(extra)\n", "node(show, 'extra', 'length', name='show')")
    opted_in.write("conf/base/bodega.yml", "run: nightly\n")
    bodega.open(run="nightly").put("extra", [1, 2, 3])
    assert load(opted_in.session().run(), "length") == 3


def test_a_misspelt_input_gets_kedros_error(opted_in) -> None:
    opted_in.code(pipeline="node(make, 'params:size', 'numbers'), node(double, 'nubmers', 'doubled')")
    with pytest.raises(ValueError, match=r"Pipeline input\(s\) \{'nubmers'\} not found"):
        opted_in.session().run()


def test_a_misspelt_parameter_gets_kedros_error(opted_in) -> None:
    opted_in.code(pipeline="node(make, 'params:sise', 'numbers')")
    with pytest.raises(ValueError, match=r"Pipeline input\(s\) \{'params:sise'\} not found"):
        opted_in.session().run()


def test_after_a_failed_node_the_run_goes_on_from_the_store(opted_in) -> None:
    nodes = """
    def make(size):
        return np.arange(float(size))

    def double(numbers):
        if os.environ.get("BREAK"):
            raise ValueError("broken on purpose")
        return numbers * 2
    """
    opted_in.code(
        nodes, "node(make, 'params:size', 'numbers', name='make'), node(double, 'numbers', 'd', name='double')"
    )
    output = opted_in.run(fails=True, BREAK="1")
    assert "broken on purpose" in output
    assert '--from-nodes "double"' in output
    made = opted_in.stored().info("numbers").id
    opted_in.run("--from-nodes", "double")
    assert opted_in.stored().get("d").sum() == 90
    assert opted_in.stored().info("numbers").id == made


def test_only_missing_outputs_skips_what_is_there(opted_in, caplog) -> None:
    opted_in.session().run()
    store = opted_in.stored()
    before = {info.name: info.id for info in store.list()}
    store.delete("halved")
    store.delete("total")
    opted_in.session().run(only_missing_outputs=True)
    after = {info.name: info.id for info in store.list()}
    assert {name for name in before if before[name] != after[name]} == {"halved", "total"}


# Entries of the catalog


def test_explicit_entries_stay(opted_in) -> None:
    opted_in.write(
        "conf/base/catalog.yml",
        """
        halved:
          type: pickle_dataset.PickleDataset
          filepath: data/halved.pkl
        """,
    )
    opted_in.write("src/pickle_dataset.py", PICKLE_DATASET)
    opted_in.session().run()
    assert (opted_in.path / "data/halved.pkl").exists()
    assert opted_in.stored().names() == ["doubled", "numbers", "total"]


def test_the_file_may_override_explicit_entries(opted_in) -> None:
    opted_in.write(
        "conf/base/catalog.yml", "halved:\n  type: pickle_dataset.PickleDataset\n  filepath: data/halved.pkl\n"
    )
    opted_in.write("conf/base/bodega.yml", "override: ['hal*']\n")
    opted_in.write("src/pickle_dataset.py", PICKLE_DATASET)
    opted_in.session().run()
    assert not (opted_in.path / "data/halved.pkl").exists()
    assert "halved" in opted_in.stored().names()


PICKLE_DATASET = """
import pickle
from pathlib import Path
from kedro.io import AbstractDataset

class PickleDataset(AbstractDataset):
    def __init__(self, *, filepath, metadata=None):
        self._filepath = Path(filepath)
        self.metadata = metadata
    def load(self):
        return pickle.loads(self._filepath.read_bytes())
    def save(self, data):
        self._filepath.parent.mkdir(parents=True, exist_ok=True)
        self._filepath.write_bytes(pickle.dumps(data))
    def _exists(self):
        return self._filepath.exists()
    def _describe(self):
        return {"filepath": str(self._filepath)}
"""


def test_patterns_say_which_datasets_go_to_the_store(opted_in) -> None:
    opted_in.write("conf/base/bodega.yml", "datasets: ['*ed', 'numbers']\nexclude: ['halved']\n")
    assert load(opted_in.session().run()) == diamond_total(10)
    assert opted_in.stored().names() == ["doubled", "numbers"]


def test_entries_without_a_name_get_their_own(opted_in) -> None:
    opted_in.write(
        "conf/base/catalog.yml",
        """
        doubled:
          type: bodega.kedro.BodegaDataset
        halved:
          type: bodega.kedro.BodegaDataset
          name: half
          run: elsewhere
        "{name}tal":
          type: bodega.kedro.BodegaDataset
        """,
    )
    assert load(opted_in.session().run()) == diamond_total(10)
    (run,) = set(bodega.open().runs()) - {"elsewhere"}
    assert bodega.open(run=run).names() == ["doubled", "numbers", "total"]
    assert bodega.open(run="elsewhere").names() == ["half"]


def test_entries_get_their_name_without_the_file_too_when_a_runner_of_ours_runs(project) -> None:
    from bodega.kedro import SequentialRunner

    project.write("conf/base/catalog.yml", "doubled:\n  type: bodega.kedro.BodegaDataset\n")
    assert load(project.session().run(runner=SequentialRunner())) == diamond_total(10)
    assert "doubled" in project.stored().names()


def test_what_a_catch_all_pattern_resolves_is_explicit(opted_in) -> None:
    opted_in.write(
        "conf/base/catalog.yml",
        '"{anything}":\n  type: pickle_dataset.PickleDataset\n  filepath: data/{anything}.pkl\n',
    )
    opted_in.write("src/pickle_dataset.py", PICKLE_DATASET)
    opted_in.code(pipeline="node(lambda: 1, None, 'one', name='one')")
    opted_in.session().run()
    assert (opted_in.path / "data/one.pkl").exists()
    assert bodega.open().runs() == []


def test_transcoded_names_are_one_object(opted_in) -> None:
    opted_in.code(pipeline="node(make, 'params:size', 'n@numpy', name='make'), node(double, 'n@frame', 'd', name='d')")
    outputs = opted_in.session().run()
    assert load(outputs, "d").sum() == 90
    assert opted_in.stored().names() == ["d", "n"]


# Memory datasets


MEMORY = "numbers:\n  type: MemoryDataset\n  metadata: {layer: raw}\n"


def test_a_memory_dataset_that_a_node_writes_is_replaced_with_a_warning(opted_in, caplog) -> None:
    opted_in.write("conf/base/catalog.yml", MEMORY)
    session = opted_in.session()
    logging.getLogger("bodega").addHandler(caplog.handler)  # Kedro's own configuration takes it off the root.
    try:
        assert load(session.run()) == diamond_total(10)
    finally:
        logging.getLogger("bodega").removeHandler(caplog.handler)
    (record,) = [record for record in caplog.records if record.name.startswith("bodega")]
    assert "'numbers' as a MemoryDataset" in record.getMessage()
    assert "numbers" in opted_in.stored().names()


def test_a_replaced_memory_dataset_crosses_processes(opted_in) -> None:
    opted_in.write("conf/base/catalog.yml", MEMORY)
    opted_in.run("--nodes", "make")
    opted_in.run("--nodes", "double")
    assert opted_in.stored().get("doubled").sum() == 90


def test_a_memory_dataset_can_be_refused_by_name(opted_in) -> None:
    opted_in.write("conf/base/catalog.yml", MEMORY)
    opted_in.write("conf/base/bodega.yml", "memory_datasets: refuse\n")
    with pytest.raises(SettingsError, match="'numbers' as a MemoryDataset.*memory_datasets: refuse"):
        opted_in.session().run()


@pytest.mark.parametrize("rule", ["memory_datasets: keep", "exclude: [numbers]"])
def test_a_memory_dataset_can_be_kept(opted_in, rule: str) -> None:
    opted_in.write("conf/base/catalog.yml", MEMORY)
    opted_in.write("conf/base/bodega.yml", rule + "\n")
    assert load(opted_in.session().run()) == diamond_total(10)
    assert opted_in.stored().names() == ["doubled", "halved", "total"]


# Which run


def test_the_name_of_a_projects_run_is_readable_and_its_own(make_project) -> None:
    names = []
    for name in ("House Prices", "house_prices"):
        project = make_project(name)
        project.write("conf/base/bodega.yml", "")
        project.session().run()
        (run,) = set(bodega.open().runs()) - set(names)
        assert run.startswith("house-prices-local-")
        names.append(run)
    assert len(set(names)) == 2


def test_the_default_environment_and_no_environment_are_one_run(opted_in) -> None:
    opted_in.session().run()
    opted_in.session(env="local").run()
    assert len(bodega.open().runs()) == 1


@pytest.mark.parametrize("name", ["", "..", "-- ", "Größe 1", "a" * 300])
def test_any_project_has_a_run_name(name: str, tmp_path: Path) -> None:
    run = Project(path=tmp_path / name, env="local").run_name
    bodega.open(run=run).put("x", [1])
    assert bodega.open(run=run).get("x") == [1]


def test_the_variable_wins_over_the_file_and_the_file_over_the_rest(opted_in, monkeypatch) -> None:
    opted_in.write("conf/base/bodega.yml", "run: configured\n")
    opted_in.session().run()
    monkeypatch.setenv("BODEGA_RUN", "variable")
    opted_in.session().run()
    assert sorted(bodega.open().runs()) == ["configured", "variable"]


def test_the_run_can_be_a_runtime_parameter(opted_in) -> None:
    opted_in.write("conf/base/bodega.yml", "run: ${runtime_params:run_name, nightly}\n")
    opted_in.session(runtime_params={"run_name": "manual"}).run()
    opted_in.session().run()
    assert sorted(bodega.open().runs()) == ["manual", "nightly"]


def test_the_run_is_fixed_when_datasets_are_registered(opted_in, monkeypatch) -> None:
    outputs = opted_in.session().run()
    monkeypatch.setenv("BODEGA_RUN", "later")
    assert load(outputs) == diamond_total(10)


def service_session(project, **options):
    """A session that serves many runs; Kedro 1.0 has none."""
    module = pytest.importorskip("kedro.framework.session.service_session", reason="Kedro without KedroServiceSession")
    from kedro.framework.startup import bootstrap_project

    bootstrap_project(project.path)
    return module.KedroServiceSession.create(project_path=project.path, **options)


def test_runs_at_once_in_one_service_session_never_mix(opted_in) -> None:
    opted_in.code(
        """
        meeting = threading.Barrier(2, timeout=300)

        def make(size):
            return [size]

        def read(numbers):
            meeting.wait()
            return numbers[0]
        """,
        "node(make, 'params:size', 'numbers'), node(read, 'numbers', 'size')",
    )
    session = service_session(opted_in, serving_mode=True)
    start = threading.Barrier(2, timeout=300)

    def serve(size: int) -> object:
        start.wait()
        return load(session.run(runtime_params={"size": size}), "size")

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(serve, [3, 4])) == [3, 4]
    assert len(bodega.open().runs()) == 2
    assert all(run.startswith(session.session_id) for run in bodega.open().runs())


def test_a_service_run_with_an_id_can_go_on_later(opted_in) -> None:
    session = service_session(opted_in, session_id="api")
    session.run(run_id="order-7", node_names=["make"])
    outputs = session.run(run_id="order-7", node_names=["double"])
    assert load(outputs, "doubled").sum() == 90
    assert bodega.open().runs() == ["api-order-7"]


# Producers


@pytest.mark.parametrize("is_async", [False, True])
def test_the_node_is_the_producer_of_its_outputs_and_of_what_it_puts(opted_in, is_async: bool) -> None:
    from kedro.runner import SequentialRunner

    opted_in.code(
        "def cook(size):\n    bodega.open(run='aside').put('aside', [1])\n    return [size], [size]\n",
        "node(cook, 'params:size', ['soup', 'bread'], name='cook')",
    )
    opted_in.session().run(runner=SequentialRunner(is_async=is_async))
    (run,) = set(bodega.open().runs()) - {"aside"}
    tasks = [bodega.open(run=run).info(name).producer.task for name in ("soup", "bread")]
    assert tasks == ["cook", "cook"]
    assert bodega.open(run="aside").info("aside").producer.task == "cook"


@pytest.mark.parametrize("fails", [False, True])
def test_after_the_node_nobody_is_at_work(opted_in, fails: bool) -> None:
    opted_in.code("def cook(size):\n    return [1] if size else 1 / 0\n", "node(cook, 'params:size', 'soup')")
    session = opted_in.session(runtime_params={"size": int(not fails)})
    if fails:
        with pytest.raises(ZeroDivisionError):
            session.run()
    else:
        session.run()
    assert bodega.open(run="aside").put("x", [1]).producer.task is None


# Outside a run


def test_a_notebook_sees_what_runs_left(opted_in) -> None:
    opted_in.write("conf/base/catalog.yml", "doubled:\n  type: bodega.kedro.BodegaDataset\n")
    opted_in.session().run()
    catalog = opted_in.session().load_context().catalog
    assert catalog.load("doubled").sum() == 90
    assert catalog.load("total") == diamond_total(10)
    assert isinstance(catalog["total"], BodegaDataset)
    assert catalog["total"].preview() == ANY
    assert "nothing" not in catalog


# Two at once

WAITING = """
def make(size):
    Path(f"began-{size}").touch()
    while not Path("go").exists():
        time.sleep(0.01)
    return list(range(size))

def total(numbers):
    return len(numbers)
"""
WAITING_PIPELINE = "node(make, 'params:size', 'numbers', name='make'), node(total, 'numbers', 'total', name='total')"


def begin_waiting(project, size: int, *arguments: str, **environment: str):
    """A run that waits in its first node until there is a file ``go``."""
    process = project.start("--params", f"size={size}", *arguments, **environment)
    while not (project.path / f"began-{size}").exists():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.01)
    return process


def finish(project, *processes) -> list[str]:
    (project.path / "go").touch()
    outputs = [process.communicate(timeout=300)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), outputs
    return outputs


@pytest.fixture
def waiting(opted_in):
    opted_in.code(WAITING, WAITING_PIPELINE)
    return opted_in


def test_two_whole_runs_at_once_never_mix(waiting) -> None:
    first, second = begin_waiting(waiting, 3), begin_waiting(waiting, 5)
    output = finish(waiting, first, second)[1]
    runs = sorted(bodega.open().runs(), key=len)
    assert [bodega.open(run=run).get("total") for run in runs] == [3, 5]
    assert runs[1] == f"{runs[0]}-2"
    assert f"Process {first.pid}" in output and f"BODEGA_RUN={runs[1]}" in output


def test_after_a_killed_run_the_next_one_has_its_name_again(waiting) -> None:
    killed = begin_waiting(waiting, 3)
    killed.kill()
    killed.communicate()
    finish(waiting, begin_waiting(waiting, 5))
    assert waiting.stored().get("total") == 5


def test_a_run_that_was_named_is_shared_with_a_warning(waiting) -> None:
    first, second = (begin_waiting(waiting, size, BODEGA_RUN="named") for size in (3, 5))
    output = finish(waiting, first, second)[1]
    assert f"Process {first.pid}" in output
    assert bodega.open().runs() == ["named"]


def test_a_part_that_would_disturb_a_whole_run_is_refused(waiting) -> None:
    whole = begin_waiting(waiting, 3)
    output = waiting.run("--nodes", "total", fails=True)
    assert f"Process {whole.pid}" in output and "Wait until that process has ended" in output
    finish(waiting, whole)


def test_an_unusable_root_is_noticed_before_any_node_runs(waiting) -> None:
    output = waiting.run(fails=True, BODEGA_ROOT="/proc/nowhere")
    assert "cannot be the root of a store" in output
    assert not list(waiting.path.glob("began-*"))
