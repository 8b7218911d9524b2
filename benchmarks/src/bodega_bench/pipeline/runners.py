"""Kedro's runners against bodega's: the house-prices example, each run in a fresh ``kedro run`` process.

Kedro's runners take the environment ``memory``, bodega's the environment ``bodega`` with a new root for each run: but
for those that are made again, none finds segments kept warm by the one before. The runners take turns, since a
machine's speed drifts.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import click
from kedro.framework.hooks import hook_impl
from rich.console import Console
from rich.progress import track

from bodega.example import copy_example
from bodega.testing.lifeline import scratch
from bodega_bench.formats import ratio, seconds, with_range
from bodega_bench.machine import memory_folder
from bodega_bench.results import finish, json_option, output_option
from bodega_bench.tables import Table
from bodega_bench.timing import ratio_of_pairs, spread, turns


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
    with scratch("bodega-bench-", memory_folder()) as root:
        if contender.again:
            _kedro_run(project, contender, multiplier, str(root))
        return _kedro_run(project, contender, multiplier, str(root))


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


def summarise(times: Mapping[str, Sequence[Mapping[str, float]]]) -> dict[str, dict[str, dict[str, Any]]]:
    """By contender and part the spread, and how many times as long as our ParallelRunner it took in the same turn."""
    return {
        label: {
            part: {
                **asdict(spread(each[part] for each in runs)),
                "ratio": ratio_of_pairs((each[part] for each in runs), (each[part] for each in times[OURS.label])),
            }
            for part in PARTS
        }
        for label, runs in times.items()
    }


def as_table(summary: Mapping[str, Mapping[str, Mapping[str, Any]]], title: str) -> Table:
    """One row per contender: median, range and ratio of each part."""
    rows = []
    for runner, parts in summary.items():
        cells = []
        for part in PARTS:
            figures = (seconds(parts[part][key], digits=2) for key in ("median", "lowest", "highest"))
            cells += [with_range(*figures), ratio(parts[part]["ratio"])]
        rows.append([runner, *cells])
    note = (
        f"Seconds, medians (lowest to highest); ratios to {OURS.label} in the same turn. It should take "
        + ", ".join(f"{runner} {aim:g} times as long" for runner, aim in AIMS.items())
        + " at least, as a whole process."
    )
    header = ["runner", *(cell for heading in PARTS.values() for cell in (heading, "ratio"))]
    return Table(title, note, header, rows)


@click.command()
@click.option("--multiplier", type=click.IntRange(1), default=100, show_default=True, help="Times the 1,460 houses.")
@click.option("--repeats", type=click.IntRange(1), default=5, show_default=True, help="Runs of each runner.")
@output_option("runners.json")
@json_option
def runners(multiplier: int, repeats: int, output: Path, *, as_json: bool) -> None:
    """The example under Kedro's runners and bodega's.

    Each run is a fresh process. Ratios are to bodega's ParallelRunner: above 1 means slower than it.

    \b
    Examples:
      bodega bench runners
      bodega bench runners --multiplier 10 --repeats 9
    """
    with scratch("bodega-bench-") as folder:
        project = copy_example(folder / "project")
        with (project / "src" / "house_prices" / "settings.py").open("a", encoding="utf-8") as settings:
            settings.write(_SETTINGS)
        for contender in CONTENDERS:
            measure(project, contender, 1)  # Bytecode and libraries are in the caches from here on.
        times: dict[str, list[dict[str, float]]] = {contender.label: [] for contender in CONTENDERS}
        order = list(turns(CONTENDERS, repeats))
        for _, contender in track(order, description="kedro run", console=Console(stderr=True), transient=True):
            times[contender.label].append(measure(project, contender, multiplier))
    summary = summarise(times)
    facts = {"multiplier": multiplier, "repeats": repeats, "seconds": times, "runners": summary}
    finish("runners", facts, [as_table(summary, f"House prices x{multiplier}")], output, as_json=as_json)
