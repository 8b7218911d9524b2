"""What may still be written to a root: by its capacity, its file system, and the container's memory limit."""

from __future__ import annotations

import time
from collections.abc import Callable

from bodega.env import ROOT_VARIABLE
from bodega.errors import BodegaError, StoreFull
from bodega.memory import ledger, pool
from bodega.memory.cgroups import memory_limit
from bodega.memory.root import Root
from bodega.memory.sweep import sweep

SAFE_SHARE = 0.8
"""Of the file system: what a store may take unless it is told."""
_TRIES = 3
_UNCHECKED = 1 << 20
"""Bytes of small objects that are put between two looks at the machine's limits."""
_UNLIMITED_SECONDS = 10.0
"""For how long a container without a memory limit is taken to stay so: looking costs more than a small put."""
_HEADROOM = 16 << 20
"""What a container's memory limit must leave free for the task itself."""


class Admission:
    """Lets a root grow, or refuses it.

    Args:
        root: what grows.
        capacity: bytes that all its segments may take together; else a safe share of the file system.
    """

    def __init__(self, root: Root, capacity: int | None = None) -> None:
        self.root = root
        self.capacity = int(root.size() * SAFE_SHARE) if capacity is None else capacity
        self.move: Callable[[int], int] | None = None
        """Asked to free a number of bytes by moving objects to a lower tier, where there is one; returns how many it
        could."""
        self._unchecked = 0
        self._unlimited_until = 0.0

    def fits(self, nbytes: int, total: int) -> bool:
        """Whether the root may grow by some bytes, to a total, without a look at the machine; see `files.Admission`."""
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

    def has_headroom(self, nbytes: int) -> bool:
        """Whether the container's memory limit leaves so much for whatever this process wants to keep."""
        limit = memory_limit()
        return limit is None or nbytes + _HEADROOM <= limit.free

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
        """Give bytes back: of the pool first, then of objects that can move; none where all would not do.

        Args:
            need: how many.
            name: of the object that needs them, for messages.
            counted: its own bytes, which are counted already and cannot be given back.
        """
        if need > ledger.read(self.root) - counted:
            return 0
        freed = pool.drain(self.root, need)
        if freed < need and self.move is not None:
            try:
                freed += self.move(need - freed)
            except BodegaError as error:
                raise self.full(name, need, f" Nothing could be moved to a lower tier: {error}", counted) from error
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
        lower = "" if self.move else "name a lower tier (spill=), "
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
