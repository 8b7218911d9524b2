"""Every name of Kedro's that is private, or that not every Kedro from 1.0 on has.

Nothing else of bodega uses such names, so that a new Kedro is checked in one place: ``tests/kedro/test_compat.py`` has a
test for each. What Kedro documents for subclasses (``_load``, ``_save``, ``_describe``, ``_exists``, ...) is no secret of
its own, and stands where it is used.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from kedro.framework.hooks.manager import (
    _create_hook_manager,
    _register_hooks,
    _register_hooks_entry_points,
)
from kedro.framework.project import pipelines, settings
from kedro.io import AbstractDataset, AbstractVersionedDataset, DataCatalog, Version
from kedro.io.data_catalog import SharedMemoryDataCatalog
from kedro.runner.runner import AbstractRunner

from kedro import runner as kedro_runner

if TYPE_CHECKING:
    from concurrent.futures import Executor

    import click
    from kedro.config import AbstractConfigLoader
    from kedro.framework.context import KedroContext
    from kedro.io import CatalogProtocol
    from kedro.pipeline import Pipeline
    from kedro.pipeline.node import Node
    from pluggy import PluginManager

DEFAULT_ENV = "local"
"""The environment of runs that name none, where Kedro's own loader does not say otherwise."""
_SIGNS = ("size", "mtime", "ETag", "etag", "LastModified", "last_modified", "checksum", "md5")
"""What file systems say of a file that changes with its content."""
_CUTS = ("tags", "from_nodes", "to_nodes", "node_names", "from_inputs", "to_outputs", "namespaces", "namespace")
"""What ``kedro run`` calls the options by which it runs a part of a pipeline."""


# Hooks


def new_hooks(*, of_project: bool = False) -> PluginManager:
    """A manager of hooks.

    Args:
        of_project: whether it has the hooks of plugins and of the project's settings.
    """
    manager = _create_hook_manager()
    if of_project:
        _register_hooks(manager, settings.HOOKS)
        _register_hooks_entry_points(manager, settings.DISABLE_HOOKS_FOR_PLUGINS)
    return manager


# The session, its configuration and the command line


def session_class() -> Any:
    """The class of the project's sessions; Kedro 1.0 has one, and no such setting."""
    from kedro.framework.session import KedroSession

    return getattr(settings, "SESSION_CLASS", KedroSession)


def session_catalog(context: KedroContext, save_version: str) -> CatalogProtocol[Any, Any]:
    """The catalog as a session makes it for a run; the public one of a context is another.

    Raises:
        KeyError: it names credentials that there are none of.
    """
    catalog: CatalogProtocol[Any, Any] = context._get_catalog(  # noqa: SLF001
        catalog_class=settings.DATA_CATALOG_CLASS, save_version=save_version
    )
    return catalog


def base_env(loader: AbstractConfigLoader) -> str:
    """The environment that every other one adds to; a loader of the project's own may not tell."""
    return getattr(loader, "base_env", None) or "base"


def default_env(loader: AbstractConfigLoader) -> str:
    """The environment of a run that names none; a loader of the project's own may not tell."""
    return getattr(loader, "default_run_env", None) or DEFAULT_ENV


def is_part(run_params: Mapping[str, Any]) -> bool:
    """Whether a run with these parameters runs a part of its pipeline."""
    return any(run_params.get(key) for key in _CUTS)


def split_params(ctx: click.Context, parameter: click.Parameter, value: str) -> Any:
    """What ``kedro run --params`` makes of its text."""
    from kedro.framework.cli.utils import _split_params

    return _split_params(ctx, parameter, value)


def pipelines_key() -> str:
    """What ``kedro run`` calls its option for pipelines."""
    from kedro.framework.cli.project import run

    return "pipelines" if "pipelines" in {parameter.name for parameter in run.params} else "pipeline"


def load_only(names: Sequence[str]) -> None:
    """Let Kedro load no other pipelines than these from now on; none means all. Before 1.5 it loads all anyway."""
    if hasattr(pipelines, "set_requested"):
        pipelines.set_requested(list(names) or None)


# The catalog and its datasets


def replace_dataset(catalog: CatalogProtocol[Any, Any], name: str, dataset: AbstractDataset[Any, Any]) -> None:
    """Put a dataset in another's place; ``catalog[name] = ...`` would forget the validators declared for the entry."""
    catalog._datasets[name] = dataset  # noqa: SLF001


def pattern_of(catalog: CatalogProtocol[Any, Any], name: str) -> str | None:
    """The factory pattern that a name matches, unless the catalog has an entry of that very name."""
    if not isinstance(catalog, DataCatalog):  # A class of the project's own, which may have no patterns.
        return None
    resolver = catalog.config_resolver
    if name in resolver.config:
        return None
    return resolver.match_dataset_pattern(name) or resolver.match_user_catch_all_pattern(name)


def is_catch_all(pattern: str) -> bool:
    """Whether every name matches a factory pattern."""
    from kedro.io.catalog_config_resolver import CatalogConfigResolver

    return CatalogConfigResolver._pattern_specificity(pattern) == 0  # noqa: SLF001


def version_of(dataset: object) -> Version | None:
    """The version of a dataset that has versions."""
    return dataset._version if isinstance(dataset, AbstractVersionedDataset) else None  # noqa: SLF001


def is_ephemeral(dataset: object) -> bool:
    """Whether a dataset's data ends with the process."""
    return bool(getattr(dataset, "_EPHEMERAL", False))


def file_of(dataset: object) -> tuple[str, str] | None:
    """The protocol and the path of a dataset that is a file; the datasets of ``kedro-datasets`` know both by these names."""
    path = getattr(dataset, "_filepath", None) or getattr(dataset, "_path", None)
    if path is None:
        return None
    text = str(path)
    return str(getattr(dataset, "_protocol", None) or text.rpartition("://")[0] or "file"), text


def signs_of_file(dataset: Any) -> dict[str, str] | None:
    """What tells the file of a dataset from one that another run left in its place; None where there is no telling."""
    path = getattr(dataset, "_filepath", None)
    if path is None:
        return None
    try:
        if hasattr(dataset, "_fs"):
            versioned = getattr(dataset, "_get_load_path", None)
            info = dataset._fs.info(str(versioned() if versioned else path))  # noqa: SLF001
        else:
            status = os.stat(path)
            info = {"size": status.st_size, "mtime": status.st_mtime}
        return {sign: str(info[sign]) for sign in _SIGNS if sign in info}
    except Exception:  # Whatever the file system of a dataset raises or answers: then it cannot tell.
        return None


# Runners


class Runner(AbstractRunner):
    """What Kedro's runners call in the course of a run, under public names."""

    def on_saved(self, node: Node, catalog: CatalogProtocol[Any, Any]) -> None:
        """All outputs of a node are saved."""

    def _release_datasets(  # type: ignore[override] # Kedro calls its static method as one of the runner's
        self, node: Node, catalog: CatalogProtocol[Any, Any], load_counts: dict[str, int], pipeline: Pipeline
    ) -> None:
        self.on_saved(node, catalog)
        super()._release_datasets(node, catalog, load_counts, pipeline)

    @property
    def _logger(self) -> logging.Logger:
        # Kedro shows the progress that its own modules report; from a logger of ours its default configuration hides it.
        return logging.getLogger(kedro_runner.__name__)


class ExecutorRunner(kedro_runner.ParallelRunner):
    """Kedro's ParallelRunner over an executor of one's own: no manager process, and the executor is told of the hooks."""

    _hook_manager: PluginManager | None = None

    def __init__(self, max_workers: int | None, *, is_async: bool) -> None:
        # Not Kedro's own constructor, which starts a manager process.
        AbstractRunner.__init__(self, is_async=is_async)
        self._max_workers = self._validate_max_workers(max_workers)

    def make_executor(self, max_workers: int, hook_manager: PluginManager | None) -> Executor:
        """The executor of a run, which is given a `kedro.runner.Task` for each node.

        Args:
            max_workers: tasks at once, at most.
            hook_manager: the run's, which Kedro withholds from the tasks.
        """
        raise NotImplementedError

    def __del__(self) -> None:
        """Nothing to shut down: there is no manager process."""

    def _run(
        self,
        pipeline: Pipeline,
        catalog: CatalogProtocol[Any, Any],
        hook_manager: PluginManager | None = None,
        run_id: str | None = None,
    ) -> None:
        self._hook_manager = hook_manager
        super()._run(pipeline, cast("Any", catalog), hook_manager, run_id)

    def _get_executor(self, max_workers: int) -> Executor:
        return self.make_executor(max_workers, self._hook_manager)

    @classmethod
    def _validate_catalog(cls, catalog: Any) -> None:
        SharedMemoryDataCatalog.validate_catalog(catalog)

    def _set_manager_datasets(self, catalog: object) -> None:
        """Nothing to set: no dataset lives in a manager process."""
