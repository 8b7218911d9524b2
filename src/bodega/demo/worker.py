"""A process that runs one Kedro node of a project, or all of them, and writes down how long each part took.

    python worker.py PROJECT REPORT                              what there is to run, and what it makes
    python worker.py PROJECT REPORT ENVIRONMENT [--node NODE] [--runner CLASS]

The second form does what ``kedro run --env ENVIRONMENT --nodes NODE --runner CLASS`` does, with one more hook that the
project knows nothing of. REPORT is a file of JSON lines: one for each part of each node as it ends, whichever process
ran it, then one about the process. This file is run by its path, by the interpreter of whatever environment the
project needs (Kedro from 0.18 on, without bodega), hence the few imports.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
from importlib import import_module
from pathlib import Path
from time import perf_counter
from typing import Any

from kedro.framework.hooks import hook_impl
from kedro.framework.project import pipelines, settings
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project


class TimingHooks:
    """Writes down the seconds spent in loading, computing and saving, as Kedro announces them."""

    def __init__(self, report: Path) -> None:
        """Append to the file ``report``."""
        self._report = report
        self._since = 0.0

    def write(self, **facts: Any) -> None:
        """Append a line; in one step, for a runner's processes share the file."""
        with self._report.open("ab", buffering=0) as file:
            file.write(json.dumps(facts).encode() + b"\n")

    def _stop(self, node: Any, part: str, **facts: Any) -> None:
        seconds = perf_counter() - self._since
        self.write(node=node.name, part=part, seconds=seconds, **facts)

    @hook_impl
    def before_dataset_loaded(self) -> None:
        """Note when loading begins."""
        self._since = perf_counter()

    @hook_impl
    def after_dataset_loaded(self, node: Any) -> None:
        """Write down the seconds of loading."""
        self._stop(node, "load")

    @hook_impl
    def before_node_run(self) -> None:
        """Note when computing begins."""
        self._since = perf_counter()

    @hook_impl
    def after_node_run(self, node: Any, outputs: dict[str, Any]) -> None:
        """Write down the seconds of computing, and the rows and columns of its (only) result."""
        self._stop(node, "compute", shape=next(list(output.shape) for output in outputs.values()))

    @hook_impl
    def before_dataset_saved(self) -> None:
        """Note when saving begins."""
        self._since = perf_counter()

    @hook_impl
    def after_dataset_saved(self, node: Any) -> None:
        """Write down the seconds of saving."""
        self._stop(node, "save")


def describe() -> dict[str, list[str]]:
    """The nodes in the order they run, and the datasets they make."""
    pipeline = pipelines["__default__"]
    return {
        "nodes": [node.name for node in pipeline.nodes],
        "datasets": [name for node in pipeline.nodes for name in node.outputs],
    }


def run(project: Path, hooks: TimingHooks, environment: str, node: str | None, runner: str | None) -> None:
    """Run a node, or all of them, with a runner, or with Kedro's own choice."""
    settings.set("HOOKS", (*settings.HOOKS, hooks))
    options: dict[str, Any] = {}
    if node is not None:
        options["node_names"] = [node]
    if runner is not None:
        module, _, name = runner.rpartition(".")
        options["runner"] = getattr(import_module(module), name)()
    with KedroSession.create(project_path=project, env=environment) as session:
        session.run(**options)


def largest_memory() -> int:
    """Bytes of memory that this process, or the largest that it started, had at most: shared pages included.

    ``VmHWM`` is the same as ``ru_maxrss``, but for this program alone: the latter begins at what the process that
    started this one had.
    """
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    else:
        own = int(next(line for line in status.splitlines() if line.startswith("VmHWM:")).split()[1]) * 1024
    return max(own, children)


def main() -> None:
    """Do what the command line asks (see the module)."""
    parser = argparse.ArgumentParser()
    parser.add_argument("project", type=Path)
    parser.add_argument("report", type=Path)
    parser.add_argument("environment", nargs="?")
    parser.add_argument("--node")
    parser.add_argument("--runner")
    task = parser.parse_args()
    # Modules of the project, not the neighbours of this file.
    sys.path.remove(str(Path(__file__).parent))
    bootstrap_project(task.project)
    hooks = TimingHooks(task.report)
    if task.environment is None:
        hooks.write(**describe())
        return
    run(task.project, hooks, task.environment, task.node, task.runner)
    hooks.write(peak=largest_memory())


if __name__ == "__main__":
    main()
