"""Kedro's three runners over the store.

``kedro run --runner=bodega.kedro.ParallelRunner`` works on any project: datasets that the catalog does not define
go to the store, so that no node sees what another changes in its inputs, and processes share data without pickling.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from kedro.io.data_catalog import SharedMemoryDataCatalog
from kedro.runner.runner import AbstractRunner

from bodega.kedro.project.place import current_place, is_resumed, place_apart
from bodega.kedro.run import resume
from bodega.kedro.run.beginning import begin, end, is_begun
from bodega.kedro.run.hooks import with_ours
from bodega.kedro.run.registration import register
from bodega.kedro.run.resume import RunRecord
from bodega.kedro.run.workers import WorkerPool
from kedro import runner as kedro_runner

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from kedro.io import CatalogProtocol
    from kedro.pipeline import Pipeline
    from kedro.pipeline.node import Node
    from pluggy import PluginManager

    from bodega.kedro.project.place import Place


class _OverTheStore(AbstractRunner):
    """What the three runners add to Kedro's."""

    _apart = False
    """Whether every node runs in a process of its own."""
    _resume: bool | None = None
    """Whether nodes that finished in the run are skipped; None: as the environment and ``bodega.yml`` say."""

    def run(
        self,
        pipeline: Pipeline,
        catalog: CatalogProtocol[Any, Any],
        hook_manager: PluginManager | None = None,
        *args: Any,
        **options: Any,
    ) -> dict[str, Any]:
        """Register the pipeline's datasets, then run as Kedro does.

        Raises:
            SettingsError: a dataset has to cross processes, but the project's ``bodega.yml`` keeps it out of the store.
            TaskFailed: the process of a node died.
        """
        place = current_place.get() or place_apart()
        if is_begun():  # By the hook; but it does not know the runner.
            register(pipeline, catalog, place, apart=self._apart)
            return self._run_in(place, pipeline, catalog, hook_manager, *args, **options)
        place = begin(pipeline, catalog, place, apart=self._apart)
        try:
            return self._run_in(place, pipeline, catalog, hook_manager, *args, **options)
        finally:
            end()

    def _run_in(
        self,
        place: Place,
        pipeline: Pipeline,
        catalog: CatalogProtocol[Any, Any],
        hook_manager: PluginManager | None,
        *args: Any,
        **options: Any,
    ) -> dict[str, Any]:
        self._record = RunRecord(place)
        skips = is_resumed(place.settings) if self._resume is None else self._resume
        left = resume.missing(pipeline, catalog, self._record, place) if skips else pipeline
        self._record.forget(left.nodes)
        outcome = super().run(left, catalog, with_ours(hook_manager), *args, **options)
        resume.forget_inner(pipeline, place)
        return outcome

    def _release_datasets(  # type: ignore[override] # Kedro calls its static method as one of the runner's
        self, node: Node, catalog: CatalogProtocol[Any, Any], load_counts: dict[str, int], pipeline: Pipeline
    ) -> None:
        # Kedro calls this when all outputs of the node are saved.
        self._record.add(node, catalog)
        super()._release_datasets(node, catalog, load_counts, pipeline)

    @property
    def _logger(self) -> logging.Logger:
        # Kedro shows the progress that its own modules report; from a logger of ours its default configuration hides it.
        return logging.getLogger(kedro_runner.__name__)


class SequentialRunner(_OverTheStore, kedro_runner.SequentialRunner):
    """Runs one node after the other; each gets its own private view of its inputs."""

    def __init__(self, is_async: bool = False, *, resume: bool | None = None) -> None:
        """Choose how to run.

        Args:
            is_async: whether datasets of a node are loaded and saved in threads.
            resume: whether nodes that finished in this run are skipped, unless their parameters or inputs are others
                since; by default as ``BODEGA_RESUME`` and the key ``resume`` of ``bodega.yml`` say.
        """
        super().__init__(is_async=is_async)
        self._resume = resume


class ThreadRunner(_OverTheStore, kedro_runner.ThreadRunner):
    """Runs nodes in threads; each gets its own private view of its inputs."""

    def __init__(self, max_workers: int | None = None, is_async: bool = False, *, resume: bool | None = None) -> None:
        """Choose the number of threads.

        Args:
            max_workers: threads at most, by default as many as nodes can run at once.
            is_async: Kedro's, which a ThreadRunner takes no notice of.
            resume: as of `SequentialRunner`.
        """
        super().__init__(max_workers=max_workers, is_async=is_async)
        self._resume = resume


class ParallelRunner(_OverTheStore, kedro_runner.ParallelRunner):
    """Runs nodes in processes that share data through the store; there is no manager process.

    A node starts as soon as its inputs exist. Hooks run in the workers, those of plugins and of ``settings.HOOKS``.
    ``KEDRO_MP_CONTEXT`` chooses between fork, spawn and forkserver.
    """

    _apart = True

    def __init__(self, max_workers: int | None = None, is_async: bool = False, *, resume: bool | None = None) -> None:
        """Choose the number of processes.

        Args:
            max_workers: processes at most, by default one a core.
            is_async: whether each process loads and saves the datasets of its node in threads.
            resume: as of `SequentialRunner`.

        Raises:
            ValueError: ``max_workers`` is not positive.
        """
        # Not Kedro's own constructor, which starts a manager process.
        AbstractRunner.__init__(self, is_async=is_async)
        self._max_workers = self._validate_max_workers(max_workers)
        self._resume = resume

    def __del__(self) -> None:
        """Nothing to shut down: there is no manager process."""

    def _run(
        self,
        pipeline: Pipeline,
        catalog: CatalogProtocol[Any, Any],
        hook_manager: PluginManager | None = None,
        run_id: str | None = None,
    ) -> None:
        # Kedro's own withholds the hook manager, by which the pool knows whether the workers are to run hooks.
        AbstractRunner._run(self, pipeline, catalog, hook_manager, run_id)  # noqa: SLF001

    def _get_executor(self, max_workers: int) -> Executor:
        return WorkerPool(max_workers)

    @classmethod
    def _validate_catalog(cls, catalog: Any) -> None:
        SharedMemoryDataCatalog.validate_catalog(catalog)

    def _set_manager_datasets(self, catalog: object) -> None:
        """Nothing to set: no dataset lives in a manager process."""
