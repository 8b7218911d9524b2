"""What happens when memory is full, from the first byte too many to the error.

Each folder (memory, and a disk below it) has an `Admission`, which a draft asks before the root grows:

1. A small object that fits by the count of the root's bytes is let in with no further look (`Admission.fits`).
2. Else the bytes are counted first, so that two who ask at once do not both get the last ones, and room is made for
   them (`Admission.make_room`): by what the file system has free, by the memory limit of the container, and by the
   capacity.
3. What is lacking comes from the pool of warm segments; then from the least recently used objects, which an `Eviction`
   moves to the tier below, where there is one. Where all bytes of the root together would not do, nothing moves.
4. A sweep frees what crashes have left, and counts anew.
5. Then it is `StoreFull`, and the draft leaves nothing behind. The stack goes on in the tier below
   (`bodega.tiers.stack.TierStack.put`), where the same happens again; object storage takes all.
"""

from __future__ import annotations

import time

from bodega import events
from bodega.env import ROOT_VARIABLE
from bodega.errors import BodegaError, InvalidName, LayoutError, StoreBusy, StoreFull
from bodega.memory import ledger, pool
from bodega.memory.cgroups import memory_limit
from bodega.memory.sweep import sweep
from bodega.tiers.base import Folder, Tier
from bodega.tiers.transfer import Transfers

SAFE_SHARE = 0.8
"""Of the file system: what a store may take unless it is told."""
_MARGIN = 20
"""Room is made for one in so many bytes of the capacity at least, so that not every put has to."""
_TRIES = 3
"""How often room is made for one object: others may take it meanwhile."""
_UNCHECKED = 1 << 20
"""Bytes of small objects that are put between two looks at the machine's limits."""
_UNLIMITED_SECONDS = 10.0
"""For how long a container without a memory limit is taken to stay so: looking costs more than a small put."""
_HEADROOM = 16 << 20
"""What a container's memory limit must leave free for the task itself."""


class Admission:
    """Lets a folder grow, or refuses it.

    Args:
        folder: what grows.
        capacity: bytes that all segments of its root may take together; else a safe share of the file system.
        eviction: moves objects to the tier below, where there is one.
    """

    def __init__(self, folder: Folder, capacity: int | None = None, eviction: Eviction | None = None) -> None:
        self.root = folder.root
        self.capacity = int(self.root.size() * SAFE_SHARE) if capacity is None else capacity
        self._folder, self._eviction = folder, eviction
        self._unchecked = 0
        self._unlimited_until = 0.0

    def fits(self, nbytes: int, total: int) -> bool:
        """Whether the root may grow by some bytes, to a total, without a look at the machine; see `bodega.memory.drafts.Admission`."""
        if self._unchecked + nbytes >= _UNCHECKED or total > self.capacity:
            return False
        self._unchecked += nbytes
        return True

    def make_room(self, nbytes: int, name: str) -> None:
        """See to it that bytes which are counted already fit.

        Args:
            nbytes: how many the root grows by.
            name: of the object, for messages.

        Raises:
            StoreFull: they do not fit, whatever is moved.
        """
        self._unchecked += nbytes
        if self._unchecked >= _UNCHECKED:
            self._unchecked = 0
            self._look_at_machine(nbytes, name)
        # Others come, go and make room at the same time: what counts is the total.
        for _ in range(_TRIES):
            excess = ledger.read(self.root) - self.capacity
            if excess <= 0:
                return
            if not self._free(excess, name, nbytes):
                break
        # A crash may have left files, or the count too high.
        if nbytes <= self.capacity:
            sweep(self.root, empty_pool=True)
        if ledger.read(self.root) > self.capacity:
            raise self.full(name, nbytes, counted=nbytes)

    def _look_at_machine(self, need: int, name: str) -> None:
        """Look at what the file system and the container's memory limit leave, and make room there."""
        lack = need - self.root.free()
        if lack > 0 and self._free(lack, name, need) < lack:
            raise self.full(name, need, counted=need)
        if not self.root.filesystem.is_memory:
            return
        if time.monotonic() < self._unlimited_until:
            return
        limit = memory_limit()
        if limit is None:
            self._unlimited_until = time.monotonic() + _UNLIMITED_SECONDS
            return
        if need + _HEADROOM <= limit.free:
            return
        # What is freed here may have been charged to another container: look again.
        self._free(need + _HEADROOM - limit.free, name, need)
        limit = memory_limit()
        if limit is not None and need + _HEADROOM > limit.free:
            raise self.full(
                name,
                need,
                f" The memory limit of this container ({limit.limit:,} bytes, {limit.free:,} free, {limit.group}) would "
                "be passed, and the kernel would kill the task: raise the limit, or give the store memory that another "
                "process has touched (prefault=).",
                counted=need,
            )

    def _free(self, need: int, name: str, counted: int) -> int:
        """Give bytes back: of the pool first, then of objects that can move; none where all bytes of the root would not do.

        Args:
            need: how many.
            name: of the object that needs them, for messages.
            counted: its own bytes, which are counted already and cannot be given back.
        """
        if need > ledger.read(self.root) - counted:
            return 0
        freed = pool.drain(self.root, need)
        if freed < need and self._eviction is not None:
            try:
                freed += self._eviction.make_room(self._folder, need - freed)
            except BodegaError as error:
                raise self.full(name, need, f" Nothing could be evicted to a lower tier: {error}", counted) from error
        return freed

    def full(self, name: str, need: int | None, cause: str = "", counted: int = 0) -> StoreFull:
        """The error for an object that does not fit.

        Args:
            name: of the object.
            need: bytes that it needs, if that is known.
            cause: a sentence that says more.
            counted: bytes of its own that are counted already.
        """
        try:
            free = min(self.root.free(), max(0, self.capacity - max(0, ledger.read(self.root) - counted)))
        except OSError:
            free = 0  # What is wrong is that it is full, not that it cannot be said how much.
        lower = "" if self._eviction else "name a lower tier (spill=), "
        needs = "more bytes than are free" if need is None else f"{need:,} bytes more"
        return StoreFull(
            f"The store {self.root.path} is full: {name!r} needs {needs}, {free:,} bytes are free, its capacity is "
            f"{self.capacity:,} bytes. What was there is untouched.{cause} Remove objects or runs ('bodega rm'), raise the "
            f"capacity (capacity=), {lower}or use a root on a larger file system ({ROOT_VARIABLE}).",
            name=name,
            need=need,
            free=free,
            path=str(self.root.path),
        )


class Eviction:
    """Moves the least recently used objects of a folder to the tier below it.

    Args:
        below: what they move to.
        transfers: the locks under which they move, and whose objects may.
    """

    def __init__(self, below: Tier, transfers: Transfers) -> None:
        self._below, self._transfers = below, transfers

    def make_room(self, folder: Folder, need: int) -> int:
        """Move objects that nobody maps; returns the bytes freed, which are fewer than needed where all would not do.

        Raises:
            TierError: the tier below failed.
            StoreFull: it has no room either.
        """
        freed, aim = 0, max(need, folder.capacity // _MARGIN)
        for listed in folder.by_age():
            if freed >= aim:
                break
            if listed.pinned or not self._transfers.may_move(listed.run):
                continue
            try:
                freed += self.move(folder, listed.run, listed.name)
            except (StoreBusy, LayoutError, InvalidName):
                # On its way already, damaged (whoever asks for it will hear of that), or named before there was a tier
                # that cannot keep the name.
                continue
            except StoreFull:
                if freed >= need:
                    break
                raise
        return freed

    def move(self, folder: Folder, run: str, name: str) -> int:
        """Move an object, unless somebody maps it; returns the bytes freed.

        Raises:
            StoreBusy: it is on its way already.
        """
        # Without waiting: whoever has the lock may be making room as well, and wait for one that this put has.
        with self._transfers.lock(run, name, deadline=0.0):
            if not folder.is_free(run, name):
                return 0
            status = self._transfers.copy_down(folder, self._below, run, name)
            # Somebody may have mapped it, or put another object under the name, while it was copied: evicting looks again.
            freed = 0 if status is None else folder.evict(run, name, status)
        if freed:
            events.emit("evict", run, name, freed, folder.url)
        return freed


def has_headroom(nbytes: int) -> bool:
    """Whether the container's memory limit leaves so much for whatever this process wants to keep."""
    limit = memory_limit()
    return limit is None or nbytes + _HEADROOM <= limit.free
