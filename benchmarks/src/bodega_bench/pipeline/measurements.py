"""The measurements of a folder: those there are, and those that come, each in a line of `bodega_bench.journal`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bodega.demo.project import Step
from bodega_bench.journal import Journal, JournalError

NAME = "measurements.jsonl"
ALL_SCALES = 0
"""In the place of a scale, where a medium is left out altogether."""


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


class Measurements:
    """What was measured in a folder, in one session or in several."""

    def __init__(self, folder: Path) -> None:
        """Read what there is.

        Raises:
            JournalError: the folder's file is not one of these.
        """
        self.sessions: list[dict[str, Any]] = []
        """What each session was asked for, and on what machine."""
        self.all: list[Measurement] = []
        self.left_out: dict[tuple[str, int], str] = {}
        """Why a medium was not measured at a scale."""
        self._journal = Journal(folder / NAME, self._take)

    def _take(self, line: dict[str, Any]) -> None:
        kind = line.pop("kind")
        if kind == "session":
            self.sessions.append(line)
        elif kind == "left out":
            self.left_out[line["medium"], line["scale"]] = line["reason"]
        else:
            steps = tuple(Step(**{**step, "shape": tuple(step["shape"])}) for step in line.pop("steps"))
            measurement = Measurement(steps=steps, **line)
            self.all.append(measurement)
            for scale in (measurement.scale, ALL_SCALES):
                self.left_out.pop((measurement.medium, scale), None)

    def check(self, *, resume: bool) -> None:
        """See that what is there is wanted.

        Raises:
            JournalError: there are measurements, and none are to be resumed.
        """
        if self.sessions and not resume:
            raise JournalError(
                f"{self._journal.path} has measurements already: go on with --resume, or name another folder with --output."
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
                    f"The measurements in {self._journal.path} cannot be resumed: {what}. Name another folder with --output."
                )
        self._journal.add({"kind": "session", **session})

    def has(self, medium: str, scale: int, repeat: int) -> bool:
        """Whether this was measured."""
        key = (medium, scale, repeat)
        return any((each.medium, each.scale, each.repeat) == key for each in self.all)

    def add(self, measurement: Measurement) -> None:
        """Write down what was measured."""
        self._journal.add({"kind": "measurement", **asdict(measurement)})

    def leave_out(self, medium: str, scale: int, reason: str) -> None:
        """Write down why something is not measured."""
        self._journal.add({"kind": "left out", "medium": medium, "scale": scale, "reason": reason})
