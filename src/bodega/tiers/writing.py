"""An object on its way into a root: its pickle stream, and the draft of its segment."""

from __future__ import annotations

import zlib
from types import TracebackType

from bodega import layout
from bodega.errors import BodegaError, StoreFull
from bodega.memory import files, locks
from bodega.tiers.admission import Admission

_STREAM_IN_MEMORY = 8 << 20
"""Bytes of a pickle stream that are held before it goes to the segment as it is made."""


class StreamSink:
    """Takes a pickle stream: in memory while it is short, then straight into the segment, behind the header."""

    def __init__(self, draft: files.Draft) -> None:
        self._draft = draft
        self._held: list[memoryview] = []
        self._held_bytes = 0
        self._written = 0
        self.crc = 0

    def write(self, data: bytes | memoryview, /) -> int:
        """Take the next bytes; returns how many: all of them."""
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
        """Bytes taken so far."""
        return self._written + self._held_bytes

    @property
    def is_written(self) -> bool:
        """Whether it stands in the segment already, rather than being held."""
        return self._written > 0

    @property
    def held(self) -> list[memoryview]:
        """The parts that are not in the segment yet."""
        return self._held


class Writing(files.Draft):
    """A draft whose errors of a full file system are `StoreFull`."""

    def __init__(self, admission: Admission, name: str) -> None:
        super().__init__(admission.root, admission, name)
        self._full = admission.full

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        if self._published or not isinstance(error, OSError):
            return
        if isinstance(error, StoreFull) and not hasattr(error, "name"):
            # Of a lock file, say: what matters is what was put.
            raise self._full(self._name, None) from error
        if isinstance(error, BodegaError):
            return
        if isinstance(error, FileNotFoundError):
            self._root.require()
        if error.errno in locks.FULL:
            raise self._full(self._name, None) from error
