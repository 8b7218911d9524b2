"""An object on its way into a root: its pickle stream, and the draft of its segment."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from functools import cache
from types import TracebackType
from typing import Any

from bodega import layout
from bodega.codecs import Sink
from bodega.errors import BodegaError, NotShareable, StoreFull
from bodega.memory import files, locks
from bodega.settings import current_task
from bodega.tiers.admission import Admission

_PART = 8 << 20
"""Bytes that are passed on at a time."""
_STREAM_IN_MEMORY = 8 << 20
"""Bytes of a pickle stream that are held before it goes to the segment as it is made."""


def describe(tier: str, run: str, name: str, encoded: layout.Encoded, stream_length: int) -> layout.ObjectInfo:
    """What to say of an object that is put now, into the tier of a URL."""
    return layout.ObjectInfo(
        name=name,
        run=run,
        id=os.urandom(16).hex(),
        nbytes=stream_length + sum(buffer.nbytes for buffer in encoded.buffers),
        kind=encoded.kind,
        created=datetime.now(timezone.utc),
        producer=layout.Producer(os.getpid(), _host(), current_task.get()),
        schema=encoded.schema,
        tier=tier,
    )


@cache
def _host() -> str:
    return os.uname().nodename


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
        self._root.explain(error)
        if error.errno in locks.FULL:
            raise self._full(self._name, None) from error


class Passing:
    """An object that is written from its beginning to its end, and of which no more than a part is ever held.

    The header comes first and tells the digest of all that follows. So the value is encoded twice: here to learn what
    the header says, and by `parts` again, as often as what takes them has to be tried.

    Args:
        tier: URL of where it goes.
        run: namespace of the name.
        name: of the object.
        encode: describes the value; its stream goes to the sink.
    """

    def __init__(self, tier: str, run: str, name: str, encode: Callable[[Sink], layout.Encoded]) -> None:
        self._name, self._encode = name, encode
        stream = _Through(lambda _view: None)
        encoded = encode(stream)
        self.info = describe(tier, run, name, encoded, stream.length)
        self._plan = layout.plan(
            self.info, encoded, stream_length=stream.length, stream_crc=stream.crc, stream_written=True
        )
        self._lengths = [buffer.nbytes for buffer in encoded.buffers]
        for view in self._behind_stream(encoded):
            stream.digest.update(view)
        self._head = layout.seal(self._plan.head, self._plan.description, stream.digest.digest())
        self._digest = stream.digest.digest()

    @property
    def nbytes(self) -> int:
        """Of the whole object."""
        return self._plan.total

    def send(self, take: Callable[[memoryview], object]) -> None:
        """Hand over all bytes of the object in order, some megabytes at a time.

        Raises:
            NotShareable: the value is not what it was before.
        """
        take(memoryview(self._head))
        stream = _Through(take)
        encoded = self._encode(stream)
        if [buffer.nbytes for buffer in encoded.buffers] == self._lengths:
            for view in self._behind_stream(encoded):
                stream.digest.update(view)
                take(view)
        if stream.digest.digest() != self._digest:
            raise NotShareable(
                f"{self._name!r} changed while it was put, or pickles differently each time; it is too large for memory, "
                "and so is pickled twice on its way. Put data that stays as it is, or give the store more memory.",
                kind=encoded.kind,
            )

    def _behind_stream(self, encoded: layout.Encoded) -> Iterator[memoryview]:
        _, (_, buffers) = layout.pieces(self._plan, encoded, ())
        for buffer in buffers:
            for view in buffer.parts() if isinstance(buffer, layout.Pieces) else (buffer,):
                for start in range(0, view.nbytes, _PART):
                    yield view[start : start + _PART]


class _Through:
    """A sink that holds nothing."""

    def __init__(self, take: Callable[[memoryview], object]) -> None:
        self._take = take
        self.length = self.crc = 0
        self.digest: Any = layout.digester()

    def write(self, data: bytes | memoryview, /) -> int:
        """Take the next bytes; returns how many: all of them."""
        view = memoryview(data).cast("B")
        self.length += view.nbytes
        self.crc = zlib.crc32(view, self.crc)
        self.digest.update(view)
        self._take(view)
        return view.nbytes
