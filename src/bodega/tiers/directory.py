"""Objects as files of a root: the tier in memory (tmpfs) or on a local disk."""

from __future__ import annotations

import errno
import mmap
import os
import socket
import stat
import time
import zlib
from collections.abc import Callable
from datetime import datetime, timezone
from typing import NamedTuple

from bodega import layout
from bodega.codecs import Sink
from bodega.errors import ObjectNotFound, StoreFull
from bodega.memory import files, lease, ledger, pool
from bodega.memory.root import Root
from bodega.names import from_filename, to_filename
from bodega.settings import current_task

SMALL = 64 * 1024
"""Objects up to here are read into private memory: cheaper than a mapping and its page faults."""
_STREAM_IN_MEMORY = 8 << 20
"""Bytes of a pickle stream that are held before it goes to the segment as it is made."""
_FIRST_READ = 4096


class Stored(NamedTuple):
    """An object, ready to be decoded: its description and its bytes."""

    path: str
    header: layout.Header
    description: layout.Description
    data: memoryview
    """The whole object; writable, and private to whoever opened it."""


class _StreamSink:
    """Takes a pickle stream: in memory while it is short, then straight into the segment, behind the header."""

    def __init__(self, draft: files.Draft) -> None:
        self._draft = draft
        self._held: list[memoryview] = []
        self._held_bytes = 0
        self._written = 0
        self.crc = 0

    def write(self, data: bytes | memoryview, /) -> int:
        view = memoryview(data).cast("B")
        self.crc = zlib.crc32(view, self.crc)
        # The pickler may reuse what is not bytes.
        self._held.append(view if isinstance(data, bytes) else memoryview(bytes(view)))
        self._held_bytes += view.nbytes
        if self._held_bytes > _STREAM_IN_MEMORY:
            self.flush()
        return view.nbytes

    def flush(self) -> None:
        """Move what is held into the segment."""
        if not self._draft.begun:
            self._draft.begin(self._held_bytes)
        self._draft.write(layout.HEADER_SIZE + self._written, self._held)
        self._written += self._held_bytes
        self._held, self._held_bytes = [], 0

    @property
    def length(self) -> int:
        return self._written + self._held_bytes

    @property
    def is_written(self) -> bool:
        return self._written > 0

    @property
    def held(self) -> list[memoryview]:
        return self._held


class DirectoryTier:
    """Objects under a root.

    Args:
        root: a checked root.
        capacity: bytes that all segments of the root may take together; None leaves it to the file system.
    """

    def __init__(self, root: Root, capacity: int | None = None) -> None:
        self.root = root
        self.capacity = capacity

    def put(self, run: str, name: str, encode: Callable[[Sink], layout.Encoded]) -> layout.ObjectInfo:
        """Write what ``encode`` yields and publish it.

        Raises:
            StoreFull: it does not fit; the old object of the name is untouched.
        """
        folder, filename = self._folder(run), self._filename(name)
        with files.Draft(self.root, lambda need: self._admit(need, name)) as draft:
            sink = _StreamSink(draft)
            try:
                encoded = encode(sink)
                if sink.is_written:
                    sink.flush()
                info = layout.ObjectInfo(
                    name=name,
                    run=run,
                    id=os.urandom(16).hex(),
                    nbytes=sink.length + sum(buffer.nbytes for buffer in encoded.buffers),
                    kind=encoded.kind,
                    created=datetime.now(timezone.utc),
                    producer=layout.Producer(os.getpid(), socket.gethostname(), current_task.get()),
                    schema=encoded.schema,
                )
                plan = layout.plan(
                    info,
                    encoded,
                    stream_length=sink.length,
                    stream_crc=sink.crc,
                    stream_written=sink.is_written,
                )
                if not draft.begun:
                    draft.begin(plan.total)
                for offset, buffers in layout.pieces(plan, encoded, sink.held):
                    draft.write(offset, buffers)
            except OSError as error:
                if error.errno not in {errno.ENOSPC, errno.EDQUOT} or isinstance(error, StoreFull):
                    raise
                raise self._full(name, None) from error
            draft.publish(folder, filename)
        return info

    def open(self, run: str, name: str) -> Stored:
        """Take the lease of an object and read or map it.

        Raises:
            ObjectNotFound: no such name in the run.
            LayoutError: damaged.
        """
        path = self._path(run, name)
        descriptor, status = self._open(path, run, name)
        try:
            # A small file in one read; of a large one the first page, which nearly always has the description.
            head: bytes | bytearray
            if status.st_size <= SMALL:
                head = bytearray(status.st_size)
                os.preadv(descriptor, [head], 0)
            else:
                head = os.pread(descriptor, _FIRST_READ, 0)
            header = layout.parse_header(head, status.st_size, path)
            data: bytearray | mmap.mmap
            if isinstance(head, bytearray):
                data = head
            elif header.total <= SMALL:
                data = bytearray(header.total)
                os.preadv(descriptor, [data], 0)
            else:
                data = lease.map_private(descriptor, header.total, self.root.capabilities)
            self._touch(descriptor, status)
        finally:
            os.close(descriptor)
        view = memoryview(data)
        # Of a mapping the first page would have to be faulted in.
        known = memoryview(head) if header.description_offset + header.block_length <= len(head) else view
        block = known[header.description_offset : header.description_offset + header.block_length]
        description = layout.parse_description(header, head, block, owner=(run, name), path=path)
        return Stored(path, header, description, view)

    def info(self, run: str, name: str) -> layout.ObjectInfo:
        """What the header of an object says; reads no data.

        Raises:
            ObjectNotFound: no such name in the run.
            LayoutError: damaged.
        """
        path = self._path(run, name)
        descriptor, status = self._open(path, run, name)
        try:
            head = os.pread(descriptor, _FIRST_READ, 0)
            header = layout.parse_header(head, status.st_size, path)
            end = header.description_offset + header.block_length
            if end <= len(head):
                block = head[header.description_offset : end]
            else:
                block = os.pread(descriptor, header.block_length, header.description_offset)
        finally:
            os.close(descriptor)
        return layout.parse_description(header, head, block, owner=(run, name), path=path).info

    def exists(self, run: str, name: str) -> bool:
        """Whether the run has the name."""
        return os.path.lexists(self._path(run, name))

    def delete(self, run: str, name: str) -> int:
        """Take a name away; returns its bytes in whole pages.

        Raises:
            ObjectNotFound: no such name in the run.
        """
        try:
            return files.remove(self.root, self._path(run, name))
        except FileNotFoundError:
            raise self._not_found(run, name) from None

    def names(self, run: str) -> list[str]:
        """The names of a run, sorted."""
        return sorted(self._scan(self._folder(run)))

    def runs(self) -> list[str]:
        """The runs that hold objects, sorted."""
        return sorted(run for run in self._scan(self.root.runs) if self._scan(self._folder(run)))

    def drop_run(self, run: str) -> int:
        """Take all names of a run away; returns how many there were."""
        folder, dropped = self._folder(run), 0
        for name in self.names(run):
            try:
                files.remove(self.root, self._path(run, name))
            except FileNotFoundError:
                continue
            dropped += 1
        try:
            os.rmdir(folder)
        except FileNotFoundError:
            pass
        except OSError as error:
            # Somebody put an object meanwhile: then the run goes on.
            if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
                raise
        return dropped

    def _folder(self, run: str) -> str:
        return f"{self.root.runs}/{to_filename(run, portable=self.root.portable_names, what='run')}"

    def _filename(self, name: str) -> str:
        return to_filename(name, portable=self.root.portable_names)

    def _path(self, run: str, name: str) -> str:
        return f"{self._folder(run)}/{self._filename(name)}"

    def _scan(self, folder: str) -> list[str]:
        try:
            return [from_filename(filename) for filename in os.listdir(folder)]
        except FileNotFoundError:
            return []

    def _open(self, path: str, run: str, name: str) -> tuple[int, os.stat_result]:
        try:
            descriptor, status = files.open_shared(path)
        except FileNotFoundError:
            raise self._not_found(run, name) from None
        except OSError as error:
            if error.errno in {errno.ELOOP, errno.EACCES, errno.EISDIR, errno.ENXIO}:
                raise layout.damaged(path, f"it cannot be opened ({error.strerror})") from error
            raise
        if not stat.S_ISREG(status.st_mode):
            os.close(descriptor)
            raise layout.damaged(path, "it is not a file")
        return descriptor, status

    @staticmethod
    def _touch(descriptor: int, status: os.stat_result) -> None:
        # The time of the last access is the age for eviction; that of the last change stays the object's own.
        os.utime(descriptor, ns=(time.time_ns(), status.st_mtime_ns))

    def _not_found(self, run: str, name: str) -> ObjectNotFound:
        import difflib

        names = self.names(run)
        matches = difflib.get_close_matches(name, names[:10_000], n=3)
        if matches:
            hint = f"Did you mean {', '.join(map(repr, matches))}?"
        elif names:
            hint = f"The run has {len(names)} others: 'bodega ls --run {run}' shows them."
        else:
            others = self.runs()
            hint = "The run has no objects" + (f"; there are runs {', '.join(others[:5])}." if others else ".")
        return ObjectNotFound(
            f"There is no object {name!r} in run {run!r} of the store {self.root.path}. {hint}",
            name=name,
            run=run,
            matches=matches,
        )

    def _admit(self, need: int, name: str) -> None:
        """Count bytes that the root is about to grow by, or refuse them."""
        if need >= pool.MINIMUM_SIZE:
            free = self.root.free()
            if need > free and need > free + pool.drain(self.root):
                raise self._full(name, need)
        used = ledger.add(self.root, need)
        if need <= 0 or self.capacity is None or used <= self.capacity:
            return
        if used - pool.drain(self.root) > self.capacity:
            ledger.add(self.root, -need)
            raise self._full(name, need)

    def _full(self, name: str, need: int | None) -> StoreFull:
        free = self.root.free()
        if self.capacity is not None:
            free = min(free, max(0, self.capacity - ledger.read(self.root)))
        needs = "more bytes than are free" if need is None else f"{need:,} bytes more"
        limit = "" if self.capacity is None else f", its capacity is {self.capacity:,} bytes"
        return StoreFull(
            f"The store {self.root.path} is full: {name!r} needs {needs}, {free:,} bytes are free{limit}. What was there "
            "is untouched. Remove objects or runs ('bodega rm'), raise the capacity (capacity=), or use a root on a "
            "larger file system (BODEGA_ROOT).",
            name=name,
            need=need,
            free=free,
            path=str(self.root.path),
        )
