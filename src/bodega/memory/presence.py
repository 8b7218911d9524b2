"""Which live processes are at work on a run of a root.

A process says what it does in a file of its own among the lock files, and holds that file's lock until it is done: a
process that was killed says nothing any more, whatever the file still holds. Process ids and commands are texts for
people, and decide nothing.
"""

from __future__ import annotations

import json
import os
import shlex
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from typing import Any

from bodega.memory import locks, places
from bodega.memory.descriptors import Descriptor
from bodega.memory.root import Root

_PREFIX = "work-"
_LARGEST = 16 << 20
"""Bytes that are read of what a process says."""


@dataclass(frozen=True)
class Work:
    """What a process does in a run."""

    run: str
    reads: frozenset[str] = frozenset()
    """Names that it needs to be there."""
    writes: frozenset[str] = frozenset()
    is_whole: bool = True
    """Whether it works alone: no other process is to do a part of the same run."""
    process: int = field(default_factory=os.getpid)
    command: str = field(default_factory=lambda: f"{os.path.basename(sys.argv[0])} {shlex.join(sys.argv[1:])}")

    def clashes(self, other: Work) -> frozenset[str]:
        """The names over which two processes would disturb each other.

        Parts of one run hand data on to each other, so only what both write counts; a whole run is disturbed by whoever
        writes what it reads.
        """
        if self.run != other.run:
            return frozenset()
        names = self.writes & other.writes
        if self.is_whole or other.is_whole:
            names |= (self.reads & other.writes) | (self.writes & other.reads)
        return names


class Presence:
    """A process that is at work, until it says that it is done or ends."""

    def __init__(self, path: str, descriptor: Descriptor, work: Work) -> None:
        self._path, self._descriptor, self.work = path, descriptor, work

    def end(self) -> None:
        """Be at work no longer."""
        # In a forked child it is closed: that ends nothing of its parent's.
        if self._descriptor.number >= 0:
            with suppress(FileNotFoundError):
                places.unlink(self._path)
            locks.release(self._descriptor)


class Board:
    """Who is at work, while nobody else may begin."""

    def __init__(self, root: Root) -> None:
        self._root = root
        self.others = list(_living(root))

    def add(self, work: Work) -> Presence:
        """Be at work.

        Raises:
            StoreFull: the file system has no room for a word of it.
        """
        path = places.join(self._root.locks, f"{_PREFIX}{os.urandom(16).hex()}")
        descriptor = places.open_file(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW)
        try:
            locks.try_exclusive(descriptor.number)
            self._root.share(descriptor)
            facts = asdict(work) | {"reads": sorted(work.reads), "writes": sorted(work.writes)}
            with open(descriptor.number, "wb", closefd=False) as file:
                file.write(json.dumps(facts).encode())
        except BaseException as error:
            places.unlink(path)
            descriptor.close()
            if isinstance(error, OSError) and error.errno in locks.FULL:
                raise locks.no_room(path, "What a process is at work on") from error
            raise
        return Presence(path, descriptor, work)


@contextmanager
def board(root: Root) -> Iterator[Board]:
    """Look who is at work, and begin before anybody else does."""
    # The lock that guards a file between its making and its locking: two processes that begin at once see each other.
    with root.temporary_names():
        yield Board(root)


def _living(root: Root) -> Iterator[Work]:
    folder = root.locks
    for name in places.listing(folder):
        if not name.startswith(_PREFIX):
            continue
        path = places.join(folder, name)
        try:
            descriptor = places.open_file(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:  # Its process has just ended; or it is none of ours.
            continue
        try:
            if not stat.S_ISREG(os.fstat(descriptor.number).st_mode):
                continue
            if locks.try_exclusive(descriptor.number):
                with suppress(OSError):
                    places.unlink(path)
            elif (work := _parsed(os.pread(descriptor.number, _LARGEST, 0))) is not None:
                yield work
        finally:
            descriptor.close()


def _parsed(text: bytes) -> Work | None:
    try:
        facts: dict[str, Any] = json.loads(text)
        sets = {key: frozenset(map(str, facts[key])) for key in ("reads", "writes")}
        return Work(**{**facts, **sets})
    except (ValueError, TypeError, KeyError, RecursionError):  # Of another version.
        return None
