"""The figures as pictures: SVG that stands on its own and can be put into a page."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from bodega_bench.pipeline.media import FLOOR, MEDIA, SIMULATED
from bodega_bench.pipeline.summary import PARTS, Cell, Cells

# Okabe and Ito's colours, which colour-blind readers can tell apart, and a marker for each besides.
_COLOURS = ("#d55e00", "#000000", "#e69f00", "#8c8c8c", "#0072b2", "#009e73", "#cc79a7", "#56b4e9", "#117733", "#882255",
            "#332288")  # fmt: skip
_MARKERS = "osDXv^<>Pph"
_STYLES = {
    name: {"color": colour, "marker": marker} for name, colour, marker in zip(MEDIA, _COLOURS, _MARKERS, strict=True)
}
_PART_COLOURS = {"load": "#0072b2", "save": "#e69f00", "compute": "#a6a6a6", "start_up": "#e6e6e6"}
"""What the medium changes comes first; what it leaves as it is, in greys."""
_MOST_PANELS = 3
_SIZE = (9.0, 5.2)


def draw_all(cells: Cells, titles: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Every plot there are figures for: by its name, what it shows, and the SVG."""
    plots: dict[str, tuple[str, Callable[[Cells, Mapping[str, str]], Figure | None]]] = {
        "time": ("Time by scale, all processes together (logarithmic)", _time),
        "parts": ("What the time went to", _parts),
        "ratio": ("How many times as long as the pipeline in one process", _ratio),
        "scaling": ("Loading, computing and saving for each 1,460 houses", _scaling),
        "memory": ("Largest private memory of a process", _memory),
    }
    drawn = {}
    for name, (caption, draw) in plots.items():
        # With a salt, the same figures make the same picture.
        with mpl.rc_context({"svg.hashsalt": name, "svg.fonttype": "path", "font.size": 10}):
            figure = draw(cells, titles)
            if figure is not None:
                drawn[name] = (caption, _as_svg(figure, name))
    return drawn


def _as_svg(figure: Figure, name: str) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    # Several pictures in one page must not share ids.
    return re.sub(r'( id="|href="#|url\(#)', rf"\g<1>{name}-", text[text.index("<svg") :])


def _media(cells: Cells) -> list[str]:
    return list(dict.fromkeys(medium for medium, _ in cells))


def _scales(cells: Cells) -> list[int]:
    return sorted({scale for _, scale in cells})


def _of(cells: Cells, medium: str) -> list[Cell]:
    return sorted((cell for cell in cells.values() if cell.medium == medium), key=lambda cell: cell.scale)


def _lines(cells: Cells, titles: Mapping[str, str], value: Callable[[Cell], float | None], label: str) -> Figure | None:
    """A line for each medium, both axes logarithmic; None where there are no two scales, or no values."""
    if len(_scales(cells)) < 2:
        return None
    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = figure.add_subplot()
    for medium in _media(cells):
        points = [(cell.scale, found) for cell in _of(cells, medium) if (found := value(cell))]
        if points:
            axes.plot(
                [scale for scale, _ in points],
                [found for _, found in points],
                label=titles[medium],
                linestyle="--" if medium.endswith(SIMULATED) else "-",
                linewidth=2.4 if medium == "bodega" else 1.4,
                markersize=5,
                zorder=3 if medium == "bodega" else 2,
                **_STYLES[medium.removesuffix(SIMULATED)],  # type: ignore[arg-type]
            )
    if not axes.lines:
        return None
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(_scales(cells), [f"x{scale}" for scale in _scales(cells)])
    axes.xaxis.set_minor_locator(NullLocator())
    for which in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
        which(FuncFormatter(lambda number, _: f"{number:g}"))
    axes.yaxis.set_minor_locator(LogLocator(subs=(2.0, 5.0)))
    axes.tick_params(axis="y", which="minor", labelsize=8)
    axes.set_xlabel("scale: times 1,460 houses")
    axes.set_ylabel(label)
    axes.grid(visible=True, which="major", color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside right upper", frameon=False, fontsize=8)
    return figure


def _time(cells: Cells, titles: Mapping[str, str]) -> Figure | None:
    return _lines(cells, titles, lambda cell: cell.total.median, "seconds")


def _scaling(cells: Cells, titles: Mapping[str, str]) -> Figure | None:
    return _lines(
        cells, titles, lambda cell: cell.without_start_up / cell.scale * 1000, "milliseconds for each 1,460 houses"
    )


def _memory(cells: Cells, titles: Mapping[str, str]) -> Figure | None:
    return _lines(cells, titles, lambda cell: cell.private / 1e9, "GB")


def _ratio(cells: Cells, titles: Mapping[str, str]) -> Figure | None:
    def ratio(cell: Cell) -> float | None:
        floor = cells.get((FLOOR, cell.scale))
        return cell.total.median / floor.total.median if floor else None

    return _lines(cells, titles, ratio, "times the floor")


def _parts(cells: Cells, titles: Mapping[str, str]) -> Figure | None:
    scales = _panels(_scales(cells))
    media = _media(cells)
    figure = Figure(figsize=(9.0, 0.9 + len(scales) * (0.7 + 0.26 * len(media))), layout="constrained")
    for number, scale in enumerate(scales, 1):
        axes = figure.add_subplot(len(scales), 1, number)
        found = [cells[medium, scale] for medium in media if (medium, scale) in cells]
        longest = max(cell.total.median for cell in found)
        for row, cell in enumerate(found):
            left = 0.0
            for part, colour in _PART_COLOURS.items():
                axes.barh(row, cell.parts[part].median, 0.72, left=left, color=colour)
                left += cell.parts[part].median
            axes.text(left + longest * 0.008, row, f"{cell.total.median:.1f} s", va="center", fontsize=8)
        axes.set_yticks(range(len(found)), [titles[cell.medium] for cell in found], fontsize=8)
        axes.invert_yaxis()
        axes.set_xlim(0, longest * 1.1)
        axes.set_title(f"x{scale}", loc="left", fontsize=10, fontweight="bold")
        axes.tick_params(axis="y", length=0)
        axes.spines[["top", "right", "left"]].set_visible(False)
        if scale == scales[-1]:
            axes.set_xlabel("seconds")
    if not scales:
        return None
    handles = [mpl.patches.Patch(color=colour, label=PARTS[part]) for part, colour in _PART_COLOURS.items()]
    figure.legend(handles=handles, loc="outside upper left", ncols=len(handles), frameon=False, fontsize=9)
    return figure


def _panels(scales: Sequence[int]) -> list[int]:
    """The smallest scale, the largest, and one between."""
    if len(scales) <= _MOST_PANELS:
        return list(scales)
    return [scales[0], scales[len(scales) // 2], scales[-1]]
