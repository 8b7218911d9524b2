"""The results of `bodega bench store` as tables in a terminal, as Markdown, as JSON and, with matplotlib, as a plot."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from bodega.texts import three_figures
from bodega_bench.formats import NOTHING, duration, ratio
from bodega_bench.store.peers import PEERS
from bodega_bench.store.plan import LEGEND, STEPS
from bodega_bench.tables import Table, print_tables

Report = Mapping[str, Any]

_OFFERS = ["get copies", "value may be changed", "names", "server", "after a writer's crash"]
_LEFT, _COLUMN = 62, 17
"""Columns of a table for what describes a row, and for each system."""
_NOTE = (
    "Medians of all calls in all rounds, in brackets how many times as long as bodega (above 1, bodega is faster). Level "
    "means within 5 % of the fastest. Why bodega is behind where it is, is said in docs/benchmarks.md."
)


def write_report(report: Report, output: Path) -> list[Path]:
    """Write the files of a report; returns where they are."""
    plot = None
    if find_spec("matplotlib") is not None:
        from bodega_bench.store.plot import draw

        plot = output / "store.png"
        draw(report, plot)
    results, text = output / "store.json", output / "store.md"
    results.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    text.write_text(as_markdown(report, plot.name if plot else None), encoding="utf-8")
    return [results, text, *([plot] if plot else [])]


def print_report(report: Report, console: Console) -> None:
    """Print the tables, that of the figures in parts which fit the terminal."""
    systems = report["systems"]
    fit = max(1, (console.width - _LEFT) // _COLUMN) if console.is_terminal else len(systems)
    parts = [systems[start : start + fit] for start in range(0, len(systems), fit)]
    print_tables([*(_figures_table(report, part) for part in parts), _offers_table(systems)], console)
    for line in _beside_writer(report):
        console.print(escape(line))
    for what, reason in {**report["failures"], **report["skipped"]}.items():
        style = "red" if what in report["failures"] else "yellow"
        console.print(f"[{style}]{escape(what)}: {escape(reason)}[/]")


def as_markdown(report: Report, plot: str | None) -> str:
    """The tables and all that is needed to read them.

    Args:
        report: the results.
        plot: name of the picture beside it, if there is one.
    """
    systems = report["systems"]
    facts = [f"- {key}: {_text(value)}" for key, value in report["machine"].items()]
    facts += [
        f"- {PEERS[system].title}: {', '.join(f'{package} {version}' for package, version in versions.items())}"
        for system, versions in report["versions"].items()
    ]
    parts = [
        "# The store beside other ways to share",
        f"Made with `{report['command']}` on {report['date']}. Quartiles and the rounds' medians are in `store.json`.",
        _figures_table(report, systems).as_markdown(),
        f"![Seconds by size, a panel for each step]({plot})" if plot else "",
        "## The steps",
        "\n".join(f"- *{step}*: {meaning}" for step, meaning in LEGEND.items()),
        _offers_table(systems).as_markdown(),
        "\n".join(_beside_writer(report)),
        "## Not measured" if report["failures"] or report["skipped"] else "",
        "\n".join(f"- {what}: {reason}" for what, reason in {**report["failures"], **report["skipped"]}.items()),
        "## The machine and the versions",
        "\n".join(facts),
    ]
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def _figures_table(report: Report, systems: Sequence[str]) -> Table:
    """What was measured, of some of the systems."""
    rows, best = [], {}
    for number, row in enumerate(report["rows"]):
        rows.append([row["object"], STEPS[row["step"]], *_cells(row, systems), str(row["bodega"])])
        if row["first"] in systems:
            best[number] = 2 + list(systems).index(row["first"])
    header = ["object", "step", *(PEERS[system].title for system in systems), "bodega is"]
    return Table("The figures", _NOTE, header, rows, words=2, best=best)


def _cells(row: Mapping[str, Any], systems: Sequence[str]) -> list[str]:
    """The median of each system, and its ratio to bodega's."""
    results = row["results"]
    cells = []
    for system in systems:
        if system not in results:
            cells.append(NOTHING)
            continue
        median = results[system]["median"]
        cell = duration(median)
        if row["step"] in {"put_many", "get_many"}:
            cell += f", {three_figures(1 / median)}/s"
        if system != "bodega" and "bodega" in results:
            cell += f" ({ratio(median / results['bodega']['median'])}x)"
        cells.append(cell)
    return cells


def _offers_table(systems: Sequence[str]) -> Table:
    peers = [PEERS[system] for system in systems]
    rows = [[peer.title, peer.copies, peer.changes, peer.names, peer.server, peer.crash] for peer in peers]
    return Table("What each offers", "", ["system", *_OFFERS], rows, words=1 + len(_OFFERS))


def _beside_writer(report: Report) -> Iterator[str]:
    """What readers saw while the object was replaced."""
    for system, counts in report["beside a writer"].items():
        if counts.get("torn") or counts.get("missing"):
            yield (
                f"Beside a writer, readers of {PEERS[system].title} saw {counts.get('torn', 0):,} values that were partly "
                f"of one put and partly of another, and {counts.get('missing', 0):,} times no object at all."
            )


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
