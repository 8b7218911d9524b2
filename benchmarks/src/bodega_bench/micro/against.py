"""``bodega bench against COMMIT``: what this checkout costs beside an older commit, in one run, as ratios.

The files of the commit go to a folder of their own, and both versions run in the environment at hand, each with its own
``src`` first on the path. They take turns, round by round, so that each ratio is of two measurements that follow each
other. Only what bodega exports is used, its command line, and the hook that its ``pyproject.toml`` names.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import click
from rich.console import Console
from rich.progress import track

from bodega.testing.lifeline import bound, scratch
from bodega_bench.environments import Unavailable
from bodega_bench.formats import NOTHING, duration, ratio, with_range
from bodega_bench.machine import memory_folder, memory_left
from bodega_bench.micro.operations import PARTS
from bodega_bench.results import finish, json_option, output_option
from bodega_bench.tables import Table
from bodega_bench.timing import Spread, quartiles, turns

_CHECKOUT = Path(__file__).parents[4]
_LEVEL = 1.05
"""A ratio up to so much, either way, is level: repeated runs differ by more."""
_MB = 1_000_000
_LONGEST = 240.0
"""Seconds that all rows have; on a busy machine a row ends with fewer rounds when its part of them is over."""
_FEWEST = 3
"""Rounds of a row at least."""
_COPIES = 6
"""How often the value of an operation is in memory at most, in both processes and both stores."""
_PROCESS = "process"
"""The operation of an item that is measured from outside, as a process."""


@dataclass(frozen=True)
class Item:
    """A row: an operation, with what, and how often in a round."""

    what: str
    operation: str
    calls: int = 1
    kind: str = "array"
    nbytes: int = 1024
    rounds: int = 1
    """A share of the rounds that are asked for: large objects take one of so many."""


def _sizes() -> Iterator[Item]:
    for label, nbytes, calls, share in (
        ("1 KiB", 1 << 10, 200, 1), ("1 MB", _MB, 50, 1), ("100 MB", 100 * _MB, 3, 1), ("1 GB", 1000 * _MB, 1, 3),
    ):  # fmt: skip
        for what, operation, most in (("put", "put", calls), ("put again", "put_again", calls), ("get", "get", 300)):
            yield Item(f"{what} {label}", operation, most, nbytes=nbytes, rounds=share)


ITEMS = (
    *_sizes(),
    Item("put a frame of 100 MB", "put", 3, "frame", 100 * _MB),
    Item("get a frame of 100 MB", "get", 100, "frame", 100 * _MB),
    Item(f"put a dict of {PARTS:,} small arrays", "put", 20, "container", _MB),
    Item(f"get a dict of {PARTS:,} small arrays", "get", 50, "container", _MB),
    Item("open a root", "open", 200),
    Item("import bodega", _PROCESS),
    Item("import bodega and get", _PROCESS),
    Item("import Kedro's hook after Kedro", _PROCESS),
    Item("bodega --help", _PROCESS),
)
_TIMED = "from time import perf_counter as now\n{before}\nbegan = now()\n{what}\nprint(now() - began)"


@dataclass(frozen=True)
class Side:
    """One of the two versions."""

    name: str
    source: Path
    hook: str
    """The module of the hook for Kedro."""
    folder: Path
    """A place for what it writes."""

    @property
    def variables(self) -> dict[str, str]:
        """The environment of its processes."""
        own = {name: value for name, value in os.environ.items() if not name.startswith("BODEGA_")}
        # Bytecode is cached, as it is for whoever runs something twice, wherever this machine stands on that.
        own |= {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(self.folder / "bytecode")}
        return own | {"PYTHONPATH": str(self.source), "DO_NOT_TRACK": "1"}

    def process(self, what: str) -> float:
        """Seconds of one of the items that are processes.

        Raises:
            Unavailable: it failed.
        """
        root = str(self.folder / "root")
        programs = {
            "import bodega": ("", "import bodega"),
            "import bodega and get": (
                "",
                f"import bodega; bodega.open({root!r}, run='bench').get('small', None)",
            ),
            "import Kedro's hook after Kedro": ("import kedro.framework.session", f"import {self.hook}"),
        }
        if what in programs:
            before, timed = programs[what]
            return float(self._run("-c", _TIMED.format(before=before, what=timed)))
        program = (
            "import subprocess, sys; subprocess.run([sys.executable, '-m', 'bodega', '--help'], stdout=-3, check=True)"
        )
        return float(self._run("-c", _TIMED.format(before="import subprocess, sys", what=program)))

    def _run(self, *words: str) -> str:
        done = subprocess.run(
            [sys.executable, *words], env=self.variables, cwd=self.folder, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise Unavailable((done.stderr.strip().splitlines() or ["no reason given"])[-1])
        return done.stdout.strip().splitlines()[-1]  # Kedro's log comes before.

    @contextmanager
    def operations(self) -> Iterator[Callable[[Item], float]]:
        """A process of this version that times operations; gone afterwards."""
        command = [sys.executable, "-m", "bodega_bench.micro.operations", str(self.folder / "root")]
        with (
            Path(self.folder / "log").open("w") as log,
            subprocess.Popen(
                bound(command), env=self.variables, cwd=self.folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=log, text=True,
            ) as process,
        ):  # fmt: skip
            assert process.stdin is not None
            assert process.stdout is not None

            def answer() -> Any:
                line = process.stdout.readline()  # type: ignore[union-attr]
                if not line:
                    reason = Path(log.name).read_text(encoding="utf-8").strip().splitlines() or ["no reason given"]
                    raise click.ClickException(f"The processes of {self.name} do not work: {reason[-1]}")
                return json.loads(line)

            def measure(item: Item) -> float:
                line = json.dumps([item.operation, item.kind, item.nbytes, item.calls])
                print(line, file=process.stdin, flush=True)
                found = answer()
                if "error" in found:
                    raise Unavailable(found["error"])
                return float(found["seconds"])

            try:
                if not Path(found := answer()).is_relative_to(self.source):
                    raise click.ClickException(
                        f"A process of {self.name} imports {found}, not what is in {self.source}."
                    )
                yield measure
            finally:
                process.stdin.close()


@dataclass(frozen=True)
class Row:
    """What came out of an item."""

    what: str
    base: Spread | None = None
    here: Spread | None = None
    ratio: Spread | None = None
    """Here by base, of the pairs; each with the middle half."""
    reason: str = ""
    """Why there are no figures."""

    @property
    def standing(self) -> str:
        """What the ratio says: the middle half is all on one side, and further than runs of the same differ."""
        if self.ratio is None:
            return self.reason
        if self.ratio.lowest > 1 and self.ratio.median > _LEVEL:
            return "slower"
        return "faster" if self.ratio.highest < 1 and self.ratio.median < 1 / _LEVEL else "level"


@contextmanager
def both(commit: str, checkout: Path = _CHECKOUT) -> Iterator[tuple[Side, Side]]:
    """The older version and this one, ready to run.

    Args:
        commit: as git knows it.
        checkout: the folder of the repository, whose files are this version as they are.

    Raises:
        click.ClickException: there is no such commit, or it has no bodega.
    """
    short = _git(checkout, "rev-parse", "--short", "--verify", f"{commit}^{{commit}}").decode().strip()
    changed = bool(_git(checkout, "status", "--porcelain", "--", "src").strip())
    here = _git(checkout, "rev-parse", "--short", "HEAD").decode().strip() + (" and changes" if changed else "")
    with scratch("bodega-bench-", memory_folder()) as folder:
        base = folder / "base"
        base.mkdir()
        archive = folder / "base.tar"
        archive.write_bytes(_git(checkout, "archive", short, "src", "pyproject.toml"))
        with tarfile.open(archive) as files:
            files.extractall(base, filter="data")
        archive.unlink()
        sides = []
        for name, path in ((short, base), (here, checkout)):
            own = folder / ("of-base" if path is base else "of-here")
            own.mkdir()
            sides.append(Side(name, path / "src", _hook(path / "pyproject.toml"), own))
        yield sides[0], sides[1]


def _git(checkout: Path, *words: str) -> bytes:
    done = subprocess.run(["git", "-C", str(checkout), *words], capture_output=True, check=False)
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
        raise click.ClickException(f"git {' '.join(words)} failed in {checkout}: {reason[-1]}")
    return done.stdout


def _hook(project: Path) -> str:
    """The module of the hook that a version has for Kedro."""
    hooks = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["entry-points"]["kedro.hooks"]
    return str(hooks["bodega"]).partition(":")[0]


def compare(base: Side, here: Side, items: Sequence[Item], rounds: int, console: Console) -> list[Row]:
    """Measure all items, the two versions in turns; a first round warms up and does not count."""
    with ExitStack() as stack:
        told = {side: stack.enter_context(side.operations()) for side in (base, here)}
        rows: list[Row] = []
        began = monotonic()
        for item in track(items, description="in turns", console=console, transient=True):
            if item.nbytes * _COPIES > memory_left():
                rows.append(Row(item.what, reason="does not fit in memory"))
                continue
            until = began + _LONGEST * (len(rows) + 1) / len(items)
            measure: Mapping[Side, Callable[[], float]] = {
                side: (lambda side=side: side.process(item.what))  # type: ignore[misc]  # noqa: B023
                if item.operation == _PROCESS
                else (lambda side=side: told[side](item))  # type: ignore[misc]  # noqa: B023
                for side in (base, here)
            }
            rows.append(_row(item, base, here, measure, rounds=max(_FEWEST, rounds // item.rounds), until=until))
    return rows


def _row(
    item: Item, base: Side, here: Side, measure: Mapping[Side, Callable[[], float]], *, rounds: int, until: float
) -> Row:
    found: dict[Side, list[float]] = {base: [], here: []}
    for number, side in turns((base, here), 1 + rounds):
        if number > _FEWEST and len(found[base]) == len(found[here]) and monotonic() > until:
            break
        try:
            taken = measure[side]()
        except Unavailable as error:
            return Row(item.what, reason=f"not measured: {side.name}: {error}")
        if number:
            found[side].append(taken)
    pairs = [new / old for old, new in zip(found[base], found[here], strict=True)]
    return Row(item.what, quartiles(found[base]), quartiles(found[here]), quartiles(pairs))


def as_table(rows: Sequence[Row], base: str, here: str, rounds: int) -> Table:
    """The rows with both figures, the ratio and its spread."""
    lines = []
    for row in rows:
        if row.base is None or row.here is None or row.ratio is None:
            lines.append([row.what, NOTHING, NOTHING, NOTHING, row.standing])
            continue
        middle = with_range(*map(ratio, (row.ratio.median, row.ratio.lowest, row.ratio.highest)))
        lines.append([row.what, duration(row.base.median), duration(row.here.median), middle, row.standing])
    return Table(
        f"This checkout ({here}) beside {base}",
        f"Medians of up to {rounds} rounds in turns. Ratio: here by {base}, of neighbours, with the range of the middle half; "
        f"below 1, this checkout is faster. Level: within {_LEVEL - 1:.0%}, or the middle half has 1 in it.",
        ["", base, "here", "ratio", ""],
        lines,
    )


@click.command(
    epilog="""\b
Takes two to four minutes, with fewer turns on a busy machine. A commit against itself ('against HEAD' without changes) shows what differs by chance.
"""
)
@click.argument("commit")
@click.option("--rounds", type=click.IntRange(_FEWEST), default=9, show_default=True, help="Turns of each version.")
@click.option("--only", default="", metavar="WORDS", help="Rows with one of these in their name, such as 'get,import'.")
@output_option("against.json")
@json_option
def against(commit: str, rounds: int, only: str, output: Path, *, as_json: bool) -> None:
    """Measure this checkout beside an older commit, in turns.

    Put, get, frames, small objects in a container, opening, imports and 'bodega --help', with the ratio of the two.

    \b
    Examples:
      bodega bench against HEAD~20
      bodega bench against v0.1.0 --only "1 KiB,import" --rounds 15
      bodega bench against main --json | jq '.rows[] | select(.standing == "slower")'
    """
    words = [word for word in map(str.strip, only.split(",")) if word]
    items = [item for item in ITEMS if not words or any(word in item.what for word in words)]
    if not items:
        raise click.BadParameter(
            f"No row has {only!r} in its name: there are {'; '.join(item.what for item in ITEMS)}.", param_hint="--only"
        )
    with both(commit) as (base, here):
        rows = compare(base, here, items, rounds, Console(stderr=True))
        table = as_table(rows, base.name, here.name, rounds)
    facts = {
        "base": base.name,
        "here": here.name,
        "rounds": rounds,
        "rows": [{**asdict(row), "standing": row.standing} for row in rows],
    }
    finish("against", facts, [table], output, as_json=as_json)
