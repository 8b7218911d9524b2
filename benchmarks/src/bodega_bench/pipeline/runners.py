"""Kedro's runners against bodega's: the house-prices example, each run in a fresh ``kedro run`` process.

Kedro's runners take the environment ``memory``, bodega's the environment ``bodega`` with a new root for each run: but
for those that are made again, none finds segments kept warm by the one before. The runners take turns, since a
machine's speed drifts.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import click
from kedro.framework.hooks import hook_impl
from rich.console import Console
from rich.progress import track
from rich.table import Table

from bodega.example import copy_example


class Contender(NamedTuple):
    """A runner, and what it runs over."""

    runner: str
    environment: str
    """Of the example."""
    again: bool = False
    """Whether the same run was made in the same root before, which leaves warm segments to write over."""

    @property
    def label(self) -> str:
        """What the table calls it."""
        return f"{self.runner}, again" if self.again else self.runner


OURS = Contender("bodega.kedro.ParallelRunner", "bodega")
CONTENDERS = (
    Contender("kedro.runner.SequentialRunner", "memory"),
    Contender("kedro.runner.ParallelRunner", "memory"),
    Contender("bodega.kedro.SequentialRunner", "bodega"),
    OURS,
    OURS._replace(again=True),
)
AIMS = {"kedro.runner.ParallelRunner": 1.5, "kedro.runner.SequentialRunner": 1.0}
"""How many times as long as our ParallelRunner these shall take at least."""
PARTS = {"process": "whole process", "run": "run alone", "cpu": "CPU, all processes"}
RESULTS = Path("bench-results")
_REPORT = "BODEGA_BENCH_REPORT"
_SETTINGS = """
from bodega_bench.pipeline.runners import Stopwatch

HOOKS = (Stopwatch(),)
"""


class Stopwatch:
    """The hook that times a runner's ``run``, with the registration of datasets that bodega's own hook does for it."""

    def __init__(self) -> None:
        """Start with nothing."""
        self._since = 0.0

    @hook_impl(tryfirst=True)
    def before_pipeline_run(self) -> None:
        """Note when the run begins."""
        self._since = perf_counter()

    @hook_impl(trylast=True)
    def after_pipeline_run(self) -> None:
        """Write down the seconds since."""
        Path(os.environ[_REPORT]).write_text(json.dumps(perf_counter() - self._since), encoding="ascii")


def measure(project: Path, contender: Contender, multiplier: int) -> dict[str, float]:
    """Seconds of one ``kedro run`` in a root of its own, by part.

    Raises:
        click.ClickException: it failed; the message is what it printed.
    """
    root = tempfile.mkdtemp(prefix="bodega-bench-", dir="/dev/shm")
    try:
        if contender.again:
            _kedro_run(project, contender, multiplier, root)
        return _kedro_run(project, contender, multiplier, root)
    finally:
        shutil.rmtree(root)


def _kedro_run(project: Path, contender: Contender, multiplier: int, root: str) -> dict[str, float]:
    report = project / "seconds.json"
    report.unlink(missing_ok=True)
    environment = {
        **os.environ,
        "BODEGA_ROOT": root,
        "DO_NOT_TRACK": "1",
        "MULTIPLIER": str(multiplier),
        # Bytecode is cached, as it is for whoever runs a project twice, wherever this machine stands on that.
        "PYTHONDONTWRITEBYTECODE": "",
        "PYTHONPYCACHEPREFIX": os.fspath(project.parent / "bytecode"),
        _REPORT: os.fspath(report),
    }
    command = [sys.executable, "-m", "kedro", "run", "--runner", contender.runner, "--env", contender.environment]
    before, began = os.times(), perf_counter()
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    process, after = perf_counter() - began, os.times()
    if done.returncode != 0:
        raise click.ClickException(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return {"process": process, "run": json.loads(report.read_text(encoding="ascii")), "cpu": cpu}


def summarise(times: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    """Medians by contender and part, and how many times as long as our ParallelRunner each took in the same turn."""
    return {
        "seconds": times,
        "medians": {
            label: {part: statistics.median(each[part] for each in runs) for part in PARTS}
            for label, runs in times.items()
        },
        "ratios": {
            label: {
                part: statistics.median(
                    each[part] / ours[part] for each, ours in zip(runs, times[OURS.label], strict=True)
                )
                for part in PARTS
            }
            for label, runs in times.items()
        },
    }


def as_table(summary: dict[str, Any], title: str) -> Table:
    """One row per contender: median, range and ratio of each part."""
    table = Table(title=title, title_justify="left")
    table.add_column("runner", no_wrap=True)
    for heading in PARTS.values():
        table.add_column(heading, justify="right", no_wrap=True)
        table.add_column("ratio", justify="right", no_wrap=True)
    for runner, runs in summary["seconds"].items():
        cells = []
        for part in PARTS:
            seconds = [each[part] for each in runs]
            cells += [
                f"{summary['medians'][runner][part]:.2f} ({min(seconds):.2f} - {max(seconds):.2f})",
                f"{summary['ratios'][runner][part]:.2f}",
            ]
        table.add_row(runner, *cells)
    return table


def _machine() -> dict[str, Any]:
    return {
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "system": platform.platform(),
        "python": platform.python_version(),
        **{name: version(name) for name in ("bodega", "kedro", "numpy", "pandas", "pyarrow")},
    }


@click.command(
    epilog="""\b
Examples:
  python -m bodega_bench.pipeline.runners
  python -m bodega_bench.pipeline.runners --multiplier 10 --repeats 9
"""
)
@click.option("--multiplier", type=click.IntRange(1), default=100, show_default=True, help="Times the 1,460 houses.")
@click.option("--repeats", type=click.IntRange(1), default=5, show_default=True, help="Runs of each runner.")
def main(multiplier: int, repeats: int) -> None:
    """Time the house-prices example under Kedro's runners and bodega's, and write bench-results/runners.json.

    Each run is a fresh process. Ratios are to bodega's ParallelRunner: above 1 means slower than it.
    """
    console = Console()
    machine = _machine()
    times: dict[str, list[dict[str, float]]] = {contender.label: [] for contender in CONTENDERS}
    with tempfile.TemporaryDirectory(prefix="bodega-bench-") as folder:
        project = copy_example(Path(folder) / "project")
        with (project / "src" / "house_prices" / "settings.py").open("a", encoding="utf-8") as settings:
            settings.write(_SETTINGS)
        for contender in CONTENDERS:
            measure(project, contender, 1)  # Bytecode and libraries are in the caches from here on.
        for contender in track(CONTENDERS * repeats, description="kedro run", console=console):
            times[contender.label].append(measure(project, contender, multiplier))
    summary = summarise(times)
    title = (
        f"House prices x{multiplier}: medians of {repeats} turns, seconds (fastest - slowest), ratios to {OURS.label}"
    )
    console.print(as_table(summary, title))
    for runner, aim in AIMS.items():
        ratio = summary["ratios"][runner]["process"]
        console.print(
            f"{runner} takes {ratio:.2f} times as long; the aim is {aim}: {'met' if ratio >= aim else 'MISSED'}."
        )
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / "runners.json"
    facts = {"multiplier": multiplier, "repeats": repeats, "machine": machine, **summary}
    path.write_text(json.dumps(facts, indent=2), encoding="utf-8")
    console.print(f"Written to {path}")


if __name__ == "__main__":
    main()
