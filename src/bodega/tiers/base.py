"""What a tier below memory offers: whole objects as bytes, by run and name."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Protocol

from bodega.codecs import Sink
from bodega.format import Encoded, Header, ObjectInfo


class Fetch(Protocol):
    """An object on its way out of a tier."""

    @property
    def header(self) -> Header:
        """The parsed header."""

    def parts(self) -> Iterator[memoryview]:
        """All bytes of the object in order, the header first and whole in the first part.

        Raises:
            TierError: the tier failed, or the object was replaced meanwhile.
        """


class Writer(Protocol):
    """An object on its way into a tier. Leaving its context without `publish` leaves nothing behind."""

    def __enter__(self) -> Writer:  # noqa: PYI034 - Self is of Python 3.11
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


class Tier(Protocol):
    """A place for whole objects. No method takes a lock that outlives it; a missing name is None or False."""

    @property
    def url(self) -> str:
        """Where it is, without secrets."""

    def check(self, run: str, name: str) -> None:
        """Look at a name only, so that none is published above that cannot come here.

        Raises:
            InvalidName: it cannot be kept.
        """

    def exists(self, run: str, name: str) -> bool:
        """Whether the run has the name."""

    def info(self, run: str, name: str) -> ObjectInfo | None:
        """What the header says."""

    def names(self, run: str) -> list[str]:
        """The names of a run, sorted."""

    def runs(self) -> list[str]:
        """The runs that hold objects, sorted."""

    def begin(self, run: str, name: str) -> Writer:
        """Begin to write an object.

        Raises:
            InvalidName: it cannot be kept.
        """

    def upload(self, run: str, name: str, data: memoryview) -> None:
        """Keep a sealed object (one that has its digests) in one atomic step; durable when this returns.

        Raises:
            StoreFull: it does not fit.
            TierError: the tier failed; what was under the name before is still there.
        """

    def fetch(self, run: str, name: str) -> Fetch | None:
        """Begin to read an object."""

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
