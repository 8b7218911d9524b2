"""What Kedro calls in every project of an environment that has bodega installed (entry point ``kedro.hooks``).

Nothing changes until a project opts in, by a ``bodega.yml`` in its configuration or by a runner of
`bodega.kedro`. One instance serves every session and thread, so it keeps nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.framework.hooks import hook_impl
from kedro.framework.hooks.manager import _create_hook_manager
from pluggy import PluginManager

from bodega.kedro.project.place import DEFAULT_ENV, Project, current_place, current_project
from bodega.settings import current_task

if TYPE_CHECKING:
    from kedro.framework.context import KedroContext
    from kedro.io import CatalogProtocol
    from kedro.pipeline import Pipeline
    from kedro.pipeline.node import Node


class BodegaHooks:
    """Reads the project's settings, registers the datasets of a run, and says which node is at work."""

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Read ``bodega.yml``."""
        current_project.set(Project.of(context))

    @hook_impl(trylast=True)
    def after_catalog_created(self, catalog: CatalogProtocol[Any, Any], save_version: str | None) -> None:
        """Show what is in the store to those who look at a catalog outside a run: notebooks and Kedro-Viz."""
        project = current_project.get()
        is_outside_a_run = save_version is None
        if is_outside_a_run and project is not None and project.settings is not None:
            from bodega.kedro.run.registration import register_stored

            register_stored(catalog, project.place())

    @hook_impl(trylast=True)  # After hooks that add datasets of their own, which are then as explicit as the catalog's.
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol[Any, Any]
    ) -> None:
        """Decide which run this is, and register its datasets if the project has opted in."""
        project = current_project.get()
        path = Path(run_params["project_path"])
        if project is None or project.path != path:  # A session that creates its context in some other way.
            project = Project(path=path, env=run_params.get("env") or DEFAULT_ENV)
        place = project.place(run_params)
        current_place.set(place)
        if project.settings is not None:
            from bodega.kedro.run.beginning import begin

            current_place.set(begin(pipeline, catalog, place))

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Forget the run."""
        _forget()

    @hook_impl
    def on_pipeline_error(self) -> None:
        """Forget the run, and say how to go on with it."""
        from bodega.kedro.run.beginning import say_how_to_go_on

        place = current_place.get()
        if place is not None:
            say_how_to_go_on(place)
        _forget()

    @hook_impl
    def before_node_run(self, node: Node) -> None:
        """Whatever the node's function itself puts into a store has the node as its producer."""
        current_task.set(node.name)

    @hook_impl(trylast=True)  # After hooks that change outputs.
    def after_node_run(self, node: Node, catalog: CatalogProtocol[Any, Any], outputs: dict[str, Any]) -> None:
        """The node's function is done, unless it is a generator: then it goes on while its chunks are saved."""
        from bodega.kedro.run.streams import follow

        current_task.set(None)
        follow(node, catalog, outputs)

    @hook_impl
    def on_node_error(self) -> None:
        """The node's function is done."""
        current_task.set(None)


def _forget() -> None:
    from bodega.kedro.run.beginning import end

    current_place.set(None)
    end()


hooks = BodegaHooks()


def with_ours(manager: object) -> PluginManager:
    """The hooks of a run for a runner of ours, which needs these: without them streams would not be seen to end.

    Args:
        manager: the run's, if it has one: without a session there is none, and a project may have switched ours off.
    """
    if not isinstance(manager, PluginManager):
        manager = _create_hook_manager()
    if not manager.is_registered(hooks):
        manager.register(hooks)
    return manager


def has_others(manager: PluginManager | None) -> bool:
    """Whether a run has hooks besides ours."""
    return manager is not None and manager.get_plugins() != {hooks}
