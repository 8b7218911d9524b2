"""Facts as tables for people: on a terminal as wide as it is, in a pipe without colours and never cut."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from bodega.texts import format_duration, format_size, printable

if TYPE_CHECKING:
    from bodega.findings import Finding
    from bodega.format import ObjectInfo


_WIDEST = 100_000
"""Columns of a pipe."""
_NUMBERS = ("size", "objects")
_GIVING_WAY = ("kind", "shape", "age", "producer", "level", "dtype", "type", "goes to", "made by")
"""Columns that a narrow terminal cuts; of the others a part would be a lie."""
_LEAST = 9
"""Characters that are left of those."""
_GAP = 2
_COLORS = {"ok": "green", "note": "cyan", "warning": "yellow", "error": "bold red"}


def print_objects(objects: Sequence[ObjectInfo], damaged: Sequence[Mapping[str, str]], *, by_run: bool) -> None:
    """One row an object, sorted by name, the damaged ones among them; each run below a line of its own if asked for."""
    columns = ["name", "kind", "shape", "size", "age", "producer"]
    rows: dict[str, list[tuple[str, ...]]] = {}
    for info in objects:
        size, age = format_size(info.nbytes), _age(info.created)
        row = (info.name, info.kind, _shape(info.schema), size, age, _producer(info))
        rows.setdefault(info.run, []).append(row)
    for each in damaged:
        rows.setdefault(each["run"], []).append((each["name"], "damaged", "-", "-", "-", "-"))
    for number, run in enumerate(sorted(rows)):
        if by_run:
            _print(("\n" if number else "") + f"run {printable(run)}", style="bold")
        print_rows(columns, sorted(rows[run]), red="damaged")
    if rows and sys.stdout.isatty():
        count = sum(map(len, rows.values()))
        total = format_size(sum(info.nbytes for info in objects))
        _print(f"{count:,} object{'' if count == 1 else 's'}, {total}", style="dim")


def print_runs(rows: Iterable[Mapping[str, Any]]) -> None:
    """One row a run."""
    print_rows(
        ["run", "objects", "size", "damaged"],
        ((each["run"], f"{each['objects']:,}", format_size(each["nbytes"]), str(each["damaged"])) for each in rows),
    )


def print_object(info: ObjectInfo, root: str, more: Mapping[str, str]) -> None:
    """All facts of an object, a line each, those that the caller knows among them, then its columns."""
    schema = dict(info.schema)
    parts = {part: schema.pop(part) for part in ("index", "columns") if part in schema}
    facts = {
        "name": info.name,
        "run": info.run,
        "root": root,
        "id": info.id,
        "kind": info.kind,
        "size": f"{format_size(info.nbytes)} ({info.nbytes:,} bytes)",
        "created": f"{info.created.astimezone():%Y-%m-%d %H:%M:%S %Z} ({_age(info.created)} ago)",
        "task": info.producer.task or "-",
        "process": f"{info.producer.process} on {info.producer.host}",
        "tier": info.tier or "-",
        **more,
        **{key: _shape(schema) if key == "shape" else str(value) for key, value in schema.items()},
    }
    print_facts(facts)
    for part, columns in parts.items():
        _console().print()
        print_rows([part, "dtype"], (("-" if name is None else str(name), str(dtype)) for name, dtype in columns))
        width = (*info.schema.get("shape", ()), 0, 0)[1]
        if part == "columns" and width > len(columns):
            _print(f"and {width - len(columns):,} more")


def print_facts(facts: Mapping[str, str]) -> None:
    """A line for each."""
    shown = {printable(key): printable(value) for key, value in facts.items()}
    widest = max(map(cell_len, shown), default=0)
    for key, value in shown.items():
        _print(Text.assemble((key, "bold"), " " * (widest - cell_len(key) + 2), value))


def print_findings(findings: Sequence[Finding]) -> None:
    """The findings, then the remedies on lines of their own, so that they can be copied whole."""
    console = _console()
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
    table.add_column("check", no_wrap=True)
    table.add_column("level", no_wrap=True)
    table.add_column("finding", overflow="fold")
    for finding in findings:
        table.add_row(printable(finding.code), finding.level, printable(finding.message), style=_COLORS[finding.level])
    console.print(table)
    for finding in findings:
        if finding.remedy:
            console.print(f"\n# {printable(finding.code)}", style="dim")
            console.print(printable(finding.remedy, keep="\n"), soft_wrap=True)


def print_problems(findings: Sequence[Finding]) -> None:
    """Problems by their kind: what each is about, what is the matter, and its remedy."""
    console = _console()
    heading = None
    for finding in findings:
        if heading != (finding.level, finding.code):
            heading = (finding.level, finding.code)
            console.print(f"{finding.level} {finding.code}", style=_COLORS[finding.level])
        console.print(f"  {printable(finding.subject)}", style="bold", soft_wrap=True)
        for sentence, style in ((finding.message, ""), (f"-> {finding.remedy}", "dim")):
            console.print(Padding(printable(sentence), (0, 0, 0, 4), expand=False), style=style)
    if findings:
        console.print()


def print_rows(columns: Sequence[str], rows: Iterable[Sequence[str]], *, red: str | None = None) -> None:
    """Rows of texts below the names of their columns.

    Args:
        columns: their names.
        rows: a text for each.
        red: the text that makes a row red, in one of its first columns.
    """
    lines = [[printable(text) for text in row] for row in rows]
    widths = [max(map(cell_len, cells)) for cells in zip(columns, *lines, strict=True)]
    console = _console()
    _fit(columns, widths, console.width)
    console.out(_line(columns, columns, widths), style="bold", highlight=False)
    # What is alike goes in one piece: a table of rich takes half a millisecond a row.
    for is_red, group in groupby(lines, lambda cells: red is not None and red in cells[1:3]):
        shown = "\n".join(_line(columns, cells, widths) for cells in group)
        console.out(shown, style="red" if is_red else None, highlight=False)


def _fit(columns: Sequence[str], widths: list[int], room: int) -> None:
    """Let columns that may be cut give way, the widest first, until a line has room, or they are at their least."""
    giving = [number for number, column in enumerate(columns) if column in _GIVING_WAY]
    for _ in range(max(0, sum(widths) + _GAP * (len(widths) - 1) - room)):
        widest = max(giving, key=lambda number: widths[number], default=None)
        if widest is None or widths[widest] <= _LEAST:
            return
        widths[widest] -= 1


def _line(columns: Sequence[str], cells: Sequence[str], widths: Sequence[int]) -> str:
    """Cells side by side, each as wide as its column."""
    shown = []
    for column, cell, width in zip(columns, cells, widths, strict=True):
        length = cell_len(cell)
        if length > width:
            cell, length = set_cell_size(cell, width - 1) + "…", width  # noqa: PLW2901 - it is cut
        space = " " * (width - length)
        shown.append(space + cell if column in _NUMBERS else cell + space)
    return (" " * _GAP).join(shown).rstrip()


def _print(content: Text | str, style: str | None = None) -> None:
    """One line, broken by nobody but the terminal, so that it can be copied whole."""
    _console().print(content, style=style, soft_wrap=True)


def _console() -> Console:
    return Console(width=None if sys.stdout.isatty() else _WIDEST, markup=False, emoji=False, highlight=False)


def _shape(schema: Mapping[str, Any]) -> str:
    if "shape" in schema:
        return " x ".join(f"{length:,}" for length in schema["shape"]) or "scalar"
    return f"{schema['length']:,}" if "length" in schema else "-"


def _age(created: datetime) -> str:
    return format_duration((datetime.now(UTC) - created).total_seconds(), most=1)


def _producer(info: ObjectInfo) -> str:
    who = info.producer.task or f"process {info.producer.process}"
    return who if info.producer.host == socket.gethostname() else f"{who} on {info.producer.host}"
