"""A process that measures one system with one kind of object: a line of JSON for each step, as it is done.

Started by `bodega_bench.store.peer_process` in the environment of that system, hence the few imports. If whoever started it
is killed, its next line has nobody to read it, and it stops its server and goes.
"""

from __future__ import annotations

import importlib.metadata
import json
import math
import mmap
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from bodega_bench.store import peer_servers, peer_systems
from bodega_bench.store.peer_reading import (
    FLOATS,
    Gate,
    Seen,
    Signpost,
    read_among_puts,
    read_second,
    read_together,
    total,
)
from bodega_bench.store.peer_systems import Started, System
from bodega_bench.timing import times

SYSTEMS: dict[str, Started] = {
    "bodega": peer_systems.bodega,
    "vineyard": peer_servers.vineyard,
    "ray": peer_servers.ray,
    "redis": peer_servers.redis,
    "joblib": peer_systems.joblib,
    "arrow": peer_systems.arrow,
    "shared-memory": peer_systems.shared_memory,
    "pickle": peer_systems.pickles,
}
_SMALL = 1 << 20
"""Bytes of an object for what is only done once."""
_SPARE = 64 << 20
"""Bytes of memory to touch besides those of the object."""
_LONGEST = 2.0
"""Seconds for the calls of a step that only reads."""
_AMONG = 0.5
"""Seconds to write among readers at least."""
READERS = 4
"""Processes that read at once."""
READERS_AMONG_PUTS = 3
"""Processes that read while one writes."""


def make(kind: str, nbytes: int) -> Any:
    """The same object in every environment: an ``array``, a ``frame`` of floats, or one with ``strings`` besides."""
    random = np.random.default_rng(0)
    if kind in {"array", "many"}:
        return random.random(nbytes // 8)
    import pandas as pd

    rows = nbytes // 8 // FLOATS
    frame = pd.DataFrame({f"column {number}": random.random(rows) for number in range(FLOATS)})
    if kind == "strings":
        frame["name"] = [f"name {number % 1000}" for number in range(rows)]
    return frame


class Session:
    """The steps, each named as its method; with the seconds of each call as result.

    Args:
        system: to measure.
        kind: of the object, see `make`.
        nbytes: of the object.
        folder: where processes may wait for each other.
    """

    def __init__(self, system: System, kind: str, nbytes: int, folder: str) -> None:
        self._system, self._nbytes, self._folder = system, nbytes, folder
        self._value = make(kind, nbytes)
        self._sum = total(self._value)
        self._small = system.put(make(kind, min(nbytes, _SMALL)), None)
        self._keys: list[Any] = []
        self.notes: dict[str, int] = {}
        """What was counted besides."""

    def new(self, calls: int) -> list[float]:
        """Put it under new names; all that was put before is kept, so memory must be new too."""
        system, value = self._system, self._value
        self._touch(calls)
        measured = times(lambda: self._keys.append(system.put(value, None)), calls)
        while len(self._keys) > 1:
            system.drop(self._keys.pop())
        self._check()
        return measured

    def replace(self, calls: int) -> list[float]:
        """Put it in the place of the one there is."""
        self._replace()  # Only from the second on is there memory to be used again.
        self._touch(1)
        measured = times(self._replace, calls)
        self._check()
        return measured

    def get(self, calls: int) -> list[float]:
        """Read it."""
        return self._timed(lambda: self._system.get(self._keys[0]), calls)

    def sum(self, calls: int) -> list[float]:
        """Read it, add up its floats, and let go of it."""
        return self._timed(lambda: total(self._system.get(self._keys[0])), calls)

    def change(self, calls: int) -> list[float]:
        """Read it and change every float, in a copy where it is read-only or where others would see it."""

        def change() -> None:
            value = self._system.get(self._keys[0])
            if not (self._system.private and value.flags.writeable):
                value = value.copy()
            value += 1.0

        measured = self._timed(change, calls)
        self._check()
        return measured

    def elsewhere(self, calls: int) -> list[float]:
        """Read it and add up its floats in a new process."""
        measured = []
        for _ in range(calls):
            with self._system.crowd(read_second, [(self._small, self._keys[0])]) as results:
                measured += results()
        return measured

    def together(self, calls: int) -> list[float]:
        """Read it and add up its floats in several new processes at once: the time until all have, once."""
        folder = f"{self._folder}/together"
        arguments = [(self._small, self._keys[0], (folder, number), calls) for number in range(READERS)]
        gate = Gate(folder)
        with self._system.crowd(read_together, arguments) as results:
            gate.open(READERS)
            spans = results()
        return [(max(end for _, end in spans) - min(begin for begin, _ in spans)) / calls]

    def among_readers(self, calls: int) -> list[float]:
        """Put it again and again while others read it; all its floats are 1, or all are 2."""
        value, signpost = self._value, self._system.signpost
        value.fill(1.0)
        self._replace()
        signpost.point(self._keys[0])
        folder = f"{self._folder}/among"
        gate = Gate(folder)
        measured: list[float] = []
        arguments = [(signpost, folder, number) for number in range(READERS_AMONG_PUTS)]
        with self._system.crowd(read_among_puts, arguments) as results:
            try:
                gate.open(READERS_AMONG_PUTS)
                deadline = time.monotonic() + _AMONG
                while len(measured) < calls or time.monotonic() < deadline:
                    value.fill(1.0 + len(measured) % 2)
                    measured += times(lambda: self._replace(signpost), 1)
            finally:
                gate.close()
            self._seen = [Seen(*each) for each in results()]
        self._sum = total(value)
        self._check()
        self.notes["torn"] = sum(each.torn for each in self._seen)
        self.notes["missing"] = sum(each.missing for each in self._seen)
        return measured

    def beside_writer(self, _calls: int) -> list[float]:
        """What those others measured: read it and add up its floats."""
        return [each for seen in self._seen for each in seen.times]

    def put_many(self, calls: int) -> list[float]:
        """Put many, each under a new name: seconds an object."""
        system, value = self._system, self._value
        return [
            each / calls for each in times(lambda: self._keys.extend(system.put(value, None) for _ in range(calls)), 1)
        ]

    def get_many(self, _calls: int) -> list[float]:
        """Read each of them: seconds an object."""
        get, keys = self._system.get, self._keys
        measured = times(lambda: [get(key) for key in keys], 1)
        self._check()
        return [each / len(keys) for each in measured]

    def _replace(self, signpost: Signpost | None = None) -> None:
        old = self._keys[0]
        new = self._keys[0] = self._system.put(self._value, old)
        if not self._system.names:
            if signpost is not None:
                signpost.point(new)
            self._system.drop(old)

    def _timed(self, function: Callable[[], object], calls: int) -> list[float]:
        """So many calls after one to warm up, fewer where they take long."""
        times(function, 1)
        measured: list[float] = []
        deadline = time.monotonic() + _LONGEST
        while len(measured) < calls and (not measured or time.monotonic() < deadline):
            measured += times(function, 1)
        return measured

    def _check(self) -> None:
        """See that what is read is what was put."""
        if not math.isclose(total(self._system.get(self._keys[0])), self._sum):
            raise ValueError("what was read is not what was put")

    def _touch(self, objects: int) -> None:
        """Take and free as much memory as so many puts will: a virtual machine may have to fetch pages from its host, which takes longer."""
        with mmap.mmap(-1, self._nbytes * objects + _SPARE) as memory:
            np.frombuffer(memory, "u1")[:: mmap.PAGESIZE] = 1


def measure(system: System, kind: str, nbytes: int, folder: str, steps: dict[str, int]) -> Iterator[dict[str, Any]]:
    """The steps with the calls of each; what fails says why, and the rest goes on."""
    session = Session(system, kind, nbytes, folder)
    for step, calls in steps.items():
        try:
            yield {"step": step, "times": getattr(session, step)(calls)}
        except Exception as error:
            reason = str(error).strip().splitlines()
            yield {"step": step, "error": f"{type(error).__name__}: {reason[0] if reason else 'no reason given'}"}
    yield {"notes": session.notes}


def versions(packages: Sequence[str]) -> dict[str, str]:
    """Of Python and of those packages that are installed."""
    found = {"python": platform.python_version()}
    for package in packages:
        with suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def main() -> None:
    """``peer_worker SYSTEM FOLDER CAPACITY KIND NBYTES STEPS PACKAGES``, the last two in JSON."""
    name, folder, capacity, kind, nbytes, steps, packages = sys.argv[1:]
    # Only answers go to standard output: what libraries and servers print is for the log.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(facts: dict[str, Any]) -> None:
        print(json.dumps(facts), file=answers, flush=True)

    with SYSTEMS[name](folder, int(capacity)) as system:
        answer({"versions": versions(json.loads(packages))})
        for facts in measure(system, kind, int(nbytes), folder, json.loads(steps)):
            answer(facts)


if __name__ == "__main__":
    main()
