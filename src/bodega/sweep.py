"""Cleans what crashes leave: temporary segments that nobody holds, and a count of bytes that has drifted.

Safe to run at any time, from many processes at once, beside readers and writers: whatever is in use is locked.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from bodega.memory import files, ledger, pool
from bodega.memory.root import Root


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep did."""

    files: int
    """Left-overs freed, or moved to the pool."""
    nbytes: int
    """Their bytes, and those of the pool where it was emptied."""


def sweep(root: Root, *, empty_pool: bool = False) -> Swept:
    """Free the left-overs of a root and count its bytes anew.

    Args:
        root: what to sweep.
        empty_pool: also give the memory of warm segments back to the system.
    """
    count = nbytes = 0
    for path in leftovers(root):
        with files.temporary_names(root):
            freed = files.retire(root, path)
        count += freed > 0
        nbytes += freed
    if empty_pool:
        nbytes += pool.drain(root)
    ledger.recount(root)
    return Swept(count, nbytes)


def leftovers(root: Root) -> list[str]:
    """Paths of segments without a name: of a crash, being written, or replaced and still mapped."""
    return [f"{root.tmp}/{filename}" for filename in os.listdir(root.tmp)]
