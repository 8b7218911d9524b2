"""The three reports of a folder of measurements: a page, Markdown with its plots, and JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bodega_bench.journal import JournalError
from bodega_bench.pipeline.measurements import Measurements
from bodega_bench.pipeline.media import MEDIA, SIMULATED, Medium, find_medium
from bodega_bench.pipeline.page import page
from bodega_bench.pipeline.plots import draw_all
from bodega_bench.pipeline.summary import Cells, as_figures, judge, summarise
from bodega_bench.pipeline.tables import (
    aims_table,
    left_out_table,
    nodes_table,
    parts_table,
    published_table,
    seconds_table,
)
from bodega_bench.tables import Table

_TITLE = "The house-prices pipeline through every medium"


def write_reports(folder: Path) -> tuple[dict[str, Any], list[Table]]:
    """Write ``report.html``, ``report.md`` with its plots, and ``results.json`` next to the measurements.

    Returns:
        What ``results.json`` holds, and the tables that say most.

    Raises:
        JournalError: there are no measurements in the folder.
    """
    journal = Measurements(folder)
    cells = summarise(journal.all)
    if not cells:
        raise JournalError(f"There are no measurements in {folder}: make some with 'bodega bench pipeline'.")
    media = _media(journal)
    titles = {medium.name: medium.title for medium in media}
    tables = _tables(cells, journal.left_out, titles)
    plots = draw_all(dict(sorted(cells.items(), key=lambda item: list(titles).index(item[0][0]))), titles)
    lead, facts, commands = _lead(cells, media), _facts(journal.sessions), _commands(journal.sessions)
    results = {
        "title": _TITLE,
        "sessions": journal.sessions,
        "media": titles,
        "figures": as_figures(cells),
        "aims": [asdict(aim) for aim in judge(cells, titles)],
        "left_out": [
            {"medium": medium, "scale": scale, "reason": reason} for (medium, scale), reason in journal.left_out.items()
        ],
    }
    for name, (_, svg) in plots.items():
        (folder / f"{name}.svg").write_text(svg, encoding="utf-8")
    (folder / "report.md").write_text(_markdown(lead, tables, plots, facts, commands), encoding="utf-8")
    (folder / "report.html").write_text(
        page(_TITLE, lead, tables=tables, plots=plots, facts=facts, commands=commands), encoding="utf-8"
    )
    (folder / "results.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    return results, tables[:2]


def _media(journal: Measurements) -> list[Medium]:
    """Those that were to be measured, in the order in which they are listed."""
    distance = next((str(each["setup"]["distance"]) for each in journal.sessions if "distance" in each["setup"]), "")
    names = {each.medium for each in journal.all} | {medium for medium, _ in journal.left_out}
    order = [name for near in MEDIA for name in (near, f"{near}{SIMULATED}")]
    return [find_medium(name, distance) for name in order if name in names]


def _tables(cells: Cells, left_out: Mapping[tuple[str, int], str], titles: Mapping[str, str]) -> list[Table]:
    tables = (
        seconds_table(cells, left_out, titles),
        aims_table(judge(cells, titles)),
        published_table(cells, titles),
        parts_table(cells, titles),
        nodes_table(cells, titles),
        left_out_table(left_out, titles),
    )
    return [table for table in tables if table is not None]


def _lead(cells: Cells, media: Sequence[Medium]) -> list[str]:
    largest = max(cells.values(), key=lambda cell: cell.scale)
    how = (
        "Kedro's nodes of the example, each in a fresh process, as tasks of a workflow run; what one makes reaches the next "
        f"through the medium. x1 are the 1,460 houses of the real data, x{largest.scale} are {largest.rows:,} rows in "
        f"{largest.columns} columns. The media take turns, each repeat beginning with another one, after a round that only "
        "warms up; every measurement has a new store, folder, prefix or server. Files and servers work in the page cache: "
        "nothing waits for a disk."
    )
    start_up = (
        "Start-up is all of a process's time that is not loading, computing or saving: Python, imports, Kedro's "
        "configuration, and its end. All media but Vineyard run in bodega's environment, so each of their processes also "
        "imports its hooks."
    )
    lead = [how, start_up]
    lead += [f"{medium.title}: {medium.note}" for medium in media if medium.note]
    if any(medium.name.endswith(SIMULATED) for medium in media):
        lead.append(
            "A simulated distance is a line between client and server that delays every byte and carries only so much; it "
            "stands for no provider."
        )
    return lead


def _facts(sessions: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Of the last session; what changes from one to the next is named of each."""
    facts = {"measured": "; ".join(str(session["when"]) for session in sessions)}
    facts["load average at the start"] = "; ".join(str(session["machine"]["load average"]) for session in sessions)
    last = sessions[-1]
    facts |= {name: str(value) for name, value in last["machine"].items() if name != "load average"}
    for session in sessions:
        facts |= {name: str(value) for name, value in session["setup"].items()}
    return facts


def _commands(sessions: Sequence[Mapping[str, Any]]) -> list[str]:
    commands = [session["command"] for session in sessions]
    return [*dict.fromkeys(commands), *dict.fromkeys(line for session in sessions for line in session["runs"])]


def _markdown(
    lead: Sequence[str],
    tables: Sequence[Table],
    plots: Mapping[str, tuple[str, str]],
    facts: Mapping[str, str],
    commands: Sequence[str],
) -> str:
    first, *others = tables
    parts = [
        f"# {_TITLE}\n",
        *(f"{paragraph}\n" for paragraph in lead),
        first.as_markdown(),
        *(f"![{caption}]({name}.svg)\n" for name, (caption, _) in plots.items()),
        *(table.as_markdown() for table in others),
        "## Machine and versions\n",
        "\n".join(f"- {name}: {value}" for name, value in facts.items()) + "\n",
        "## Commands\n",
        "```\n" + "\n".join(commands) + "\n```\n",
    ]
    return "\n".join(parts)
