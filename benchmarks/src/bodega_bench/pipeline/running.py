"""Has the pipeline run through every medium, in turns."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console

from bodega.demo.project import NodeFailed, Project, Step
from bodega_bench.environments import Unavailable
from bodega_bench.pipeline.guard import warm, why_not
from bodega_bench.pipeline.measurements import Measurement, Measurements
from bodega_bench.pipeline.media import Medium
from bodega_bench.pipeline.places import Places
from bodega_bench.pipeline.projects import make_old_project, make_project
from bodega_bench.pipeline.showing import Showing
from bodega_bench.timing import turns

_WARM_UP = 1
"""The scale of the round that is not counted: what is slow at first is no matter of size."""


@dataclass(frozen=True)
class Kitchen:
    """What measurements are made with."""

    places: Places
    project: Path
    nodes: Sequence[str]
    apart: Mapping[str, tuple[Path, str]]
    """Media with a project and an interpreter of their own."""

    def measure(self, medium: Medium, scale: int, repeat: int, shown: Callable[[str], object]) -> Measurement:
        """Run the pipeline through a medium once.

        Args:
            medium: which.
            scale: how many times the data.
            repeat: counts, from 0.
            shown: is told of each process before it starts.

        Raises:
            NodeFailed: a process failed.
            Unavailable: the medium does not work.
        """
        os.sync()  # What the one before wrote is not written back at the cost of this one.
        path, interpreter = self.apart.get(medium.name, (self.project, None))
        with self.places.open(medium.place, path) as held:
            variables = {"MULTIPLIER": str(scale), **held.variables}
            project = Project(path, variables, **({} if interpreter is None else {"interpreter": interpreter}))
            steps: list[Step] = []
            if medium.runner is None:
                for node in self.nodes:
                    shown(node)
                    steps.append(project.run(medium.environment, node))
            else:
                shown("all nodes")
                steps.append(project.run(medium.environment, runner=medium.runner))
            return Measurement(medium.name, scale, repeat, tuple(steps), held.stored())


def prepare(folder: Path, media: Sequence[Medium], places: Places) -> tuple[Kitchen, dict[str, str]]:
    """Make the projects, and start what media need.

    Returns:
        What to measure with, and of the media that cannot be measured, why.
    """
    project, nodes = make_project(folder / "house-prices", media)
    unavailable, apart = {}, {}
    for medium in media:
        try:
            if missing := [module for module in medium.needs if find_spec(module) is None]:
                raise Unavailable(
                    f"{', '.join(missing)} is not installed: pip install ./benchmarks (in a checkout of bodega)"
                )
            places.start(medium.place)
            if medium.place == "vineyard":
                old = make_old_project(folder / medium.name / "house-prices", medium, places.vineyard_python)
                apart[medium.name] = (old, places.vineyard_python)
        except (Unavailable, NodeFailed) as error:
            unavailable[medium.name] = str(error)
    return Kitchen(places, project, nodes, apart), unavailable


def run_all(
    kitchen: Kitchen,
    media: Sequence[Medium],
    *,
    scales: Sequence[int],
    repeats: int,
    journal: Measurements,
    console: Console,
) -> dict[str, str]:
    """Measure all that the journal lacks, small scales first, after a round that only warms up.

    Returns:
        Of the media that failed, why; their larger scales are left out.
    """
    wanted = [
        (scale, repeat, medium)
        for scale in sorted(scales)
        for repeat, medium in turns(media, repeats)
        if not journal.has(medium.name, scale, repeat)
    ]
    failed: dict[str, str] = {}
    with Showing(console, wanted, len(kitchen.nodes)) as showing:
        for medium in (medium for medium in media if any(each is medium for _, _, each in wanted)):
            try:
                with showing.warm_up(medium) as shown:
                    kitchen.measure(medium, _WARM_UP, 0, shown)
            except (NodeFailed, Unavailable) as error:
                failed[medium.name] = str(error)
                console.print(f"warm-up  {medium.title}: failed", highlight=False)
        for scale, repeat, medium in wanted:
            before = [each for each in journal.all if each.medium == medium.name]
            if medium.name not in failed:
                reason = why_not(medium, scale, before, kitchen.project)
                if reason is None:
                    try:
                        warm(medium, scale, before)
                        with showing.turn(scale, repeat, medium) as shown:
                            journal.add(kitchen.measure(medium, scale, repeat, shown))
                        continue
                    except (NodeFailed, Unavailable) as error:
                        failed[medium.name] = str(error)
            if medium.name in failed:
                reason = f"failed: {_in_short(failed[medium.name])}"
            assert reason is not None
            journal.leave_out(medium.name, scale, reason)
            showing.leave_out(scale, repeat, medium, reason)
    return failed


def _in_short(error: str) -> str:
    """The first line of an error, and the last, which says most."""
    lines = [line.strip() for line in error.splitlines() if line.strip()]
    return " ... ".join(dict.fromkeys((lines[0], lines[-1])))
