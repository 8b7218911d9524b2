"""What the benchmark is doing, a live bar on a terminal and a line per measurement elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from bodega_bench.pipeline.media import Medium

_START_UP = 60
"""The scale at which a process takes about twice its start-up."""

Shown = Callable[[str], object]
"""Shows which node runs."""


class Showing:
    """Shows measurements as they begin and end; a context manager, since a live display gives the terminal back."""

    def __init__(self, console: Console, wanted: Sequence[tuple[int, int, Medium]], nodes: int) -> None:
        """Show on a console.

        Args:
            console: where.
            wanted: scale, repeat and medium of every measurement to come.
            nodes: of the pipeline.
        """
        self._console = console
        self._nodes = nodes
        self._live = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._task = self._live.add_task("", total=sum(self._weight(scale, medium) for scale, _, medium in wanted))

    def _weight(self, scale: int, medium: Medium) -> float:
        """About how long it takes, in an arbitrary unit."""
        return (1 if medium.runner else self._nodes) * (1 + scale / _START_UP)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    @contextmanager
    def warm_up(self, medium: Medium) -> Iterator[Shown]:
        """The ``with`` block warms a medium up."""
        with self._shown(f"warm-up  {medium.title}") as shown:
            yield shown

    @contextmanager
    def turn(self, scale: int, repeat: int, medium: Medium) -> Iterator[Shown]:
        """The ``with`` block is one measurement."""
        with self._shown(_turn(scale, repeat, medium)) as shown:
            yield shown
        self._live.advance(self._task, self._weight(scale, medium))

    def leave_out(self, scale: int, repeat: int, medium: Medium, reason: str) -> None:
        """A measurement is not made."""
        self._console.print(f"{_turn(scale, repeat, medium)}: left out, {reason}", highlight=False, soft_wrap=True)
        self._live.advance(self._task, self._weight(scale, medium))

    @contextmanager
    def _shown(self, line: str) -> Iterator[Shown]:
        self._live.update(self._task, description=line)
        began = perf_counter()
        yield lambda node: self._live.update(self._task, description=f"{line}  {node}")
        self._console.print(f"{line}  {perf_counter() - began:.1f} s", highlight=False, soft_wrap=True)


def _turn(scale: int, repeat: int, medium: Medium) -> str:
    return f"x{scale} #{repeat + 1}  {medium.title}"
