"""The one kind of table that benchmarks show: rows of text, the same in a terminal, in Markdown and in a page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

_WIDTH = 200
"""Columns of what is no terminal."""


@dataclass(frozen=True)
class Table:
    """A table of text."""

    title: str
    note: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: int = 1
    """Leading columns that hold words; the others hold numbers."""
    best: Mapping[int, int] = field(default_factory=dict)
    """Column of the cell that stands out in a row, by the row's number."""

    @property
    def is_numbers(self) -> bool:
        """Whether some columns hold numbers."""
        return self.words < len(self.header)

    def as_markdown(self) -> str:
        """The table with its title as a heading."""
        table = markdown_rows(
            self.header, [self._marked(at, "**", "**", str) for at in range(len(self.rows))], self.words
        )
        return f"## {self.title}\n\n{self.note}\n\n{table}\n" if self.note else f"## {self.title}\n\n{table}\n"

    def as_rich(self) -> RichTable:
        """The table for a terminal; a first cell is not repeated in the rows below it."""
        shown = RichTable(title=self.title, title_justify="left", caption=self.note or None, caption_justify="left")
        for number, heading in enumerate(self.header):
            is_word = number < self.words
            # A number that is broken in two is read wrong.
            shown.add_column(
                escape(heading), justify="left" if is_word else "right", no_wrap=not is_word or number == 0
            )
        before = None
        for at, row in enumerate(self.rows):
            cells = self._marked(at, "[bold green]", "[/]", escape)
            if row[0] == before:
                cells[0] = ""
            elif before is not None and self.words > 1 and self._has_groups:
                shown.add_section()
            shown.add_row(*cells)
            before = row[0]
        return shown

    @property
    def _has_groups(self) -> bool:
        firsts = [row[0] for row in self.rows]
        return len(set(firsts)) < len(firsts)

    def _marked(self, at: int, before: str, after: str, clean: Callable[[str], str]) -> list[str]:
        best = self.best.get(at)
        cells = [clean(cell) for cell in self.rows[at]]
        return [f"{before}{cell}{after}" if number == best else cell for number, cell in enumerate(cells)]


def markdown_rows(header: Sequence[str], rows: Iterable[Sequence[str]], words: int = 1) -> str:
    """The rows of a table in Markdown."""
    lines = [header, ["---"] * words + ["---:"] * (len(header) - words), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def print_tables(tables: Iterable[Table], console: Console) -> None:
    """Print tables, as wide as the terminal is; in a pipe they are never cut."""
    if not console.is_terminal:
        console = Console(file=console.file, width=_WIDTH, highlight=False)
    for table in tables:
        console.print(table.as_rich())
