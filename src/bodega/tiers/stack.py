"""Tiers one above the other: memory, then a disk, then object storage.

An object is put into memory, is evicted when room is needed (a copy first, then the name above goes), and comes up
again when it is read. A copy below stays when its object comes up, so that evicting it again costs nothing. What is
full, and what moves then, is in `bodega.tiers.eviction`; the locks under which it moves in `bodega.tiers.transfer`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial

from bodega import events
from bodega.codecs import Sink
from bodega.errors import (
    ObjectNotFound,
    ObjectReplaced,
    SettingsError,
    StoreBusy,
    StoreFull,
    TierError,
    did_you_mean,
    nearest,
)
from bodega.format import Buffer, Encoded, ObjectInfo
from bodega.memory import ledger
from bodega.memory.root import root_option
from bodega.memory.sweep import turned
from bodega.names import is_record
from bodega.texts import command
from bodega.tiers.base import Folder, Tier, Writer
from bodega.tiers.eviction import has_headroom
from bodega.tiers.stored import Stored, read_whole
from bodega.tiers.streaming import Growing
from bodega.tiers.transfer import Transfers

Growth = Generator[None, Sequence[Buffer] | Encoded, ObjectInfo]
"""Takes buffers by ``send``, and last what to say of them all, without buffers; closing it leaves nothing behind."""

_LOOKS = 3
"""How often all tiers are searched for a name: it may move between two of them during a search."""


class TierStack:
    """Objects in one of several tiers.

    Args:
        folders: the tiers on this host, the fastest first; objects are put into the first one and mapped from any.
        remote: the tier below them all, if there is one.
        transfers: the locks under which objects move between them.
    """

    def __init__(self, folders: Sequence[Folder], remote: Tier | None, transfers: Transfers) -> None:
        self.folders, self.remote, self.transfers = tuple(folders), remote, transfers
        self.top, *disks = folders
        self.lower: tuple[Tier, ...] = (*disks, remote) if remote is not None else tuple(disks)
        """What objects are evicted to, the fastest first. The last one is the durable tier."""
        self._disks = disks
        self._tiers: tuple[Tier, ...] = (self.top, *self.lower)
        self._oldest = 0
        """When the least recently used object of the topmost tier had last been used, at the last look."""

    def require_folders(self) -> None:
        """Complain where one of the folders is gone.

        Raises:
            RootError: it is.
        """
        for tier in self.folders:
            tier.root.require()

    def explain(self, error: OSError) -> None:
        """Say what is wrong with a folder, where that is why a call of the system failed.

        Raises:
            RootError: one of the folders, or something in it, is not what it was.
        """
        for tier in self.folders:
            tier.root.explain(error)

    def put(
        self,
        run: str,
        name: str,
        encode: Callable[[Sink], Encoded],
        *,
        persist: bool = False,
        pinned: bool = False,
    ) -> ObjectInfo:
        """Publish what ``encode`` yields in memory, and in the durable tier if asked for.

        What does not fit into memory goes to the first tier below that has room, unless it will be pinned.

        Raises:
            StoreFull: it fits nowhere; the old object of the name is untouched.
            TierError: a lower tier failed. The object is in memory; what was below may still be there.
            SettingsError: there is no durable tier.
            InvalidName: a tier cannot keep the name.
        """
        self._check(run, name, persist)
        try:
            return self._put(self.top, run, name, encode, persist)
        except StoreFull as error:
            if pinned:
                raise
            full = error
        for tier in self.lower:
            try:
                return self._put(tier, run, name, encode, persist)
            except (StoreFull, TierError) as error:
                if isinstance(error, TierError) and getattr(error, "tier", None) != tier.url:
                    raise  # It is here, and another tier failed.
                full.add_hint(f"Below: {error}")
        raise full

    def _put(self, tier: Tier, run: str, name: str, encode: Callable[[Sink], Encoded], persist: bool) -> ObjectInfo:
        with tier.begin(run, name) as writer:
            info = writer.put(encode)
            self._publish(writer, tier, run, name, persist)
        return info

    def grow(self, run: str, name: str, *, persist: bool = False) -> Growth:
        """Publish what comes part by part; in the first folder that has room for it, and in the durable tier if asked.

        Raises:
            SettingsError: there is no durable tier.
            InvalidName: a tier cannot keep the name.
        """
        self._check(run, name, persist)
        return self._grow(run, name, persist)

    def _grow(self, run: str, name: str, persist: bool) -> Growth:
        with Growing(self.folders, run, name) as growing:
            while not isinstance(sent := (yield), Encoded):
                growing.append(sent)
            info = growing.finish(sent)
            self._publish(growing, growing.folder, run, name, persist)
        return info

    def _check(self, run: str, name: str, persist: bool) -> None:
        """Look at what can be known to fail before anything is written; the run's objects may move from here on."""
        if persist and not self.lower:
            raise self._nothing_durable(name)
        self.transfers.own(run)
        for tier in self.lower:
            tier.check(run, name)

    def persist(self, run: str, name: str) -> None:
        """Copy an object to the durable tier.

        Raises:
            ObjectNotFound: no such name in the run.
            TierError: the tier failed.
            SettingsError: there is no durable tier.
        """
        if not self.lower:
            raise self._nothing_durable(name)
        with self.transfers.lock(run, name):
            for tier in self.folders:
                if self._persist(tier, run, name):
                    return
            if not self.lower[-1].exists(run, name):
                raise self._not_found(run, name)

    def is_persisted(self, run: str, name: str) -> bool:
        """Whether the durable tier has a name.

        Raises:
            SettingsError: there is none.
            TierError: it failed.
        """
        if not self.lower:
            raise self._nothing_durable(name)
        # A put publishes above before it copies below, and holds this meanwhile.
        with self.transfers.lock(run, name):
            return self.lower[-1].exists(run, name)

    def pin(self, run: str, name: str, pinned: bool) -> None:
        """Keep an object in memory, bringing it up for that, or no longer.

        Raises:
            ObjectNotFound: no such name in the run.
            StoreFull: there is no room for it to come up.
            TierError: a tier that may have it failed.
        """
        for _ in range(_LOOKS):
            if self.top.pin(run, name, pinned):
                return
            if not self.lower:
                break
            with self.transfers.lock(run, name):
                below = next((tier for tier in self.lower if tier.exists(run, name)), None)
                if below is not None and not self.top.exists(run, name):
                    if not pinned:
                        return
                    self.transfers.copy_up(below, self.top, run, name)
                    # Before the transfer is over, so that nothing evicts it in between.
                    self.top.pin(run, name, pinned)
                    return
        raise self._not_found(run, name)

    def open(self, run: str, name: str) -> Stored:
        """Take the lease of an object and read or map it; one from below comes up first if it has to.

        Raises:
            ObjectNotFound: no such name in the run.
            LayoutError: damaged.
            StoreFull: there is no room for it to come up.
            TierError: a tier that may have it failed.
        """
        stored = self._find(run, name)
        if stored is None:
            raise self._not_found(run, name)
        events.emit("get", run, name, stored.header.total, stored.tier)
        return stored

    def _find(self, run: str, name: str) -> Stored | None:
        stored = self.top.open(run, name)
        for look in range(_LOOKS if self.lower and stored is None else 0):
            try:
                stored = self._find_below(run, name)
            except ObjectReplaced:
                # Another host has put it anew: look again, and give up at the last look.
                if look == _LOOKS - 1:
                    raise
            # It may have come up since memory was looked at.
            stored = stored or self.top.open(run, name)
            if stored is not None:
                break
        return stored

    def _find_below(self, run: str, name: str) -> Stored | None:
        for disk in self._disks:
            stored = disk.open(run, name)
            if stored is not None:
                return self._raised(disk, stored, run, name) if self._is_hot(stored) else stored
        if self.remote is None:
            return None
        with self.transfers.lock(run, name):
            # While this waited another process may have brought it up.
            for folder in self.folders:
                stored = folder.open(run, name)
                if stored is not None:
                    return stored
            return self._brought(self.remote, run, name)

    def _raised(self, disk: Folder, stored: Stored, run: str, name: str) -> Stored | None:
        """An object of a disk in memory; where there is no room for it, it is read where it is."""
        with self.transfers.lock(run, name):
            if self.top.exists(run, name):
                return self.top.open(run, name)
            try:
                return self.transfers.copy_up(disk, self.top, run, name) or stored
            except StoreFull:
                return stored

    def _brought(self, remote: Tier, run: str, name: str) -> Stored | None:
        """An object of the remote tier in the first folder that has room for it, or else in memory of this process."""
        full: StoreFull | None = None
        for folder in self.folders:
            try:
                return self.transfers.copy_up(remote, folder, run, name)
            except StoreFull as error:
                full = error
        fetch = remote.fetch(run, name)
        if fetch is None:
            return None
        if full is not None and not has_headroom(fetch.header.total):
            raise full
        # Larger than all that objects may take here: whoever reads it has it for itself.
        return read_whole(remote.url, run, name, fetch)

    def info(self, run: str, name: str) -> tuple[ObjectInfo, str]:
        """What the header of an object says, and the URL of the tier that has it.

        Raises:
            ObjectNotFound: no such name in the run.
            LayoutError: damaged.
            TierError: a tier that may have it failed.
        """
        for _ in range(_LOOKS if self.lower else 1):
            for tier in self._tiers:
                info = tier.info(run, name)
                if info is not None:
                    return info, tier.url
        raise self._not_found(run, name)

    def exists(self, run: str, name: str) -> bool:
        """Whether the run has the name."""
        return any(tier.exists(run, name) for tier in self._tiers)

    def delete(self, run: str, name: str) -> int:
        """Take a name away everywhere; returns the object's bytes.

        Raises:
            ObjectNotFound: no such name in the run.
            TierError: a lower tier failed; the object is where it was.
        """
        if self.lower:
            with self.transfers.lock(run, name):
                # From below, so that a crash leaves no old copy to come up again.
                found = [tier.delete(run, name) for tier in reversed(self._tiers)]
        else:
            found = [self.top.delete(run, name)]
        nbytes = max((size for size in found if size is not None), default=None)
        if nbytes is None:
            raise self._not_found(run, name)
        events.emit("delete", run, name, nbytes, self.top.url)
        return nbytes

    def names(self, run: str) -> list[str]:
        """The names of a run, sorted."""
        return _union(tier.names(run) for tier in self._tiers)

    def runs(self) -> list[str]:
        """The runs that hold objects, sorted."""
        return _union(tier.runs() for tier in self._tiers)

    def drop_run(self, run: str) -> list[str]:
        """Take all names of a run away; returns those that there were, sorted.

        Raises:
            RootError: the root or a lower folder is gone.
            TierError: a lower tier failed; what it has not dropped is still there.
        """
        with self._ending(run):
            names = self.names(run)
            # From below, so that a crash leaves no old copy to come up again.
            for tier in reversed(self._tiers):
                tier.drop_run(run)
        events.emit("drop", run, "", 0, self.top.url)
        return names

    def drop_expired(self, until: float = math.inf) -> int:
        """Drop the runs whose time is up in every folder that knows them; object storage keeps no times.

        Args:
            until: a moment of the monotonic clock at which to end; others go on from there.

        Returns:
            How many were dropped.
        """
        dropped = 0
        for tier in self.folders:
            for run in turned(tier.run_folders()):
                if time.monotonic() >= until:
                    return dropped
                if tier.has_expired(run):
                    dropped += self._drop_expired(run, until)
        return dropped

    def _drop_expired(self, run: str, until: float) -> bool:
        """Drop a run if its time is up, at a moment when nobody puts into it."""
        try:
            with self._ending(run, deadline=0.0):
                if any(tier.has_expired(run) is False for tier in self.folders):
                    return False
                dropped = 0
                lifetime = max((tier.time_to_live(run) or 0.0 for tier in self.folders), default=0.0)
                # The folders last, since they know the time: what ends halfway goes on another time.
                if self.remote is not None:
                    # Other hosts put there as well, of which the folders of this one know nothing.
                    if self.remote.last_put(run) + lifetime > time.time():
                        return False
                    dropped += self.remote.drop_run(run, until=until)
                    if time.monotonic() >= until:
                        return False
                for folder in reversed(self.folders):
                    # Each looks again while nothing can be put into it.
                    dropped += folder.drop_run(run, until=until, expired=True)
        except StoreBusy:
            return False  # Somebody puts into it at this moment: it has not ended.
        if dropped:
            events.emit("drop", run, "", 0, self.top.url)
        return dropped > 0

    def _publish(self, writer: Writer | Growing, new: Tier, run: str, name: str, persist: bool) -> None:
        """Publish an object in a tier; what the others have under its name is replaced or goes."""
        if not self.lower:
            writer.publish()
            return
        if new is not self.top:
            self.transfers.note_below()
        with self.transfers.lock(run, name):
            writer.publish()
            for tier in reversed(self._tiers):
                if tier is new:
                    new.sync(run)
                elif persist and tier is self.lower[-1]:
                    try:
                        # Whatever is not the last tier is a folder.
                        self._persist(self.folders[self._tiers.index(new)], run, name)
                    except StoreFull as error:
                        raise TierError(
                            f"{name!r} is in memory, but not persisted: {error}", tier=tier.url, run=run, name=name
                        ) from error
                else:
                    self._forget(tier, run, name)

    def _forget(self, tier: Tier, run: str, name: str) -> None:
        """Take what a tier still has of a name away, which has just been put into another one."""
        try:
            tier.delete(run, name)
        except OSError as error:
            raise TierError(
                f"{name!r} is put, and whoever gets it has the new value; but what {tier.url} may have of it from before "
                f"could not be removed, and would come back with the loss of the new one: {error} Put it once more when "
                "that tier can be reached.",
                tier=tier.url,
                run=run,
                name=name,
            ) from error

    def _ending(self, run: str, deadline: float | None = None) -> AbstractContextManager[object]:
        """What keeps every transfer of a run away while it is dropped, which takes several steps.

        In memory alone it takes one, which keeps puts away by itself.
        """
        if not self.lower:
            return nullcontext()
        return self.transfers.ending(run) if deadline is None else self.transfers.ending(run, deadline)

    def _is_hot(self, stored: Stored) -> bool:
        """Whether an object on a disk was read before, and there is room above it or something older to give way."""
        if not stored.used_before or stored.header.total > self.top.capacity:
            return False
        if ledger.read(self.top.root) + stored.header.total <= self.top.capacity:
            return True
        # What was the oldest once is older still than what is now: mostly no folder has to be read.
        if stored.status.st_atime_ns > self._oldest:
            listed = self.top.by_age()
            self._oldest = listed[0].used if listed else 0
        return stored.status.st_atime_ns > self._oldest

    def _persist(self, folder: Folder, run: str, name: str) -> bool:
        """See to it that the durable tier has an object for good; returns whether there is one in the folder above."""
        durable = self.lower[-1]
        if self.transfers.copy_down(folder, durable, run, name) is None:
            return False
        durable.sync(run)
        return True

    def _nothing_durable(self, name: str) -> SettingsError:
        return SettingsError(
            f"{name!r} cannot be persisted: the store {self.top.url} has no lower tier. Name one (spill=), such as a "
            "folder on a disk or s3://bucket/prefix."
        )

    def _not_found(self, run: str, name: str) -> ObjectNotFound:
        return ObjectNotFound(
            f"There is no object {name!r} in run {run!r} of the store {self.top.url}.",
            name=name,
            run=run,
            suggest=partial(self._suggest, run, name),
        )

    def _suggest(self, run: str, name: str) -> tuple[list[str], str]:
        """Names of a run that look like one, and what to say to whoever looked for that."""
        names = [each for each in self.names(run) if not is_record(each)]
        matches = nearest(name, names[:10_000], most=3)
        if matches:
            return matches, did_you_mean(name, matches, "", most=3)
        if names:
            look = command("bodega", "ls", "--run", run, *root_option(self.top.root.path))
            rest, them = ("one other", "it") if len(names) == 1 else (f"{len(names):,} others", "them")
            return [], f"The run has {rest}: {look} shows {them}."
        others = self.runs()
        return [], "The run has no objects" + (
            f"; there are runs {', '.join(map(repr, others[:5]))}." if others else "."
        )


def _union(lists: Iterator[list[str]]) -> list[str]:
    return sorted(set().union(*lists))
