"""A segment on its way to a name: written where nobody sees it, and published in one atomic step.

The steps are those of ``docs/architecture.md``; where one guards against a race, the line says which, and
``tests/memory/test_races.py`` forces it. The order of locks is name, segment, count.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Protocol, Self

from bodega.errors import RootError, StoreBusy
from bodega.format import Buffer, Pieces
from bodega.memory import files, ledger, locks, places, pool
from bodega.memory.copying import WORTH_IT, copy_mapped
from bodega.memory.descriptors import Descriptor
from bodega.memory.root import Root

_TRIES = 100
"""How often a run may be dropped while one object is published in it: each time its folder has to be made anew."""
_MOST_VIEWS = 1024
"""Of one pwritev(2) call, on Linux and macOS."""


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
                pool.unlink(self._root, self._path, self._counted)

    def begin(self, need: int, *, grows: bool = False) -> None:
        """Find a segment: a warm one that fits, else a new one.

        Args:
            need: bytes.
            grows: more may come, most likely as many as what is replaced has.
        """
        if need >= pool.MINIMUM_SIZE and self._root.displaced:
            # What nobody maps any more may be just the segment that is needed.
            with suppress(OSError):
                files.retire_waiting(self._root)
        # One that is taken from the pool comes with its exclusive lock: nobody maps it, and nobody can, while it is written.
        warm = pool.take(self._root, max(need, self._size_now()) if grows else need)
        if warm is not None:
            self._descriptor, self._path, self._warm, self._whole = warm.descriptor, warm.path, True, warm.size
            self._counted = ledger.pages(warm.size)
        elif self._root.capabilities.tmpfile:
            self._descriptor = places.open_file(self._root.tmp, os.O_TMPFILE | os.O_RDWR)
            self._root.share(self._descriptor)
            # A lock before a name: a sweep frees what it finds in tmp/ without one, and must never find this so. A shared
            # one, with which whoever finds the published object can read it at once.
            locks.try_shared(self._descriptor.number)
        else:
            # Without nameless files it has a name before it has a lock: for that moment sweeps are kept away.
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
            return files.length(places.join(self._root.run_folder(os.path.basename(folder)), filename)) or 0
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
        # 1. The bytes first: a name that is on the disk before them would stand for holes after a loss of power.
        if synced:
            os.fsync(self._number)
        displaced = None
        run = folder[folder.rindex("/") + 1 :]
        for _ in range(_TRIES):
            try:
                # 2. The name, under its lock: else an eviction or a delete that has just looked at the name would take
                # away this object instead of the one that it saw.
                with files.name_lock(self._root, f"{folder}/{filename}"):
                    # The folder is looked up here and not before: a run is dropped under the locks of all names, and what
                    # was put into a folder that has left runs/ would be freed with it.
                    displaced = self._take_name(places.join(self._root.run_folder(run), filename))
            except IsADirectoryError:
                raise files.is_a_folder(f"{folder}/{filename}") from None
            except FileNotFoundError as error:
                self._require_draft(error)
                # The run's first object, or the run was dropped a moment ago.
                self._root.make_run(run)
                continue
            if self.is_published:
                break
            # 3. It does not fit as things are. Room is made without the name's lock, for it may have to move objects, whose
            # names may have the same one. The bytes are counted and lie in tmp/ from here on, so that whoever counts anew
            # meanwhile finds them. Then once more from 2: the name may stand for another object by now.
            self._reserve(self._end)
        else:
            raise StoreBusy(
                f"{self._name!r} could not be published: its run was dropped {_TRIES} times meanwhile. See to it that "
                "nothing drops a run which is in use, and try again.",
                path=folder,
            )
        # 4. A warm segment still has the exclusive lock under which it was written: from here on it is an object like any
        # other, and whoever publishes may read it at once. By name, not by closing: a child that a C library forked
        # meanwhile has a copy of the descriptor, and would keep every reader away.
        if self._warm:
            assert self._descriptor is not None
            locks.unlock(self._descriptor)
        # 5. What had the name lies in tmp/ now. Somebody may map it, such as this very process: then a later put retires it,
        # or a sweep.
        if displaced is not None:
            with suppress(OSError):
                files.retire_displaced(self._root, displaced)

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
        # Counted before room is looked for: of two who ask at once, each then sees the other's bytes, and not both take the
        # last ones. Linked and made that long under the same lock: whoever counts anew finds what the count says.
        with ledger.Count(self._root) as count:
            count.add(more)
            self._counted += more
            if self._path is None:
                self._link()
            # What a crash leaves full of holes is never kept (see `files.retire`).
            os.ftruncate(self._number, end)
        # Without the lock: to make room is to free, evict and count.
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
        old = files.length(path)
        # A small one is not worth keeping: its bytes go with its last reader.
        keeps = old is not None and old >= pool.MINIMUM_SIZE and self._root.capabilities.exchange
        gone = 0 if old is None or keeps else ledger.pages(old)
        more = max(0, ledger.pages(self._end) - self._counted)
        # A file gets its name while the count is locked, and is counted before: else whoever counts anew in between would
        # count it twice or not at all, and a crash would leave the count too low, so that the root outgrows its capacity.
        with ledger.Count(self._root) as count:
            if more > gone and not self._admission.fits(more - gone, count.total + more - gone):
                return None
            if more:
                count.add(more)
            self._counted += more
            try:
                self._rename(path, new=old is None, keeps=keeps)
            except BaseException:
                # A nameless file goes with this process, and is not there for anybody who counts anew; one in tmp/ stays
                # counted until it is undone.
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
            # In one step, so that the name always stands for something, and the old segment never lies anywhere unlocked
            # but in tmp/, where a crash leaves it to a sweep.
            places.exchange(place, path)
        else:
            # The old segment goes with its last reader.
            places.rename(place, path)
