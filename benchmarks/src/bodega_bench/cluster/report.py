"""``bodega bench argo-report``: the run times of finished workflows' pods, as the table of the pipeline's benchmark.

A workflow says which medium it went through by a label, and which scale by its parameter ``multiplier``, as those of
``bodega bench argo-manifests`` do. Pods of tasks count; what ends a workflow, or only finds a host, does not.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from bodega.commands import print_json
from bodega.demo.project import Step
from bodega_bench.pipeline.measurements import Measurement
from bodega_bench.pipeline.media import MEDIA
from bodega_bench.pipeline.summary import as_figures, summarise
from bodega_bench.pipeline.tables import published_table, seconds_table
from bodega_bench.results import json_option
from bodega_bench.tables import Table, print_tables

MEDIUM_LABEL = "bodega-bench/medium"
"""The label of a workflow that says which medium it is of."""
SCALE_PARAMETER = "multiplier"
NODES_PARAMETER = "nodes"
"""What a task's pod is given that says which nodes it runs."""
_NODE_ID = "workflows.argoproj.io/node-id"
_CONTAINERS, _PODS = "containers", "pods"
_WHAT = {
    _CONTAINERS: "the run times of the main containers, summed over the tasks",
    _PODS: "the times of the pods, with their init containers and what Argo does, summed over the tasks",
}


@dataclass(frozen=True)
class Run:
    """A workflow that has ended."""

    name: str
    medium: str
    scale: int
    phase: str
    seconds: Mapping[str, float]
    """Of each task's last try."""
    hosts: int
    """How many hosts the tasks ran on."""
    times: str
    """Whose they are: of the main containers where all of the pods are known, else of the pods."""


@click.command()
@click.argument("files", nargs=-1, type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@click.option("--namespace", metavar="NAME", help="Ask the cluster for the workflows of a namespace, by kubectl.")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Also write the tables, as Markdown.",
)
@json_option
def argo_report(files: tuple[Path, ...], namespace: str | None, output: Path | None, *, as_json: bool) -> None:
    """Make the benchmark's table of finished Argo workflows.

    FILES are workflows as JSON, as 'kubectl get workflows,pods -o json' prints them; - is standard input. With the
    pods, which Argo deletes some time after a workflow, the run times are those of their containers, and workflows whose
    pods are gone are left out. What several files hold counts as the last of them has it.

    \b
    Examples:
      bodega bench argo-report --namespace bench --output argo.md
      kubectl get workflows,pods -n bench -o json | bodega bench argo-report -
    """
    if bool(files) == bool(namespace):
        raise click.UsageError("Name files with workflows, or a namespace with --namespace.")
    documents = [_ask(namespace)] if namespace else [_read(file) for file in files]
    objects = {
        (item.get("kind"), item["metadata"].get("namespace"), item["metadata"]["name"]): item
        for document in documents
        for item in _items(document)
    }
    runs = list(find_runs(list(objects.values())))
    if not runs:
        where = f"in namespace {namespace}" if namespace else f"in {', '.join(map(str, files))}"
        raise click.ClickException(
            f"There is no finished workflow of a known medium {where}: see its label {MEDIUM_LABEL}."
        )
    tables = make_tables(runs)
    if output is not None:
        output.write_text("\n".join(table.as_markdown() for table in tables), encoding="utf-8")
    if as_json:
        figures = as_figures(summarise(_measurements(runs)))
        print_json({"runs": [vars(run) for run in runs], "figures": figures})
    else:
        print_tables(tables, Console(highlight=False))
    click.get_current_context().exit(0 if any(run.phase == "Succeeded" for run in runs) else 1)


def _ask(namespace: str) -> Any:
    command = ["kubectl", "get", "workflows.argoproj.io,pods", "--namespace", namespace, "--output", "json"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise click.ClickException("kubectl is not on the path: install it, or name files with workflows.") from None
    if done.returncode:
        raise click.ClickException(f"kubectl cannot read namespace {namespace}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def _read(file: Path) -> Any:
    text = sys.stdin.read() if file == Path("-") else file.read_text(encoding="utf-8")
    try:
        return json.loads(text)
    except ValueError as error:
        raise click.ClickException(f"{file} is not JSON ({error}): write it with 'kubectl ... -o json'.") from error


def _items(document: Any) -> Iterator[dict[str, Any]]:
    """The objects of a list, or the one that it is."""
    for each in document if isinstance(document, list) else [document]:
        if isinstance(each, dict):
            items = each["items"] if isinstance(each.get("items"), list) else [each]
            yield from (item for item in items if isinstance(item.get("metadata"), dict) and "name" in item["metadata"])


def find_runs(objects: Sequence[Mapping[str, Any]]) -> Iterator[Run]:
    """The finished workflows of known media among objects of Kubernetes, with the times of their tasks.

    Args:
        objects: workflows, and pods, if they are to be taken into account.
    """
    containers = dict(_containers(each for each in objects if each.get("kind") == "Pod"))
    for workflow in objects:
        if workflow.get("kind") != "Workflow" or not workflow.get("status", {}).get("finishedAt"):
            continue
        medium, scale = _medium(workflow), _scale(workflow)
        if medium is None or scale is None:
            continue
        pods = sorted(_task_pods(workflow), key=lambda pod: str(pod.get("startedAt")))
        are_known = all(pod["id"] in containers for pod in pods)
        yield Run(
            name=workflow["metadata"]["name"],
            medium=medium,
            scale=scale,
            phase=workflow["status"].get("phase", "Unknown"),
            seconds={
                _title(pod): containers[pod["id"]] if are_known else _between(pod["startedAt"], pod["finishedAt"])
                for pod in pods
            },
            hosts=len({pod.get("hostNodeName") for pod in pods}),
            times=_CONTAINERS if are_known else _PODS,
        )


def _medium(workflow: Mapping[str, Any]) -> str | None:
    name = workflow["metadata"].get("labels", {}).get(MEDIUM_LABEL)
    return name if name in MEDIA else None


def _scale(workflow: Mapping[str, Any]) -> int | None:
    for parameter in workflow["spec"].get("arguments", {}).get("parameters", ()):
        if parameter["name"] == SCALE_PARAMETER and str(parameter.get("value", "")).isdecimal():
            return int(parameter["value"])
    return None


def _task_pods(workflow: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Those that ran nodes; where none says so, all but those that end the workflow."""
    end = f"{workflow['metadata']['name']}.onExit"
    pods = [
        node
        for node in workflow["status"].get("nodes", {}).values()
        if node["type"] == "Pod" and node.get("finishedAt") and not node["name"].startswith(end)
    ]
    return [pod for pod in pods if _nodes_of(pod)] or pods


def _nodes_of(pod: Mapping[str, Any]) -> str | None:
    parameters = pod.get("inputs", {}).get("parameters", ())
    return next((each.get("value") for each in parameters if each["name"] == NODES_PARAMETER), None)


def _title(pod: Mapping[str, Any]) -> str:
    nodes = _nodes_of(pod)
    return ", ".join(json.loads(nodes)) if nodes else str(pod["displayName"])


def _containers(pods: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, float]]:
    """How long the main containers of pods ran, by Argo's name of the node."""
    for pod in pods:
        node = pod["metadata"].get("annotations", {}).get(_NODE_ID)
        for status in pod.get("status", {}).get("containerStatuses", ()):
            ended = status.get("state", {}).get("terminated")
            if node and status["name"] == "main" and ended:
                yield node, _between(ended["startedAt"], ended["finishedAt"])


def _between(start: str, end: str) -> float:
    # Whole seconds is all that Kubernetes keeps.
    first, last = (datetime.fromisoformat(time) for time in (start, end))
    return (last - first).total_seconds()


def _times(runs: Iterable[Run]) -> str:
    """Whose times count: one kind only, for they cannot be compared."""
    return min((run.times for run in runs if run.phase == "Succeeded"), default=_PODS)


def _measurements(runs: Sequence[Run]) -> list[Measurement]:
    counts: dict[tuple[str, int], int] = {}
    found = []
    for run in runs:
        if run.phase != "Succeeded" or run.times != _times(runs):
            continue
        repeat = counts[run.medium, run.scale] = counts.get((run.medium, run.scale), -1) + 1
        steps = tuple(
            Step(node=node, load=0.0, compute=0.0, save=0.0, process=seconds, shape=(0, 0))
            for node, seconds in run.seconds.items()
        )
        found.append(Measurement(run.medium, run.scale, repeat, steps, 0))
    return found


def make_tables(runs: Sequence[Run]) -> list[Table]:
    """The sums by medium and scale, beside the published ones, and each workflow."""
    cells = summarise(_measurements(runs))
    titles = {name: medium.title for name, medium in MEDIA.items() if any(run.medium == name for run in runs)}
    left_out = {(run.medium, run.scale): f"failed: {run.name}" for run in runs if run.phase != "Succeeded"}
    rows = [
        [run.name, titles[run.medium], f"x{run.scale}", run.phase, f"{sum(run.seconds.values()):.0f}", run.times,
         str(len(run.seconds)), str(run.hosts)]
        for run in runs
    ]  # fmt: skip
    tables = [
        seconds_table(cells, left_out, titles, what=_WHAT[_times(runs)]),
        published_table(cells, titles),
        Table(
            "Workflows",
            "Kubernetes keeps whole seconds. The table above counts those whose seconds are of one kind.",
            ["workflow", "through", "scale", "phase", "seconds", "of", "tasks", "hosts"],
            rows,
            words=2,
        ),
    ]
    return [table for table in tables if table is not None]
