"""Where the pods of tasks go: near what they read, by the stock scheduler.

Every task says which host it ran on and how many bytes its outputs have (`HOST`, `BYTES`: output parameters). A task that
reads them gets a list of its sources, and Argo makes an affinity of that when it makes the pod.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import Enum
from typing import Any

from hera.workflows import models

from bodega.kubernetes.outputs import BYTES, FOLDER, HOST
from bodega.plan import Task

SOURCES = "sources"
ANCHOR = "choose-host"
"""The task that settles on a host where all have to run on one."""

_PREFER = """\
{{=
let sources = fromJSON(inputs.parameters.sources);
let sizes = map(sources, {let source = #; sum(map(source.reads, source.bytes[#] ?? 0))});
let shares = map(sizes, sum(sizes) > 0 ? # / sum(sizes) : 1 / len(sizes));
let terms = map(0..len(sources) - 1, {let i = #; {
  weight: max(1, int(round(100 * shares[i]))),
  preference: {matchFields: [{key: "metadata.name", operator: "In", values: [sources[i].host]}]} } });
toJson({affinity: {nodeAffinity: {preferredDuringSchedulingIgnoredDuringExecution: terms} } })
}}
"""
"""Prefers each host by its share of the bytes that are read; alike where no size is known. Braces that end together are
kept apart, for two of them end the expression."""


class Placement(Enum):
    """How a task is tied to hosts."""

    NEAR = "near"
    """It prefers the hosts of what it reads: the rest can be fetched from the durable tier."""
    SAME = "same"
    """It needs the one host of the run: there is nothing that data could be fetched from."""


def pinned(host: str) -> str:
    """A patch that lets a pod run on one host only.

    By the name of the Kubernetes node, not by the label ``kubernetes.io/hostname``, which may differ from it.
    """
    return _affinity("requiredDuringSchedulingIgnoredDuringExecution", {"nodeSelectorTerms": [_is(host)]})


def preferred(host: str) -> str:
    """A patch that lets a pod run on another host where this one takes none."""
    return _affinity("preferredDuringSchedulingIgnoredDuringExecution", [{"weight": 100, "preference": _is(host)}])


def _is(host: str) -> dict[str, Any]:
    return {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [host]}]}


def _affinity(kind: str, terms: object) -> str:
    return json.dumps({"affinity": {"nodeAffinity": {kind: terms}}})


def patch(placement: Placement) -> str:
    """What the template of tasks makes of its inputs."""
    return _PREFER if placement is Placement.NEAR else pinned(f"{{{{inputs.parameters.{HOST}}}}}")


def inputs(placement: Placement) -> models.Parameter:
    """The input parameter of that template."""
    return models.Parameter(name=SOURCES if placement is Placement.NEAR else HOST)


def argument(placement: Placement, task: Task, names: Mapping[str, str]) -> models.Parameter:
    """What a task of the plan gives it.

    Args:
        placement: how tasks are tied to hosts.
        task: of the plan.
        names: of the tasks in the workflow, by their names in the plan.
    """
    if placement is Placement.SAME:
        return models.Parameter(name=HOST, value=_output(ANCHOR, HOST))
    sources = (
        f'{{"host": "{_output(names[need.task], HOST)}", "bytes": {_output(names[need.task], BYTES)}, '
        f'"reads": {json.dumps(list(need.datasets))}}}'
        for need in task.needs
    )
    return models.Parameter(name=SOURCES, value=f"[{', '.join(sources)}]")


HOSTS = "{{=toJson(sort(uniq(values(workflow.outputs.parameters))))}}"
"""The hosts of all tasks that have ended, for the exit handler: a JSON list, in the same order whenever Argo looks."""


def outputs(*names: str) -> models.Outputs:
    """Output parameters that a pod leaves in files, of which the exit handler sees the host (`HOSTS`).

    Args:
        names: of the parameters and the files.
    """
    return models.Outputs(
        parameters=[
            models.Parameter(
                name=name,
                value_from=models.ValueFrom(path=f"{FOLDER}/{name}"),
                # One for each task: of one name the last would be seen alone.
                global_name=f"{HOST}-{{{{tasks.name}}}}" if name == HOST else None,
            )
            for name in names
        ]
    )


def _output(task: str, name: str) -> str:
    return f"{{{{tasks.{task}.outputs.parameters.{name}}}}}"
