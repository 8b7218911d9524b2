"""What runs in a pod: ``kedro run`` of a task's nodes, and the small things around a run on a cluster.

``kedro run`` itself does the work, in this process, so that signals reach it. Names of nodes and parameters come to it
through a configuration file, since on its command line commas, and texts such as ``007``, would not stay what they are.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeVar

import click
import yaml

from bodega.errors import BodegaError, PlanError, SettingsError
from bodega.kubernetes import outputs

if TYPE_CHECKING:
    from bodega.kedro.project.session import OpenedProject

RUNNER = "bodega.kedro.SequentialRunner"

_Command = TypeVar("_Command", bound=Callable[..., object])


class _Mistake(click.ClickException):
    """What another try would not mend."""

    exit_code = outputs.MISTAKE


class _Task(click.Group):
    """Errors end as one line on standard error."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (PlanError, SettingsError) as error:
            raise _Mistake(str(error)) from error
        except (BodegaError, OSError) as error:
            raise click.ClickException(str(error)) from error


def _project_options(command: _Command) -> _Command:
    for option in ("--env", "--conf-source", "--pipelines"):
        command = click.option(option)(command)
    return command


@click.group(cls=_Task)
def task() -> None:
    """What the pods of a workflow do; in the folder of a Kedro project."""


@task.command()
@_project_options
@click.option("--nodes", required=True, help="Names of nodes, as a JSON list.")
@click.option("--stored", default="[]", help="What has to be in the store at the end, as a JSON list.")
@click.option("--params", default="{}", help="Texts of parameters by name, as JSON; their types are the project's.")
@click.option("--runner", default=RUNNER, show_default=True)
def run(
    *,
    env: str | None,
    conf_source: str | None,
    pipelines: str | None,
    nodes: str,
    stored: str,
    params: str,
    runner: str,
) -> None:
    """Run some nodes by ``kedro run``, and say where that was and how much they made.

    \b
    Example:
      python -m bodega.kedro.task run --env prod --nodes '["split", "train"]' --params '{"depth": "7"}'
    """
    from bodega.kedro.project.parameters import from_texts, merged
    from bodega.kedro.project.place import is_resumed
    from bodega.kedro.project.selection import load_only
    from bodega.kedro.run.ended import add_host
    from bodega.kedro.run.resume import RunRecord, are_done, this_host

    project = _open(env, conf_source, pipelines)
    load_only(project.pipeline_names)
    outputs.write(outputs.HOST, this_host())
    add_host(project.place)
    given = from_texts(json.loads(params), project.own_parameters)
    if is_resumed(project.settings) and project.place.is_task:
        values = merged(project.own_parameters, given)
        if are_done(json.loads(nodes), RunRecord(project.place), project.place, values):
            click.echo("All nodes of the task have finished in this run.")
            outputs.write(outputs.BYTES, json.dumps(_sizes(project)))
            return
    options = {
        "env": env,
        "conf_source": conf_source,
        _pipelines_key(): pipelines,
        "node_names": ",".join(json.loads(nodes)),
        "runner": runner,
        "params": given,
    }
    _kedro_run({key: value for key, value in options.items() if value})
    outputs.write(outputs.BYTES, json.dumps(_sizes(project)))
    _check_stored(project, json.loads(stored))


@task.command()
def host() -> None:
    """Say where this is."""
    from bodega.kedro.run.resume import this_host

    outputs.write(outputs.HOST, this_host())


@task.command()
@_project_options
def drop(*, env: str | None, conf_source: str | None, pipelines: str | None) -> None:
    """Drop the run here and in the durable tier, what earlier runs left here, and the warm memory of the host."""
    from bodega.kedro.run.ended import end_run

    place = _open(env, conf_source, pipelines).place
    for run, count in end_run(place).items():
        click.echo(f"Dropped {count} objects of run {run!r}.")
    # Whatever runs are kept: whoever is at work makes its own warm memory anew.
    place.open().sweep(empty_pool=True)


def _open(env: str | None, conf_source: str | None, pipelines: str | None) -> OpenedProject:
    from kedro.framework.startup import bootstrap_project
    from kedro.utils import find_kedro_project

    from bodega.kedro.project.session import open_project

    path = find_kedro_project(Path.cwd())
    if path is None:
        raise SettingsError(
            f"{Path.cwd()} is not within a Kedro project: set WORKDIR of the image to the project's folder."
        )
    bootstrap_project(path)
    names = pipelines.split(",") if pipelines else ()
    return open_project(path, env=env, conf_source=conf_source, pipelines=names)


def _kedro_run(options: dict[str, Any]) -> None:
    """``kedro run``; an error of its ends this process as it would end that command."""
    from kedro.framework.cli.cli import main

    with TemporaryDirectory(prefix="bodega-") as folder:
        config = Path(folder) / "run.yml"
        # With quotes around everything: Kedro's reader of YAML has other ideas of what looks like a number.
        config.write_text(yaml.safe_dump({"run": options}, default_style='"', allow_unicode=True), encoding="utf-8")
        sys.argv = ["kedro", "run", "--config", str(config)]
        try:
            main()
        except SystemExit as end:
            if end.code:
                raise


def _pipelines_key() -> str:
    """What ``kedro run`` of this version calls the option for pipelines."""
    from kedro.framework.cli.project import run

    names = {parameter.name for parameter in run.params}
    return "pipelines" if "pipelines" in names else "pipeline"


def _sizes(project: OpenedProject) -> dict[str, int]:
    """Of what the task shares, by name; what it wrote elsewhere counts for nothing, since it lies on no host."""
    store = project.place.open()
    names: Sequence[str] = sorted(project.place.shared or ())
    return {name: store.info(name).nbytes for name in names if store.exists(name)}


def _check_stored(project: OpenedProject, stored: Sequence[str]) -> None:
    """What the manifest says is shared through the store has to be there, or its readers would look for it in vain.

    Raises:
        SettingsError: the project here keeps some of it elsewhere.
    """
    store = project.place.open()
    lacking = [name for name in stored if not store.exists(name)]
    if lacking:
        source = project.settings.source if project.project.settings else "no bodega.yml"
        raise SettingsError(
            f"The task was to share {', '.join(map(repr, lacking))} through the store, run {store.run!r}, and has not put "
            f"it there: the image and the manifest were made of different configurations. Here it is {source}, and the "
            "catalog of the environment. Build the image of the project that the manifest was generated from, or generate "
            "the manifest anew.",
            datasets=lacking,
        )


if __name__ == "__main__":
    task()
