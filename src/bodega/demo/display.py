"""What the demo is doing: a live line per step on a terminal, plain lines elsewhere."""

from __future__ import annotations

from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING, Self

from rich.progress import Progress, SpinnerColumn, TextColumn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console


class Display:
    """Shows steps as they begin and end; a context manager, since a live display has to give the terminal back."""

    def __init__(self, console: Console) -> None:
        """Show on this console, live if it is a terminal."""
        self._console = console
        self._progress = Progress(
            SpinnerColumn(finished_text="[green]✓[/]"),
            TextColumn("{task.description}"),
            TextColumn("{task.elapsed:5.1f} s"),
            console=console,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    @contextmanager
    def step(self, medium: str, node: str) -> Iterator[None]:
        """The ``with`` block is a step; one that fails or is interrupted stays unticked."""
        line = f"{medium:<9}  {node:<16}"
        task = self._progress.add_task(line, total=1)
        began = perf_counter()
        try:
            yield
        finally:
            self._progress.stop_task(task)
        self._progress.update(task, completed=1)
        if not self._console.is_terminal:
            self._console.print(f"{line} {perf_counter() - began:5.1f} s", highlight=False)
