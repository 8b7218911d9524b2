"""The results of `bodega bench store` as one picture: seconds by size, a panel for each step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

from bodega.texts import format_size
from bodega_bench.store.peers import PEERS
from bodega_bench.store.plan import STEPS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colours, which colour-blind readers can tell apart; bodega's is the strongest.
_COLOURS = ["#000000", "#e69f00", "#56b4e9", "#009e73", "#cc79a7", "#0072b2", "#d55e00", "#a6a6a6"]
_MARKERS = ["o", "s", "^", "v", "D", "P", "X", "*"]
_COLUMNS = 3


def draw(report: Mapping[str, Any], path: Path) -> None:
    """Write the picture to ``path``, as a PNG.

    Args:
        report: the results.
        path: of the picture.
    """
    arrays = [row for row in report["rows"] if row["object"].startswith("array")]
    steps = [step for step in STEPS if any(row["step"] == step for row in arrays)]
    lines = max(1, -(-len(steps) // _COLUMNS))
    # A bare Figure draws with Agg and leaves pyplot's state alone.
    figure = Figure(figsize=(14, 1 + 3.6 * lines), dpi=110, layout="constrained")
    axes = figure.subplots(lines, _COLUMNS, squeeze=False).flat
    for panel in axes[len(steps) :]:
        panel.set_axis_off()
    for step, panel in zip(steps, axes, strict=False):
        _draw_step(panel, step, [row for row in arrays if row["step"] == step], report["systems"])
    if steps:
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    figure.suptitle("Time by size of an array: medians, with quartiles as bands", fontweight="bold")
    figure.savefig(path)


def _draw_step(axes: Axes, step: str, rows: Sequence[Mapping[str, Any]], systems: Sequence[str]) -> None:
    for number, system in enumerate(PEERS):
        if system not in systems:
            continue
        found = [(row["nbytes"], row["results"][system]) for row in rows if system in row["results"]]
        sizes = [nbytes for nbytes, _ in found]
        axes.plot(
            sizes,
            [result["median"] for _, result in found],
            label=PEERS[system].title,
            color=_COLOURS[number],
            marker=_MARKERS[number],
            markersize=4,
            linewidth=2.5 if system == "bodega" else 1.2,
            zorder=3 if system == "bodega" else 2,
        )
        low = [result["lower quartile"] for _, result in found]
        high = [result["upper quartile"] for _, result in found]
        axes.fill_between(sizes, low, high, color=_COLOURS[number], alpha=0.12, linewidth=0)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    ticks = sorted({row["nbytes"] for row in rows})
    axes.set_xticks(ticks, [format_size(tick) for tick in ticks], fontsize=8)
    axes.minorticks_off()
    axes.set_title(STEPS[step], fontsize=10)
    axes.set_ylabel("seconds", fontsize=8)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
