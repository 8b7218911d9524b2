"""A workflow while it runs: its tasks, where each of them runs and for how long, as a tree that stays up to date."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text
from rich.tree import Tree

from bodega.argo.submit import Cluster
from bodega.errors import ClusterError
from bodega.texts import format_duration

_SERVER_FAILED = 500
DONE = ("Succeeded", "Failed", "Error")
SUCCEEDED = "Succeeded"
FAILED = ("Failed", "Error")

_INTERVAL = 2.0
_PATIENCE = 60.0
"""Seconds in which a cluster that does not answer may come back: a workflow goes on without who watches it."""
_CONTROLLER_PATIENCE = 10.0
"""Seconds in which a controller has seen a new workflow."""
_PREFIX = 242
"""Characters of a pod's name before its number, as Argo cuts them."""
_MARKS = {
    "Succeeded": ("✔", "green"),
    "Failed": ("✖", "bold red"),
    "Error": ("✖", "bold red"),
    "Running": ("●", "cyan"),
    "Pending": ("◷", "yellow"),
    "Skipped": ("○", "dim"),
    "Omitted": ("○", "dim"),
}


@dataclass(frozen=True)
class TaskState:
    """A task of a workflow, as it is now."""

    name: str
    phase: str
    host: str | None
    """Of its last try."""
    seconds: float | None
    """From its first try to now or its end."""
    tries: int
    message: str
    pod: str
    """Of its last try."""
    is_exit: bool
    """Whether it belongs to what happens when the workflow ends."""


def phase_of(workflow: Mapping[str, Any]) -> str:
    """Of the workflow; ``Pending`` where no controller has seen it yet."""
    return str(workflow.get("status", {}).get("phase") or "Pending")


def tasks_of(workflow: Mapping[str, Any], now: datetime | None = None) -> list[TaskState]:
    """The tasks that have begun, in the order in which they did."""
    nodes: Mapping[str, Any] = workflow.get("status", {}).get("nodes") or {}
    retried = {child for node in nodes.values() if node["type"] == "Retry" for child in node.get("children", [])}
    states = []
    for key, node in sorted(nodes.items(), key=lambda item: (item[1].get("startedAt") or "", item[1]["name"])):
        if node["type"] not in {"Pod", "Retry", "Skipped"} or (node["type"] == "Pod" and key in retried):
            continue
        tries = (
            [nodes[child] for child in node.get("children", []) if child in nodes]
            if node["type"] == "Retry"
            else [node]
        )
        last = tries[-1] if tries else node
        states.append(
            TaskState(
                name=str(node["displayName"]),
                phase=str(node.get("phase") or "Pending"),
                host=last.get("hostNodeName"),
                seconds=_seconds(node, now or datetime.now(UTC)),
                tries=len(tries),
                message=str(last.get("message") or node.get("message") or ""),
                pod=_pod(last),
                is_exit=".onExit" in node["name"],
            )
        )
    return states


def _pod(node: Mapping[str, Any]) -> str:
    """What Argo calls the pod of a node: by the node's id, with the template between the workflow and the number."""
    workflow, _, number = str(node.get("id", "")).rpartition("-")
    prefix = f"{workflow}-{node.get('templateName', '')}"[:_PREFIX]
    return f"{prefix}-{number}"


def watch(cluster: Cluster, name: str, console: Console) -> dict[str, Any]:
    """Show a workflow until it has ended, and then what the pods wrote last that failed; returns it as it is then.

    On a terminal it is one tree that changes; elsewhere each change is a line.

    Raises:
        ClusterError: the cluster has not answered for a minute, or the workflow is gone.
    """
    if console.is_terminal:
        workflow: dict[str, Any] = {}
        with Live(console=console, auto_refresh=False, transient=False) as live:
            for workflow in _looks(cluster, name, console):
                live.update(tree(workflow), refresh=True)
    else:
        workflow = _watch_lines(cluster, name, console)
    for state in tasks_of(workflow):
        if state.phase in FAILED and not state.is_exit:
            _print_log(cluster, name, state, console)
    return workflow


def _print_log(cluster: Cluster, name: str, state: TaskState, console: Console) -> None:
    try:
        lines = cluster.log(name, state.pod)
    except ClusterError as error:  # A pod that is gone, or no right to read logs: the message of the task stands.
        console.print(Text(f"The log of {state.name} ({state.pod}) is not to be had: {error}", style="dim"))
        return
    reason = f" ({state.message})" if state.message else ""
    console.print(Text(f"{state.name}{reason} wrote last ('kubectl logs {state.pod}' has more):"))
    for line in lines or ["nothing"]:
        console.print(Text(f"  {line}"))


def tree(workflow: Mapping[str, Any]) -> Tree:
    """The workflow for people."""
    metadata, status = workflow["metadata"], workflow.get("status", {})
    head = _line(phase_of(workflow), f"{metadata['namespace']}/{metadata['name']}", _seconds(status, datetime.now(UTC)))
    if status.get("message"):
        head.append(f"  {status['message']}", style="red")
    root = Tree(head)
    states = tasks_of(workflow)
    for state in states:
        if not state.is_exit:
            root.add(_task_line(state))
    ending = [state for state in states if state.is_exit]
    if ending:
        branch = root.add(Text("when it ended", style="dim"))
        for state in ending:
            branch.add(_task_line(state))
    return root


def _watch_lines(cluster: Cluster, name: str, console: Console) -> dict[str, Any]:
    shown: dict[str, tuple[str, int]] = {}
    workflow: dict[str, Any] = {}
    for workflow in _looks(cluster, name, console):
        for state in tasks_of(workflow):
            if shown.get(state.name) != (state.phase, state.tries):
                shown[state.name] = (state.phase, state.tries)
                console.print(_task_line(state))
    console.print(_line(phase_of(workflow), name, _seconds(workflow.get("status", {}), datetime.now(UTC))))
    return workflow


def _looks(cluster: Cluster, name: str, console: Console) -> Iterator[dict[str, Any]]:
    began = answered = time.monotonic()
    is_seen = False
    while True:
        try:
            workflow = cluster.get(name)
        except ClusterError as error:
            is_refusal = error.status is not None and error.status < _SERVER_FAILED
            if is_refusal or time.monotonic() > answered + _PATIENCE:
                raise
        else:
            answered = time.monotonic()
            yield workflow
            is_seen = is_seen or bool(workflow.get("status", {}).get("phase"))
            if not is_seen and answered > began + _CONTROLLER_PATIENCE:
                console.print(
                    "No workflow controller has picked it up yet: is Argo Workflows running, and does it watch the namespace "
                    f"{cluster.namespace}? 'kubectl get deployments --all-namespaces' shows its workflow-controller."
                )
                is_seen = True  # Said once.
            # The exit handler runs after the phase is clear; only then there is an end.
            if phase_of(workflow) in DONE and workflow["status"].get("finishedAt"):
                return
        time.sleep(_INTERVAL)


def _task_line(state: TaskState) -> Text:
    line = _line(state.phase, state.name, state.seconds)
    if state.host:
        line.append(f"  on {state.host}", style="dim")
    if state.tries > 1:
        line.append(f"  try {state.tries}", style="yellow")
    if state.message and state.phase != SUCCEEDED:
        line.append(f"  {state.message}", style="red" if state.phase in DONE else "dim")
    return line


def _line(phase: str, name: str, seconds: float | None) -> Text:
    mark, style = _MARKS.get(phase, ("?", "yellow"))
    line = Text(f"{mark} ", style=style).append(name, style="default").append(f"  {phase}", style=style)
    if seconds is not None:
        line.append(f"  {format_duration(seconds)}", style="dim")
    return line


def _seconds(what: Mapping[str, Any], now: datetime) -> float | None:
    if not what.get("startedAt"):
        return None
    end = _time(what["finishedAt"]) if what.get("finishedAt") else now
    return max(0.0, (end - _time(what["startedAt"])).total_seconds())


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
