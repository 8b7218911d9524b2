"""How an object gets into a tier: begun, written, sealed and published, all of it here and nowhere else.

A `Composition` puts the bytes of one object together and hands them to whatever takes bytes at an offset. Where that is
the draft of a segment, a `FolderWriter` gives it its name at the end; where nothing can be written twice, as on a line to
object storage, a `Passing` has the value encoded once for what the header says, and again for each try to send it.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import cache
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from bodega import layout
from bodega.codecs import Sink
from bodega.errors import BodegaError, NotShareable, StoreFull
from bodega.memory import locks, pool
from bodega.memory.drafts import Draft
from bodega.settings import current_task
from bodega.tiers.base import Fetch

if TYPE_CHECKING:
    from bodega.tiers.eviction import Admission

_PART = 8 << 20
"""Bytes that are passed on, or copied from one draft to another, at a time."""
_STREAM_IN_MEMORY = 8 << 20
"""Bytes of a pickle stream that are held before they are written."""


class Out(Protocol):
    """Takes the bytes of one object."""

    def begin(self, need: int, *, grows: bool = False) -> None:
        """Make ready for so many bytes.

        Args:
            need: bytes.
            grows: more may come.
        """

    def write(self, offset: int, buffers: Sequence[layout.Buffer], digest: Any = None) -> int:
        """Write buffers one behind the other.

        Args:
            offset: where the first one goes.
            buffers: what to write.
            digest: fed with their bytes, in order; with none of them where there is no room for all.

        Returns:
            The offset behind the last.
        """


class Copy(Out, Protocol):
    """Takes the bytes of an object, and can be read."""

    def read(self, offset: int, length: int) -> bytes | memoryview:
        """What was written there."""


class Composition:
    """Puts an object together: the sink of its pickle stream, then its buffers, then its description and its header.

    A short stream is held until everything is known, and the whole goes out in one call, the description first. A long
    one is written as it is made, and so are buffers that come one after the other: the description then comes last.

    Args:
        out: takes the bytes.
        seal: compute the digest of the object.
        hold: bytes of the stream that are held.
    """

    __slots__ = (
        "_crc",
        "_digest",
        "_end",
        "_held",
        "_hold",
        "_lengths",
        "_out",
        "_stream",
        "_stream_length",
        "head",
        "total",
    )

    def __init__(self, out: Out, *, seal: bool, hold: int = _STREAM_IN_MEMORY) -> None:
        self._out, self._hold = out, hold
        self._digest = layout.digester() if seal else None
        self._stream: list[memoryview] = []
        self._held = self._stream_length = self._crc = 0
        self._lengths: list[int] = []
        """Bytes of the buffers that are written."""
        self._end = 0
        """Behind what is written; 0 where nothing is."""
        self.head = b""
        """The header, when the object is finished."""
        self.total = 0
        """Bytes of the object, when it is finished."""

    def begin(self) -> None:
        """Begin to write, though nobody knows yet how much comes."""
        self._out.begin(max(self._held, pool.MINIMUM_SIZE), grows=True)
        self._end = layout.HEADER_SIZE

    def write(self, data: bytes | memoryview, /) -> int:
        """Take the next bytes of the pickle stream; returns how many: all of them."""
        view = memoryview(data).cast("B")
        self._crc = zlib.crc32(view, self._crc)
        # The pickler may reuse what is not bytes.
        self._stream.append(view if isinstance(data, bytes) else memoryview(bytes(view)))
        self._held += view.nbytes
        if self._held > self._hold:
            self._flush()
        return view.nbytes

    def append(self, buffer: layout.Buffer) -> None:
        """Write the next buffer at once.

        Raises:
            StoreFull: it does not fit, and nothing of it is written.
        """
        offset = layout.aligned(self._end, buffer.nbytes)
        self._end = self._out.write(self._end, [layout.padding(offset - self._end), buffer], self._digest)
        self._lengths.append(buffer.nbytes)

    def move(self, out: Out, read: Callable[[int, int], bytes]) -> None:
        """Go on in another place.

        Args:
            out: takes the bytes from here on, and first a copy of what has been written.
            read: gives bytes of the old place, by offset and length.
        """
        out.begin(self._end, grows=True)
        # Not the header, which is written last.
        for start in range(layout.HEADER_SIZE, self._end, _PART):
            out.write(start, [memoryview(read(start, min(_PART, self._end - start)))])
        self._out = out

    def finish(
        self, tier: str, run: str, name: str, encoded: layout.Encoded, *, info: layout.ObjectInfo | None = None
    ) -> layout.ObjectInfo:
        """Write what is not written yet: the buffers that the value still has, its description and its header.

        Args:
            tier: URL of where the object goes.
            run: namespace of the name.
            name: name of the object.
            encoded: what its codec says of it.
            info: what to say of it, where that is known already.
        """
        in_one_piece = not self._end
        if not in_one_piece:
            self._flush()
        lengths = [*self._lengths, *(buffer.nbytes for buffer in encoded.buffers)]
        info = info or _describe(tier, run, name, encoded, self._stream_length + self._held + sum(lengths))
        plan = layout.plan(
            info,
            encoded.recipe,
            lengths,
            stream_length=self._stream_length + self._held,
            stream_crc=self._crc,
            description_last=not in_one_piece,
        )
        self.head, self.total = plan.head, plan.total
        description = memoryview(plan.description)
        if in_one_piece:
            self._out.begin(plan.total)
            end = layout.HEADER_SIZE + self._held + description.nbytes
            parts = [description, *self._stream, *self._spread(end, plan.offsets, encoded.buffers)]
            if self._digest is None:
                self._out.write(0, [memoryview(plan.head), *parts])
                return info
            self._out.write(layout.HEADER_SIZE, parts, self._digest)
        else:
            offsets = plan.offsets[len(self._lengths) :]
            parts = [*self._spread(self._end, offsets, encoded.buffers), description]
            self._out.write(self._end, parts, self._digest)
        if self._digest is not None:
            self.head = layout.seal(plan.head, plan.description, self._digest.digest())
        self._out.write(0, [memoryview(self.head)])
        return info

    def _flush(self) -> None:
        """Write what is held of the stream."""
        if not self._end:
            self.begin()
        self._end = self._out.write(self._end, self._stream, self._digest)
        self._stream_length += self._held
        self._stream, self._held = [], 0

    @staticmethod
    def _spread(end: int, offsets: Sequence[int], buffers: Sequence[layout.Buffer]) -> Iterator[layout.Buffer]:
        """Buffers, and before each one the zeros that lead to its offset, so that a segment has no holes."""
        for offset, buffer in zip(offsets, buffers, strict=True):
            if offset > end:
                yield layout.padding(offset - end)
            yield buffer
            end = offset + buffer.nbytes


class FolderWriter:
    """An object on its way into a folder. Leaving its context without `publish` leaves nothing behind.

    Args:
        admission: says whether the root may grow.
        tier: URL of the folder's tier.
        run: namespace of the name.
        name: name of the object.
        place: the run's folder, and the file's name in it.
        seal: compute a digest while writing.
        durable: the bytes are on the disk before the object has its name.
    """

    __slots__ = ("_admission", "_composition", "_draft", "_durable", "_name", "_place", "_run", "_tier")

    def __init__(
        self,
        admission: Admission,
        tier: str,
        run: str,
        name: str,
        place: tuple[str, str],
        *,
        seal: bool,
        durable: bool,
    ) -> None:
        self._admission, self._tier, self._run, self._name = admission, tier, run, name
        self._place, self._durable = place, durable
        self._draft = Draft(admission.root, admission, name, place)
        self._composition = Composition(self._draft, seal=seal)

    def __enter__(self) -> FolderWriter:  # noqa: PYI034 - Self is of Python 3.11
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give up what was not published; an error of a full file system becomes `StoreFull`."""
        self._draft.__exit__(kind, error, trace)
        if self._draft.is_published or not isinstance(error, OSError):
            return
        if isinstance(error, StoreFull) and not hasattr(error, "name"):
            # Of a lock file, say: what matters is what was put.
            raise self._admission.full(self._name, None) from error
        if isinstance(error, BodegaError):
            return
        self._admission.root.explain(error)
        if error.errno in locks.FULL:
            raise self._admission.full(self._name, None) from error

    def put(self, encode: Callable[[Sink], layout.Encoded]) -> layout.ObjectInfo:
        """Write a value.

        Args:
            encode: describes the value; its stream goes to the sink.

        Raises:
            StoreFull: it does not fit.
        """
        return self._composition.finish(self._tier, self._run, self._name, encode(self._composition))

    def begin(self) -> None:
        """Begin to write a value whose buffers come one after the other."""
        self._composition.begin()

    def append(self, buffer: layout.Buffer) -> None:
        """Write the next buffer.

        Raises:
            StoreFull: it does not fit, and nothing of it is written.
        """
        self._composition.append(buffer)

    def finish(self, encoded: layout.Encoded) -> layout.ObjectInfo:
        """Write the rest of a value: the buffers that have not been appended, and what is said of it."""
        return self._composition.finish(self._tier, self._run, self._name, encoded)

    def take_over(self, other: FolderWriter) -> None:
        """Go on here with what another writer has begun.

        Raises:
            StoreFull: it does not fit.
        """
        self._composition = other._composition
        self._composition.move(self._draft, other._draft.read)

    def copy(self, fetch: Fetch) -> None:
        """Write an object that is read from another tier, after comparing it with its digest, or sealing it.

        Raises:
            StoreFull: it does not fit.
            LayoutError: its bytes are not those that were sent.
            TierError: the other tier failed.
        """
        copy(fetch, self._draft, self._run, self._name, self._place[1])

    def publish(self) -> None:
        """Let the name stand for what was written; see `bodega.memory.drafts.Draft.publish`.

        Raises:
            LayoutError: there is a folder in its place.
        """
        self._draft.publish(*self._place, synced=self._durable)


def copy(fetch: Fetch, out: Copy, run: str, name: str, where: str) -> layout.Description:
    """Write an object that is read from another tier, after comparing it with its digest, or sealing it.

    Args:
        fetch: gives the object's bytes.
        out: takes them.
        run: namespace of the name.
        name: name of the object, which it must know itself.
        where: what the object is called in messages.

    Raises:
        StoreFull: it does not fit.
        LayoutError: its bytes are not those that were sent.
        TierError: the other tier failed.
    """
    header, digest = fetch.header, layout.digester()
    head, end = b"", layout.HEADER_SIZE
    out.begin(header.total)
    for part in fetch.parts():
        if head:
            end = out.write(end, [part], digest)
        else:
            head = bytes(part[: layout.HEADER_SIZE])
            end = out.write(end, [part[layout.HEADER_SIZE :]], digest)
    if end != header.total:
        raise layout.damaged(where, f"{end} bytes of {header.total} came")
    block = out.read(header.description_offset, header.block_length)
    # Before it is sealed: a seal would make a damaged header good.
    description = layout.parse_description(header, head, block, owner=(run, name), path=where)
    if header.digest:
        layout.verify(header, digest.digest(), where)
    else:
        head = layout.seal(head, block, digest.digest())
    out.write(0, [memoryview(head)])
    return description


class Passing:
    """A value that passes to where nothing can be written twice, and of which no more than a part is ever held.

    The header goes first and has the digest of all that follows. So the value is encoded once to learn what the header
    says, and again by `send`, as often as whatever takes it has to be tried.

    Args:
        tier: URL of where it goes.
        run: namespace of the name.
        name: name of the object.
        encode: describes the value; its stream goes to the sink.
    """

    def __init__(self, tier: str, run: str, name: str, encode: Callable[[Sink], layout.Encoded]) -> None:
        self._tier, self._run, self._name, self._encode = tier, run, name, encode
        self.info, composition = self._compose(lambda _view: None)
        self._head = composition.head
        self.nbytes = composition.total
        """Bytes of the whole object."""

    def send(self, take: Callable[[memoryview], object]) -> None:
        """Hand over all bytes of the object in order, some megabytes at a time.

        Raises:
            NotShareable: the value is not what it was before.
        """
        take(memoryview(self._head))
        _, composition = self._compose(take, self.info)
        # It has the digest of all that went.
        if composition.head != self._head:
            raise NotShareable(
                f"{self._name!r} changed while it was put, or pickles differently each time; it is too large for memory, "
                "and so is pickled twice on its way. Put data that stays as it is, or give the store more memory.",
                kind=self.info.kind,
            )

    def _compose(
        self, take: Callable[[memoryview], object], info: layout.ObjectInfo | None = None
    ) -> tuple[layout.ObjectInfo, Composition]:
        composition = Composition(_Line(take), seal=True, hold=0)
        composition.begin()
        encoded = self._encode(composition)
        return composition.finish(self._tier, self._run, self._name, encoded, info=info), composition


class _Line:
    """Passes on what comes, which is in order but for the header: that comes last, and has gone ahead."""

    def __init__(self, take: Callable[[memoryview], object]) -> None:
        self._take = take

    def begin(self, need: int, *, grows: bool = False) -> None:
        """Nothing to make ready."""

    def write(self, offset: int, buffers: Sequence[layout.Buffer], digest: Any = None) -> int:
        """Pass buffers on; see `Out`."""
        if offset == 0:
            return layout.HEADER_SIZE
        for buffer in buffers:
            for view in buffer.parts() if isinstance(buffer, layout.Pieces) else (buffer,):
                for start in range(0, view.nbytes, _PART):
                    part = view[start : start + _PART]
                    digest.update(part)
                    self._take(part)
                offset += view.nbytes
        return offset


def _describe(tier: str, run: str, name: str, encoded: layout.Encoded, nbytes: int) -> layout.ObjectInfo:
    """What to say of an object that is put now."""
    return layout.ObjectInfo(
        name=name,
        run=run,
        id=os.urandom(16).hex(),
        nbytes=nbytes,
        kind=encoded.kind,
        created=datetime.now(UTC),
        producer=layout.Producer(os.getpid(), _host(), current_task.get()),
        schema=encoded.schema,
        tier=tier,
    )


@cache
def _host() -> str:
    return os.uname().nodename
