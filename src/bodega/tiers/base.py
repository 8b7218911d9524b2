"""What the store needs of a place for objects, in three steps: one that can be read, one that keeps, one that maps.

A `Source` is read only: what another host or an archive is. A `Tier` keeps whole objects as well: object storage, and
whatever else can. A `Folder` is a tier on this host, whose objects are files that can be mapped: memory, or a disk.
`bodega.testing` has the contract of a tier and of a folder, as tests to run.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from bodega.codecs import Sink
from bodega.format import Encoded, Header, ObjectInfo
from bodega.memory.root import Root

if TYPE_CHECKING:
    from bodega.tiers.stored import Listed, Stored
    from bodega.tiers.writing import FolderWriter


class Fetch(Protocol):
    """An object on its way out of a source."""

    @property
    def header(self) -> Header:
        """The parsed header."""

    def parts(self) -> Iterator[memoryview]:
        """All bytes of the object in order, the header first and whole in the first part.

        Raises:
            TierError: the source failed, or the object was replaced meanwhile.
        """


class Source(Protocol):
    """A place that objects can be read from. A missing name is None or False."""

    @property
    def url(self) -> str:
        """Where it is, without secrets."""

    def exists(self, run: str, name: str) -> bool:
        """Whether the run has the name."""

    def info(self, run: str, name: str) -> ObjectInfo | None:
        """What the header of an object says."""

    def fetch(self, run: str, name: str) -> Fetch | None:
        """Begin to read an object."""


class Writer(Protocol):
    """An object on its way into a tier. Leaving its context without `publish` leaves nothing behind."""

    def __enter__(self) -> Self:
        """The writer itself."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Give up what was not published."""

    def put(self, encode: Callable[[Sink], Encoded]) -> ObjectInfo:
        """Take a value, which must stay as it is until it is published.

        Args:
            encode: describes the value; its stream goes to the sink. Called again where something has to be tried again.

        Raises:
            StoreFull: it does not fit.
        """

    def publish(self) -> None:
        """Let the name stand for the object, in one atomic step.

        Raises:
            StoreFull: it does not fit.
            TierError: the tier failed; what was under the name before is still there.
        """


class Tier(Source, Protocol):
    """A place that keeps whole objects, by run and name. No method takes a lock that outlives it."""

    def check(self, run: str, name: str) -> None:
        """Look at a name only, so that none is published above that cannot come here.

        Raises:
            InvalidName: it cannot be kept.
        """

    def names(self, run: str) -> list[str]:
        """The names of a run, sorted."""

    def runs(self) -> list[str]:
        """The runs that hold objects, sorted."""

    def begin(self, run: str, name: str) -> Writer:
        """Begin to write an object.

        Raises:
            InvalidName: it cannot be kept.
        """

    def upload(self, run: str, name: str, data: memoryview, *, time_to_live: float | None = None) -> None:
        """Keep a whole object in one atomic step. One that has no digests gets them on the way.

        Args:
            run: namespace of the name.
            name: name of the object.
            data: all bytes of the object, private to the caller.
            time_to_live: what was set for the run (see `Folder.set_time_to_live`); means nothing where none are kept.

        Raises:
            StoreFull: it does not fit.
            LayoutError: its bytes do not match its digest or its checksums.
            TierError: the tier failed; what was under the name before is still there.
        """

    def sync(self, run: str) -> None:
        """Have what was kept of a run survive the machine's power failing, where it would not yet."""

    def delete(self, run: str, name: str) -> int | None:
        """Take a name away; returns the object's bytes, or None where there was none."""

    def last_put(self, run: str) -> float:
        """When something was last put into a run, in seconds since the epoch; 0 where it has nothing here."""

    def drop_run(self, run: str, *, until: float = math.inf) -> int:
        """Take all names of a run away; returns how many there were.

        Args:
            run: whose names.
            until: a moment of the monotonic clock at which to end, be there more.
        """


class Folder(Tier, Protocol):
    """A tier on this host, whose objects are files that can be mapped, evicted and pinned. It keeps the time of runs."""

    @property
    def root(self) -> Root:
        """Where its files are."""

    @property
    def capacity(self) -> int:
        """Bytes that all segments of the root may take together."""

    def begin(self, run: str, name: str, *, seal: bool = False) -> FolderWriter:
        """Begin to write an object.

        Args:
            run: namespace of the name.
            name: name of the object.
            seal: compute a digest while writing, also where the folder does not seal every object.

        Raises:
            InvalidName: it cannot be kept.
        """

    def receive(self, run: str, name: str, fetch: Fetch) -> None:
        """Keep an object that is read from a source, after comparing it with its digests, which it must have.

        Raises:
            StoreFull: it does not fit.
            LayoutError: its bytes are not those that were sent.
            TierError: the source failed.
        """

    def open(self, run: str, name: str, *, touch: bool = True) -> Stored | None:
        """Take the lease of an object and read or map it.

        Args:
            run: namespace of the name.
            name: name of the object.
            touch: count this as a use.

        Raises:
            LayoutError: damaged.
        """

    def by_age(self) -> list[Listed]:
        """All objects, the least recently used first."""

    def is_free(self, run: str, name: str) -> bool:
        """Whether nobody maps an object, at this moment."""

    def evict(self, run: str, name: str, status: os.stat_result) -> int:
        """Take away a name whose object has been copied elsewhere, if nobody maps it and it is still that object.

        Args:
            run: namespace of the name.
            name: name of the object.
            status: of its segment, from when it was opened to be copied.

        Returns:
            The bytes that are free now, else 0.
        """

    def pin(self, run: str, name: str, pinned: bool) -> bool:
        """Keep an object from being evicted, or no longer; returns whether there is one."""

    def run_folders(self) -> list[str]:
        """The runs that are known here, with objects or without, in no order: much faster than `runs`."""

    def set_time_to_live(self, run: str, seconds: float) -> None:
        """Let a run be dropped once nothing was put into it for so long."""

    def time_to_live(self, run: str) -> float | None:
        """What was set for a run, in seconds."""

    def has_expired(self, run: str) -> bool | None:
        """Whether the time of a run is up; None where it has no objects here, and so says nothing."""

    def drop_run(self, run: str, *, until: float = math.inf, expired: bool = False) -> int:
        """Take all names of a run away, in one step; returns how many there were.

        Args:
            run: whose names.
            until: a moment of the monotonic clock; what still lies there then a sweep frees.
            expired: only if its time is up, at a moment when nothing is put into it.
        """
