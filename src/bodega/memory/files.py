"""Segments: written under no name, published in one step, read under a lease, retired when nobody has them.

The steps and the order of locks are the protocol of ``docs/architecture.md``; ``tests/memory/test_races.py`` forces
the races it guards against.
"""

from __future__ import annotations

import errno
import math
import os
import time
import zlib
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import Any, Protocol

from bodega.layout import Buffer, Pieces
from bodega.memory import lease, ledger, libc, locks, pool
from bodega.memory.capabilities import link_descriptor
from bodega.memory.copying import WORTH_IT, copy_mapped
from bodega.memory.root import Root

_STRIPES = 64
_MOST_VIEWS = 1024
"""Of one pwritev(2) call, on Linux and macOS."""
_BLOCK = 512
"""Bytes of the unit in which stat(2) counts what a file takes."""
_TAKEN = "dropped-"
"""What the folder of a run that was taken out is called by, among the temporary files."""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_NO_TIMES = getattr(os, "O_NOATIME", 0)
"""Reading sets no time of access: that is the age for eviction, and set by whoever means it."""


class Admission(Protocol):
    """Decides by how much a root may grow."""

    def fits(self, nbytes: int, total: int) -> bool:
        """Whether it may grow by so many bytes, to a total, just as it is; must not wait."""

    def make_room(self, nbytes: int, name: str) -> None:
        """See to it that bytes which are counted already fit.

        Raises:
            StoreFull: they do not.
        """


class Draft:
    """A segment being written. Leaving its context without `publish` leaves nothing behind.

    A large one has a place among the temporary files from the start, and is counted before it is written. A small one
    has no name, and is counted as it gets one.

    Args:
        root: where.
        admission: asked before the root grows.
        name: of the object, for messages.
    """

    def __init__(self, root: Root, admission: Admission, name: str) -> None:
        self._root, self._admission, self._name = root, admission, name
        self._descriptor = -1
        self._path: str | None = None
        self._warm = False
        self._whole = 0
        """Bytes that a warm segment has already."""
        self._end = 0
        self._counted = 0
        self._published = False
        self.hasher: Any = None
        """Fed with what is written, but for the header; must be set before the first write."""

    def __enter__(self) -> Draft:  # noqa: PYI034 - Self is of Python 3.11
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._descriptor >= 0 and not self._published:
                self._undo()
        finally:
            if self._descriptor >= 0 and self._warm:
                pool.unlock(self._descriptor)
            elif self._descriptor >= 0:
                os.close(self._descriptor)
            locks.say_where(error, self._path or self._root.tmp)

    def _undo(self) -> None:
        # What fails here the next sweep finds, and the error that led here is the one to hear of.
        with suppress(OSError):
            if self._path is not None:
                with ledger.Count(self._root) as count:
                    os.unlink(self._path)
                    count.add(-self._counted)

    def begin(self, need: int) -> None:
        """Find a segment for ``need`` bytes: a warm one that fits, else a new one."""
        warm = pool.take(self._root, need)
        if warm is not None:
            self._descriptor, self._path, self._warm, self._whole = warm.descriptor, warm.path, True, warm.size
            self._counted = ledger.pages(warm.size)
        elif self._root.capabilities.tmpfile:
            self._descriptor = os.open(self._root.tmp, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
            self._root.share(self._descriptor)
            # Held before it has a name, so that no sweep ever finds it unlocked.
            locks.try_shared(self._descriptor)
        else:
            with self._root.temporary_names():
                self._path = self._root.temporary()
                flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
                self._descriptor = os.open(self._path, flags, 0o600)
                self._root.share(self._descriptor)
                locks.try_shared(self._descriptor)
        if need >= pool.MINIMUM_SIZE:
            # All of it at once: what does not fit as a whole moves nothing for its first parts.
            self._reserve(need)

    @property
    def begun(self) -> bool:
        """Whether there is a segment yet."""
        return self._descriptor >= 0

    def write(self, offset: int, buffers: Sequence[Buffer]) -> int:
        """Write buffers one behind the other; returns the offset behind the last.

        Raises:
            StoreFull: they do not fit.
        """
        end = offset + sum(buffer.nbytes for buffer in buffers)
        self._end = max(self._end, end)
        if end > self._counted and self._path is not None:
            self._reserve(end)
        batch: list[memoryview] = []
        for buffer in buffers:
            if isinstance(buffer, Pieces):
                offset = self._write(offset, batch)
                batch = []
                for part in buffer.parts():
                    offset = self._write(offset, [part])
                continue
            batch.append(buffer)
            if len(batch) == _MOST_VIEWS:
                offset = self._write(offset, batch)
                batch = []
        return self._write(offset, batch)

    def _write(self, offset: int, views: list[memoryview]) -> int:
        views = [view for view in views if view.nbytes]
        if self.hasher is not None:
            for view in views if offset else views[1:]:
                self.hasher.update(view)
        total = sum(view.nbytes for view in views)
        if self._warm and total >= WORTH_IT and offset + total <= self._whole and self._root.filesystem.has_huge_pages:
            return offset + copy_mapped(self._descriptor, offset, views)
        while views:
            try:
                written = os.pwritev(self._descriptor, views, offset)
            except OSError as error:
                if error.errno not in locks.FULL or not pool.drain(self._root, sum(view.nbytes for view in views)):
                    raise
                continue
            offset += written
            while views and written >= views[0].nbytes:
                written -= views.pop(0).nbytes
            if written:
                views[0] = views[0][written:]
        return offset

    def read(self, offset: int, length: int) -> bytes:
        """What was written there."""
        return os.pread(self._descriptor, length, offset)

    def publish(self, folder: str, filename: str, *, synced: bool = False) -> None:
        """Give the segment its name in one atomic step; what had the name before is retired.

        Args:
            folder: the run's; made where it is missing.
            filename: of the name.
            synced: its bytes are on the disk before it has its name, so that no name ever stands for less.
        """
        if synced:
            os.fsync(self._descriptor)
        path = f"{folder}/{filename}"
        displaced = None
        while not self._published:
            try:
                with name_lock(self._root, path):
                    displaced = self._take_name(path)
            except FileNotFoundError:
                # The run's first object, or the run was dropped a moment ago.
                self._root.make_folder(folder)
                continue
            if not self._published:
                # Where whoever counts anew finds it, room can be made for it in peace.
                self._reserve(self._end)
        if self._warm:
            # From here on it is an object like any other: whoever publishes may read it at once.
            locks.release(self._descriptor)
        if displaced is not None:
            with suppress(OSError):
                retire(self._root, displaced)

    def _reserve(self, end: int) -> None:
        """Count the bytes up to ``end`` before they are there, and have room made for them."""
        more = ledger.pages(end) - self._counted
        if more <= 0:
            return
        with ledger.Count(self._root) as count:
            count.add(more)
            self._counted += more
            if self._path is None:
                self._link()
            # What a crash leaves full of holes is never kept (see `retire`).
            os.ftruncate(self._descriptor, end)
        self._admission.make_room(more, self._name)

    def _link(self) -> str:
        """Give the nameless segment a place among the temporary ones; returns its path."""
        temporary = self._root.temporary()
        link_descriptor(self._descriptor, temporary)
        self._path = temporary
        return temporary

    def _take_name(self, path: str) -> str | None:
        """Move the segment to a name whose lock is held, if what the root grows by fits.

        Returns:
            Where the name's old segment is now, if anywhere.
        """
        old = _size(path)
        # A small one is not worth keeping: its bytes go with its last reader.
        keeps = old is not None and old >= pool.MINIMUM_SIZE and self._root.capabilities.exchange
        gone = 0 if old is None or keeps else ledger.pages(old)
        more = max(0, ledger.pages(self._end) - self._counted)
        with ledger.Count(self._root) as count:
            if more > gone and not self._admission.fits(more - gone, count.total + more - gone):
                return None
            if more:
                count.add(more)
            self._counted += more
            try:
                self._rename(path, new=old is None, keeps=keeps)
            except BaseException:
                if self._path is None and more:
                    count.add(-more)
                    self._counted -= more
                raise
            self._published = True
            if gone:
                # The object is there: a put that fails now would be a lie. The next sweep counts anew.
                with suppress(OSError):
                    count.add(-gone)
        return self._path if keeps else None

    def _rename(self, path: str, *, new: bool, keeps: bool) -> None:
        """Let the name stand for the segment; the old one takes the segment's place where it is kept."""
        if new and self._path is None:
            link_descriptor(self._descriptor, path)
            return
        place = self._path or self._link()
        if keeps:
            libc.rename_exchange(place, path)
        else:
            os.rename(place, path)


def _size(path: str) -> int | None:
    """Length of a file, or None where there is none."""
    try:
        return os.stat(path, follow_symlinks=False).st_size
    except FileNotFoundError:
        return None


def name_lock(root: Root, path: str) -> locks.Exclusive:
    """The lock under which every change of a name does its last check and its rename."""
    stripe = zlib.crc32(path[len(root.runs) :].encode("utf-8", "surrogateescape")) % _STRIPES
    return _stripe(root, stripe)


def _stripe(root: Root, stripe: int) -> locks.Exclusive:
    return locks.Exclusive(f"{root.locks}/name-{stripe:02}", "The name of an object")


def drop_folder(root: Root, folder: str, is_over: Callable[[], bool], until: float = math.inf) -> bool:
    """Take the folder of a run, with all its names, out of the runs in one step, and free what is in it.

    No name of the root changes in that step, so that nothing is put between the last look at the run and its end.

    Args:
        root: that has the folder.
        folder: the run's.
        is_over: the last look: whether the run may go.
        until: a moment of the monotonic clock; what is left then a sweep frees.

    Returns:
        Whether there was one, and it went.
    """
    taken = f"{root.tmp}/{_TAKEN}{os.urandom(16).hex()}"
    with ExitStack() as stripes:
        # Always in this order; everybody else holds one of them at most.
        for stripe in range(_STRIPES):
            stripes.enter_context(_stripe(root, stripe))
        if not is_over():
            return False
        try:
            with ledger.Count(root):
                os.rename(folder, taken)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            if error.errno not in locks.FULL:
                raise
            # A full file system may have no room for the name: then it goes where it is, in more than one step.
            clear_folder(root, folder)
            return True
    clear_folder(root, taken, until)
    if until == math.inf:
        # A folder that was put there from outside stays, and so does the run's.
        with suppress(OSError):
            os.rename(taken, folder)
    return True


def is_taken(path: str) -> bool:
    """Whether a path among the temporary ones is what `drop_folder` made of a run, rather than a segment."""
    return os.path.basename(path).startswith(_TAKEN)


def clear_folder(root: Root, taken: str, until: float = math.inf) -> int:
    """Free the segments of a run's folder, and the folder, until a moment of the monotonic clock.

    Several processes may do it at once. Returns the bytes of what was there, in whole pages.
    """
    freed = 0
    try:
        descriptor = os.open(taken, _FOLDER)
    except FileNotFoundError:
        return 0
    except OSError as error:
        if error.errno not in {errno.ELOOP, errno.ENOTDIR}:
            raise
        os.unlink(taken)  # No folder, but a link or a file in place of one, and nothing of what it may lead to.
        return 0
    try:
        for filename in os.listdir(descriptor):
            if time.monotonic() >= until:
                return freed
            # Another process may be at it too, and a folder was put there from outside.
            with suppress(FileNotFoundError, IsADirectoryError):
                if filename.startswith("."):
                    os.unlink(filename, dir_fd=descriptor)  # What is said of the run is not counted.
                else:
                    nbytes, segment = _unname(root, filename, descriptor)
                    freed += nbytes
                    if segment is not None:
                        retire(root, segment)
        os.rmdir(taken)
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
            locks.say_where(error, taken)
            raise
    finally:
        os.close(descriptor)
    return freed


def open_shared(path: str) -> tuple[int, os.stat_result, lease.Mapping | None]:
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
            descriptor = os.open(path, _READ | _NO_TIMES)
        except PermissionError:
            # Another user's file, whose times are not ours to keep; or one that cannot be read at all.
            descriptor = os.open(path, _READ)
        try:
            status = os.fstat(descriptor)
            anchor = lease.anchor_of(status)
            if (anchor is not None or locks.try_shared(descriptor)) and pool.is_still(path, status):
                # Its size may have been another before it was locked.
                return descriptor, os.fstat(descriptor), anchor
        except BaseException as error:
            os.close(descriptor)
            locks.say_where(error, path)
            raise
        os.close(descriptor)
        patience = patience or locks.Patience(path, "An object")
        patience.wait()


def remove(root: Root, path: str) -> int:
    """Take a name away; its segment lives on for those who map it. Returns the object's bytes in whole pages.

    Raises:
        FileNotFoundError: no such name.
    """
    with name_lock(root, path):
        nbytes, segment = _unname(root, path)
    if segment is not None:
        retire(root, segment)
    return nbytes


def _unname(root: Root, path: str, folder: int | None = None) -> tuple[int, str | None]:
    """Take a name away, a path or one in an open folder.

    Returns:
        The bytes of its segment in whole pages, and where that is now, if it is anywhere.
    """
    size = os.stat(path, dir_fd=folder, follow_symlinks=False).st_size
    with ledger.Count(root) as count:
        if size >= pool.MINIMUM_SIZE:
            temporary = root.temporary()
            try:
                os.rename(path, temporary, src_dir_fd=folder)
                return ledger.pages(size), temporary
            except OSError as error:
                if error.errno not in locks.FULL:
                    raise
                # On a full file system a delete is what helps.
        os.unlink(path, dir_fd=folder)
        count.add(-ledger.pages(size))
    return ledger.pages(size), None


def is_free(path: str) -> bool:
    """Whether nobody maps a segment or has its lock, at this moment."""
    descriptor = pool.seize(path)
    if descriptor is None:
        return False
    pool.unlock(descriptor)
    return True


def evict(root: Root, path: str, status: os.stat_result) -> int:
    """Take a name away if it still stands for a segment that nobody maps. Returns the bytes that are free now, else 0.

    Args:
        root: that has the name.
        path: of the name.
        status: of the segment, from when it was copied.
    """
    with name_lock(root, path):
        descriptor = pool.seize(path)
        if descriptor is None:
            return 0
        try:
            if not pool.is_still(path, status):
                return 0
            return pool.remove(root, path, descriptor)
        finally:
            pool.unlock(descriptor)


def sync_folder(path: str) -> None:
    """Have the names of a folder survive the machine's power failing."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        locks.say_where(error, path)
        raise
    finally:
        os.close(descriptor)


def retire(root: Root, path: str) -> int:
    """Keep a segment without a name for reuse, or free it, unless somebody has it. Returns its bytes, else 0."""
    descriptor = pool.seize(path)
    if descriptor is None:
        return 0
    try:
        status = os.fstat(descriptor)
        size = status.st_size
        # One that was never written to its end has pages that a full file system could not give.
        whole = status.st_blocks * _BLOCK >= size
        mine = status.st_uid == os.getuid()
        if not (whole and mine and pool.keep(root, path, size)):
            pool.remove(root, path, descriptor)
        return ledger.pages(size)
    except OSError as error:
        locks.say_where(error, path)
        raise
    finally:
        pool.unlock(descriptor)
