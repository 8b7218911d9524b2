"""Kedro's three runners over the store.

``kedro run --runner=bodega.kedro.ParallelRunner`` works on any project: datasets that the catalog does not define
go to the store, so that no node sees what another changes in its inputs, and processes share data without pickling.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bodega.kedro.compat import ExecutorRunner, Runner
from bodega.kedro.project.place import current_place, is_resumed, place_apart
from bodega.kedro.run import resume
from bodega.kedro.run.beginning import begin, end, is_begun
from bodega.kedro.run.hooks import has_others, with_ours
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


class _OverTheStore(Runner):
    """What the three runners add to Kedro's."""

    _apart = False
    """Whether every node runs in a process of its own."""
    _resume: bool | None = None
    """Whether nodes that finished in the run are skipped; None: as the environment and ``bodega.yml`` say."""

    def __str__(self) -> str:
        # All that hooks get to know of a runner; see `is_resumed`.
        told = "" if self._resume is None else f"resume={self._resume}"
        return f"{type(self).__module__}.{type(self).__qualname__}({told})"

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
        left = pipeline
        if is_resumed(place.settings, self):
            left = resume.missing(pipeline, catalog, self._record, place)
        self._record.forget(left.nodes)
        outcome = super().run(left, catalog, with_ours(hook_manager), *args, **options)
        resume.forget_inner(pipeline, place)
        return outcome

    def on_saved(self, node: Node, catalog: CatalogProtocol[Any, Any]) -> None:
        """Write down that the node has finished."""
        self._record.add(node, catalog)


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


class ParallelRunner(_OverTheStore, ExecutorRunner):
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
        super().__init__(max_workers, is_async=is_async)
        self._resume = resume

    def make_executor(self, max_workers: int, hook_manager: PluginManager | None) -> Executor:
        """Processes of ours."""
        return WorkerPool(max_workers, runs_hooks=has_others(hook_manager))
