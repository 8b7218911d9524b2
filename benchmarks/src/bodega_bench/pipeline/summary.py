"""Figures from measurements: medians of repeats and their spread, per medium and scale, and the aims they meet or miss."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median

from bodega_bench.pipeline.measurements import Measurement
from bodega_bench.pipeline.media import FLOOR, OURS, OURS_IN_ONE_RUN, find_medium
from bodega_bench.timing import Spread, spread

PARTS = {"start_up": "start-up", "load": "load", "compute": "compute", "save": "save"}
"""Of a process's time, by what they are called."""
_SHARING_SCALE, _MOST_SHARING = 100, 0.02
_RATIO_SCALE, _MOST_RATIO = 1000, 0.5
_LINEAR_FROM, _LINEAR_TO, _LINEAR = 10, 1000, 1.01
_MOST_MEMORY = 1.1


@dataclass(frozen=True)
class Cell:
    """One medium at one scale; seconds and bytes."""

    medium: str
    scale: int
    repeats: int
    rows: int
    """Of the table that is handed on first."""
    columns: int
    total: Spread
    """The sum of the processes' times."""
    parts: Mapping[str, Spread]
    """The same by what took them."""
    nodes: Mapping[str, Mapping[str, float]]
    """Medians of each process's parts, and of its whole time."""
    nbytes: int
    """Handed on, as it lies in the medium; 0 where that is not known."""
    peak: int
    """The most memory of a process, shared pages included."""
    private: int
    """The most memory of a process that nobody shares; 0 where the system does not tell."""

    @property
    def moving(self) -> float:
        """Seconds of loading and saving."""
        return self.parts["load"].median + self.parts["save"].median

    @property
    def without_start_up(self) -> float:
        """Seconds of loading, computing and saving."""
        return self.moving + self.parts["compute"].median


Cells = Mapping[tuple[str, int], Cell]
"""By medium and scale."""


def summarise(measurements: Iterable[Measurement]) -> dict[tuple[str, int], Cell]:
    """The figures of every medium at every scale that was measured."""
    groups: dict[tuple[str, int], list[Measurement]] = {}
    for each in measurements:
        groups.setdefault((each.medium, each.scale), []).append(each)
    return {key: _cell(*key, group) for key, group in groups.items()}


def _cell(medium: str, scale: int, group: Sequence[Measurement]) -> Cell:
    rows, columns = group[0].steps[0].shape
    return Cell(
        medium=medium,
        scale=scale,
        repeats=len(group),
        rows=rows,
        columns=columns,
        total=spread(each.total("process") for each in group),
        parts={part: spread(each.total(part) for each in group) for part in PARTS},
        nodes={
            step.node: {
                part: median(getattr(each.steps[number], part) for each in group) for part in (*PARTS, "process")
            }
            for number, step in enumerate(group[0].steps)
        },
        nbytes=round(median(each.nbytes for each in group)),
        peak=max(each.most("peak") for each in group),
        private=max(each.most("private") for each in group),
    )


@dataclass(frozen=True)
class Aim:
    """What shall be reached, and what was."""

    aim: str
    found: str
    met: bool | None
    """None where it was not measured."""


def judge(cells: Cells, titles: Mapping[str, str]) -> list[Aim]:
    """The aims of this benchmark, each with what was found; ``titles`` are of the media, by name."""
    return [_ahead(cells, titles), _sharing(cells), _against_s3(cells), _linear(cells), _memory(cells)]


def _ahead(cells: Cells, titles: Mapping[str, str]) -> Aim:
    aim = "At every scale bodega takes less than every other medium that crosses processes (runs against runs)"
    behind, compared = [], 0
    for (medium, scale), cell in cells.items():
        other = find_medium(medium)
        ours = cells.get((OURS_IN_ONE_RUN if other.is_one_run else OURS, scale))
        if ours is None or ours is cell or not other.crosses_processes:
            continue
        compared += 1
        if cell.total.median <= ours.total.median:
            took = f"{cell.total.median:.2f} s, {titles[ours.medium]} {ours.total.median:.2f} s"
            behind.append(f"{titles[medium]} at x{scale} took {took}")
    found = f"but {'; '.join(behind)}" if behind else f"in all {compared} comparisons"
    return Aim(aim, found if compared else "not measured", not behind if compared else None)


def _sharing(cells: Cells) -> Aim:
    aim = f"At x{_SHARING_SCALE} sharing takes no more than {_MOST_SHARING:.0%} of the sum"
    ours, floor = cells.get((OURS, _SHARING_SCALE)), cells.get((FLOOR, _SHARING_SCALE))
    if ours is None or floor is None:
        return Aim(aim, "not measured", None)
    computing = ours.parts["compute"].median - floor.parts["compute"].median
    share = (ours.moving + computing) / ours.total.median
    found = (
        f"loading and saving take {ours.moving:.3f} s, computing {computing:+.3f} s beside the floor's, "
        f"of {ours.total.median:.2f} s: {share:.1%}"
    )
    return Aim(aim, found, share <= _MOST_SHARING)


def _against_s3(cells: Cells) -> Aim:
    aim = f"At x{_RATIO_SCALE} bodega takes at most {_MOST_RATIO:g} of CSV on S3 (published, Vineyard : MinIO: 0.67)"
    ours, s3 = cells.get((OURS, _RATIO_SCALE)), cells.get(("s3-csv", _RATIO_SCALE))
    if ours is None or s3 is None:
        return Aim(aim, "not measured", None)
    ratio = ours.total.median / s3.total.median
    return Aim(aim, f"{ratio:.2f}", ratio <= _MOST_RATIO)


def _linear(cells: Cells) -> Aim:
    aim = f"From x{_LINEAR_FROM} to x{_LINEAR_TO} bodega's cost per byte grows by no more than {_LINEAR - 1:.0%}"
    small, large = cells.get((OURS, _LINEAR_FROM)), cells.get((OURS, _LINEAR_TO))
    if small is None or large is None:
        return Aim(aim, "not measured", None)
    before, after = (cell.without_start_up / (cell.nbytes / 1e9) for cell in (small, large))
    return Aim(aim, f"{before:.2f} s, then {after:.2f} s per GB handed on, without start-up", after <= before * _LINEAR)


def _memory(cells: Cells) -> Aim:
    aim = f"A node's memory stays within {_MOST_MEMORY - 1:.0%} above that of the floor"
    pairs = [
        (scale, cell, floor)
        for (medium, scale), cell in sorted(cells.items())
        if medium == OURS and (floor := cells.get((FLOOR, scale))) is not None
    ]
    if not pairs:
        return Aim(aim, "not measured", None)
    ratios = {
        scale: (cell.private / floor.private if cell.private and floor.private else cell.peak / floor.peak)
        for scale, cell, floor in pairs
    }
    found = ", ".join(f"x{scale}: {ratio:.2f}" for scale, ratio in ratios.items())
    return Aim(aim, f"of the floor's private memory {found}", max(ratios.values()) <= _MOST_MEMORY)


def as_figures(cells: Cells) -> list[dict[str, object]]:
    """The figures as ``results.json`` holds them."""
    return [{**asdict(cell), "moving": cell.moving} for cell in cells.values()]
