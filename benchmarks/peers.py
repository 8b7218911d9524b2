"""bodega beside vineyard and Ray, on this machine and in one run.

Run with ``make bench-peers``. Each system works in a process of its own, in an environment of its own, and they take
turns (A B C A B C), since the speed of a machine drifts. Prints a table of medians and writes
``bench-results/peers.json``.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import platform
import shutil
import statistics
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from benchmarks.peer_process import PEERS, RESULTS, Unavailable, Worker, environment, started
from bodega.errors import SettingsError
from bodega.settings import format_size, parse_size

FRAME = 100_000_000
"""Bytes of the floats of a frame."""
STEPS = {
    "new": "put, new",
    "replace": "put, replacing",
    "get": "get",
    "sum": "get and sum",
    "elsewhere": "first get and sum",
}
LEGEND = """\
put, new: under a new name, all earlier ones kept, so into memory the system has not written before.
put, replacing: one more, then the one before is dropped, so into memory that may be used again.
get: of an object that this process has put. get and sum: every float is read, then the object is let go.
first get and sum: the same in a new process, which has only read a small object before."""


@dataclass(frozen=True)
class Item:
    """An object to measure with."""

    label: str
    kind: str
    nbytes: int

    @property
    def rounds(self) -> int:
        """Turns of each system: fewer where each takes much memory."""
        return 7 if self.nbytes <= FRAME else 3

    @property
    def memory(self) -> int:
        """Bytes each system takes: the object, and one put to warm up and one a turn, which are all kept."""
        return self.nbytes * (self.rounds + 2)

    def repeats(self, step: str) -> int:
        """Calls in a turn."""
        if step == "elsewhere":
            return 1
        return 20 if step == "get" else max(1, min(20, (16 << 20) // self.nbytes))


def items(sizes: str, frames: bool) -> list[Item]:
    """Arrays of these sizes, and frames."""
    texts = [text.strip() for text in sizes.split(",") if text.strip()]
    try:
        found = [Item(f"array {text}", "array", parse_size(text)) for text in texts]
    except SettingsError as error:
        raise click.BadParameter(str(error), param_hint="--sizes") from error
    if any(item.nbytes < 8 for item in found):
        raise click.BadParameter("an array holds at least one float of 8 bytes", param_hint="--sizes")
    if frames:
        found += [Item("frame 100 MB", "frame", FRAME), Item("frame 100 MB + strings", "strings", FRAME)]
    return found


def measure(item: Item, pythons: dict[str, str], progress: Progress, report: dict[str, Any]) -> None:
    """Add the rows of one item. Servers are new for each, so that no memory is warm from another."""
    task = progress.add_task(item.label, total=len(STEPS) * (item.rounds + 1) + 1)
    capacity = item.memory + (1 << 30)  # With room, so that no server evicts.
    with ExitStack() as stack:
        workers: dict[str, Worker] = {}

        def fail(name: str, reason: Unavailable) -> None:
            workers.pop(name, None)
            report["failures"][f"{name}, {item.label}"] = str(reason)

        def ask_all(do: str, repeats: int = 1) -> dict[str, list[float]]:
            times = {}
            for name, worker in list(workers.items()):
                try:
                    if do in {"new", "replace"}:
                        worker.ask("touch", 1)
                    times[name] = worker.ask(do, repeats)
                except Unavailable as reason:
                    fail(name, reason)
            progress.advance(task)
            return times

        for name, python in pythons.items():
            try:
                workers[name] = stack.enter_context(started(name, python, item.kind, item.nbytes, capacity))
                report["versions"][name] = workers[name].versions
            except Unavailable as reason:
                fail(name, reason)
        for step in STEPS:
            repeats = item.repeats(step)
            ask_all(step, repeats)  # To warm up.
            turns = [ask_all(step, repeats) for _ in range(item.rounds)]
            times = {name: [each for turn in turns for each in turn[name]] for name in workers}
            report["rows"].append(
                {"object": item.label, "step": step} | {name: _summary(times[name]) for name in times}
            )
            if step == "new":
                ask_all("settle")


def _summary(times: list[float]) -> dict[str, float]:
    return {"median": statistics.median(times), "lowest": min(times), "highest": max(times), "calls": len(times)}


def _readable(seconds: float) -> str:
    if seconds < 1e-3:
        return f"{seconds * 1e6:.0f} us"
    return f"{seconds * 1e3:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


def table(report: dict[str, Any], systems: list[str]) -> Table:
    """Medians, and how many times as long each peer took."""
    table = Table(
        "object", "step", title="Medians, and peer / bodega: above 1, bodega is faster", caption_justify="left"
    )
    for name in systems:
        table.add_column(name, justify="right")
        if name != "bodega":
            table.add_column("/ bodega", justify="right")
    for row in report["rows"]:
        cells = []
        for name in systems:
            cells.append(_readable(row[name]["median"]) if name in row else "-")
            if name != "bodega":
                both = name in row and "bodega" in row
                cells.append(f"{row[name]['median'] / row['bodega']['median']:.2f}x" if both else "-")
        label = row["object"] if row["step"] == "new" else ""
        table.add_row(label, STEPS[row["step"]], *cells, end_section=row["step"] == "elsewhere")
    missing = [f"[red]{name}: {escape(reason)}[/]" for name, reason in (report["failures"] | report["skipped"]).items()]
    table.caption = "\n".join([LEGEND, *missing])
    return table


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    return {
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processors": os.cpu_count(),
        "memory": format_size(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")),
        "load average": os.getloadavg(),
    }


def memory_left() -> int:
    """Bytes that can still be taken, by processes and in shared memory together."""
    facts = dict(line.split(":") for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines())
    return min(int(facts["MemAvailable"].split()[0]) << 10, shutil.disk_usage("/dev/shm").free)


@click.command(
    epilog="""\b
Examples:
  python -m benchmarks.peers
  python -m benchmarks.peers --peers vineyard --sizes 1MiB,100MB --no-frames
  python -m benchmarks.peers --json > peers.json

Ends with 0 only if every system ran with every object that memory allows.
"""
)
@click.option("--peers", default="vineyard,ray", show_default=True, help="Whom to measure beside bodega.")
@click.option("--sizes", default="1KiB,1MiB,100MB,1GiB", show_default=True, help="Arrays of floats to put and get.")
@click.option("--frames/--no-frames", default=True, show_default=True, help="Also frames of 100 MB.")
@click.option("--json", "as_json", is_flag=True, help="Print what is written to bench-results/peers.json instead.")
def main(peers: str, sizes: str, frames: bool, as_json: bool) -> None:
    """Put and get of arrays and frames: bodega beside vineyard and Ray.

    The first run installs the peers below bench-results/environments.
    """
    names = [name.strip() for name in peers.split(",") if name.strip()]
    if unknown := [name for name in names if name not in PEERS]:
        raise click.BadParameter(
            f"no such peer: {', '.join(unknown)}; there are {', '.join(PEERS)}", param_hint="--peers"
        )
    wanted = items(sizes, frames)
    RESULTS.mkdir(exist_ok=True)
    console = Console(stderr=as_json)
    report: dict[str, Any] = {
        "date": dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds"),
        "machine": machine(), "versions": {}, "rows": [], "failures": {}, "skipped": {},
    }  # fmt: skip
    pythons = {"bodega": sys.executable}
    with Progress(console=console) as progress:
        for name in names:
            task = progress.add_task(f"environment of {name}", total=None)
            try:
                pythons[name] = environment(name)
            except Unavailable as reason:
                report["failures"][name] = str(reason)
            progress.update(task, total=1, completed=1)
        for item in wanted:
            need, left = item.memory * len(pythons) + item.nbytes, memory_left()
            if need > left:
                report["skipped"][item.label] = f"needs {format_size(need)} of memory, {format_size(left)} are left"
            else:
                measure(item, pythons, progress, report)
    report["load average afterwards"] = os.getloadavg()
    text = json.dumps(report, indent=2)
    (RESULTS / "peers.json").write_text(text + "\n", encoding="utf-8")
    if as_json:
        click.echo(text)
    else:
        console.print(table(report, ["bodega", *names]))
        console.print(f"Written to {RESULTS / 'peers.json'}")
    sys.exit(1 if report["failures"] else 0)


if __name__ == "__main__":
    main()
