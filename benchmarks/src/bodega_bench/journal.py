"""What was measured, as it was measured: a file of JSON lines that loses nothing when the run is stopped."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from bodega.errors import BodegaError


class JournalError(BodegaError, ValueError):
    """The measurements in a folder are not those that are asked for, or are there already."""


class Journal:
    """A file to which a line is added for each thing that has ended, and from which a later run goes on."""

    def __init__(self, path: Path, take: Callable[[dict[str, Any]], object]) -> None:
        """Read what there is; a last line that was cut off does not count.

        Args:
            path: the file, which need not be there.
            take: gets every line, those that are added later too; fails with what is none of its lines.

        Raises:
            JournalError: the file is not one of these.
        """
        self.path = path
        self._take = take
        content = path.read_bytes() if path.exists() else b""
        self._whole = content.rfind(b"\n") + 1
        for number, text in enumerate(content[: self._whole].splitlines(), 1):
            try:
                take(json.loads(text))
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                raise JournalError(
                    f"Line {number} of {path} is no measurement ({error!r}): name another folder with --output."
                ) from error

    def add(self, line: Mapping[str, Any]) -> None:
        """Write a line down, behind the last whole one."""
        text = json.dumps(line)
        with self.path.open("ab") as file:
            file.truncate(self._whole)
            self._whole += file.write(f"{text}\n".encode())
        self._take(json.loads(text))


def keep(path: Path, lines: Iterable[Mapping[str, Any]]) -> None:
    """Let a journal begin with these lines alone."""
    beside = path.with_name(f"{path.name}.new")
    beside.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    beside.replace(path)
