"""The command line of the demo."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import click
from rich.console import Console

import bodega
from bodega.demo.display import Display
from bodega.demo.measure import DEMO_RUN, Medium
from bodega.demo.project import NodeFailed, Project, Step
from bodega.demo.report import Comparison, as_json, as_table
from bodega.demo.requirements import require
from bodega.env import RUN_VARIABLE
from bodega.example import copy_example
from bodega.texts import format_size, install

_MULTIPLIER = 100
"""Long enough to show a difference, and done in about a minute on two slow cores."""
_INTERRUPTED = 130
"""What a shell expects of a command that Ctrl-C ended."""


@click.command()
@click.option(
    "--multiplier",
    type=click.IntRange(min=1),
    default=_MULTIPLIER,
    show_default=True,
    help="How many times the 1,460 houses of the real data; the rest are drawn at random from them.",
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("demo-results"),
    show_default=True,
    help="The folder for the chart and for timings.json.",
)
@click.option("--json", "json_output", is_flag=True, help="Print the timings as JSON instead of as a table.")
def demo(multiplier: int, output: Path, *, json_output: bool) -> None:
    """Run a Kedro pipeline through CSV files and through bodega, and compare.

    The example prepares the house prices of Ames in six nodes, each in a process of its own. What they share stays
    in the store's run "demo" until the next demo.

    \b
    Examples:
      bodega demo
      bodega demo --multiplier 10 --output /tmp/demo
      bodega demo --json | jq .ratio
      bodega ls --run demo
    """
    require("kedro", "pandas", "pyarrow")
    try:
        output.mkdir(parents=True, exist_ok=True)
        comparison = _compare(multiplier)
        timings = _write_timings(comparison, output)
        chart = _draw_chart(comparison, output)
    except NodeFailed as error:
        raise click.ClickException(f"The demo stopped at {error}") from error
    except KeyboardInterrupt:
        click.echo("Stopped; nothing is left running.", err=True)
        sys.exit(_INTERRUPTED)
    if json_output:
        click.echo(timings.read_text(encoding="utf-8"), nl=False)
    else:
        _print(comparison)
    # Where the files are is for people: with --json it must not mix with the output.
    click.echo(f"Timings: {timings}", err=json_output)
    click.echo(
        f"Chart:   {chart or 'none, since matplotlib is not installed: ' + install('bodega[demo]')}", err=json_output
    )


def _compare(multiplier: int) -> Comparison:
    store = bodega.open(run=DEMO_RUN)
    with TemporaryDirectory(prefix="bodega-demo-") as folder, Display(Console(stderr=True)) as display:
        variables = {RUN_VARIABLE: DEMO_RUN, "MULTIPLIER": str(multiplier)}
        project = Project(copy_example(Path(folder) / "house-prices"), variables)
        # Also warms up: whoever runs first would pay for reading and compiling the libraries.
        with display.step("Kedro", "reads project"):
            nodes, _ = project.describe()

        def run(name: str, environment: str) -> list[Step]:
            steps = []
            for node in nodes:
                with display.step(name, node):
                    steps.append(project.run(environment, node))
            return steps

        files = run("CSV files", "csv")
        nbytes = sum(file.stat().st_size for file in (project.path / "data" / "02_intermediate").iterdir())
        store.drop_run()
        shared = run("bodega", "bodega")
        return Comparison(
            multiplier=multiplier,
            files=Medium("CSV files", files, nbytes),
            shared=Medium("bodega", shared, sum(info.nbytes for info in store.list())),
        )


def _write_timings(comparison: Comparison, output: Path) -> Path:
    path = output / "timings.json"
    path.write_text(json.dumps(as_json(comparison), indent=2) + "\n", encoding="utf-8")
    return path


def _draw_chart(comparison: Comparison, output: Path) -> Path | None:
    if find_spec("matplotlib") is None:
        return None
    from bodega.demo.chart import draw

    path = output / "chart.png"
    draw(comparison, path)
    return path


def _print(comparison: Comparison) -> None:
    console = Console(highlight=False)
    console.print(as_table(comparison))
    console.print(
        f"\nHanded on: {format_size(comparison.files.nbytes)} as text in CSV files, "
        f"{format_size(comparison.shared.nbytes)} in shared memory through bodega.\n"
        f"Look at it: bodega ls --run {DEMO_RUN}; "
        f"bodega info --run {DEMO_RUN} with_total_area\n",
        soft_wrap=True,
    )
