"""What other processes do with a peer's objects: read one, read it all at once, read while somebody writes.

Every function here is called in a new process with a way to open the system there. It runs in the environments of
peers, so it needs little more than the standard library.
"""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from bodega_bench.timing import times

FLOATS = 10
"""Columns of floats in a frame."""
_PATIENCE = 120.0
"""Seconds for all processes to come to the gate."""
_NAP = 0.001
_START_IN = 0.05
"""Seconds between the gate's opening and the start: all see it open before."""
_MOST_MISSES = 1000
"""Gets in a row that may find nothing while a writer replaces the object."""

Get = Callable[[Any], Any]
Opened = Callable[[], Get]
"""Opens a system in the process at hand; returns its get."""


def total(value: Any) -> float:
    """The sum of all floats, of an array or of a frame's first columns, read one after the other."""
    columns = getattr(value, "columns", None)
    if columns is not None:
        return sum(float(value[column].to_numpy().sum()) for column in columns[:FLOATS])
    return float(value.sum())


class Signpost(Protocol):
    """Tells other processes the key that an object has now."""

    def point(self, key: Any) -> None:
        """From now on it is this one."""

    def read(self) -> Any:
        """The key."""


class FileSignpost:
    """A file, replaced in one step: for systems whose keys change with every put."""

    def __init__(self, path: str) -> None:
        self._path = path

    def point(self, key: Any) -> None:
        """From now on it is this one."""
        with open(f"{self._path}.new", "wb") as file:
            pickle.dump(key, file)
        os.replace(f"{self._path}.new", self._path)

    def read(self) -> Any:
        """The key."""
        with open(self._path, "rb") as file:
            return pickle.load(file)


class FixedSignpost:
    """For systems with names: a name stays what it is, however often it is put again."""

    def __init__(self) -> None:
        self._key: Any = None

    def point(self, key: Any) -> None:
        """From now on it is this one."""
        self._key = key

    def read(self) -> Any:
        """The key."""
        return self._key


class Gate:
    """A folder where processes wait for each other, to start at the same moment and to stop."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        os.makedirs(folder, exist_ok=True)

    def open(self, count: int) -> None:
        """Wait for so many to arrive, then let them start.

        Raises:
            TimeoutError: not all came.
        """
        self._wait(lambda: len(os.listdir(self._folder)) >= count)
        FileSignpost(f"{self._folder}/open").point(time.perf_counter() + _START_IN)

    def pass_through(self, number: int) -> None:
        """Arrive as one of them, and return when all start."""
        with open(f"{self._folder}/arrived-{number}", "x"):
            pass
        self._wait(lambda: os.path.exists(f"{self._folder}/open"))
        # The clock is the machine's, the same in all processes.
        time.sleep(max(0.0, FileSignpost(f"{self._folder}/open").read() - time.perf_counter()))

    def close(self) -> None:
        """Tell all to stop."""
        with open(f"{self._folder}/closed", "x"):
            pass

    @property
    def is_closed(self) -> bool:
        """Whether all are told to stop, or nobody is there any more to tell them."""
        return os.path.exists(f"{self._folder}/closed") or not os.path.exists(self._folder)

    def _wait(self, is_so: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not is_so():
            if time.monotonic() > deadline:
                raise TimeoutError(f"not all processes started within {_PATIENCE:.0f} s")
            time.sleep(_NAP)


def read_second(opened: Opened, small: Any, key: Any) -> float:
    """Seconds to get an object and to add up its floats; a small one is read before, for what is only done once."""
    get = opened()
    total(get(small))
    return times(lambda: total(get(key)), 1)[0]


def read_together(opened: Opened, small: Any, key: Any, place: tuple[str, int], repeats: int) -> tuple[float, float]:
    """Get an object and add it up, as often as said, while others do the same; returns when that began and ended."""
    get = opened()
    total(get(small))
    folder, number = place
    Gate(folder).pass_through(number)
    begin = time.perf_counter()
    for _ in range(repeats):
        total(get(key))
    return begin, time.perf_counter()


class Seen(NamedTuple):
    """What a reader saw while the object was replaced."""

    times: list[float]
    torn: int
    """Values that were partly of one put and partly of another."""
    missing: int
    """Gets that found nothing, and were tried again."""


def read_among_puts(opened: Opened, signpost: Signpost, folder: str, number: int) -> Seen:
    """Get an object again and again, and add it up, until the gate closes. All its floats are 1, or all are 2."""
    get, gate = opened(), Gate(folder)
    total(get(signpost.read()))
    measured: list[float] = []
    torn = missing = misses = 0
    gate.pass_through(number)
    while not gate.is_closed:
        begin = time.perf_counter()
        try:
            value = get(signpost.read())
        except Exception:
            # Which error says that the object is gone differs; one that stays is no replacement but a fault.
            missing, misses = missing + 1, misses + 1
            if misses > _MOST_MISSES:
                raise
            continue
        found, misses = total(value), 0
        floats = value.size
        del value
        measured.append(time.perf_counter() - begin)
        torn += found not in {floats, 2 * floats}
    return Seen(measured, torn, missing)
