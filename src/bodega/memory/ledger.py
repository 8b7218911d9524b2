"""How many bytes the segments of a root take, counted as they come and go.

A number in a lock file. A crash in the middle of a put leaves it too high by that put; `bodega.sweep` counts anew.
"""

from __future__ import annotations

import os

from bodega.layout import PAGE
from bodega.memory.locks import FULL, Exclusive, no_room, say_where
from bodega.memory.root import Root

_WHAT = "The count of the store's bytes"
_SIZE = 8


def pages(nbytes: int) -> int:
    """Bytes rounded up to whole pages: what a file of that size takes."""
    return -(-nbytes // PAGE) * PAGE


def add(root: Root, nbytes: int) -> int:
    """Count bytes in (or out, where negative); returns the new total."""
    with Exclusive(f"{root.locks}/usage", _WHAT) as descriptor:
        total = max(0, int.from_bytes(os.pread(descriptor, _SIZE, 0), "little") + nbytes)
        _write(root, descriptor, total)
    return total


def recount(root: Root) -> int:
    """Set the total to what the root's folders hold, and return it."""
    with Exclusive(f"{root.locks}/usage", _WHAT) as descriptor:
        total = sum(_folder_bytes(folder) for folder in (root.runs, root.tmp, root.pool))
        _write(root, descriptor, total)
    return total


def _write(root: Root, descriptor: int, total: int) -> None:
    try:
        os.pwrite(descriptor, total.to_bytes(_SIZE, "little"), 0)
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise no_room(f"{root.locks}/usage", _WHAT) from error


def read(root: Root) -> int:
    """The total; takes no lock, and works where nothing can be written."""
    try:
        descriptor = os.open(f"{root.locks}/usage", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return 0
    try:
        return int.from_bytes(os.pread(descriptor, _SIZE, 0), "little")
    except OSError as error:
        say_where(error, f"{root.locks}/usage")
        raise
    finally:
        os.close(descriptor)


def _folder_bytes(folder: str) -> int:
    total = 0
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    total += _folder_bytes(entry.path)
                else:
                    total += pages(entry.stat(follow_symlinks=False).st_size)
    except FileNotFoundError:
        # Gone since it was listed: then it takes nothing.
        return total
    return total
