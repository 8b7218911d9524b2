"""The demo's result as a table and as JSON."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from rich.table import Table

if TYPE_CHECKING:
    from bodega.demo.measure import Medium

_HEADINGS = {"start_up": "start-up", "load": "load", "compute": "compute", "save": "save", "process": "total"}


@dataclass(frozen=True)
class Comparison:
    """The same pipeline over the same data through two media."""

    multiplier: int
    files: Medium
    shared: Medium

    @property
    def rows(self) -> int:
        """Houses in the table that the first node makes."""
        return self.shared.steps[0].shape[0]

    @property
    def columns(self) -> int:
        """Columns of that table."""
        return self.shared.steps[0].shape[1]

    def ratio(self, part: str) -> float:
        """How many times longer a part took through files."""
        return self.files.total(part) / max(self.shared.total(part), 1e-9)


def as_json(comparison: Comparison) -> dict[str, Any]:
    """What ``timings.json`` and ``--json`` hold; seconds and bytes."""
    return {
        "multiplier": comparison.multiplier,
        "rows": comparison.rows,
        "columns": comparison.columns,
        "media": {
            medium.name: {
                "bytes": medium.nbytes,
                "steps": [{**asdict(step), "start_up": step.start_up} for step in medium.steps],
                "total": {part: medium.total(part) for part in _HEADINGS},
            }
            for medium in (comparison.files, comparison.shared)
        },
        "ratio": {part: comparison.ratio(part) for part in _HEADINGS},
        "machine": {
            "cores": os.cpu_count(),
            "system": platform.platform(),
            "python": platform.python_version(),
            **{name: version(name) for name in ("bodega", "kedro", "numpy", "pandas", "pyarrow")},
        },
    }


def as_table(comparison: Comparison) -> Table:
    """Seconds of every part of every node, the sums, and their ratios."""
    table = Table(
        title=f"House prices x{comparison.multiplier}: {comparison.rows:,} rows, {comparison.columns} columns. "
        "Seconds; each Kedro node in a process of its own",
        title_justify="left",
    )
    table.add_column("Kedro node", no_wrap=True)
    table.add_column("through", no_wrap=True)
    for part, heading in _HEADINGS.items():
        table.add_column(heading, justify="right", style="bold" if part == "process" else None)
    media = (comparison.files, comparison.shared)
    for steps in zip(*(medium.steps for medium in media), strict=True):
        for medium, step in zip(media, steps, strict=True):
            seconds = [f"{getattr(step, part):.2f}" for part in _HEADINGS]
            last = medium is media[-1]
            table.add_row("" if last else step.node, medium.name, *seconds, end_section=last)
    for medium in media:
        seconds = [f"{medium.total(part):.2f}" for part in _HEADINGS]
        table.add_row("" if medium is media[-1] else "all nodes", medium.name, *seconds)
    table.add_row("", "ratio", *(_times(comparison.ratio(part)) for part in _HEADINGS), style="green")
    return table


def _times(ratio: float) -> str:
    return f"{ratio:.0f}x" if ratio >= 10 else f"{ratio:.1f}x"
