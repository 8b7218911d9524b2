"""The figures as tables: rows of text, which Markdown, the page and the terminal show alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bodega.texts import format_size
from bodega_bench.formats import NOTHING, ratio, seconds, with_range
from bodega_bench.pipeline.measurements import ALL_SCALES
from bodega_bench.pipeline.media import FLOOR, OURS
from bodega_bench.pipeline.published import COUNTERPARTS, SCALES, SECONDS, published
from bodega_bench.pipeline.summary import PARTS, Aim, Cell, Cells
from bodega_bench.tables import Table

_PROCESSES = "from the start of a process to its end, summed over the nodes"


def seconds_table(
    cells: Cells, left_out: Mapping[tuple[str, int], str], titles: Mapping[str, str], *, what: str = _PROCESSES
) -> Table:
    """The sum of the nodes' times, as the published table has it; ``what`` says which times these are."""
    scales = sorted({scale for _, scale in (*cells, *left_out)} - {ALL_SCALES})
    rows = []
    for medium, title in titles.items():
        row = [title]
        for scale in scales:
            if (cell := cells.get((medium, scale))) is not None:
                row.append(_spread(cell))
            else:
                row.append("failed" if left_out.get((medium, scale), "").startswith("failed") else NOTHING)
        rows.append(row)
    return Table(
        "Seconds, all nodes together",
        f"Median of the repeats (lowest to highest): {what}.",
        ["through", *(f"x{scale}" for scale in scales)],
        rows,
    )


def _spread(cell: Cell) -> str:
    if cell.repeats == 1:
        return seconds(cell.total.median)
    return with_range(*map(seconds, (cell.total.median, cell.total.lowest, cell.total.highest)))


def published_table(cells: Cells, titles: Mapping[str, str]) -> Table | None:
    """Each published column with what was measured here beside it; None where no scale is in both."""
    scales = sorted({scale for _, scale in cells} & set(SCALES))
    if not scales:
        return None
    rows: list[list[str]] = []
    for column in SECONDS:
        rows.append([f"published: {column}", *(seconds(published(column, scale)) for scale in scales)])
        medium = next((name for name in COUNTERPARTS[column] if name in titles), None)
        if medium is not None:
            rows.append([f"here: {titles[medium]}", *(_of(cells, medium, scale) for scale in scales)])
    rows.append(["here: bodega", *(_of(cells, OURS, scale) for scale in scales)])
    rows.append(
        ["published: Vineyard / MinIO", *(_ratio(published("Vineyard", s), published("MinIO", s)) for s in scales)]
    )
    rows.append(["here: bodega / CSV on S3", *(_ratio_of(cells, OURS, "s3-csv", scale) for scale in scales)])
    rows.append(["here: Vineyard / CSV on S3", *(_ratio_of(cells, "vineyard", "s3-csv", scale) for scale in scales)])
    return Table(
        "Beside the published figures",
        "Seconds. The published figures are the run times of pods on another cluster, and its pipeline is a similar one on "
        "the same data: compare the ratios, not the seconds. What is simulated here is named so.",
        ["", *(f"x{scale}" for scale in scales)],
        [row for row in rows if any(cell != NOTHING for cell in row[1:])],
    )


def parts_table(cells: Cells, titles: Mapping[str, str]) -> Table:
    """What the time of each medium went to, at every scale."""
    rows = []
    for scale in sorted({scale for _, scale in cells}):
        for medium, title in titles.items():
            if (cell := cells.get((medium, scale))) is None:
                continue
            floor = cells.get((FLOOR, scale))
            rows.append([
                f"x{scale} {title}",
                *(seconds(cell.parts[part].median, digits=2) for part in PARTS),
                seconds(cell.total.median),
                _ratio(cell.total.median, floor.total.median if floor else None),
                format_size(cell.nbytes) if cell.nbytes else NOTHING,
                format_size(cell.peak),
                format_size(cell.private) if cell.private else NOTHING,
            ])  # fmt: skip
    return Table(
        "What the time went to, and the memory",
        "Medians of the sums over the processes, in seconds. Handed on: the bytes of the tables as they lie in the medium. "
        "Peak: the most memory of a process with the shared pages it has mapped, as the kernel counts it. Private: the most "
        "memory that nobody shares, sampled from outside; the two are of the largest process of all repeats.",
        ["", *PARTS.values(), "sum", "/ floor", "handed on", "peak", "private"],
        rows,
    )


def nodes_table(cells: Cells, titles: Mapping[str, str]) -> Table | None:
    """Each node at the largest scale that bodega was measured at."""
    scale = max((scale for medium, scale in cells if medium == OURS), default=None)
    if scale is None:
        return None
    rows = [
        [f"{node}: {title}", *(seconds(parts[part], digits=2) for part in (*PARTS, "process"))]
        for node in cells[OURS, scale].nodes
        for medium, title in titles.items()
        if (cell := cells.get((medium, scale))) is not None and (parts := cell.nodes.get(node)) is not None
    ]
    return Table(f"Each node at x{scale}", "Seconds, medians.", ["", *PARTS.values(), "process"], rows)


def aims_table(aims: Sequence[Aim]) -> Table:
    """What shall be reached, and what was."""
    words = {True: "met", False: "missed", None: "not measured"}
    rows = [[aim.aim, words[aim.met], aim.found] for aim in aims]
    return Table("Aims", "", ["aim", "", "found"], rows, words=3)


def left_out_table(left_out: Mapping[tuple[str, int], str], titles: Mapping[str, str]) -> Table | None:
    """What was not measured, and why."""
    if not left_out:
        return None
    rows = [
        [titles[medium], "all" if scale == ALL_SCALES else f"x{scale}", reason]
        for (medium, scale), reason in left_out.items()
    ]
    return Table("Not measured", "", ["through", "scale", "why"], rows, words=3)


def _of(cells: Cells, medium: str, scale: int) -> str:
    cell = cells.get((medium, scale))
    return seconds(cell.total.median if cell else None)


def _ratio_of(cells: Cells, one: str, other: str, scale: int) -> str:
    first, second = cells.get((one, scale)), cells.get((other, scale))
    return _ratio(first.total.median if first else None, second.total.median if second else None)


def _ratio(one: float | None, other: float | None) -> str:
    return ratio(None if one is None or other is None else one / other)
