"""Stop watches, and taking turns; needs the standard library alone, since it also runs in the environments of peers."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


def times(function: Callable[[], object], repeats: int, after: Callable[[], object] = lambda: None) -> list[float]:
    """Seconds of each call; ``after`` runs behind each, unmeasured."""
    measured = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = function()
        measured.append(time.perf_counter() - start)
        del result
        after()
    return measured


def seconds(function: Callable[[], object], repeats: int, after: Callable[[], object] = lambda: None) -> float:
    """Median time of a call; ``after`` runs behind each, unmeasured."""
    return statistics.median(times(function, repeats, after))


def turns(contenders: Sequence[T], rounds: int) -> Iterator[tuple[int, T]]:
    """Every contender once a round (A B C, then B C A), for the speed of a machine drifts; with the round's number."""
    for number in range(rounds):
        first = number % len(contenders)
        yield from ((number, contender) for contender in (*contenders[first:], *contenders[:first]))


def in_turns(steps: Mapping[str, Callable[[], T]], rounds: int) -> dict[str, list[T]]:
    """What each step returns in each round, by the step's name."""
    found: dict[str, list[T]] = {name: [] for name in steps}
    for _, name in turns(list(steps), rounds):
        found[name].append(steps[name]())
    return found


def timed_in_turns(steps: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each step in each round, by the step's name."""
    return in_turns({name: lambda step=step: seconds(step, 1) for name, step in steps.items()}, rounds)  # type: ignore[misc]


def ratio_of_pairs(ours: Iterable[float], theirs: Iterable[float]) -> float:
    """The median of the ratios of what was measured in the same round."""
    return statistics.median(one / other for one, other in zip(ours, theirs, strict=True))


@dataclass(frozen=True)
class Spread:
    """A figure of several rounds."""

    median: float
    lowest: float
    highest: float


def spread(values: Iterable[float]) -> Spread:
    """The median and the range of values."""
    found = list(values)
    return Spread(statistics.median(found), min(found), max(found))


def quartiles(values: Iterable[float]) -> Spread:
    """The median of values and the range of their middle half, which a single slow round does not widen."""
    found = sorted(values)
    low, _, high = statistics.quantiles(found, n=4, method="inclusive") if len(found) > 1 else found * 3
    return Spread(statistics.median(found), low, high)
