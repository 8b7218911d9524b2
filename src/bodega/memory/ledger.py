"""How many bytes the segments of a root take, counted as they come and go.

A number in a lock file. Whoever changes what the folders hold does it while the count is locked, and so does whoever
counts anew: nothing is ever missed or counted twice, however many are at work. A crash leaves the count too high, never
too low, until a sweep counts anew.
"""

from __future__ import annotations

import os
from contextlib import suppress
from types import TracebackType
from typing import Self

from bodega.format import PAGE
from bodega.memory import places
from bodega.memory.locks import FULL, no_room, say_where
from bodega.memory.root import Root

_WHAT = "The count of the store's bytes"
_SIZE = 8


def pages(nbytes: int) -> int:
    """Bytes rounded up to whole pages: what a file of that size takes."""
    return -(-nbytes // PAGE) * PAGE


class Count:
    """The count, locked: files that it counts come, go and move between folders in its context only.

    Add before they come and after they are gone, so that a crash in between leaves the count too high.
    """

    __slots__ = ("_descriptor", "_lock", "total")

    def __init__(self, root: Root) -> None:
        self._lock = root.lock("usage", _WHAT)

    def __enter__(self) -> Self:
        self._descriptor = self._lock.__enter__()
        try:
            self.total = int.from_bytes(os.pread(self._descriptor.number, _SIZE, 0), "little")
        except BaseException as error:
            self._lock.__exit__(type(error), error, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.__exit__(kind, error, trace)

    def add(self, nbytes: int) -> None:
        """Count bytes in, or out where negative."""
        self.set(max(0, self.total + nbytes))

    def set(self, total: int) -> None:
        """Replace the count."""
        try:
            os.pwrite(self._descriptor.number, total.to_bytes(_SIZE, "little"), 0)
        except OSError as error:
            if error.errno not in FULL:
                raise
            raise no_room(self._lock.path, _WHAT) from error
        self.total = total


def recount(root: Root) -> int:
    """Set the total to what the root's folders hold, and return it."""
    with Count(root) as count:
        count.set(sum(_folder_bytes(folder) for folder in (root.runs, root.tmp, root.pool)))
        return count.total


def read(root: Root) -> int:
    """The total; takes no lock, and works where nothing can be written."""
    path = places.join(root.locks, "usage")
    try:
        descriptor = places.open_file(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return 0
    try:
        return int.from_bytes(os.pread(descriptor.number, _SIZE, 0), "little")
    except OSError as error:
        say_where(error, path)
        raise
    finally:
        descriptor.close()


def _folder_bytes(folder: str) -> int:
    total = 0
    try:
        with places.scan(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    inner = places.enter(places.join(folder, entry.name))
                    try:
                        total += _folder_bytes(inner)
                    finally:
                        inner.folder.close()
                elif not entry.name.startswith("."):  # What is said of a run is no segment.
                    with suppress(
                        FileNotFoundError
                    ):  # A draft of what is said of the store, which is no segment either.
                        total += pages(entry.stat(follow_symlinks=False).st_size)
    except (FileNotFoundError, NotADirectoryError):
        return 0  # A folder that is gone since it was listed had nothing left.
    return total
