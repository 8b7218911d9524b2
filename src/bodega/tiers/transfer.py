"""Objects on their way between the tiers of one store, and the locks under which they move.

Whatever touches a lower tier holds the transfer lock of the name: of put, delete, eviction and promotion of one name
only one happens at a time on a host. Reads that find their object in memory take no such lock. An eviction never
waits for one, so two puts that make room at once cannot wait for each other. With it goes the shared lock of the run,
which whoever drops the run has for himself.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property

from bodega import events
from bodega.memory.locks import Exclusive
from bodega.memory.root import Root
from bodega.tiers.base import Folder, Source, Tier
from bodega.tiers.kept import note_below, recall
from bodega.tiers.stored import Stored

_STRIPES = 256
_RUN_STRIPES = 64
_PATIENCE = 600.0
"""Seconds that a transfer of a large object over a slow line may take."""


class Transfers:
    """The way down and up between the tiers of one store.

    Args:
        root: of the topmost tier, which has the locks.
        spill: what the lower tiers are called in settings.
    """

    def __init__(self, root: Root, spill: Sequence[str] = ()) -> None:
        self._root = root
        self._spill = self._unnoted = tuple(spill)
        self._runs: set[str] = set()

    def own(self, run: str) -> None:
        """Count a run among those that this handle puts into, whose objects it may move."""
        self._runs.add(run)

    def may_move(self, run: str) -> bool:
        """Whether objects of a run may be evicted: all who look for them must look there as well."""
        return self._moves_all or run in self._runs

    @contextmanager
    def lock(self, run: str, name: str, deadline: float = _PATIENCE) -> Iterator[None]:
        """Around whatever touches a lower tier under a name.

        Raises:
            StoreBusy: another has the lock for longer than the deadline.
        """
        stripe = zlib.crc32(f"{run}/{name}".encode("utf-8", "surrogatepass")) % _STRIPES
        with (
            self._root.lock(_run_lock(run), f"The run {run!r}, which is dropped,", deadline, shared=True),
            self._root.lock(f"transfer-{stripe:04}", f"The transfer of {name!r} between tiers", deadline),
        ):
            yield

    def ending(self, run: str, deadline: float = _PATIENCE) -> Exclusive:
        """The lock that keeps every transfer of a run away while it is dropped, which takes several steps."""
        return self._root.lock(_run_lock(run), f"The run {run!r}", deadline)

    def copy_down(self, above: Folder, below: Tier, run: str, name: str) -> os.stat_result | None:
        """See to it that a lower tier has an object, whose transfer lock is held.

        Returns:
            The status of its segment above, or None where there is none.
        """
        stored = above.open(run, name, touch=False)
        if stored is None:
            return None
        there = below.info(run, name)
        if there is None or there.id != stored.header.id:
            self.note_below()
            below.upload(run, name, stored.outgoing().data, time_to_live=above.time_to_live(run))
            events.emit("spill", run, name, stored.header.total, below.url)
        return stored.status

    def copy_up(self, source: Source, folder: Folder, run: str, name: str) -> Stored | None:
        """Copy an object, whose transfer lock is held, into a folder and open it there; None where it is gone.

        Raises:
            LayoutError: damaged, or without the digest that it would be compared with.
            StoreFull: there is no room.
        """
        fetch = source.fetch(run, name)
        if fetch is None:
            return None
        folder.receive(run, name, fetch)
        events.emit("promote", run, name, fetch.header.total, folder.url)
        return folder.open(run, name)

    def note_below(self) -> None:
        """Let the root know, before the first object of this handle goes below, that there are some."""
        if self._unnoted:
            _ = self._moves_all  # As it was before.
            note_below(self._root, self._unnoted)
            self._unnoted = ()

    @cached_property
    def _moves_all(self) -> bool:
        """Whether all who open the root find what lies in these tiers: else only what was put by this handle may go there."""
        return list(recall(self._root).get("spill", ())) == list(self._spill)


def _run_lock(run: str) -> str:
    stripe = zlib.crc32(run.encode("utf-8", "surrogatepass")) % _RUN_STRIPES
    return f"run-{stripe:02}"
