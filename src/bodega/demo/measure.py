"""Runs the example's nodes, each in a fresh process, and gathers what they timed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

DEMO_RUN = "demo"
"""The run of the store that the demo works in, and leaves its objects in."""
_TAIL = 25
"""Lines of a failed process's output that are shown."""
_GRACE = 5.0
"""Seconds that a process gets to end by itself."""


@dataclass(frozen=True)
class Step:
    """How one Kedro node ran in its process; all times in seconds."""

    node: str
    load: float
    compute: float
    save: float
    process: float
    """From starting the process to its end."""
    shape: tuple[int, int]
    """Rows and columns of the node's result."""

    @property
    def start_up(self) -> float:
        """What is not loading, computing or saving: Python, imports, Kedro's configuration."""
        return self.process - self.load - self.compute - self.save


@dataclass(frozen=True)
class Medium:
    """What the data went through from task to task, and how long that took."""

    name: str
    steps: Sequence[Step]
    nbytes: int
    """Of everything that the steps handed on."""

    def total(self, part: str) -> float:
        """The seconds of a part, a field or property of `Step`, summed over the steps."""
        return float(sum(getattr(step, part) for step in self.steps))

    @property
    def moving(self) -> float:
        """Seconds of loading and saving."""
        return self.total("load") + self.total("save")


class Project:
    """A working copy of the example, and how its nodes are run."""

    def __init__(self, path: Path, multiplier: int) -> None:
        """Run the project in the folder ``path`` with so many times its data."""
        self.path = path
        self._environment = {
            **os.environ,
            "BODEGA_RUN": DEMO_RUN,
            "DO_NOT_TRACK": "1",
            "MULTIPLIER": str(multiplier),
            "PYTHONUNBUFFERED": "1",
        }

    def nodes(self) -> list[str]:
        """The names of the project's nodes in the order they run."""
        return [str(name) for name in self._work("reading the project")]

    def run(self, environment: str, node: str) -> Step:
        """Run one node in a fresh process.

        Raises:
            click.ClickException: the process failed; the message ends with what it printed last.
        """
        began = perf_counter()
        report = self._work(f"node {node!r} in environment {environment!r}", environment, node)
        process = perf_counter() - began
        rows, columns = report.pop("shape")
        return Step(node=node, process=process, shape=(rows, columns), **report)

    def _work(self, what: str, *task: str) -> Any:
        report = self.path / "report.json"
        report.unlink(missing_ok=True)
        command = [sys.executable, "-m", "bodega.demo.worker", str(self.path), str(report), *task]
        with subprocess.Popen(
            command,
            cwd=self.path,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        ) as process:
            try:
                output, _ = process.communicate()
            except BaseException:
                _stop(process)
                raise
        if process.returncode != 0:
            tail = "\n".join(output.splitlines()[-_TAIL:])
            raise click.ClickException(f"The demo stopped at {what} (exit status {process.returncode}):\n\n{tail}")
        return json.loads(report.read_text(encoding="utf-8"))


def _stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(_GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
