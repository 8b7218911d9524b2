"""Each name of Kedro's that `bodega.kedro.compat` uses, tried for what it is used for: a new Kedro is checked here."""

from __future__ import annotations

import ast
import inspect
import logging
import re
from concurrent.futures import Executor, Future
from pathlib import Path, PurePosixPath
from typing import Any, cast

import click
import kedro.framework.cli.project
import pytest
from kedro.config import AbstractConfigLoader, OmegaConfigLoader
from kedro.framework.hooks import hook_impl
from kedro.framework.project import pipelines, settings
from kedro.framework.session import KedroSession
from kedro.io import AbstractDataset, AbstractVersionedDataset, DataCatalog, MemoryDataset, Version
from kedro.pipeline import Pipeline, node
from kedro.runner import AbstractRunner, ParallelRunner, SequentialRunner, Task
from tests.kedro.conftest import KedroProject

import bodega.kedro
from bodega.kedro import BodegaDataset, compat

CALLS: list[str] = []


class Hooks:
    """Hooks of a project."""

    @hook_impl
    def before_node_run(self, node: Any) -> None:
        CALLS.append(node.name)


class File(AbstractVersionedDataset[str, str]):
    """A file, made as the datasets of kedro-datasets are."""

    def __init__(self, filepath: str, version: Version | None = None) -> None:
        import fsspec

        self._protocol = "file"
        self._fs = fsspec.filesystem("file")
        super().__init__(PurePosixPath(filepath), version, exists_function=self._fs.exists, glob_function=self._fs.glob)

    def load(self) -> str:
        return Path(self._get_load_path()).read_text()

    def save(self, data: str) -> None:
        path = Path(self._get_save_path())
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(data)

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath}


class OwnLoader(AbstractConfigLoader):
    """A loader of a project's own, which tells nothing of environments."""


def one(value: int) -> int:
    return value + 1


PIPELINE = Pipeline([node(one, "a", "b", name="first"), node(one, "b", "c", name="second")])


def catalog() -> DataCatalog:
    return DataCatalog({"a": MemoryDataset(1), "b": MemoryDataset(), "c": MemoryDataset()})


def test_create_hook_manager_knows_kedros_hooks() -> None:
    manager = compat.new_hooks()
    manager.register(Hooks())
    CALLS.clear()
    SequentialRunner().run(PIPELINE, catalog(), manager)
    assert CALLS == ["first", "second"]


def test_register_hooks_and_those_of_entry_points(project: KedroProject) -> None:
    project.write(
        f"src/{project.package}/settings.py", "from tests.kedro.test_compat import Hooks\nHOOKS = (Hooks(),)\n"
    )
    project.session()
    plugins = compat.new_hooks(of_project=True).get_plugins()
    assert {type(plugin).__name__ for plugin in plugins} >= {"Hooks", "BodegaHooks"}
    assert not compat.new_hooks().get_plugins()


def test_settings_name_the_class_of_sessions(project: KedroProject) -> None:
    project.session()
    assert issubclass(compat.session_class(), KedroSession)
    assert settings.DATA_CATALOG_CLASS is DataCatalog


def test_get_catalog_makes_the_catalog_of_a_run(project: KedroProject) -> None:
    project.write(
        "conf/base/catalog.yml", "table: {type: tests.kedro.test_compat.File, filepath: data/t, versioned: true}\n"
    )
    made = compat.session_catalog(project.session().load_context(), "2026-01-01T00.00.00.000Z")
    assert made.load("params:size") == 10
    assert compat.version_of(made.get("table")) == Version(None, "2026-01-01T00.00.00.000Z")


def test_get_catalog_says_which_credentials_are_missing(project: KedroProject) -> None:
    project.write("conf/base/catalog.yml", "table: {type: MemoryDataset, credentials: nobody}\n")
    with pytest.raises(KeyError, match="nobody"):
        compat.session_catalog(project.session().load_context(), "2026-01-01T00.00.00.000Z")


def test_loaders_tell_their_environments(tmp_path: Path) -> None:
    loader = OmegaConfigLoader(str(tmp_path), base_env="common", default_run_env="mine")
    assert (compat.base_env(loader), compat.default_env(loader)) == ("common", "mine")
    own = OwnLoader(str(tmp_path))
    assert (compat.base_env(own), compat.default_env(own)) == ("base", "local")


def test_run_params_name_what_cuts_a_pipeline() -> None:
    parameters = inspect.signature(KedroSession.run).parameters
    known = [cut for cut in compat._CUTS if cut in parameters]
    assert set(known) >= {"tags", "from_nodes", "to_nodes", "node_names", "from_inputs", "to_outputs"}
    assert {"namespaces", "namespace"} & set(known)
    assert not compat.is_part({"pipeline_names": ["a"], "tags": (), "node_names": None})
    assert compat.is_part({"node_names": ("first",)})


def test_split_params_makes_values_of_a_text() -> None:
    command = click.Command(
        "c", params=[click.Option(["--params"], callback=compat.split_params, type=click.UNPROCESSED)]
    )
    assert command.make_context("c", ["--params", "model.depth=7,name=x"]).params["params"] in (
        {"model": {"depth": 7}, "name": "x"},
        {"model.depth": 7, "name": "x"},
    )


def test_kedro_run_has_the_option_for_pipelines() -> None:
    assert compat.pipelines_key() in {parameter.name for parameter in kedro.framework.cli.project.run.params}


def test_set_requested_leaves_the_other_pipelines_alone(project: KedroProject) -> None:
    project.write(f"src/{project.package}/pipelines/__init__.py", "")
    for name in ("good", "bad"):
        project.write(
            f"src/{project.package}/pipelines/{name}/__init__.py",
            "from kedro.pipeline import Pipeline\n"
            + ("raise RuntimeError('loaded')\n" if name == "bad" else "")
            + "def create_pipeline(**_):\n    return Pipeline([])\n",
        )
    project.write(
        f"src/{project.package}/pipeline_registry.py",
        "from kedro.framework.project import find_pipelines\n"
        "def register_pipelines():\n    return find_pipelines(raise_errors=True)\n",
    )
    project.session()
    if not hasattr(pipelines, "set_requested"):
        pytest.skip("this Kedro loads all pipelines")
    compat.load_only(["good"])
    try:
        assert "good" in pipelines
    finally:
        compat.load_only(())


def test_datasets_of_a_catalog_can_be_replaced() -> None:
    made = catalog()
    made.get("b")
    compat.replace_dataset(made, "b", MemoryDataset(5))
    assert made.load("b") == 5
    assert list(made.keys()) == ["a", "b", "c"]


def test_the_resolver_tells_patterns_from_entries() -> None:
    made = DataCatalog.from_config(
        {
            "table": {"type": "MemoryDataset"},
            "{name}_raw": {"type": "MemoryDataset"},
            "{any}": {"type": "MemoryDataset"},
        }
    )
    assert compat.pattern_of(made, "table") is None
    assert compat.pattern_of(made, "prices_raw") == "{name}_raw"
    assert compat.pattern_of(made, "other") == "{any}"
    assert compat.pattern_of(cast("Any", object()), "other") is None


def test_pattern_specificity_knows_a_catch_all() -> None:
    assert compat.is_catch_all("{any}")
    assert not compat.is_catch_all("{name}_raw")


def test_versioned_datasets_keep_their_version(tmp_path: Path) -> None:
    version = Version("a", "b")
    assert compat.version_of(File(str(tmp_path / "t"), version)) == version
    assert compat.version_of(File(str(tmp_path / "t"))) is None
    assert compat.version_of(MemoryDataset()) is None


def test_ephemeral_is_what_kedro_calls_memory() -> None:
    assert compat.is_ephemeral(MemoryDataset())
    assert AbstractDataset._EPHEMERAL is False
    assert not compat.is_ephemeral(BodegaDataset(name="x"))


def test_datasets_of_kedro_datasets_know_their_file() -> None:
    csv = pytest.importorskip("kedro_datasets.pandas", reason="kedro-datasets is not installed").CSVDataset
    assert compat.file_of(csv(filepath="/data/t.csv")) == ("file", "/data/t.csv")


def test_files_have_a_protocol_and_a_path(tmp_path: Path) -> None:
    assert compat.file_of(File(str(tmp_path / "t"))) == ("file", str(tmp_path / "t"))
    assert compat.file_of(MemoryDataset()) is None


def test_signs_of_a_file_change_with_it(tmp_path: Path) -> None:
    dataset = File(str(tmp_path / "t"))
    assert compat.signs_of_file(dataset) is None
    dataset.save("one")
    first = compat.signs_of_file(dataset)
    assert first
    assert compat.signs_of_file(dataset) == first
    dataset.save("three")
    assert compat.signs_of_file(dataset) != first
    assert compat.signs_of_file(MemoryDataset(1)) is None


def test_signs_of_a_versioned_file_are_those_of_what_is_loaded(tmp_path: Path) -> None:
    for number in (1, 2):
        File(str(tmp_path / "t"), Version(None, f"2026-01-0{number}T00.00.00.000Z")).save("x" * number)
    assert (compat.signs_of_file(File(str(tmp_path / "t"), Version(None, None))) or {})["size"] == "2"


class Sequential(compat.Runner, SequentialRunner):
    """Notes what is saved."""

    def on_saved(self, node: Any, catalog: Any) -> None:
        assert catalog.exists(node.outputs[0])
        CALLS.append(node.name)


def test_release_datasets_is_called_when_the_outputs_of_a_node_are_saved(caplog: pytest.LogCaptureFixture) -> None:
    CALLS.clear()
    made = catalog()
    logging.getLogger("kedro").addHandler(caplog.handler)
    try:
        with caplog.at_level(logging.INFO, logger="kedro"):
            Sequential().run(PIPELINE, made)
    finally:
        logging.getLogger("kedro").removeHandler(caplog.handler)
    assert CALLS == ["first", "second"]
    assert not made.exists("b"), "what nobody needs any more is let go, as Kedro does"
    assert {record.name for record in caplog.records} >= {"kedro.runner"}


class Inline(Executor):
    """Runs tasks at once, and remembers them."""

    def __init__(self) -> None:
        self.tasks: list[Task] = []

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.tasks.append(fn)
        fn.hook_manager = compat.new_hooks()  # As a worker does: Kedro withholds the run's.
        future: Future[Any] = Future()
        future.set_result(fn.execute())
        return future


class Inlined(compat.ExecutorRunner):
    """Over such an executor."""

    def make_executor(self, max_workers: int, hook_manager: Any) -> Executor:
        self.executor, self.hooks = Inline(), hook_manager
        return self.executor


def test_the_executor_gets_tasks_with_all_that_a_worker_needs() -> None:
    runner, hooks, made = Inlined(2, is_async=False), compat.new_hooks(), catalog()
    runner.run(PIPELINE, made, hooks, "run-1")
    first, second = runner.executor.tasks
    assert (first.node.name, second.node.name) == ("first", "second")
    assert first.catalog is made
    assert runner.hooks is hooks
    assert (first.run_id, first.is_async) == ("run-1", False)
    assert not hasattr(runner, "_manager")


def test_the_number_of_processes_is_checked() -> None:
    with pytest.raises(ValueError, match="max_workers"):
        Inlined(-1, is_async=False)


def test_datasets_that_cannot_be_sent_are_refused() -> None:
    file: Any = File("t")
    file.handle = lambda: None
    made = DataCatalog({"a": MemoryDataset(1), "b": file, "c": MemoryDataset()})
    with pytest.raises(AttributeError, match="'b'"):
        Inlined(2, is_async=False).run(PIPELINE, made)


@pytest.mark.parametrize(
    ("ours", "kedros", "names"),
    [
        (compat.Runner, AbstractRunner, {"_release_datasets", "_logger"}),
        (
            compat.ExecutorRunner,
            ParallelRunner,
            {"_run", "_get_executor", "_validate_catalog", "_set_manager_datasets"},
        ),
        (
            BodegaDataset,
            AbstractVersionedDataset,
            {
                "_exists",
                "_release",
                "_describe",
                "_fetch_latest_load_version",
                "_fetch_latest_save_version",
                "_EPHEMERAL",
            },
        ),
    ],
)
def test_what_is_overridden_is_there_to_be_overridden(ours: type, kedros: type, names: set[str]) -> None:
    assert names <= vars(ours).keys()
    assert {name for name in names if not hasattr(kedros, name)} == set()


def test_nothing_else_uses_private_names_of_kedros() -> None:
    package = Path(str(bodega.kedro.__file__)).parent
    for path in package.rglob("*.py"):
        if path.name == "compat.py":
            continue
        tree = ast.parse(path.read_text())
        imported = [
            f"{each.module}.{alias.name}"
            for each in ast.walk(tree)
            if isinstance(each, ast.ImportFrom) and (each.module or "").split(".")[0] == "kedro"
            for alias in each.names
        ]
        assert not [name for name in imported if re.search(r"\._", name)], path
