"""A process that times operations of whichever bodega it finds, one at a time, as it is told on its standard input.

    python -m bodega_bench.micro.operations ROOT

Started by `bodega_bench.micro.against` for each of two versions. So it uses what every version has: the names that
bodega exports. A line is ``[operation, kind, bytes, calls]`` in JSON, the answer the seconds of a call, or why there are none.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import bodega
from bodega_bench.timing import seconds

PARTS = 1000
"""Small arrays of a container."""


def make(kind: str, nbytes: int) -> Any:
    """A value of so many bytes: an ``array``, a ``frame`` with a column of strings, or a ``container`` of small arrays."""
    import numpy as np

    random = np.random.default_rng(0)
    if kind == "array":
        return random.integers(0, 255, nbytes, "u1")
    if kind == "container":
        return {f"part {number}": random.random(nbytes // 8 // PARTS) for number in range(PARTS)}
    import pandas as pd

    rows = nbytes // 100  # Ten columns of floats, and about twenty bytes of a string.
    frame = pd.DataFrame({f"column {number}": random.random(rows) for number in range(10)})
    frame["name"] = [f"name {number % 1000}" for number in range(rows)]
    return frame


class Operations:
    """The operations, each named as its method; returns the seconds of a call."""

    def __init__(self, root: str) -> None:
        """Measure in a root, which may be new."""
        self._root = root
        self._store = bodega.open(root, run="bench")
        self._made: tuple[str, int] | None = None
        self._value: Any = None

    def put(self, calls: int) -> float:
        """Put it under new names, into memory that the store has to ask for."""
        self._clear()
        names = iter(range(calls))
        found = seconds(lambda: self._store.put(f"new {next(names)}", self._value), calls)
        self._clear()
        return found

    def put_again(self, calls: int) -> float:
        """Put it under the same name, into memory that was written before."""
        for _ in range(2):
            self._store.put("x", self._value)
        return seconds(lambda: self._store.put("x", self._value), calls)

    def get(self, calls: int) -> float:
        """Read it."""
        self._store.put("x", self._value)
        return seconds(lambda: self._store.get("x"), calls)

    def open(self, calls: int) -> float:
        """Open the root again."""
        return seconds(lambda: bodega.open(self._root, run="bench"), calls)

    def call(self, operation: str, kind: str, nbytes: int, calls: int) -> float:
        """Have an operation done with a value, which is kept for the next."""
        if self._made != (kind, nbytes):
            self._clear()
            self._value = None  # Two large ones at once may not fit.
            self._value, self._made = make(kind, nbytes), (kind, nbytes)
        step: Callable[[int], float] = getattr(self, operation)
        return step(calls)

    def _clear(self) -> None:
        for name in self._store.names():
            self._store.delete(name)
        self._store.sweep(empty_pool=True)


def main() -> None:
    """Answer until the input ends."""
    operations = Operations(sys.argv[1])
    print(json.dumps(bodega.__file__), flush=True)
    for line in sys.stdin:
        answer: dict[str, Any]
        try:
            answer = {"seconds": operations.call(*json.loads(line))}
        except Exception as error:  # Another version may not have it.
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
