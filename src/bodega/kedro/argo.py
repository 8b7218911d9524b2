"""``kedro bodega argo``: the project's pipeline as an Argo workflow."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from bodega.commands import json_option
from bodega.deployment import ManifestKind
from bodega.kedro.parameters import is_passable, to_text, used_parameters
from bodega.kedro.session import OpenedProject, open_project, project_options
from bodega.plan import GroupingRule

if TYPE_CHECKING:
    from kedro.framework.startup import ProjectMetadata

    from bodega.k8s.argo.workflow import Request

FOLDER = "argo"
"""Of the project, where manifests go."""


@click.group()
def argo() -> None:
    """Run the pipeline as an Argo workflow.

    \b
    Examples:
      kedro bodega argo generate --env prod
      kedro bodega argo lint argo/shop.yaml
      kedro bodega argo submit --env prod -p depth=7 --watch
    """


_manifest_options = (
    click.option("--image", metavar="IMAGE", help="Of every pod; else deployment.image of bodega.yml."),
    click.option("--name", metavar="NAME", help="Of the workflow; else the project's."),
    click.option(
        "--grouping",
        type=click.Choice(get_args(GroupingRule)),
        help="Which nodes share a pod; else deployment.grouping of bodega.yml.",
    ),
)


def manifest_options(command: Any) -> Any:
    """The options that `make_request` takes besides those of the project."""
    for option in _manifest_options:
        command = option(command)
    return command


@argo.command()
@project_options
@manifest_options
@click.option("--kind", type=click.Choice(get_args(ManifestKind)), help="What to make; else deployment.kind.")
@click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False, path_type=Path),
    help=f"The file; by default {FOLDER}/NAME.yaml in the project. - is standard output.",
)
@json_option
@click.pass_obj
def generate(
    metadata: ProjectMetadata,
    /,
    *,
    kind: ManifestKind | None,
    output: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Write the workflow of a pipeline as YAML.

    What 'kedro bodega lint' calls an error is refused, and nothing is written then.

    \b
    Examples:
      kedro bodega argo generate --env prod
      kedro bodega argo generate --env prod --grouping auto --output - | argo submit -
      kedro bodega argo generate --kind CronWorkflow --image registry.example.com/shop:1.2
    """
    from bodega.k8s.argo.manifest import make_manifest, to_yaml

    project, request = make_request(metadata, **options)
    manifest = make_manifest(request, kind or project.settings.deployment.kind)
    text = to_yaml(manifest, heading=_heading(project))
    if output == Path("-"):
        click.echo(text, nl=False)
        return
    file = output or project.project_path / FOLDER / f"{_base_name(manifest)}.yaml"
    _write(file, text)
    if as_json:
        facts = {"file": str(file), "kind": manifest["kind"], "tasks": [task.name for task in request.plan.tasks]}
        click.echo(json.dumps(facts, indent=2))
        return
    count = len(request.plan.tasks)
    click.echo(f"Wrote {file}: a {manifest['kind']} of {count} task{'' if count == 1 else 's'}.")


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
        BodegaError: there is an error that lint finds, or no plan.
    """
    from bodega.k8s.argo.workflow import Request

    project = open_project(metadata, env=env, pipelines=pipelines, params=params, conf_source=conf_source)
    plan = project.plan(grouping)
    deployment = project.settings.deployment
    if image is not None:
        deployment = replace(deployment, image=image)
    nodes = {node.name: node for node in project.pipeline.nodes}
    parameters = used_parameters(project.pipeline.datasets(), project.parameters)
    return project, Request(
        name=name or deployment.workflow_name or project.package_name,
        plan=plan,
        settings={task.name: deployment.for_task(nodes[node] for node in task.nodes) for task in plan.tasks},
        all_together=None if project.settings.reaches_other_hosts else deployment.for_task(nodes.values()),
        deployment=deployment,
        parameters={name: to_text(value) for name, value in parameters.items() if is_passable(value)},
        env=env,
        pipelines=tuple(pipelines),
        conf_source=conf_source,
    )


def _heading(project: OpenedProject) -> str:
    return f"Made by 'kedro bodega argo generate' from {project.package_name}; make it anew rather than change it."


def _base_name(manifest: dict[str, Any]) -> str:
    metadata = manifest["metadata"]
    return str(metadata.get("name") or metadata["generateName"].rstrip("-"))


def _write(file: Path, text: str) -> None:
    """Write a file in one atomic step."""
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor, draft = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with open(descriptor, "w", encoding="utf-8") as target:
            target.write(text)
        os.chmod(draft, 0o644)
        os.replace(draft, file)
    except BaseException:
        os.unlink(draft)
        raise
