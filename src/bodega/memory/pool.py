"""Segments kept warm: writing over pages that exist is several times faster than having the kernel make new ones.

A segment comes here when its object is gone and nobody maps it, and leaves under its exclusive lock, so that it is
rewritten only while no reader can have it. File names are ``<age>-<size>-<unique>``, so that choosing reads nothing
but the folder.
"""

from __future__ import annotations

import errno
import math
import os
import stat
import time
from contextlib import suppress
from typing import NamedTuple

from bodega.errors import SettingsError
from bodega.memory import ledger, locks, places
from bodega.memory.descriptors import Descriptor
from bodega.memory.root import Root

MINIMUM_SIZE = 1 << 20
"""Smaller segments are not worth a look into the folder."""
MOST_SEGMENTS = 64
IDLE = 900
"""Seconds after which a segment that no put has taken goes with the next sweep: whatever runs are kept, memory that nobody
needs is the machine's."""
_NOT_OURS = {errno.ENOENT, errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENXIO, errno.EISDIR, errno.ENOTDIR}
_ZEROS = memoryview(bytes(1 << 20))
MOST_SHARE = 8
"""The pool holds at most this fraction of the file system: one in eight bytes."""


class Warm(NamedTuple):
    """A segment taken from the pool: in the folder of temporary files, its exclusive lock held."""

    descriptor: Descriptor
    path: str
    size: int


def take(root: Root, need: int) -> Warm | None:
    """A segment that fits ``need`` bytes well, if there is one: neither half as long nor twice."""
    if need < MINIMUM_SIZE:
        return None
    fitting = [(size, name) for name, size in _segments(root) if need // 2 <= size <= 2 * need]
    # One that is long enough first: what it lacks would have to be written to new pages.
    for size, name in sorted(fitting, key=lambda item: (item[0] < need, abs(item[0] - need))):
        path, temporary = places.join(root.pool, name), root.temporary()
        descriptor = seize(path, os.O_RDWR)
        if descriptor is None:
            continue
        try:
            if not places.may_change(os.fstat(descriptor.number)):
                locks.release(descriptor)
                continue
            with ledger.Count(root):
                places.rename(path, temporary)
        except BaseException as error:
            locks.release(descriptor)
            locks.say_where(error, path)
            raise
        return Warm(descriptor, temporary, size)
    return None


def keep(root: Root, path: str, descriptor: Descriptor, size: int) -> bool:
    """Move a segment, whose exclusive lock the caller holds, into the pool if it has room; returns whether it did."""
    limit = root.size() // MOST_SHARE
    if not root.warm or not MINIMUM_SIZE <= size <= limit:
        return False
    segments = _segments(root)
    count, total = len(segments), sum(size for _, size in segments)
    for name, oldest in segments:
        if total + size <= limit and count < MOST_SEGMENTS:
            break
        if drop(root, name):
            count, total = count - 1, total - oldest
    if total + size > limit or count >= MOST_SEGMENTS:
        return False
    # Without what was said of its object, such as that it is pinned.
    os.fchmod(descriptor.number, root.file_mode)
    try:
        with ledger.Count(root):
            places.rename(path, _place(root, size))
    except OSError as error:
        if error.errno not in locks.FULL:
            raise
        return False  # The folder cannot grow: all the more reason to free it.
    return True


def prefault(root: Root, nbytes: int) -> None:
    """Bring the pool to a number of bytes, so that the first puts already find warm pages.

    The segments are halves: of the whole, of the rest, and so on, since a put takes one between half and twice its size.

    Raises:
        SettingsError: more than the pool may hold.
        StoreFull: the file system lacks the space.
    """
    limit = root.size() // MOST_SHARE
    if nbytes > limit:
        raise SettingsError(
            f"{nbytes:,} bytes cannot be kept warm in {root.path}: the pool holds {limit:,} at most, one of "
            f"{MOST_SHARE} bytes of the file system. Ask for less (prefault=), or use a larger root."
        )
    missing = nbytes - size(root)
    while missing >= MINIMUM_SIZE:
        half = max(MINIMUM_SIZE, ledger.pages(missing // 2))
        _add(root, half)
        missing -= half


def _add(root: Root, nbytes: int) -> None:
    """A new segment whose pages are there."""
    path = root.temporary()
    try:
        descriptor = places.open_file(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW)
        try:
            if not locks.try_exclusive(descriptor.number):
                # A sweep was faster, and takes the empty file for a left-over.
                return
            with ledger.Count(root) as count:
                count.add(nbytes)
                os.ftruncate(descriptor.number, nbytes)
            offset = 0
            while offset < nbytes:
                # A file system that fills up writes a part first.
                offset += os.pwrite(descriptor.number, _ZEROS[: nbytes - offset], offset)
            with ledger.Count(root):
                places.rename(path, _place(root, nbytes))
        except BaseException:
            with suppress(OSError):
                remove(root, path, descriptor)
            raise
        finally:
            locks.release(descriptor)
    except OSError as error:
        if error.errno in locks.FULL:
            raise locks.no_room(path, "A segment to be kept warm") from error
        locks.say_where(error, path)
        raise


def _place(root: Root, nbytes: int) -> str:
    return places.join(root.pool, f"{time.time_ns():016x}-{nbytes:x}-{os.urandom(16).hex()}")


def drop(root: Root, name: str) -> int:
    """Free one segment of the pool if nobody has it; returns its bytes."""
    path = places.join(root.pool, name)
    descriptor = seize(path)
    if descriptor is None:
        return 0
    try:
        return remove(root, path, descriptor)
    except OSError as error:
        locks.say_where(error, path)
        raise
    finally:
        locks.release(descriptor)


def remove(root: Root, path: str, descriptor: Descriptor) -> int:
    """Free a segment whose exclusive lock the caller holds; returns its bytes."""
    return unlink(root, path, os.fstat(descriptor.number).st_size)


def unlink(root: Root, path: str, nbytes: int) -> int:
    """Take away a segment that nobody will open by its path any more, and its bytes off the count; returns these."""
    freed = ledger.pages(nbytes)
    with ledger.Count(root) as count:
        places.unlink(path)
        count.add(-freed)
    return freed


def drain(root: Root, need: int | None = None) -> int:
    """Free the oldest segments until ``need`` bytes are free, or all; returns how many bytes."""
    freed = 0
    for name in _names(root):
        if need is not None and freed >= need:
            break
        freed += drop(root, name)
    return freed


def drop_idle(root: Root, until: float = math.inf) -> int:
    """Free what no put has wanted for a long time, till a moment of the monotonic clock; returns how many bytes."""
    freed, oldest = 0, f"{time.time_ns() - IDLE * 10**9:016x}"
    for name, _ in _segments(root):
        if name >= oldest or time.monotonic() >= until:
            break
        freed += drop(root, name)
    return freed


def size(root: Root) -> int:
    """Bytes in the pool."""
    return sum(size for _, size in _segments(root))


def seize(path: str, access: int = os.O_RDONLY) -> Descriptor | None:
    """Open a segment and take its exclusive lock.

    Returns:
        None where somebody maps it, where the path is another file now, where it is another user's and not ours to open
        so, and where it is no file at all (put there from outside).
    """
    try:
        descriptor = places.open_file(path, access | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if error.errno in _NOT_OURS:
            return None
        raise
    try:
        descriptor.is_exclusive = locks.try_exclusive(descriptor.number)
        status = os.fstat(descriptor.number)
        if descriptor.is_exclusive and stat.S_ISREG(status.st_mode) and status_of(path, status):
            return descriptor
    except BaseException as error:
        # Closing gives up the lock as well.
        descriptor.close()
        locks.say_where(error, path)
        raise
    if descriptor.is_exclusive:
        locks.release(descriptor)
    else:
        descriptor.close()
    return None


def status_of(path: str, opened: os.stat_result) -> os.stat_result | None:
    """What a path says now of the file that was opened through it; None where it names that no more."""
    try:
        now = places.status(path)
    except FileNotFoundError:
        return None
    return now if now.st_ino == opened.st_ino and now.st_dev == opened.st_dev else None


def _segments(root: Root) -> list[tuple[str, int]]:
    """Name and size of each, the oldest first."""
    found = []
    for name in _names(root):
        try:
            found.append((name, int(name.split("-")[1], 16)))
        except (IndexError, ValueError):
            continue
    return found


def _names(root: Root) -> list[str]:
    """What the folder has, the oldest first; one that somebody cleaned away is made again, since it holds nothing."""
    try:
        return sorted(places.listing(root.pool))
    except FileNotFoundError:
        root.make_pool()
        return []
