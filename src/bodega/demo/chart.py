"""The demo's result as a chart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.patches import Patch

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

    from bodega.demo.measure import Medium
    from bodega.demo.report import Comparison

# What the medium changes comes first, so that it starts at zero in every bar, and in Okabe and Ito's colours, which
# colour-blind readers can tell apart; what it leaves as it is, in greys.
_PARTS = {
    "load": ("load", "#0072b2"),
    "save": ("save", "#e69f00"),
    "compute": ("compute", "#a6a6a6"),
    "start_up": ("start-up of Python and Kedro", "#e6e6e6"),
}
_BAR = 0.38
"""Thickness of a bar, where two rows are 1 apart."""


def draw(comparison: Comparison, path: Path) -> None:
    """Write the chart to ``path``, a PNG of 1500 by 1050 pixels."""
    # A bare Figure draws with Agg and leaves pyplot's state alone.
    figure = Figure(figsize=(10, 7), dpi=150)
    axes = figure.add_axes((0.13, 0.08, 0.85, 0.73))
    media = (comparison.files, comparison.shared)
    longest = max(step.process for medium in media for step in medium.steps)
    for offset, medium in zip((-_BAR / 2 - 0.01, _BAR / 2 + 0.01), media, strict=True):
        _draw_bars(axes, medium, offset, longest)
    steps = comparison.files.steps
    axes.set_yticks(range(len(steps)), [step.node for step in steps])
    axes.invert_yaxis()
    axes.set_xlim(0, longest * 1.2)
    axes.set_xlabel("seconds")
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    _write_texts(figure, comparison)
    figure.savefig(path)


def _draw_bars(axes: Axes, medium: Medium, offset: float, longest: float) -> None:
    for row, step in enumerate(medium.steps):
        left = 0.0
        for part, (_, colour) in _PARTS.items():
            seconds = getattr(step, part)
            axes.barh(row + offset, seconds, _BAR, left=left, color=colour)
            left += seconds
        axes.text(left + longest * 0.01, row + offset, f"{medium.name}  {left:.1f} s", va="center", fontsize=9)


def _write_texts(figure: Figure, comparison: Comparison) -> None:
    files, shared = comparison.files, comparison.shared
    figure.text(
        0.02,
        0.95,
        f"Loading and saving take {files.moving:.1f} s through CSV files, {shared.moving:.1f} s through bodega",
        fontsize=14,
        fontweight="bold",
    )
    figure.text(
        0.02,
        0.895,
        f"House prices x{comparison.multiplier} ({comparison.rows:,} rows, {comparison.columns} columns); each Kedro "
        f"node in a process of its own.\nAll {len(files.steps)} processes from start to end: "
        f"{files.total('process'):.1f} s and {shared.total('process'):.1f} s.",
        fontsize=10,
        va="center",
    )
    handles = [Patch(color=colour, label=label) for label, colour in _PARTS.values()]
    figure.legend(handles=handles, loc="upper left", bbox_to_anchor=(0.012, 0.865), ncols=4, frameon=False, fontsize=10)
