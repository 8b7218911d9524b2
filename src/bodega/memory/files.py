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
from typing import Protocol, Self

from bodega.errors import LayoutError, RootError, StoreBusy
from bodega.format import Buffer, Pieces
from bodega.memory import lease, ledger, locks, places, pool
from bodega.memory.copying import WORTH_IT, copy_mapped
from bodega.memory.descriptors import Descriptor
from bodega.memory.root import Root

_STRIPES = 64
_TRIES = 100
"""How often a run may be dropped while one object is published in it: each time its folder has to be made anew."""
_MOST_VIEWS = 1024
"""Of one pwritev(2) call, on Linux and macOS."""
_BLOCK = 512
"""Bytes of the unit in which stat(2) counts what a file takes."""
_TAKEN = "dropped-"
"""What the folder of a run that was taken out is called by, among the temporary files."""
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
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
        place: the run's folder and the file's name, where it is known before the end what will be replaced.
    """

    def __init__(self, root: Root, admission: Admission, name: str, place: tuple[str, str] | None = None) -> None:
        self._root, self._admission, self._name, self._place = root, admission, name, place
        self._descriptor: Descriptor | None = None
        self._path: str | None = None
        self._warm = False
        self._whole = 0
        """Bytes that a warm segment has already."""
        self._end = 0
        self._counted = 0
        self.is_published = False
        """Whether it has its name, whatever failed after that."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        descriptor = self._descriptor
        if descriptor is None or descriptor.number < 0:
            return  # Nothing is written yet; or this is a forked child, to which the draft does not belong.
        try:
            if not self.is_published:
                self._undo()
        finally:
            if self._warm:
                locks.release(descriptor)
            else:
                descriptor.close()
            if error is not None:
                locks.say_where(error, self._path or str(self._root.path / "tmp"))

    def _undo(self) -> None:
        # What fails here the next sweep finds, and the error that led here is the one to hear of.
        with suppress(OSError):
            if self._path is not None:
                with ledger.Count(self._root) as count:
                    places.unlink(self._path)
                    count.add(-self._counted)

    def begin(self, need: int, *, grows: bool = False) -> None:
        """Find a segment: a warm one that fits, else a new one.

        Args:
            need: bytes.
            grows: more may come, most likely as many as what is replaced has.
        """
        warm = pool.take(self._root, max(need, self._size_now()) if grows else need)
        if warm is not None:
            self._descriptor, self._path, self._warm, self._whole = warm.descriptor, warm.path, True, warm.size
            self._counted = ledger.pages(warm.size)
        elif self._root.capabilities.tmpfile:
            self._descriptor = places.open_file(self._root.tmp, os.O_TMPFILE | os.O_RDWR)
            self._root.share(self._descriptor)
            # Held before it has a name, so that no sweep ever finds it unlocked.
            locks.try_shared(self._descriptor.number)
        else:
            with self._root.temporary_names():
                self._path = self._root.temporary()
                self._descriptor = places.open_file(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW)
                self._root.share(self._descriptor)
                locks.try_shared(self._descriptor.number)
        if need >= pool.MINIMUM_SIZE:
            # All of it at once: what does not fit as a whole moves nothing for its first parts.
            self._reserve(need)

    def _size_now(self) -> int:
        """Bytes of the segment that has the name now; 0 where there is none, or nothing is known of it."""
        if self._place is None:
            return 0
        folder, filename = self._place
        try:
            return _size(places.join(self._root.run_folder(os.path.basename(folder)), filename)) or 0
        except OSError:
            return 0  # Publishing will say what is wrong.

    @property
    def begun(self) -> bool:
        """Whether there is a segment yet."""
        return self._descriptor is not None

    @property
    def _number(self) -> int:
        """Of its descriptor."""
        assert self._descriptor is not None
        if self._descriptor.number < 0:
            raise RuntimeError(
                f"{self._name!r} is being written by the process that this one was forked from: only that can go on with "
                "it. Begin another one here."
            )
        return self._descriptor.number

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
        total = sum(view.nbytes for view in views)
        if self._warm and total >= WORTH_IT and offset + total <= self._whole and self._root.filesystem.has_huge_pages:
            return offset + copy_mapped(self._number, offset, views)
        number = self._number
        while views:
            try:
                written = os.pwritev(number, views, offset)
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
        return os.pread(self._number, length, offset)

    def publish(self, folder: str, filename: str, *, synced: bool = False) -> None:
        """Give the segment its name in one atomic step; what had the name before is retired.

        Args:
            folder: the run's; made where it is missing.
            filename: of the name.
            synced: its bytes are on the disk before it has its name, so that no name ever stands for less.

        Raises:
            LayoutError: there is a folder in place of the name, or a file in that of the folder.
        """
        if self._warm and 2 * self._end < self._whole:
            self._trim()
        if synced:
            os.fsync(self._number)
        displaced = None
        run = folder[folder.rindex("/") + 1 :]
        for _ in range(_TRIES):
            try:
                with name_lock(self._root, f"{folder}/{filename}"):
                    # The folder is looked up under the lock: whoever drops the run moves it away.
                    displaced = self._take_name(places.join(self._root.run_folder(run), filename))
            except IsADirectoryError:
                raise is_a_folder(f"{folder}/{filename}") from None
            except FileNotFoundError as error:
                self._require_draft(error)
                # The run's first object, or the run was dropped a moment ago.
                self._root.make_run(run)
                continue
            if self.is_published:
                break
            # Where whoever counts anew finds it, room can be made for it in peace.
            self._reserve(self._end)
        else:
            raise StoreBusy(
                f"{self._name!r} could not be published: its run was dropped {_TRIES} times meanwhile. See to it that "
                "nothing drops a run which is in use, and try again.",
                path=folder,
            )
        if self._warm:
            # From here on it is an object like any other: whoever publishes may read it at once.
            assert self._descriptor is not None
            locks.unlock(self._descriptor)
        if displaced is not None:
            with suppress(OSError):
                retire(self._root, displaced)

    def _require_draft(self, error: FileNotFoundError) -> None:
        """Tell what is missing: the run's folder can be made again, the root or what was written cannot.

        Raises:
            RootError: it is one of those.
        """
        self._root.require()
        if self._path is not None and not places.exists(self._path):
            raise RootError(
                f"{self._path}, where {self._name!r} was being written, was removed by another program. Keep cleaners of "
                f"temporary files away from {self._root.path}, and put it again.",
                path=self._path,
                reason="cleaned",
            ) from error

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
            os.ftruncate(self._number, end)
        self._admission.make_room(more, self._name)

    def _trim(self) -> None:
        """Give back what a warm segment has more than was written: less came than what is replaced had."""
        with ledger.Count(self._root) as count:
            os.ftruncate(self._number, self._end)
            count.add(ledger.pages(self._end) - self._counted)
            self._counted = ledger.pages(self._end)

    def _link(self) -> str:
        """Give the nameless segment a place among the temporary ones; returns its path."""
        temporary = self._root.temporary()
        assert self._descriptor is not None
        places.link(self._descriptor, temporary)
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
            self.is_published = True
            if gone:
                # The object is there: a put that fails now would be a lie. The next sweep counts anew.
                with suppress(OSError):
                    count.add(-gone)
        return self._path if keeps else None

    def _rename(self, path: str, *, new: bool, keeps: bool) -> None:
        """Let the name stand for the segment; the old one takes the segment's place where it is kept."""
        if new and self._path is None:
            assert self._descriptor is not None
            places.link(self._descriptor, path)
            return
        place = self._path or self._link()
        if keeps:
            places.exchange(place, path)
        else:
            places.rename(place, path)


def is_a_folder(path: str) -> LayoutError:
    """The error for a folder in place of a segment."""
    return LayoutError(
        f"{path} is a folder, where an object should be: it was put there from outside. Remove it by hand.",
        path=path,
        reason="folder",
    )


def _size(path: str) -> int | None:
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
        # Always in this order; everybody else holds one of them at most.
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
                        retire(root, segment)
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
            if anchor is not None or locks.try_shared(descriptor.number):
                # What was asked before it was locked may be of another object that had these bytes.
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
    with name_lock(root, path):
        nbytes, segment = _unname(root, path)
    if segment is not None:
        retire(root, segment)
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
    with name_lock(root, path):
        descriptor = pool.seize(path)
        if descriptor is None:
            return 0
        try:
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
