"""``kedro bodega ls``, ``info``, ``rm`` and ``usage``: the commands of ``bodega``, in the project's own root and run."""

from __future__ import annotations

from functools import partial

import click
from kedro.framework.cli.utils import env_option

from bodega.env import RUN_VARIABLE
from bodega.kedro.dataset import maker
from bodega.kedro.project.session import OpenedProject, conf_source_option, open_project
from bodega.names import stored_name
from bodega.objects import Known, Mount, Opened, info_command, list_command, remove_command, usage_command

run_option = click.option(
    "--run", metavar="RUN", help=f"Another run than the project's own (or that of {RUN_VARIABLE})."
)


def _open(env: str | None, conf_source: str | None, run: str | None = None) -> Opened:
    project = open_project(click.get_current_context().obj, env=env, conf_source=conf_source)
    store = project.place.open()
    return Opened(store if run is None else store.with_run(run), partial(_know, project))


def _know(project: OpenedProject, name: str) -> Known:
    stored = stored_name(name)
    readers = {
        node.name
        for pipeline in project.pipelines.values()
        for node in pipeline.nodes
        if stored in map(stored_name, node.inputs)
    }
    made_by = maker(stored)
    remedy = f"Node {made_by!r} makes it: kedro run --to-nodes {made_by}." if made_by else ""
    return Known(stored, {"made_by": made_by, "readers": sorted(readers)}, remedy)


_mount = Mount("kedro bodega", (env_option, conf_source_option), run_option, _open)
ls, info, rm, usage = (each(_mount) for each in (list_command, info_command, remove_command, usage_command))
