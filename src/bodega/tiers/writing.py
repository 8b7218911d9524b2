"""How an object gets into a tier: begun, written, sealed and published, all of it here and nowhere else.

A `Composition` puts the bytes of one object together and hands them to whatever takes bytes at an offset. Where that is
the draft of a segment, a `FolderWriter` gives it its name at the end; where nothing can be written twice, as on a line to
object storage, a `Resent` has the value encoded once for what the header says, and again for each try to send it.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import cache, partial
from itertools import chain
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from bodega.codecs import Sink
from bodega.errors import BodegaError, NotShareable, StoreFull
from bodega.format import (
    HEADER_SIZE,
    Buffer,
    Description,
    Digests,
    Encoded,
    Extents,
    ObjectInfo,
    Passing,
    Pieces,
    Plan,
    Producer,
    aligned,
    compare,
    damaged,
    is_sealed,
    length_of,
    pack_description,
    padding,
    parse_description,
    plan,
    stated,
)
from bodega.memory import locks, pool
from bodega.memory.drafts import Draft
from bodega.settings import current_task
from bodega.tiers.base import Fetch

if TYPE_CHECKING:
    from bodega.tiers.eviction import Admission

_PART = 8 << 20
"""Bytes that are passed on, or copied from one draft to another, at a time."""
NO_DIGEST = "it has no digest, and so cannot be checked"
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

    def write(self, offset: int, buffers: Sequence[Buffer]) -> int:
        """Write buffers one behind the other, or none of them where there is no room for all.

        Args:
            offset: where the first one goes.
            buffers: what to write.

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
        seal: compute the digests of the object.
        hold: bytes of the stream that are held.
    """

    __slots__ = (
        "_buffers",
        "_crc",
        "_digests",
        "_end",
        "_held",
        "_hold",
        "_nbytes",
        "_out",
        "_stream",
        "_stream_length",
        "plan",
    )

    def __init__(self, out: Out, *, seal: bool, hold: int = _STREAM_IN_MEMORY) -> None:
        self._out, self._hold = out, hold
        self._digests = Digests() if seal else None
        self._stream: list[memoryview] = []
        self._held = self._stream_length = self._crc = 0
        self._buffers: list[Extents] = []
        """Where the buffers are that are written."""
        self._nbytes = 0
        """Bytes of them."""
        self._end: int | None = None
        """Behind what is written; None where nothing is."""
        self.plan: Plan | None = None
        """Where everything is, when the object is finished."""

    def begin(self) -> None:
        """Begin to write, though nobody knows yet how much comes."""
        self._out.begin(max(self._held, pool.MINIMUM_SIZE), grows=True)
        self._end = HEADER_SIZE

    def write(self, data: bytes | memoryview, /) -> int:
        """Take the next bytes of the pickle stream; returns how many: all of them."""
        view = memoryview(data).cast("B")
        self._crc = zlib.crc32(view, self._crc)
        if self._digests is not None:
            self._digests.stream.update(view)
        # The pickler may reuse what is not bytes.
        self._stream.append(view if isinstance(data, bytes) else memoryview(bytes(view)))
        self._held += view.nbytes
        if self._held > self._hold:
            self._flush()
        return view.nbytes

    def append(self, buffer: Buffer) -> None:
        """Write the next buffer at once.

        Raises:
            StoreFull: it does not fit, and nothing of it is written.
        """
        assert self._end is not None
        offset = aligned(self._end, buffer.nbytes)
        self._end = self._out.write(self._end, [padding(offset - self._end), self._watched(buffer, len(self._buffers))])
        self._buffers.append(((0, offset, buffer.nbytes),))
        self._nbytes += buffer.nbytes

    def move(self, out: Out, read: Callable[[int, int], bytes]) -> None:
        """Go on in another place.

        Args:
            out: takes the bytes from here on, and first a copy of what has been written.
            read: gives bytes of the old place, by offset and length.
        """
        assert self._end is not None
        out.begin(self._end, grows=True)
        # Not the header, which is written last.
        for start in range(HEADER_SIZE, self._end, _PART):
            out.write(start, [memoryview(read(start, min(_PART, self._end - start)))])
        self._out = out

    def finish(
        self, tier: str, run: str, name: str, encoded: Encoded, *, info: ObjectInfo | None = None, segment: str = ""
    ) -> ObjectInfo:
        """Write what is not written yet: the buffers that the value still has, its description and its header.

        Args:
            tier: URL of where the object goes.
            run: namespace of the name.
            name: name of the object.
            encoded: what its codec says of it.
            info: what to say of it, where that is known already.
            segment: id of its segment, else a new one.
        """
        if self._end is not None:
            self._flush()
        lengths = [buffer.nbytes for buffer in encoded.buffers]
        if info is None:
            ids = os.urandom(32).hex()
            nbytes = self._stream_length + self._held + self._nbytes + sum(lengths)
            info, segment = _describe(ids[:32], tier, run, name, encoded, nbytes), segment or ids[32:]
        text = pack_description(info, encoded.recipe)
        stream = self._stream_length + self._held, self._crc
        self.plan = plan(info.id, text, [*self._buffers, *lengths], segment=segment, stream=stream, written=self._end)
        if self._end is None:
            self._out.begin(self.plan.total)
        buffers = encoded.buffers
        digests = None
        if self._digests is not None:
            buffers = [self._watched(buffer, number) for number, buffer in enumerate(buffers, len(self._buffers))]
            lengths[:0] = [length_of(extents) for extents in self._buffers]
            digests = partial(self._digests.block, info.id, text, stream[0], lengths)
        for offset, parts in self.plan.writes(buffers, self._stream, digests):
            self._out.write(offset, parts)
        return info

    def _watched(self, buffer: Buffer, number: int) -> Buffer:
        return buffer if self._digests is None else self._digests.watch(number, buffer)

    def _flush(self) -> None:
        """Write what is held of the stream."""
        if self._end is None:
            self.begin()
        assert self._end is not None
        self._end = self._out.write(self._end, self._stream)
        self._stream_length += self._held
        self._stream, self._held = [], 0


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

    def __enter__(self) -> Self:
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

    def put(self, encode: Callable[[Sink], Encoded]) -> ObjectInfo:
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

    def append(self, buffer: Buffer) -> None:
        """Write the next buffer.

        Raises:
            StoreFull: it does not fit, and nothing of it is written.
        """
        self._composition.append(buffer)

    def finish(self, encoded: Encoded) -> ObjectInfo:
        """Write the rest of a value: the buffers that have not been appended, and what is said of it."""
        return self._composition.finish(self._tier, self._run, self._name, encoded)

    def take_over(self, other: FolderWriter) -> None:
        """Go on here with what another writer has begun.

        Raises:
            StoreFull: it does not fit.
        """
        self._composition = other._composition
        self._composition.move(self._draft, other._draft.read)

    def copy(self, fetch: Fetch, *, seal: bool = False) -> None:
        """Write an object that is read from another tier; see `copy`."""
        copy(fetch, self._draft, self._run, self._name, self._place[1], seal=seal)

    def publish(self) -> None:
        """Let the name stand for what was written; see `bodega.memory.drafts.Draft.publish`.

        Raises:
            LayoutError: there is a folder in its place.
        """
        self._draft.publish(*self._place, synced=self._durable)


def copy(fetch: Fetch, out: Copy, run: str, name: str, where: str, *, seal: bool = False) -> Description:
    """Write an object that is read from another tier, after comparing it with its digests.

    Args:
        fetch: gives the object's bytes.
        out: takes them.
        run: namespace of the name.
        name: name of the object, which it must know itself.
        where: what the object is called in messages.
        seal: write the digests of one that has none, which is an error otherwise: it could not be checked.

    Raises:
        StoreFull: it does not fit.
        LayoutError: its bytes are not those that were sent.
        TierError: the other tier failed.
    """
    header, parts = fetch.header, fetch.parts()
    first = next(parts)
    head, block = bytes(first[:HEADER_SIZE]), first[header.description_offset :][: header.block_length]
    description = None
    if len(block) == header.block_length:
        description = parse_description(header, head, block, owner=(run, name), path=where)
    passing = Passing(header, description)
    out.begin(header.total)
    end = 0
    for part in chain([first], parts):
        passing.feed(part)
        end = out.write(end, [part])
    if end != header.total:
        raise damaged(where, f"{end} bytes of {header.total} came")
    # Before it is sealed: a seal would make a damaged description good.
    if description is None:
        whole = out.read(header.description_offset, header.block_length)
        description = parse_description(header, head, whole, owner=(run, name), path=where)
    description.require_own()
    said, digests = stated(header, out.read), passing.block(description, out.read)
    compare(said, digests, where)
    if not is_sealed(said):
        if not seal or not header.digests_offset:
            raise damaged(where, NO_DIGEST)
        out.write(header.digests_offset, [memoryview(digests)])
    return description


class Resent:
    """A value that goes to where nothing can be written twice, and of which no more than a part is ever held.

    The header goes first and says how long all that follows is. So the value is encoded once to learn what the header
    says, and again by `send`, as often as whatever takes it has to be tried. The digests are taken on the way, and go last.

    Args:
        tier: URL of where it goes.
        run: namespace of the name.
        name: name of the object.
        encode: describes the value; its stream goes to the sink.
    """

    def __init__(self, tier: str, run: str, name: str, encode: Callable[[Sink], Encoded]) -> None:
        self._tier, self._run, self._name, self._encode = tier, run, name, encode
        self._segment = os.urandom(16).hex()
        self.info, self._plan = self._compose(Composition(_Line(lambda _view: None), seal=False, hold=0))
        self.nbytes = self._plan.total
        """Bytes of the whole object."""

    def send(self, take: Callable[[memoryview], object]) -> None:
        """Hand over all bytes of the object in order, some megabytes at a time.

        Raises:
            NotShareable: the value is not what it was before.
        """
        take(memoryview(self._plan.head))
        _, plan = self._compose(Composition(_Line(take), seal=True, hold=0), self.info)
        # It has checksums of the stream and of all lengths; the digests are of what went.
        if plan.head != self._plan.head:
            raise NotShareable(
                f"{self._name!r} changed while it was put, or pickles differently each time; it is too large for memory, "
                "and so is pickled twice on its way. Put data that stays as it is, or give the store more memory.",
                kind=self.info.kind,
            )

    def _compose(self, composition: Composition, info: ObjectInfo | None = None) -> tuple[ObjectInfo, Plan]:
        composition.begin()
        encoded = self._encode(composition)
        info = composition.finish(self._tier, self._run, self._name, encoded, info=info, segment=self._segment)
        assert composition.plan is not None
        return info, composition.plan


class _Line:
    """Passes on what comes, which is in order but for the header: that has gone ahead."""

    def __init__(self, take: Callable[[memoryview], object]) -> None:
        self._take = take

    def begin(self, need: int, *, grows: bool = False) -> None:
        """Nothing to make ready."""

    def write(self, offset: int, buffers: Sequence[Buffer]) -> int:
        """Pass buffers on; see `Out`."""
        if offset == 0:
            return HEADER_SIZE
        for buffer in buffers:
            for view in buffer.parts() if isinstance(buffer, Pieces) else (buffer,):
                for start in range(0, view.nbytes, _PART):
                    self._take(view[start : start + _PART])
                offset += view.nbytes
        return offset


def _describe(identity: str, tier: str, run: str, name: str, encoded: Encoded, nbytes: int) -> ObjectInfo:  # noqa: PLR0917
    """What to say of an object that is put now."""
    return ObjectInfo(
        name=name,
        run=run,
        id=identity,
        nbytes=nbytes,
        kind=encoded.kind,
        created=datetime.now(UTC),
        producer=Producer(os.getpid(), _host(), current_task.get()),
        schema=encoded.schema,
        tier=tier,
    )


@cache
def _host() -> str:
    return os.uname().nodename
