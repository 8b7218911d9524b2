"""One process of the demo: runs a Kedro node of a project and writes down how long each part took.

    python -m bodega.demo.worker PROJECT REPORT                 # the names of the nodes, in the order they run
    python -m bodega.demo.worker PROJECT REPORT ENVIRONMENT NODE

It does what ``kedro run --env ENVIRONMENT --nodes NODE`` does, with one more hook that the project knows nothing
of. REPORT is the JSON file it writes.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

from kedro.framework.hooks import hook_impl
from kedro.framework.project import pipelines, settings
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project


class TimingHooks:
    """Adds up the seconds spent in loading, computing and saving, as Kedro announces them."""

    def __init__(self) -> None:
        """Start with nothing."""
        self.seconds = {"load": 0.0, "compute": 0.0, "save": 0.0}
        self.shape: list[int] = []
        self._since = 0.0

    def _stop(self, part: str) -> None:
        self.seconds[part] += perf_counter() - self._since

    @hook_impl
    def before_dataset_loaded(self) -> None:
        """Note when loading begins."""
        self._since = perf_counter()

    @hook_impl
    def after_dataset_loaded(self) -> None:
        """Add the seconds of loading."""
        self._stop("load")

    @hook_impl
    def before_node_run(self) -> None:
        """Note when computing begins."""
        self._since = perf_counter()

    @hook_impl
    def after_node_run(self, outputs: dict[str, Any]) -> None:
        """Add the seconds of computing; keep the rows and columns of its (only) result."""
        self._stop("compute")
        self.shape = next(list(output.shape) for output in outputs.values())

    @hook_impl
    def before_dataset_saved(self) -> None:
        """Note when saving begins."""
        self._since = perf_counter()

    @hook_impl
    def after_dataset_saved(self) -> None:
        """Add the seconds of saving."""
        self._stop("save")


def run_node(project: Path, environment: str, node: str) -> dict[str, Any]:
    """Run one node; its seconds by part, and the shape of its result."""
    hooks = TimingHooks()
    settings.set("HOOKS", (*settings.HOOKS, hooks))
    session = KedroSession.create(project_path=project, env=environment)
    with session:
        session.run(node_names=[node])
    return {**hooks.seconds, "shape": hooks.shape}


def main(project: str, report: str, *task: str) -> None:
    """Do what the command line asks (see the module)."""
    bootstrap_project(Path(project))
    found = run_node(Path(project), *task) if task else [node.name for node in pipelines["__default__"].nodes]
    Path(report).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
