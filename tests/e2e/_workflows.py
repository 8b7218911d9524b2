"""What became of a workflow: its pods, where they ran, and what they said."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tests.e2e._cluster import Cluster, processes, wait_for


@dataclass(frozen=True)
class Workflow:
    """A workflow of the cluster."""

    cluster: Cluster
    name: str

    @property
    def found(self) -> dict[str, Any]:
        """The workflow, as it is now."""
        (workflow,) = self.cluster.objects("workflow", self.name)
        return workflow

    @property
    def run(self) -> str:
        """Its uid, by which the store knows its data."""
        return str(self.found["metadata"]["uid"])

    @property
    def phase(self) -> str:
        """Such as ``Running`` or ``Succeeded``."""
        return str(self.found.get("status", {}).get("phase", ""))

    def nodes(self, kind: str = "Pod") -> list[dict[str, Any]]:
        """Argo's records of one kind, in the order in which they began."""
        nodes = self.found.get("status", {}).get("nodes", {}).values()
        return sorted((node for node in nodes if node["type"] == kind), key=lambda node: node["startedAt"] or "")

    def tasks(self) -> dict[str, list[dict[str, Any]]]:
        """The tries of each task, by its name; what ends a workflow is no task."""
        tries: dict[str, list[dict[str, Any]]] = {}
        for node in self.nodes():
            path = node["name"].removeprefix(self.name).lstrip(".")
            if path and not node["name"].startswith(f"{self.name}.onExit"):
                tries.setdefault(path.partition("(")[0], []).append(node)
        return tries

    def hosts(self) -> dict[str, str]:
        """The host of each task's last try, where its pod has one."""
        return {
            task: str(tries[-1]["hostNodeName"]) for task, tries in self.tasks().items() if "hostNodeName" in tries[-1]
        }

    def held(self) -> dict[str, dict[str, int]]:
        """Of each task that read from others: bytes of what it read, by the host that its maker ran on."""
        held: dict[str, dict[str, int]] = {}
        for task, tries in self.tasks().items():
            parameters = {each["name"]: each["value"] for each in tries[-1]["inputs"]["parameters"]}
            for source in json.loads(parameters["sources"]):
                nbytes = sum(source["bytes"].get(name, 0) for name in source["reads"])
                hosts = held.setdefault(task, {})
                hosts[source["host"]] = hosts.get(source["host"], 0) + nbytes
        return held

    def pods(self) -> list[dict[str, Any]]:
        """Its pods, as Kubernetes knows them, which is sooner than Argo does."""
        return self.cluster.objects("pods", "-l", f"workflows.argoproj.io/workflow={self.name}")

    def _pod(self, node: dict[str, Any]) -> str:
        for pod in self.pods():
            if pod["metadata"]["annotations"]["workflows.argoproj.io/node-id"] == node["id"]:
                return str(pod["metadata"]["name"])
        raise AssertionError(f"{node['name']} has no pod")

    def log(self, node: dict[str, Any]) -> str:
        """What a node's main container printed."""
        return self.cluster.kubectl("logs", self._pod(node), "-c", "main")

    def wait_for(self, what: str, look: Callable[[], Any], *, seconds: float = 180) -> Any:
        """Wait for something while the workflow goes on; what it looks like, if that does not come."""
        try:
            return wait_for(what, look, seconds=seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.report()}") from None

    def finish(self, *, seconds: float = 600) -> str:
        """Wait for the end; the last phase."""
        self.wait_for(f"the end of {self.name}", lambda: "finishedAt" in self._ended(), seconds=seconds)
        return self.phase

    def _ended(self) -> dict[str, Any]:
        status = self.found.get("status", {})
        return status if status.get("finishedAt") else {}

    def suspend(self, stopped: bool) -> None:
        """Start no more pods, or go on."""
        self.cluster.kubectl(
            "patch", "workflow", self.name, "--type", "merge", "-p", json.dumps({"spec": {"suspend": stopped}})
        )

    def report(self) -> str:
        """Each of its pods in a line: seconds from when it was asked for to its end, and the host."""
        status = self.found.get("status", {})
        lines = [f"{self.name}: {self.phase}, {_seconds(status)} s {status.get('message', '')}"]
        lines += [
            f"  {node['name'].removeprefix(self.name).lstrip('.'):<60} {node['phase']:<9} {_seconds(node):>4} s  "
            f"{node.get('hostNodeName', '-')}  {node.get('message', '')}".rstrip()
            for node in self.nodes()
        ]
        hosts = self.hosts()
        lines += [f"  {task} ran on {hosts[task]}; its input was on {held}" for task, held in self.held().items()]
        return "\n".join(lines)


def _seconds(record: Mapping[str, Any]) -> str:
    """How long something took; nothing while it goes on."""
    times = [record.get(key) for key in ("startedAt", "finishedAt")]
    if not all(times):
        return "-"
    began, ended = (datetime.fromisoformat(str(time).replace("Z", "+00:00")) for time in times)
    return f"{(ended - began).total_seconds():.0f}"


def kill(pod: dict[str, Any], program: str) -> None:
    """Kill the processes of a pod that run a program, as a kernel out of memory does: not Argo's around them."""
    found = [process for process in processes(pod["metadata"]["uid"]) if _program(process) == program]
    assert found, f"nothing in the pod runs {program}"
    for process in found:
        os.kill(process, signal.SIGKILL)


def _program(process: int) -> str:
    """What a process runs; nothing when it has ended."""
    try:
        with open(f"/proc/{process}/cmdline", encoding="utf-8", errors="replace") as file:
            return os.path.basename(file.read().partition("\0")[0])
    except OSError:
        return ""
