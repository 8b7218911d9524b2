"""The results of `bodega bench store` as tables in a terminal, as Markdown, as JSON and, with matplotlib, as a plot."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bodega_bench.store.peers import PEERS
from bodega_bench.store.plan import LEGEND, STEPS

Report = Mapping[str, Any]

_OFFERS = ["get copies", "value may be changed", "names", "server", "after a writer's crash"]
_WIDTH = 200
"""Columns of what is no terminal."""
_LEFT, _COLUMN = 62, 17
"""Columns of a table for what describes a row, and for each system."""


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
    """Print the tables."""
    systems, marks = report["systems"], _Marks()
    if not console.is_terminal:
        console = Console(file=console.file, width=_WIDTH)
    fit = max(1, (console.width - _LEFT) // _COLUMN)
    for start in range(0, len(systems), fit):
        console.print(_table(report, systems[start : start + fit], marks))
    offers = Table("system", *_OFFERS, title="What each offers")
    for row in _offers(systems):
        offers.add_row(*row)
    console.print(offers)
    for number, reason in marks.reasons():
        console.print(f"{number}. {escape(reason)}")
    for line in _beside_writer(report):
        console.print(escape(line))
    for what, reason in {**report["failures"], **report["skipped"]}.items():
        style = "red" if what in report["failures"] else "yellow"
        console.print(f"[{style}]{escape(what)}: {escape(reason)}[/]")


def _table(report: Report, systems: Sequence[str], marks: _Marks) -> Table:
    """Some of the systems, so that it fits the terminal."""
    table = Table("object", "step", title="Medians, and how many times as long as bodega")
    for system in systems:
        table.add_column(PEERS[system].title, justify="right", no_wrap=True)
    table.add_column("bodega is", no_wrap=True)
    before = None
    for row in report["rows"]:
        if before not in {None, row["object"]}:
            table.add_section()
        cells = [cell.replace(" (", "\n(") for cell in _cells(row, systems)]
        if row["first"] in systems:
            first = systems.index(row["first"])
            cells[first] = f"[bold green]{cells[first]}[/]"
        label = row["object"] if row["object"] != before else ""
        table.add_row(label, STEPS[row["step"]], *cells, escape(marks.standing(row)))
        before = row["object"]
    return table


def as_markdown(report: Report, plot: str | None) -> str:
    """The tables and all that is needed to read them.

    Args:
        report: the results.
        plot: name of the picture beside it, if there is one.
    """
    systems, marks = report["systems"], _Marks()
    header = ["object", "step", *(PEERS[system].title for system in systems), "bodega is"]
    table = []
    for row in report["rows"]:
        cells = _cells(row, systems)
        first = systems.index(row["first"])
        cells[first] = f"**{cells[first]}**"
        table.append([row["object"], STEPS[row["step"]], *cells, marks.standing(row)])
    facts = [f"- {key}: {_text(value)}" for key, value in report["machine"].items()]
    facts += [
        f"- {PEERS[system].title}: {', '.join(f'{package} {version}' for package, version in versions.items())}"
        for system, versions in report["versions"].items()
    ]
    parts = [
        "# The store beside other ways to share",
        f"Made with `{report['command']}` on {report['date']}.",
        (
            "Medians of all calls in all rounds, in brackets how many times as long as bodega (above 1, bodega is faster); the "
            "fastest in bold. Level means within 5 % of the fastest. Quartiles and the rounds' medians are in `store.json`."
        ),
        _markdown_table(header, table),
        "\n".join(f"{number}. {reason}" for number, reason in marks.reasons()),
        f"![Seconds by size, a panel for each step]({plot})" if plot else "",
        "## The steps",
        "\n".join(f"- *{step}*: {meaning}" for step, meaning in LEGEND.items()),
        "## What each offers",
        _markdown_table(["system", *_OFFERS], _offers(systems)),
        "\n".join(_beside_writer(report)),
        "## Not measured" if report["failures"] or report["skipped"] else "",
        "\n".join(f"- {what}: {reason}" for what, reason in {**report["failures"], **report["skipped"]}.items()),
        "## The machine and the versions",
        "\n".join(facts),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


class _Marks:
    """Numbers for the reasons why bodega is behind, each reason once."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def standing(self, row: Mapping[str, Any]) -> str:
        """Where bodega is in a row, with the number of the reason."""
        text = str(row["bodega"])
        if "why" in row:
            text += f" [{self._numbers.setdefault(row['why'], len(self._numbers) + 1)}]"
        return text

    def reasons(self) -> Iterator[tuple[int, str]]:
        """The numbers and the reasons."""
        return ((number, reason) for reason, number in self._numbers.items())


def _cells(row: Mapping[str, Any], systems: Sequence[str]) -> list[str]:
    """The median of each system, and its ratio to bodega's."""
    results = row["results"]
    cells = []
    for system in systems:
        if system not in results:
            cells.append("-")
            continue
        median = results[system]["median"]
        cell = readable(median)
        if row["step"] in {"put_many", "get_many"}:
            cell += f", {1 / median:,.0f}/s"
        if system != "bodega" and "bodega" in results:
            cell += f" ({_figures(median / results['bodega']['median'])}x)"
        cells.append(cell)
    return cells


def readable(seconds: float) -> str:
    """A time for people, in three figures."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{_figures(seconds / size)} {unit}"
    return f"{_figures(seconds * 1e6)} us"


def _figures(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def _offers(systems: Sequence[str]) -> list[list[str]]:
    peers = [PEERS[system] for system in systems]
    return [[peer.title, peer.copies, peer.changes, peer.names, peer.server, peer.crash] for peer in peers]


def _beside_writer(report: Report) -> Iterator[str]:
    """What readers saw while the object was replaced."""
    for system, counts in report["beside a writer"].items():
        if counts.get("torn") or counts.get("missing"):
            yield (
                f"Beside a writer, readers of {PEERS[system].title} saw {counts.get('torn', 0):,} values that were partly "
                f"of one put and partly of another, and {counts.get('missing', 0):,} times no object at all."
            )


def _markdown_table(header: Sequence[str], table: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *table]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
