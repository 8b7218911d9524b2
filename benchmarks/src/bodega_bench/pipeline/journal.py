"""What was measured, as it was measured: a file of JSON lines that loses nothing when the run is stopped."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bodega.demo.project import Step
from bodega.errors import BodegaError

NAME = "measurements.jsonl"
ALL_SCALES = 0
"""In the place of a scale, where a medium is left out altogether."""


class JournalError(BodegaError, ValueError):
    """The measurements in a folder are not those that are asked for, or are there already."""


@dataclass(frozen=True)
class Measurement:
    """The pipeline through one medium, once."""

    medium: str
    scale: int
    repeat: int
    steps: tuple[Step, ...]
    nbytes: int
    """Of everything that the nodes handed on, as it lay in the medium."""

    def total(self, part: str) -> float:
        """The seconds of a part, a field or property of `Step`, summed over the processes."""
        return float(sum(getattr(step, part) for step in self.steps))

    def most(self, part: str) -> int:
        """The largest memory of a process."""
        return int(max(getattr(step, part) for step in self.steps))


class Journal:
    """The measurements of a folder: those there are, and those that come."""

    def __init__(self, folder: Path) -> None:
        """Read what there is; a last line that was cut off does not count.

        Raises:
            JournalError: the file is not one of these.
        """
        self._path = folder / NAME
        self.sessions: list[dict[str, Any]] = []
        """What each session was asked for, and on what machine."""
        self.measurements: list[Measurement] = []
        self.left_out: dict[tuple[str, int], str] = {}
        """Why a medium was not measured at a scale."""
        self._whole = 0
        if self._path.exists():
            self._read(self._path.read_bytes())

    def _read(self, content: bytes) -> None:
        self._whole = content.rfind(b"\n") + 1
        for number, text in enumerate(content[: self._whole].splitlines(), 1):
            try:
                self._take(json.loads(text))
            except (KeyError, TypeError, ValueError) as error:
                raise JournalError(
                    f"Line {number} of {self._path} is no measurement ({error!r}): name another folder with --output."
                ) from error

    def _take(self, line: dict[str, Any]) -> None:
        kind = line.pop("kind")
        if kind == "session":
            self.sessions.append(line)
        elif kind == "left out":
            self.left_out[line["medium"], line["scale"]] = line["reason"]
        else:
            steps = tuple(Step(**{**step, "shape": tuple(step["shape"])}) for step in line.pop("steps"))
            measurement = Measurement(steps=steps, **line)
            self.measurements.append(measurement)
            for scale in (measurement.scale, ALL_SCALES):
                self.left_out.pop((measurement.medium, scale), None)

    def check(self, *, resume: bool) -> None:
        """See that what is there is wanted.

        Raises:
            JournalError: there are measurements, and none are to be resumed.
        """
        if self.sessions and not resume:
            raise JournalError(
                f"{self._path} has measurements already: go on with --resume, or name another folder with --output."
            )

    def begin(self, session: Mapping[str, Any]) -> None:
        """Begin a session, of which the key ``setup`` must be that of the sessions before.

        Raises:
            JournalError: the measurements there are were made with another setup.
        """
        after = session["setup"]
        for before in (each["setup"] for each in self.sessions):
            # What is not said had no part in it.
            if changed := [name for name in before if name in after and before[name] != after[name]]:
                what = "; ".join(f"{name} was {before[name]!r}, now is {after[name]!r}" for name in changed)
                raise JournalError(
                    f"The measurements in {self._path} cannot be resumed: {what}. Name another folder with --output."
                )
        if self._path.exists():
            with self._path.open("r+b") as file:
                file.truncate(self._whole)
        self._write({"kind": "session", **session})

    def has(self, medium: str, scale: int, repeat: int) -> bool:
        """Whether this was measured."""
        key = (medium, scale, repeat)
        return any((each.medium, each.scale, each.repeat) == key for each in self.measurements)

    def add(self, measurement: Measurement) -> None:
        """Write down what was measured."""
        self._write({"kind": "measurement", **asdict(measurement)})

    def leave_out(self, medium: str, scale: int, reason: str) -> None:
        """Write down why something is not measured."""
        self._write({"kind": "left out", "medium": medium, "scale": scale, "reason": reason})

    def _write(self, line: dict[str, Any]) -> None:
        text = json.dumps(line)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(text + "\n")
        self._take(json.loads(text))
