"""Segments that have a name, or had one: opened, taken away, evicted, retired, and dropped with their run.

How they get their name is in `bodega.memory.drafts`. The steps are those of ``docs/architecture.md``; where one guards
against a race, the line says which, and ``tests/memory/test_races.py`` forces it. The order of locks is name, segment,
count.
"""

from __future__ import annotations

import errno
import math
import os
import time
import zlib
from collections.abc import Callable
from contextlib import ExitStack, suppress

from bodega.errors import LayoutError
from bodega.memory import lease, ledger, locks, places, pool
from bodega.memory.descriptors import Descriptor
from bodega.memory.root import Root

_STRIPES = 64
_BLOCK = 512
"""Bytes of the unit in which stat(2) counts what a file takes."""
_TAKEN = "dropped-"
"""What the folder of a run that was taken out is called by, among the temporary files."""
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
_NO_TIMES = getattr(os, "O_NOATIME", 0)
"""Reading sets no time of access: that is the age for eviction, and set by whoever means it."""


def is_a_folder(path: str) -> LayoutError:
    """The error for a folder in place of a segment."""
    return LayoutError(
        f"{path} is a folder, where an object should be: it was put there from outside. Remove it by hand.",
        path=path,
        reason="folder",
    )


def length(path: str) -> int | None:
    """Length of a file, or None where there is none."""
    try:
        return places.status(path).st_size
    except FileNotFoundError:
        return None


def name_lock(root: Root, path: str) -> locks.Exclusive:
    """The lock under which every change of a name does its last check and its rename."""
    within = path[path.rindex("/", 0, path.rindex("/")) :]
    return _stripe(root, zlib.crc32(within.encode("utf-8", "surrogateescape")) % _STRIPES)


def _stripe(root: Root, stripe: int) -> locks.Exclusive:
    return root.lock(f"name-{stripe:02}", "The name of an object")


def drop_run(root: Root, run: str, is_over: Callable[[], bool], until: float = math.inf) -> bool:
    """Take the folder of a run, with all its names, out of the runs in one step, and free what is in it.

    No name of the root changes in that step, so that nothing is put between the last look at the run and its end.

    Args:
        root: that has the run.
        run: the name of its folder.
        is_over: the last look: whether the run may go.
        until: a moment of the monotonic clock; what is left then a sweep frees.

    Returns:
        Whether there was one, and it went.
    """
    taken = f"{_TAKEN}{os.urandom(16).hex()}"
    with ExitStack() as stripes:
        # All of them, so that no put takes a name between the last look and the rename: its object would go with the run.
        # Always in this order, and everybody else holds one of them at most: so nobody waits in a circle.
        for stripe in range(_STRIPES):
            stripes.enter_context(_stripe(root, stripe))
        if not is_over():
            return False
        folder = places.join(root.runs, run)
        try:
            with ledger.Count(root):
                places.rename(folder, places.join(root.tmp, taken))
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            if error.errno not in locks.FULL:
                raise
            # A full file system may have no room for the name: then it goes where it is, in more than one step.
            clear_folder(root, folder)
            return True
    clear_folder(root, places.join(root.tmp, taken), until)
    if until == math.inf:
        # A folder that was put there from outside stays, and so does the run's.
        with suppress(OSError):
            places.rename(places.join(root.tmp, taken), places.join(root.runs, run))
    return True


def is_taken(path: str) -> bool:
    """Whether a path among the temporary ones is what `drop_run` made of a run, rather than a segment."""
    return os.path.basename(path).startswith(_TAKEN)


def clear_folder(root: Root, taken: str, until: float = math.inf) -> int:
    """Free the segments of a run's folder, and the folder, until a moment of the monotonic clock.

    Several processes may do it at once. Returns the bytes of what was there, in whole pages.
    """
    freed = 0
    try:
        folder = places.enter(taken)
    except FileNotFoundError:
        return 0
    except NotADirectoryError:
        places.unlink(taken)  # A link or a file in place of a folder goes, and nothing of what it may lead to.
        return 0
    try:
        for filename in places.listing(folder):
            if time.monotonic() >= until:
                return freed
            path = places.join(folder, filename)
            # Another process may be at it too, and a folder was put there from outside.
            with suppress(FileNotFoundError, IsADirectoryError):
                if filename.startswith("."):
                    places.unlink(path)  # What is said of the run is not counted.
                else:
                    nbytes, segment = _unname(root, path)
                    freed += nbytes
                    if segment is not None:
                        retire_displaced(root, segment)
        places.remove_folder(taken)
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
            raise
    finally:
        folder.folder.close()
    return freed


def open_shared(path: str) -> tuple[Descriptor, os.stat_result, lease.Mapping | None]:
    """Open the segment that a name stands for and take its shared lock, or the anchor that has it in this process.

    Only after the lock is held is the name compared with the file: before that, the segment may have been replaced
    and be written anew under another name.

    Returns:
        The descriptor, which the caller closes, the file's status, and the anchor, if there is one.

    Raises:
        FileNotFoundError: no such name.
        StoreBusy: it stays locked.
    """
    patience: locks.Patience | None = None
    while True:
        try:
            descriptor = places.open_file(path, _READ | _NO_TIMES)
        except PermissionError:
            # Another user's file, whose times are not ours to keep; or one that cannot be read at all.
            descriptor = places.open_file(path, _READ)
        try:
            status = os.fstat(descriptor.number)
            anchor = lease.anchor_of(status)
            # Without waiting: a holder that is stopped would hang the reader in the kernel, past every deadline.
            if anchor is not None or locks.try_shared(descriptor.number):
                # Only now is the name compared with the file: between the two calls above the object may have been
                # replaced, and its segment written anew for another name. From here on nobody writes it. The status is
                # asked anew as well: what it said before may be of the object that had these bytes then.
                now = pool.status_of(path, status)
                if now is not None:
                    return descriptor, now, anchor
            patience = patience or locks.Patience(path, "An object", None, status)
        except BaseException as error:
            descriptor.close()
            locks.say_where(error, path)
            raise
        descriptor.close()
        patience.wait()


def remove(root: Root, path: str) -> int:
    """Take a name away; its segment lives on for those who map it. Returns the object's bytes in whole pages.

    Raises:
        FileNotFoundError: no such name.
    """
    # Under the name's lock: a put that takes the name at the same moment would lose its new object to this delete.
    with name_lock(root, path):
        nbytes, segment = _unname(root, path)
    if segment is not None:
        retire_displaced(root, segment)
    return nbytes


def _unname(root: Root, path: str) -> tuple[int, str | None]:
    """Take a name away.

    Returns:
        The bytes of its segment in whole pages, and where that is now, if it is anywhere.
    """
    size = places.status(path).st_size
    with ledger.Count(root) as count:
        if size >= pool.MINIMUM_SIZE:
            temporary = root.temporary()
            try:
                places.rename(path, temporary)
                return ledger.pages(size), temporary
            except OSError as error:
                if error.errno not in locks.FULL:
                    raise
                # On a full file system a delete is what helps.
        places.unlink(path)
        count.add(-ledger.pages(size))
    return ledger.pages(size), None


def is_free(path: str) -> bool:
    """Whether nobody maps a segment or has its lock, at this moment."""
    descriptor = pool.seize(path)
    if descriptor is None:
        return False
    locks.release(descriptor)
    return True


def evict(root: Root, path: str, status: os.stat_result) -> int:
    """Take a name away if it still stands for a segment that nobody maps. Returns the bytes that are free now, else 0.

    Args:
        root: that has the name.
        path: of the name.
        status: of the segment, from when it was copied.
    """
    # The last look and the unlink under the name's lock: else a put that replaces the object in between would lose the
    # new one, of which there is no copy anywhere.
    with name_lock(root, path):
        # Nobody maps it, and nobody can from here on: readers back off, look at the name again, and find the copy below.
        descriptor = pool.seize(path)
        if descriptor is None:
            return 0
        try:
            # What was copied is still what the name stands for.
            if pool.status_of(path, status) is None:
                return 0
            return pool.remove(root, path, descriptor)
        finally:
            locks.release(descriptor)


def sync_folder(path: str) -> None:
    """Have the names of a folder survive the machine's power failing."""
    descriptor = places.enter(path).folder
    try:
        os.fsync(descriptor.number)
    except OSError as error:
        locks.say_where(error, path)
        raise
    finally:
        descriptor.close()


def retire(root: Root, path: str) -> int:
    """Keep a segment without a name for reuse, or free it, unless somebody has it. Returns its bytes, else 0."""
    # Its exclusive lock says that nobody maps it: every mapping holds a shared one, also in forked children. A new file is
    # opened for it, since a try on a descriptor that has the shared lock would lose that where it fails.
    descriptor = pool.seize(path)
    if descriptor is None:
        return 0
    try:
        status = os.fstat(descriptor.number)
        size = status.st_size
        # One that was never written to its end has pages that a full file system could not give.
        whole = status.st_blocks * _BLOCK >= size
        if not (whole and places.may_change(status) and pool.keep(root, path, descriptor, size)):
            pool.remove(root, path, descriptor)
        return ledger.pages(size)
    except OSError as error:
        locks.say_where(error, path)
        raise
    finally:
        locks.release(descriptor)


def retire_displaced(root: Root, path: str) -> None:
    """Retire a segment that this process has taken the name of; where somebody maps it, the next puts try again."""
    if not retire(root, path):
        # Not the path: in the root of a group that holds an open folder.
        root.displaced.append(os.path.basename(path))


def retire_waiting(root: Root) -> None:
    """Try again with some of those that were mapped when they lost their name: with more than a put adds."""
    for _ in range(min(2, len(root.displaced))):
        with suppress(IndexError):  # Another thread took it.
            path = places.join(root.tmp, name := root.displaced.popleft())
            if not retire(root, path) and places.exists(path):
                root.displaced.append(name)
