"""Cleans what crashes leave: temporary segments that nobody holds, and a count of bytes that has drifted.

Safe to run at any time, from many processes at once, beside readers and writers: whatever is in use is locked.

A process that has mapped objects sweeps a little as it ends, so that what it was the last to hold does not lie there until
somebody comes. What it holds to its very end it unlinks: the kernel frees that with the last mapping, its own or another's.
"""

from __future__ import annotations

import atexit
import math
import os
import time
from contextlib import suppress
from typing import NamedTuple

from bodega.errors import BodegaError
from bodega.memory import files, lease, ledger, locks, places, pool
from bodega.memory.root import Root

INTERVAL = 15.0
"""Seconds between the small sweeps that puts do."""
SHARE = 0.05
"""Seconds that a small sweep takes; what it does not get to, others do."""

_used: dict[str, Root] = {}
"""The roots that this process may map objects of, by path."""


class Swept(NamedTuple):
    """What a sweep did."""

    files: int
    """Left-overs freed, or moved to the pool."""
    nbytes: int
    """Their bytes, and those of the pool where it was emptied."""
    runs: int = 0
    """Runs dropped because their time was up."""


def sweep(root: Root, *, empty_pool: bool = False) -> Swept:
    """Free the left-overs of a root and count its bytes anew.

    Args:
        root: what to sweep.
        empty_pool: also give the memory of warm segments back to the system.
    """
    swept = _free(root, leftovers(root))
    nbytes = swept.nbytes + (pool.drain(root) if empty_pool else pool.drop_idle(root))
    ledger.recount(root)
    return Swept(swept.files, nbytes)


def sweep_some(root: Root) -> Swept:
    """Free left-overs for a bounded time: the share of a put, so that no timer is needed."""
    until = time.monotonic() + SHARE
    swept = _free(root, turned(leftovers(root)), until)
    return Swept(swept.files, swept.nbytes + pool.drop_idle(root, until))


def turned(items: list[str]) -> list[str]:
    """A list from anywhere on and round: whoever gets through a part of it only leaves none out for ever."""
    start = time.monotonic_ns() // 1000 % max(1, len(items))
    return items[start:] + items[:start]


def sweep_at_exit(root: Root) -> None:
    """Have this process leave nothing in a root that has lost its name, as far as it can, when it ends in an orderly way."""
    if not _used:
        atexit.register(_at_exit)
    _used.setdefault(str(root.path), root)


def _at_exit() -> None:
    held = lease.held()
    for root in _used.values() if lease.has_leased() else ():
        # Nobody is left to hear of it, and what stays the next sweep finds. A root may be gone, too.
        with suppress(OSError, BodegaError):
            _let_go(root, held)
            sweep_some(root)


def _let_go(root: Root, held: set[tuple[int, int]]) -> None:
    """Unlink what has lost its name and is mapped by this process, whose arrays live longer than anything it could still do."""
    for path in leftovers(root) if held else ():
        with suppress(FileNotFoundError):
            status = places.status(path)
            # What is being written nobody maps: so what is mapped and lies here was displaced, and is never opened again.
            if (status.st_dev, status.st_ino) in held:
                pool.unlink(root, path, status.st_size)


def is_due(root: Root) -> bool:
    """Whether a small sweep is due, of all processes; says so to one caller only."""
    descriptor = root.lock("swept", "The time of the last sweep").open()
    try:
        if time.time() - os.fstat(descriptor.number).st_mtime < INTERVAL:
            return False
        os.utime(descriptor.number)
    except OSError as error:
        locks.say_where(error, f"{root.path}/locks/swept")
        raise
    finally:
        descriptor.close()
    return True


def leftovers(root: Root) -> list[str]:
    """Paths of segments without a name: of a crash, being written, or replaced and still mapped."""
    folder = root.tmp
    return [places.join(folder, filename) for filename in places.listing(folder)]


def _free(root: Root, paths: list[str], until: float = math.inf) -> Swept:
    count = nbytes = 0
    for path in paths:
        if time.monotonic() >= until:
            break
        if files.is_taken(path):
            freed = files.clear_folder(root, path, until)
        else:
            with root.temporary_names():
                freed = files.retire(root, path)
        count += freed > 0
        nbytes += freed
    return Swept(count, nbytes)
