"""``kedro bodega ls``, ``info``, ``rm`` and ``usage``: the commands of ``bodega``, in the project's own root and run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from kedro.framework.cli.utils import env_option

from bodega.commands import (
    all_runs_option,
    dry_run_option,
    json_option,
    list_objects,
    only_runs_option,
    remove_objects,
    show_object,
    show_usage,
    yes_option,
)
from bodega.env import RUN_VARIABLE
from bodega.errors import ObjectNotFound
from bodega.kedro.dataset import maker
from bodega.kedro.project.session import OpenedProject, conf_source_option, open_project
from bodega.names import stored_name

if TYPE_CHECKING:
    from kedro.framework.startup import ProjectMetadata

    from bodega.store import Store

run_option = click.option(
    "--run", metavar="RUN", help=f"Another run than the project's own (or that of {RUN_VARIABLE})."
)


@click.command()
@click.argument("pattern", default="*")
@env_option
@conf_source_option
@run_option
@all_runs_option
@only_runs_option
@json_option
@click.pass_context
def ls(
    ctx: click.Context,
    pattern: str,
    env: str | None,
    conf_source: str | None,
    run: str | None,
    *,
    all_runs: bool,
    only_runs: bool,
    as_json: bool,
) -> None:
    """List what the project's run holds.

    PATTERN is one of a shell (*, ?, [...]) that names match. A damaged object is listed as such, and the exit code is
    then 1.

    \b
    Examples:
      kedro bodega ls
      kedro bodega ls 'features.*' --env prod
      kedro bodega ls --run nightly-42 --json
      kedro bodega ls --runs
    """
    store = _open(open_project(ctx.obj, env=env, conf_source=conf_source), run)
    list_objects(ctx, store, pattern, all_runs=all_runs, only_runs=only_runs, as_json=as_json)


@click.command()
@click.argument("name")
@env_option
@conf_source_option
@run_option
@json_option
@click.pass_obj
def info(
    metadata: ProjectMetadata, name: str, env: str | None, conf_source: str | None, run: str | None, *, as_json: bool
) -> None:
    """Show all facts of a dataset in the store.

    Its columns, size and tier, the node that makes it and the nodes that read it. NAME is that of the dataset; only the
    header of the object is read, not its data.

    \b
    Examples:
      kedro bodega info model_input
      kedro bodega info model_input --env prod --json
    """
    project = open_project(metadata, env=env, conf_source=conf_source)
    stored = stored_name(name)
    readers = {
        node.name
        for pipeline in project.pipelines.values()
        for node in pipeline.nodes
        if stored in map(stored_name, node.inputs)
    }
    made_by = maker(stored)
    try:
        show_object(
            _open(project, run), stored, as_json=as_json, known={"made_by": made_by, "readers": sorted(readers)}
        )
    except ObjectNotFound as error:
        if made_by is not None:
            error.add_hint(f"Node {made_by!r} makes it: kedro run --to-nodes {made_by}.")
        raise


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME|PATTERN]...")
@env_option
@conf_source_option
@run_option
@yes_option
@dry_run_option
@json_option
@click.pass_context
def rm(
    ctx: click.Context,
    names: tuple[str, ...],
    env: str | None,
    conf_source: str | None,
    run: str | None,
    *,
    yes: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Remove objects of the project's run, or a whole run.

    By name or pattern; with --run alone all objects of that run. If one of the names is not there, nothing is
    removed. Processes that hold an object keep it.

    \b
    Examples:
      kedro bodega rm model_input
      kedro bodega rm 'features.*' --dry-run
      kedro bodega rm --run nightly-42 --yes
    """
    store = _open(open_project(ctx.obj, env=env, conf_source=conf_source), run)
    remove_objects(ctx, store, names, yes=yes, dry_run=dry_run, as_json=as_json)


@click.command()
@env_option
@conf_source_option
@json_option
@click.pass_obj
def usage(metadata: ProjectMetadata, env: str | None, conf_source: str | None, *, as_json: bool) -> None:
    """Show what the project's store takes and what is left.

    \b
    Examples:
      kedro bodega usage
      kedro bodega usage --env prod --json
    """
    show_usage(_open(open_project(metadata, env=env, conf_source=conf_source), None), as_json=as_json)


def _open(project: OpenedProject, run: str | None) -> Store:
    store = project.place.open()
    return store if run is None else store.with_run(run)
