"""Objects as files of a root: the tier in memory (tmpfs) or on a local disk."""

from __future__ import annotations

import errno
import math
import mmap
import os
import stat
import time
from contextlib import suppress

from bodega.errors import LayoutError, RootError
from bodega.format import ObjectInfo, damaged, parse_description, parse_header
from bodega.memory import files, lease, ledger, locks, places
from bodega.memory.descriptors import Descriptor
from bodega.memory.root import Root
from bodega.memory.sweep import sweep_at_exit
from bodega.names import from_filename, is_filename, to_filename
from bodega.tiers.base import Fetch
from bodega.tiers.eviction import Admission, Eviction
from bodega.tiers.stored import Listed, Stored, Whole
from bodega.tiers.writing import FolderWriter

SMALL = 64 * 1024
"""Objects up to here are read into private memory: cheaper than a mapping and its page faults."""
_FIRST_READ = 4096
_TIME_TO_LIVE = ".time-to-live"
"""A file in the folder of a run; no name of an object begins with a dot."""


class DirectoryTier:
    """Objects under a root.

    Whatever is not found is looked for in a root that is there: one that is gone is a `RootError`, and never looks empty.

    Args:
        root: a checked root.
        capacity: bytes that all segments of the root may take together; else a safe share of the file system.
        seals: every object that is put gets a digest.
        durable: where this is a disk, an object's bytes are on it before the object has its name.
        eviction: moves objects to the tier below when this one is full, where there is one.
    """

    def __init__(
        self,
        root: Root,
        capacity: int | None = None,
        *,
        seals: bool = False,
        durable: bool = False,
        eviction: Eviction | None = None,
    ) -> None:
        self.root = root
        self.url = str(root.path)
        """Its folder."""
        self._seals, self._durable = seals, durable and self.is_on_disk
        self.admission = Admission(self, capacity, eviction)
        sweep_at_exit(root)

    @property
    def capacity(self) -> int:
        """Bytes that all segments of the root may take together."""
        return self.admission.capacity

    def begin(self, run: str, name: str, *, seal: bool = False) -> FolderWriter:
        """Begin to write an object.

        Args:
            run: namespace of the name.
            name: name of the object.
            seal: compute a digest while writing, also where the tier does not seal every object.

        Raises:
            InvalidName: it cannot be kept.
        """
        # Not opened yet: the folder is made as late as it is needed.
        place = f"{self.url}/runs/{self._run_filename(run)}", self._filename(name)
        return FolderWriter(self.admission, self.url, run, name, place, seal=seal or self._seals, durable=self._durable)

    def open(self, run: str, name: str, *, touch: bool = True) -> Stored | None:
        """Take the lease of an object and read or map it.

        Args:
            run: namespace of the name.
            name: of the object.
            touch: count this as a use.

        Raises:
            LayoutError: damaged.
        """
        opened = self._open(run, name)
        if opened is None:
            return None
        path, descriptor, status, anchor = opened
        try:
            # A small file in one read; of a large one the first page, which nearly always has the description.
            head: bytes | bytearray
            if status.st_size <= SMALL:
                head = bytearray(status.st_size)
                os.preadv(descriptor.number, [head], 0)
            else:
                head = os.pread(descriptor.number, _FIRST_READ, 0)
            header = parse_header(head, status.st_size, path)
            data: bytearray | mmap.mmap
            if isinstance(head, bytearray):
                data = head
            elif header.total <= SMALL:
                data = bytearray(header.total)
                os.preadv(descriptor.number, [data], 0)
            else:
                data = lease.lease(descriptor.number, status, header.total, self.root.capabilities, anchor)
            if touch and status.st_uid == os.getuid():
                # The time of the last access is the age for eviction; that of the last change stays the object's own.
                try:
                    os.utime(descriptor.number, ns=(time.time_ns(), status.st_mtime_ns))
                except OSError:
                    pass  # A root that can only be read has no evictions that would need the age.
        except OSError as error:
            locks.say_where(error, path)
            raise
        finally:
            descriptor.close()
        view = memoryview(data)[: header.total]
        # Of a mapping the first page would have to be faulted in.
        known = memoryview(head) if header.description_offset + header.block_length <= len(head) else view
        block = known[header.description_offset : header.description_offset + header.block_length]
        description = parse_description(header, head, block, owner=(run, name), path=path)
        return Stored(path, self.url, status, header, description, view)

    def info(self, run: str, name: str) -> ObjectInfo | None:
        """What the header of an object says; reads no data.

        Raises:
            LayoutError: damaged.
        """
        opened = self._open(run, name)
        if opened is None:
            return None
        path, descriptor, status, _ = opened
        try:
            head = os.pread(descriptor.number, _FIRST_READ, 0)
            header = parse_header(head, status.st_size, path)
            end = header.description_offset + header.block_length
            if end <= len(head):
                block = head[header.description_offset : end]
            else:
                block = os.pread(descriptor.number, header.block_length, header.description_offset)
        except OSError as error:
            locks.say_where(error, path)
            raise
        finally:
            descriptor.close()
        return parse_description(header, head, block, owner=(run, name), path=path).info

    def check(self, run: str, name: str) -> None:
        """Refuse a name that cannot be kept.

        Raises:
            InvalidName: it cannot be kept.
        """
        self._run_filename(run)
        self._filename(name)

    def exists(self, run: str, name: str) -> bool:
        """Whether the run has the name."""
        try:
            if places.exists(self._path(run, name)):
                return True
        except FileNotFoundError:
            pass  # The run has no folder.
        self._require(run)
        return False

    def delete(self, run: str, name: str) -> int | None:
        """Take a name away; returns its bytes in whole pages, or None where there was none."""
        try:
            return files.remove(self.root, self._path(run, name))
        except FileNotFoundError:
            self._require(run)
            return None
        except IsADirectoryError as error:
            raise files.is_a_folder(error.filename) from None

    def names(self, run: str) -> list[str]:
        """The names of a run, sorted."""
        return sorted(self._scan(run))

    def runs(self) -> list[str]:
        """The runs that hold objects, sorted."""
        return sorted(filter(self._has_names, self.run_folders()))

    def drop_run(self, run: str, *, until: float = math.inf, expired: bool = False) -> int:
        """Take all names of a run away, in one step; returns how many there were.

        Args:
            run: whose names.
            until: a moment of the monotonic clock; what still lies there then a sweep frees.
            expired: only if its time is up, at a moment when nothing is put into it.
        """
        names: list[str] = []

        def is_over() -> bool:
            names.extend(self.names(run))
            return not expired or self.has_expired(run) is True

        try:
            return len(names) if files.drop_run(self.root, self._run_filename(run), is_over, until) else 0
        except FileNotFoundError:
            self.root.require()
            raise

    def upload(self, run: str, name: str, data: memoryview, *, time_to_live: float | None = None) -> None:
        """Keep a whole object that comes from another tier, after comparing it with its digest, or sealing it.

        Args:
            run: namespace of the name.
            name: name of the object.
            data: all bytes of the object.
            time_to_live: what was set for the run.

        Raises:
            StoreFull: it does not fit.
        """
        self._receive(run, name, Whole(parse_header(data, data.nbytes, f"{run}/{name}"), data), seal=True)
        if time_to_live is not None:
            self.set_time_to_live(run, time_to_live)

    def receive(self, run: str, name: str, fetch: Fetch) -> None:
        """Keep an object that is read from another tier, after comparing it with its digests, which it must have.

        Raises:
            StoreFull: it does not fit.
            LayoutError: its bytes are not those that were sent.
            TierError: the other tier failed.
        """
        self._receive(run, name, fetch, seal=False)

    def _receive(self, run: str, name: str, fetch: Fetch, *, seal: bool) -> None:
        with self.begin(run, name) as writer:
            writer.copy(fetch, seal=seal)
            writer.publish()

    @property
    def is_on_disk(self) -> bool:
        """Whether what it holds can survive the machine's power failing."""
        return not self.root.filesystem.is_memory

    def sync(self, run: str) -> None:
        """Have the names of a run survive the machine's power failing, as their bytes do already."""
        if self.is_on_disk:
            with suppress(FileNotFoundError):  # The run was dropped meanwhile.
                files.sync_folder(self._folder(run))
            files.sync_folder(self.root.runs)

    def fetch(self, run: str, name: str) -> Fetch | None:
        """Begin to read an object's bytes, under a lease."""
        return self.open(run, name, touch=False)

    def has(self, run: str, name: str, identity: str) -> bool:
        """Whether the run has exactly this object under the name."""
        try:
            info = self.info(run, name)
        except LayoutError:
            return False
        return info is not None and info.id == identity

    def by_age(self) -> list[Listed]:
        """All objects, the least recently used first."""
        found = []
        for run in self.run_folders():
            try:
                with places.scan(self._folder(run)) as entries:
                    for entry in entries:
                        status = entry.stat(follow_symlinks=False)
                        if stat.S_ISREG(status.st_mode) and is_filename(entry.name, self.root.portable_names):
                            used = max(status.st_atime_ns, status.st_mtime_ns)
                            pinned = bool(status.st_mode & stat.S_ISVTX)
                            nbytes = ledger.pages(status.st_size)
                            found.append(Listed(used, nbytes, run, from_filename(entry.name), pinned))
            except (FileNotFoundError, NotADirectoryError):
                continue  # Dropped or deleted meanwhile, or no folder at all.
        return sorted(found)

    def is_free(self, run: str, name: str) -> bool:
        """Whether nobody maps an object, at this moment."""
        return files.is_free(self._path(run, name))

    def evict(self, run: str, name: str, status: os.stat_result) -> int:
        """Take away a name whose object has been copied elsewhere, if nobody maps it and it is still that object.

        Args:
            run: namespace of the name.
            name: of the object.
            status: of its segment, from when it was opened to be copied.

        Returns:
            The bytes that are free now, else 0.
        """
        return files.evict(self.root, self._path(run, name), status)

    def pin(self, run: str, name: str, pinned: bool) -> bool:
        """Keep an object from being evicted, or no longer; returns whether there is one."""
        opened = self._open(run, name)
        if opened is None:
            return False
        path, descriptor, _, _ = opened
        try:
            # A bit of the file's mode, so that it holds for all processes and goes with the object.
            os.fchmod(descriptor.number, self.root.file_mode | (stat.S_ISVTX if pinned else 0))
        except OSError as error:
            locks.say_where(error, path)
            raise
        finally:
            descriptor.close()
        return True

    def set_time_to_live(self, run: str, seconds: float) -> None:
        """Let a run be dropped once nothing was put into it for so long."""
        text = f"{seconds}".encode()
        with suppress(FileNotFoundError):  # The run was dropped meanwhile.
            path = places.join(self._folder(run), _TIME_TO_LIVE)
            try:
                if places.read_small(path) == text:
                    return
            except FileNotFoundError:
                pass
            # A new file, for the old one may be another user's.
            self.root.write_small(path, text, "The time to live of a run")

    def time_to_live(self, run: str) -> float | None:
        """What was set for a run, in seconds."""
        try:
            return float(places.read_small(places.join(self._folder(run), _TIME_TO_LIVE)))
        except (FileNotFoundError, NotADirectoryError, PermissionError, ValueError):
            return None  # None is set.
        except RootError:
            return None  # What is no file says nothing.

    def last_put(self, run: str) -> float:
        """When a name of a run last came, changed or went: its folder changes with each."""
        try:
            return places.status(self._folder(run)).st_mtime
        except (FileNotFoundError, NotADirectoryError):
            return 0.0

    def has_expired(self, run: str) -> bool | None:
        """Whether the time of a run is up; None where it has no objects here, and so says nothing."""
        changed = self.last_put(run)
        if not changed and not self._has_names(run):
            return None
        seconds = self.time_to_live(run)
        if seconds is None:
            return False if self._has_names(run) else None
        return time.time() > changed + seconds

    def _folder(self, run: str) -> str:
        """The folder of a run; see `Root.run_folder`."""
        return self.root.run_folder(self._run_filename(run))

    def _run_filename(self, run: str) -> str:
        return to_filename(run, portable=self.root.portable_names, what="run")

    def _filename(self, name: str) -> str:
        return to_filename(name, portable=self.root.portable_names)

    def _path(self, run: str, name: str) -> str:
        return places.join(self._folder(run), self._filename(name))

    def _require(self, run: str) -> None:
        """Complain where the root is gone, or has something else in the place of a run's folder; that may be missing."""
        self.root.require(f"{self.url}/runs/{self._run_filename(run)}")

    def _scan(self, run: str) -> list[str]:
        try:
            return self._names(places.listing(self._folder(run)))
        except FileNotFoundError:
            self._require(run)
            return []

    def _has_names(self, run: str) -> bool:
        try:
            with places.scan(self._folder(run)) as entries:
                return any(is_filename(entry.name, self.root.portable_names) for entry in entries)
        except (FileNotFoundError, NotADirectoryError):
            return False

    def run_folders(self) -> list[str]:
        """The runs that have a folder here, be it empty, in no order: much faster than `runs`."""
        try:
            return self._names(places.folders(self.root.runs))
        except FileNotFoundError:
            self.root.require()
            return []

    def _names(self, filenames: list[str]) -> list[str]:
        return [from_filename(filename) for filename in filenames if is_filename(filename, self.root.portable_names)]

    def _open(self, run: str, name: str) -> tuple[str, Descriptor, os.stat_result, lease.Mapping | None] | None:
        try:
            path = self._path(run, name)
            descriptor, status, anchor = files.open_shared(path)
        except FileNotFoundError:
            self._require(run)
            return None
        except OSError as error:
            if error.errno in {errno.ELOOP, errno.EACCES, errno.EISDIR, errno.ENXIO}:
                self._require(run)
                raise damaged(path, f"it cannot be opened ({error.strerror})") from error
            raise
        if not stat.S_ISREG(status.st_mode):
            descriptor.close()
            raise damaged(path, "it is not a file")
        return path, descriptor, status, anchor
