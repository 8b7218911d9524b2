"""``kedro bodega argo``: the project's pipeline as an Argo workflow."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from bodega.commands import count, json_flag, json_option, print_json, write_file
from bodega.kedro.cli.workflow import arguments, make_request, workflow_options
from bodega.kedro.project.session import project_options
from bodega.kubernetes.deployment import ManifestKind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kedro.framework.startup import ProjectMetadata
    from rich.console import Console

    from bodega.argo.submit import Cluster

FOLDER = "argo"
"""Of the project, where manifests go."""
INTERRUPTED = 130


@click.group()
def argo() -> None:
    """Run the pipeline as an Argo workflow.

    \b
    Examples:
      kedro bodega argo generate --env prod
      kedro bodega argo lint argo/shop.yaml
      kedro bodega argo submit --env prod -p depth=7 --watch
    """


@argo.command()
@project_options
@workflow_options
@click.option("--kind", type=click.Choice(get_args(ManifestKind)), help="What to make; else deployment.kind.")
@click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False, path_type=Path),
    help=f"The file; by default {FOLDER}/NAME.yaml in the project. - is standard output.",
)
@json_flag
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
      kedro bodega argo generate --env prod --grouping auto -o argo/shop-prod.yaml
      kedro bodega argo generate --kind CronWorkflow --image registry.example.com/shop:1.2
    """
    from bodega.argo.manifest import make_manifest, to_yaml

    project, request = make_request(metadata, **options)
    manifest = make_manifest(request, kind or project.deployment.kind)
    heading = f"Made by 'kedro bodega argo generate' from {project.package_name}; make it anew rather than change it."
    text = to_yaml(manifest, heading=heading)
    if output == Path("-"):
        click.echo(text, nl=False)
        return
    name = manifest["metadata"].get("name") or manifest["metadata"]["generateName"].rstrip("-")
    file = output or project.project_path / FOLDER / f"{name}.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    write_file(file, text)
    if as_json:
        facts = {"file": str(file), "kind": manifest["kind"], "tasks": [task.name for task in request.plan.tasks]}
        print_json(facts)
        return
    click.echo(f"Wrote {file}: a {manifest['kind']} of {count(len(request.plan.tasks), 'task')}.")


@argo.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@json_option
@click.pass_context
def lint(ctx: click.Context, /, *, files: tuple[Path, ...], as_json: bool) -> None:
    """Check manifests, whoever wrote them.

    Names, labels, quantities, durations and mounts; and what 'argo lint --offline' says of fields, types and references,
    where that program is on the PATH. The exit code is 1 if something is wrong.

    \b
    Examples:
      kedro bodega argo lint argo/*.yaml
      kedro bodega argo lint argo/shop.yaml --json | jq '.findings[].path'
    """
    from bodega.argo.lint import has_program, lint_file

    findings = [(str(file), finding) for file in files for finding in lint_file(file)]
    if as_json:
        shown = [{"file": file, "path": found.subject, "message": found.message} for file, found in findings]
        print_json({"argo_asked": has_program(), "findings": shown})
    else:
        for file, found in findings:
            click.echo(": ".join(filter(None, (file, found.subject, found.message))))
        click.echo(f"Checked {count(len(files), 'file')}: found {count(len(findings), 'problem')}.", err=True)
        if not has_program():
            click.echo(
                "Put 'argo' on the PATH to have fields, types and references checked by 'argo lint' too.", err=True
            )
    ctx.exit(1 if findings else 0)


def _cluster_options(command: Callable[..., object]) -> Callable[..., object]:
    for option in (
        click.option("--namespace", metavar="NAME", help="Of Kubernetes; else the workflow's, else the context's."),
        click.option("--context", metavar="NAME", help="Of the kubeconfig; else its current one."),
        click.option("--server", metavar="URL", help="Of an Argo server; else ARGO_SERVER, with ARGO_TOKEN."),
    ):
        command = option(command)
    return command


@argo.command()
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@project_options
@workflow_options
@click.option("--parameter", "-p", "given", multiple=True, metavar="NAME=VALUE", help="A parameter of the workflow.")
@_cluster_options
@click.option("--watch", "watches", is_flag=True, help="Show its tasks until it ends; the exit code is its outcome.")
@click.option("--dry-run", is_flag=True, help="Print what would be sent.")
@json_option
@click.pass_context
def submit(
    ctx: click.Context,
    /,
    *,
    file: Path | None,
    given: tuple[str, ...],
    server: str | None,
    context: str | None,
    namespace: str | None,
    watches: bool,
    dry_run: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Run a workflow now: the one of FILE, or of the pipeline as it is.

    It goes to an Argo server if one is named, else to the API of Kubernetes. Of a WorkflowTemplate or CronWorkflow one
    workflow is run. Values of parameters are checked against the project's types, unless FILE is given.

    \b
    Examples:
      kedro bodega argo submit --env prod --watch
      kedro bodega argo submit --env prod -p multiplier=100 -p model.depth=7
      kedro bodega argo submit argo/shop.yaml --server https://argo.example.com --namespace ml
      kedro bodega argo submit --dry-run
    """
    from bodega.argo.arguments import as_workflow, with_parameters
    from bodega.argo.submit import connect

    texts = _pairs(given)
    if file is not None:
        workflow = with_parameters(as_workflow(_read(file)), texts)
    else:
        from bodega.argo.manifest import make_manifest

        project, request = make_request(ctx.obj, **options)
        workflow = with_parameters(make_manifest(request, "Workflow"), arguments(project, texts))
    if dry_run:
        from bodega.argo.manifest import to_yaml

        click.echo(to_yaml(workflow, heading="What would be sent."), nl=False)
        return
    namespace = namespace or workflow["metadata"].get("namespace")
    cluster = connect(server=server, context=context, namespace=namespace)
    workflow["metadata"]["namespace"] = cluster.namespace
    created = cluster.create(workflow)
    name = created["metadata"]["name"]
    if not as_json:
        click.echo(f"Submitted {cluster.namespace}/{name}.", err=watches)
    if watches:
        again = _again(name, server=server, context=context, namespace=cluster.namespace)
        _watch(ctx, cluster, name, again, as_json=as_json)
    elif as_json:
        print_json(_facts(created))


@argo.command()
@click.argument("name")
@_cluster_options
@json_option
@click.pass_context
def watch(
    ctx: click.Context, /, *, name: str, server: str | None, context: str | None, namespace: str | None, as_json: bool
) -> None:
    """Show the tasks of a workflow until it ends; the exit code is its outcome.

    \b
    Examples:
      kedro bodega argo watch shop-x7k2p --namespace ml
    """
    from bodega.argo.submit import connect

    cluster = connect(server=server, context=context, namespace=namespace)
    again = _again(name, server=server, context=context, namespace=cluster.namespace)
    _watch(ctx, cluster, name, again, as_json=as_json)


def _watch(ctx: click.Context, cluster: Cluster, name: str, again: str, *, as_json: bool) -> None:
    from rich.console import Console

    from bodega.argo.watch import SUCCEEDED, phase_of, watch

    console: Console = Console(stderr=as_json, markup=False, emoji=False, highlight=False)
    try:
        workflow = watch(cluster, name, console)
    except KeyboardInterrupt:
        click.echo(f"\nThe workflow goes on. To watch it again: {again}", err=True)
        ctx.exit(INTERRUPTED)
    if as_json:
        print_json(_facts(workflow))
    ctx.exit(0 if phase_of(workflow) == SUCCEEDED else 1)


def _again(name: str, **options: str | None) -> str:
    words = ["kedro", "bodega", "argo", "watch", name]
    for option, value in options.items():
        words += [f"--{option}", value] if value else []
    return shlex.join(words)


def _facts(workflow: Mapping[str, Any]) -> dict[str, Any]:
    from dataclasses import asdict

    from bodega.argo.watch import phase_of, tasks_of

    metadata = workflow["metadata"]
    return {
        "name": metadata["name"],
        "namespace": metadata["namespace"],
        "uid": metadata.get("uid"),
        "phase": phase_of(workflow),
        "tasks": [asdict(state) for state in tasks_of(workflow)],
    }


def _pairs(given: tuple[str, ...]) -> dict[str, str]:
    pairs = {}
    for each in given:
        name, equals, text = each.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"{each!r} has no value: write NAME=VALUE.", param_hint="-p")
        pairs[name] = text
    return pairs


def _read(file: Path) -> dict[str, Any]:
    """The one manifest of a file."""
    from bodega.argo.lint import read_manifests

    (manifest,) = read_manifests(file)
    return manifest
