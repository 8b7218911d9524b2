"""A project's pipeline as the request for a workflow, and what a person says of its parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import click

from bodega.argo.arguments import IMAGE, RUN
from bodega.kedro.project.parameters import from_texts, is_passable, merged, to_text, used_parameters
from bodega.kedro.project.session import OpenedProject, open_project
from bodega.plan import GroupingRule

if TYPE_CHECKING:
    from kedro.framework.startup import ProjectMetadata

    from bodega.argo.workflow import Request

_Command = TypeVar("_Command", bound=Callable[..., object])


def workflow_options(command: _Command) -> _Command:
    """The options that `make_request` takes besides those of a project."""
    for option in (
        click.option(
            "--grouping",
            type=click.Choice(get_args(GroupingRule)),
            help="Which nodes share a pod; else deployment.grouping of bodega.yml.",
        ),
        click.option("--name", metavar="NAME", help="Of the workflow; else the project's."),
        click.option("--image", metavar="IMAGE", help="Of every pod; else deployment.image of bodega.yml."),
    ):
        command = option(command)
    return command


def make_request(
    metadata: ProjectMetadata,
    *,
    env: str | None,
    pipelines: list[str],
    params: dict[str, Any],
    conf_source: str | None,
    image: str | None,
    name: str | None,
    grouping: GroupingRule | None,
) -> tuple[OpenedProject, Request]:
    """What a workflow of the project is made of, checked.

    Raises:
        LintError: there is something that lint calls an error.
    """
    from bodega.argo.workflow import Details, Request
    from bodega.kedro.lint.checks import lint
    from bodega.kedro.lint.findings import refuse_errors
    from bodega.kedro.project.inventory import stored_in_run, take_inventory
    from bodega.kedro.project.selection import pipelines_of

    project = open_project(metadata, env=env, pipelines=pipelines, params=params, conf_source=conf_source)
    deployment = project.deployment
    given: dict[str, Any] = {"image": image, "grouping": grouping}
    deployment = replace(deployment, **{key: value for key, value in given.items() if value is not None})
    findings = lint(project, deployment)
    refuse_errors(findings)
    for finding in findings:
        click.echo(f"Warning: {finding.subject} ({finding.code}): {finding.message} {finding.remedy}", err=True)
    plan = project.plan(deployment.grouping)
    nodes = {node.name: node for node in project.pipeline.nodes}
    parameters = {key: value for key, value in parameters_of(project).items() if is_passable(value)}
    stored = stored_in_run(project, take_inventory(project, plan, is_run_new=True))
    of_nodes = pipelines_of(project, [task.nodes for task in plan.tasks])
    details = {}
    for task in plan.tasks:
        read = {name for node in task.nodes for name in nodes[node].inputs}
        # What the configuration itself takes from parameters, such as paths of the catalog, every task may need.
        used = parameters if _configuration_reads_parameters(project) else used_parameters(read, parameters)
        outputs = tuple(name for name in task.outputs if name in stored)
        details[task.name] = Details(tuple(used), of_nodes[task.nodes], outputs)
    request = Request(
        name=name or deployment.workflow_name or project.package_name,
        plan=plan,
        settings={task.name: deployment.for_task(nodes[node] for node in task.nodes) for task in plan.tasks},
        all_together=None if project.settings.reaches_other_hosts else deployment.for_task(nodes.values()),
        deployment=deployment,
        parameters={key: to_text(value) for key, value in parameters.items()},
        details=details,
        env=env,
        conf_source=conf_source,
    )
    return project, request


def _configuration_reads_parameters(project: OpenedProject) -> bool:
    """Whether any file of the configuration has ``${runtime_params:...}`` in it."""
    folder = Path(str(project.context.config_loader.conf_source))
    files = (file for ending in ("yml", "yaml", "json") for file in folder.rglob(f"*.{ending}"))
    return any("runtime_params:" in file.read_text(encoding="utf-8", errors="replace") for file in files)


def parameters_of(project: OpenedProject) -> dict[str, Any]:
    """The parameters that the pipeline reads."""
    return used_parameters(project.pipeline.datasets(), project.parameters)


def arguments(project: OpenedProject, given: Mapping[str, str]) -> dict[str, str]:
    """What a person gives a workflow of the project, as its parameters.

    Args:
        project: whose types hold.
        given: texts by parameters of the workflow, or of the project, also nested ones such as ``model.depth``.

    Raises:
        SettingsError: there is no such parameter, or the text does not fit its type.
    """
    from bodega.argo.workflow import parameter_names

    known = parameters_of(project)
    names = parameter_names([key for key, value in known.items() if is_passable(value)])
    kedros = {workflows: kedros for kedros, workflows in names.items()}
    own = {name: text for name, text in given.items() if name in {IMAGE, RUN}}
    values = from_texts({kedros.get(name, name): text for name, text in given.items() if name not in own}, known)
    return own | {names[key]: to_text(merged(known[key], value)) for key, value in values.items()}
