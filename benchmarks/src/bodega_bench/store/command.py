"""``bodega bench store``: put and get beside other systems, in one run.

A session is one system with one object, in a process and with a server of its own; the systems take turns (A B C, then
B C A), since the speed of a machine drifts. Every session is written down as it ends, so that nothing is lost.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bodega.commands import print_json
from bodega.errors import SettingsError
from bodega_bench.environments import Unavailable
from bodega_bench.journal import Journal, keep
from bodega_bench.machine import machine, memory_left
from bodega_bench.results import choose, json_option, now, output_option, typed_command
from bodega_bench.store.peer_process import environment, measuring
from bodega_bench.store.peers import PEERS
from bodega_bench.store.plan import Item, allow, items
from bodega_bench.store.report import print_report, write_report
from bodega_bench.store.results import Record, failures, notes, rows, skipped
from bodega_bench.timing import turns

_OTHERS = ",".join(peer for peer in PEERS if peer != "bodega")


class _Sessions:
    """The sessions that have ended."""

    def __init__(self, path: Path, *, resume: bool) -> None:
        """Go on with what the file has, or begin anew; what failed is tried again."""
        self.folder = path.parent
        ended: list[Record] = []
        if resume:
            Journal(path, ended.append)
        keep(path, (record for record in ended if "failed" not in record))
        self.records: list[Record] = []
        self._journal = Journal(path, self.records.append)

    def has(self, peer: str, item: Item, turn: int) -> bool:
        """Whether this session has ended in an earlier run."""
        key = (peer, item.label, turn)
        return any((record["peer"], record["object"], record["round"]) == key for record in self.records)

    def add(self, record: Record) -> None:
        """Write one down."""
        self._journal.add(record)


@click.command(
    epilog="""\b
Ends with 0 only if every step that memory allows was measured.
"""
)
@click.option("--peers", default=_OTHERS, show_default=True, help="Whom to measure beside bodega.")
@click.option(
    "--sizes", default="1KiB,64KiB,1MiB,16MiB,256MiB,1GiB,4GiB", show_default=True, help="Arrays of floats to share."
)
@click.option("--frames/--no-frames", default=True, show_default=True, help="Also frames of 100 MB.")
@click.option("--rounds", type=click.IntRange(min=1), default=3, show_default=True, help="Turns of each system.")
@output_option("store.json, store.md and store.png")
@click.option("--resume", is_flag=True, help="Go on where an earlier run into the same folder was stopped.")
@json_option
@click.pass_context
def store(
    ctx: click.Context,
    peers: str,
    sizes: str,
    *,
    frames: bool,
    rounds: int,
    output: Path,
    resume: bool,
    as_json: bool,
) -> None:
    """Put and get arrays and frames: bodega beside other ways to share.

    Each system works in a process and, where it needs one, an environment of its own, which the first run makes (in
    ~/.cache/bodega). Objects that would not fit in memory are skipped.

    \b
    Examples:
      bodega bench store
      bodega bench store --peers vineyard,ray --sizes 1MiB,100MB --no-frames
      bodega bench store --peers shared-memory,pickle --sizes 1MiB --rounds 1
      bodega bench store --resume
      bodega bench store --json | jq '.rows[] | select(.bodega == "behind")'
    """
    systems = list(dict.fromkeys(["bodega", *choose(peers, PEERS, "system", "--peers")]))
    try:
        wanted = items(sizes, frames=frames)
    except SettingsError as error:
        raise click.BadParameter(str(error), param_hint="--sizes") from error
    output.mkdir(parents=True, exist_ok=True)
    console = Console(stderr=as_json)
    log = _Sessions(output / "store.jsonl", resume=resume)
    before = machine()
    with Progress(
        TextColumn("{task.description}"), MofNCompleteColumn(), TimeElapsedColumn(), console=console
    ) as progress:
        try:
            unavailable = _measure(wanted, systems, rounds, log, progress)
        except KeyboardInterrupt:
            progress.stop()
            click.echo(f"Stopped; what has ended is in {output}: go on with --resume.", err=True)
            raise
    report: dict[str, Any] = {
        "date": now(),
        "command": typed_command(),
        "machine": before | {"load average afterwards": [round(each, 2) for each in os.getloadavg()]},
        "versions": {record["peer"]: record["versions"] for record in log.records if "versions" in record},
        "systems": systems,
        "rows": rows(log.records, wanted, systems),
        "beside a writer": notes(log.records),
        "failures": unavailable | failures(log.records),
        "skipped": skipped(log.records),
    }
    written = write_report(report, output)
    if as_json:
        print_json(report)
    else:
        print_report(report, console)
    click.echo(f"Written: {', '.join(map(str, written))}", err=as_json)
    ctx.exit(1 if report["failures"] else 0)


def _measure(
    wanted: Sequence[Item], systems: Sequence[str], rounds: int, log: _Sessions, progress: Progress
) -> dict[str, str]:
    """Have every session run that has not; returns which systems cannot be measured, and why."""
    pythons, unavailable = {}, {}
    task = progress.add_task("environments", total=len(systems))
    for name in systems:
        try:
            pythons[name] = environment(name)
        except Unavailable as reason:
            unavailable[PEERS[name].title] = str(reason)
        progress.advance(task)
    for item in wanted:
        task = progress.add_task(item.label, total=rounds * len(pythons))
        for turn, name in turns(list(pythons), rounds):
            progress.update(task, description=f"{item.label}: {name}")
            if not log.has(name, item, turn):
                log.add(_session(name, pythons[name], item, turn, log.folder / f"store-{name}.log"))
            progress.advance(task)
        progress.update(task, description=item.label)
    return unavailable


def _session(name: str, python: str, item: Item, turn: int, log: Path) -> Record:
    """Measure one system with one object."""
    allowed = allow(item, PEERS[name], memory_left())
    record: Record = {
        "peer": name, "object": item.label, "nbytes": item.nbytes, "round": turn, "load": round(os.getloadavg()[0], 2),
        "steps": {}, "notes": {}, "skipped": allowed.skipped,
    }  # fmt: skip
    if not allowed.steps:
        return record
    try:
        with measuring(
            name,
            python,
            kind=item.kind,
            nbytes=item.nbytes,
            capacity=allowed.capacity,
            steps=allowed.steps,
            log=log,
        ) as answers:
            for answer in answers:
                if "step" in answer:
                    record["steps"][answer.pop("step")] = answer
                else:
                    record |= answer
    except Unavailable as reason:
        record["failed"] = str(reason)
    return record
