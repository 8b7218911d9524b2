"""What the demo measures: the same nodes through two media."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bodega.demo.project import Step

DEMO_RUN = "demo"
"""The run of the store that the demo works in, and leaves its objects in."""


@dataclass(frozen=True)
class Medium:
    """What the data went through from task to task, and how long that took."""

    name: str
    steps: Sequence[Step]
    nbytes: int
    """Of everything that the steps handed on."""

    def total(self, part: str) -> float:
        """The seconds of a part, a field or property of `Step`, summed over the steps."""
        return float(sum(getattr(step, part) for step in self.steps))

    @property
    def moving(self) -> float:
        """Seconds of loading and saving."""
        return self.total("load") + self.total("save")
