"""Stop watches; needs the standard library alone, since it also runs in the environments of peers."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable


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
