"""The store: values by name, in a run, under a root."""

from __future__ import annotations

import builtins
import os
import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from bodega import codecs, events
from bodega.errors import (
    InvalidName,
    LayoutError,
    NotShareable,
    ObjectNotFound,
    SettingsError,
    TierError,
    UntrustedObject,
)
from bodega.format import ObjectInfo, damaged, parse_stream
from bodega.memory import ledger, pool
from bodega.memory.root import Root, open_root
from bodega.memory.sweep import SHARE, Swept, is_due, leftovers, sweep, sweep_some
from bodega.names import is_record, to_filename
from bodega.opening import Options, Trust, make_options, open_tiers, parse_tiers, with_hints
from bodega.settings import check_flag, parse_capacity, resolve_run
from bodega.tiers.base import Tier
from bodega.tiers.kept import adopt, change
from bodega.tiers.stack import TierStack

if TYPE_CHECKING:
    from bodega.streams import StreamWriter

_Method = TypeVar("_Method", bound=Callable[..., object])
_Default = TypeVar("_Default")
_MISSING: Any = object()
"""Stands for a default that was not given: None is one that can be."""

_LOOK_INTERVAL = 10.0
"""Seconds after which a store asks again whether a small sweep is due."""


@dataclass(frozen=True, slots=True)
class TierUsage:
    """What a lower tier holds."""

    url: str
    objects: int
    used: int | None
    """Bytes in whole pages; None where the tier does not say."""
    capacity: int | None


@dataclass(frozen=True, slots=True)
class Usage:
    """What a store takes, in bytes of whole pages."""

    root: str
    filesystem: str
    """Its type, such as ``tmpfs``."""
    capacity: int
    used: int
    """By all segments of the root, those of the pool included."""
    pool: int
    """By segments kept warm for the next puts."""
    free: int
    """What the file system has left for this user."""
    objects: int
    runs: int
    leftovers: int
    """Segments without a name: being written, replaced and still mapped, or left by a crash (a sweep frees those)."""
    tiers: tuple[TierUsage, ...] = ()
    """The lower tiers; objects and runs above count those in memory only. Records of bodega's own count nowhere."""


def _explained(method: _Method) -> _Method:
    """Say what is wrong with a root where that is why a call of the system failed, instead of what the system says."""

    @wraps(method)
    def explained(self: Store, *arguments: Any, **given: Any) -> object:
        try:
            return method(self, *arguments, **given)
        except OSError as error:
            self._stack.explain(error)
            raise

    return cast("_Method", explained)


class Store(MutableMapping[str, Any]):
    """Values by name; made by `bodega.open`.

    A mapping of names to values: ``store["x"] = value``, ``store["x"]``, ``"x" in store``, ``del store["x"]``,
    ``list(store)``, ``len(store)``. It holds no descriptor and no lock, so it can be shared between threads, survives
    fork, and pickles.
    """

    def __init__(self, stack: TierStack, run: str, options: Options) -> None:
        to_filename(run, what="run")
        self._stack, self._run, self._options = stack, run, options
        self._next_look = 0.0
        """When to ask again whether a sweep is due, on the monotonic clock."""

    @property
    def root(self) -> os.PathLike[str]:
        """The folder that holds the store."""
        return self._root.path

    @property
    def _root(self) -> Root:
        return self._stack.top.root

    @property
    def run(self) -> str:
        """The namespace of names."""
        return self._run

    @_explained
    def with_run(self, run: str) -> Store:
        """The same store seen from another run; a time-to-live stays with the run that it was given for."""
        options = self._options if run == self._run else self._options._replace(time_to_live=None)
        return Store(self._stack, run, options)

    @_explained
    def put(self, name: str, value: object, *, persist: bool = False, pin: bool = False) -> ObjectInfo:
        """Publish a value under a name, in one atomic step; readers of the name's old object keep it.

        Args:
            name: any text of up to 255 bytes.
            value: data; the README says what is shared without copies.
            persist: return only when the durable tier has it too (the last one of ``spill=``).
            pin: keep it in memory, however full that gets.

        Returns:
            What the store now says of the object.

        Raises:
            InvalidName: the name cannot be kept.
            NotShareable: the value is a handle, not data, or does not pickle.
            StoreFull: it does not fit; the old object is untouched.
            TierError: a lower tier failed; the object is in memory.
        """
        check_flag("persist", persist)
        check_flag("pin", pin)
        if value is None:
            raise NotShareable(
                f"None cannot be put as {name!r}: it says that there is no data. Delete the name instead.", kind="None"
            )
        info = self._stack.put(
            self._run,
            name,
            lambda sink: codecs.encode(value, sink),
            persist=persist,
            pinned=pin,
        )
        if pin:
            self.pin(name)
        self._after_put(info)
        return info

    @_explained
    def stream(self, name: str, *, persist: bool = False) -> StreamWriter:
        """Publish a value that comes in chunks, when the last one is there; until then readers have the old object.

        Each chunk is written as it comes, so that the writer needs room for one of them only. A `get` returns `Chunks`.
        In memory a stream takes the room of all its chunks; where there is not enough, it moves to the next folder
        of ``spill=``.

        Args:
            name: any text of up to 255 bytes.
            persist: as for `put`.

        Returns:
            A context: what was appended inside it is published at its end, unless that is an error.

        Raises:
            InvalidName: the name cannot be kept.
        """
        check_flag("persist", persist)
        from bodega.streams import StreamWriter  # Most stores never need it.

        return StreamWriter(self._stack.grow(self._run, name, persist=persist), self._after_put)

    def _after_put(self, info: ObjectInfo) -> None:
        events.emit("put", self._run, info.name, info.nbytes, info.tier)
        if self._options.time_to_live is not None:
            for tier in self._stack.folders:
                tier.set_time_to_live(self._run, self._options.time_to_live)
        if time.monotonic() >= self._next_look:
            self._sweep_some()

    @overload
    def get(self, name: str) -> Any: ...

    @overload
    def get(self, name: str, default: _Default) -> Any | _Default: ...

    def get(self, name: str, default: Any = _MISSING) -> Any:
        """The value under a name: a view of the store's bytes, which may be changed freely and seen by nobody else.

        Args:
            name: of the object.
            default: returned where there is no such name; without it that is an error.

        Raises:
            ObjectNotFound: no such name (a `KeyError`).
            LayoutError: the object is damaged.
            UntrustedObject: it would have to be unpickled, and the store was opened with ``trust="data"``.
            TierError: it is in a lower tier that failed.
        """
        try:
            stored = self._stack.open(self._run, name)
        except ObjectNotFound:
            if default is _MISSING:
                raise
            return default
        except OSError as error:  # As `_explained` does, which would cost a small get some percent.
            self._stack.explain(error)
            raise
        data, description = stored.data, stored.description
        if self._options.verify:
            stored.verify()
        if self._options.trust == "data" and not codecs.is_plain(description.recipe):
            raise UntrustedObject(
                f"{name!r} in run {self._run!r} is a {description.info.kind}, which has to be unpickled: that could run "
                "code of whoever put it. Put it as arrays, or open the store with trust='code' if you trust its writers.",
                name=name,
                kind=description.info.kind,
            )
        stream = parse_stream(stored.header, data, stored.path)
        try:
            return codecs.decode(description.recipe, stream, description.views(data))
        except LayoutError as error:
            raise damaged(stored.path, str(error)) from error

    @_explained
    def info(self, name: str) -> ObjectInfo:
        """What is known of an object; reads its header only and unpickles nothing.

        Raises:
            ObjectNotFound: no such name (a `KeyError`).
            LayoutError: the object is damaged.
        """
        info, tier = self._stack.info(self._run, name)
        return replace(info, tier=tier)

    @_explained
    def list(self, pattern: str = "*") -> builtins.list[ObjectInfo]:
        """`info` of each object whose name matches a shell pattern (case counts), sorted by name.

        Raises:
            LayoutError: an object is damaged; `names` lists it all the same.
        """
        found = []
        for name in self.names(pattern):
            try:
                found.append(self.info(name))
            except ObjectNotFound:
                continue  # Deleted since the names were read.
        return found

    @_explained
    def names(self, pattern: str = "*") -> builtins.list[str]:
        """The names of the run that match a shell pattern, sorted; bodega's own records only if the pattern begins so."""
        return self._names(self._run, pattern)

    @_explained
    def exists(self, name: str) -> bool:
        """Whether the run has an object of this name."""
        return self._stack.exists(self._run, name)

    @_explained
    def delete(self, name: str) -> int:
        """Take a name away; those who hold its object keep it. Returns the object's bytes in whole pages.

        Raises:
            ObjectNotFound: no such name (a `KeyError`).
        """
        return self._stack.delete(self._run, name)

    @_explained
    def persist(self, name: str) -> None:
        """Copy an object to the durable tier (the last one of ``spill=``); returns when it is safe there.

        Raises:
            ObjectNotFound: no such name (a `KeyError`).
            SettingsError: the store has no lower tier.
            TierError: the tier failed.
        """
        self._stack.persist(self._run, name)

    @_explained
    def is_persisted(self, name: str) -> bool:
        """Whether the durable tier (the last one of ``spill=``) has the name; a put on its way there is waited for.

        Raises:
            SettingsError: the store has no lower tier.
            TierError: the tier failed.
        """
        return self._stack.is_persisted(self._run, name)

    @_explained
    def pin(self, name: str, pinned: bool = True) -> None:
        """Keep an object in memory, however full that gets, until its name is put again or unpinned.

        Raises:
            ObjectNotFound: no such name (a `KeyError`).
            StoreFull: there is no room for it in memory.
        """
        check_flag("pinned", pinned)
        self._stack.pin(self._run, name, pinned)

    @_explained
    def runs(self) -> builtins.list[str]:
        """All runs of the store that hold objects, sorted."""
        return self._stack.runs()

    @_explained
    def runs_in_memory(self) -> builtins.list[str]:
        """The runs that hold objects in memory, sorted; no other tier is asked."""
        return self._stack.top.runs()

    @_explained
    def drop_run(self, run: str | None = None) -> int:
        """Delete all objects of a run (this one, by default); returns how many there were."""
        run = self._run if run is None else run
        to_filename(run, what="run")
        return sum(not is_record(name) for name in self._stack.drop_run(run))

    @_explained
    def keep_settings(self) -> None:
        """Make capacity and lower tiers of this store those of whoever opens its root without saying any."""
        settings = {"capacity": self._options.capacity, "spill": list(self._options.spill)}
        change(self._root, {key: value for key, value in settings.items() if value is not None})

    @_explained
    def usage(self) -> Usage:
        """What the store takes and what is left.

        Raises:
            RootError: the root or a lower folder is gone.
        """
        self._stack.require_folders()
        runs = _objects(self._stack.top)
        return Usage(
            root=str(self._root.path),
            filesystem=self._root.filesystem.type,
            capacity=self._stack.top.capacity,
            used=ledger.read(self._root),
            pool=pool.size(self._root),
            free=self._root.free(),
            objects=sum(runs),
            runs=len(runs),
            leftovers=len(leftovers(self._root)),
            tiers=tuple(self._lower_usage()),
        )

    def _lower_usage(self) -> Iterator[TierUsage]:
        for disk in self._stack.folders[1:]:
            yield TierUsage(disk.url, sum(_objects(disk)), ledger.read(disk.root), disk.capacity)
        if (remote := self._stack.remote) is not None:
            yield TierUsage(remote.url, sum(_objects(remote)), None, None)

    @_explained
    def sweep(self, *, empty_pool: bool = False) -> Swept:
        """Free what crashes left, and runs whose time is up.

        Args:
            empty_pool: also give the memory of warm segments back to the system.

        Raises:
            RootError: the root or a lower folder is gone.
        """
        check_flag("empty_pool", empty_pool)
        self._stack.require_folders()
        dropped = self._stack.drop_expired()
        # Last, since it counts what there is.
        done = [sweep(tier.root, empty_pool=empty_pool) for tier in self._stack.folders]
        swept = Swept(sum(each.files for each in done), sum(each.nbytes for each in done), dropped)
        events.emit("sweep", "", "", swept.nbytes, self._stack.top.url)
        return swept

    @_explained
    def warm_up(self, nbytes: int | str) -> None:
        """Have so much memory warm for the next puts; see ``prefault`` of `open`.

        Raises:
            SettingsError: more than the capacity, or than the pool may hold.
            StoreFull: the file system has less.
        """
        wanted = parse_capacity(nbytes, self._root.size())
        if wanted > self._stack.top.capacity:
            raise SettingsError(
                f"{wanted:,} bytes cannot be kept warm (prefault=): the capacity of the store is {self._stack.top.capacity:,}."
            )
        pool.prefault(self._root, wanted)

    def _names(self, run: str, pattern: str = "*") -> builtins.list[str]:
        if not isinstance(pattern, str):
            raise SettingsError(
                f"A pattern of names is a text, such as 'features/*', not {pattern!r:.200} of type {type(pattern).__name__}."
            )
        return [
            name
            for name in self._stack.names(run)
            if fnmatchcase(name, pattern) and is_record(name) == is_record(pattern)
        ]

    def _sweep_some(self) -> None:
        """The share of a put in cleaning up, so that nobody needs a timer."""
        self._next_look = time.monotonic() + _LOOK_INTERVAL
        if not is_due(self._root):
            return
        # First, since what they free is bounded by time as well, and all of it is found by the next one.
        with suppress(TierError):  # The put is done, and the next look tries again.
            self._stack.drop_expired(time.monotonic() + SHARE)
        for tier in self._stack.folders:
            sweep_some(tier.root)

    def __getitem__(self, name: str) -> Any:
        return self.get(name)

    def __setitem__(self, name: str, value: object) -> None:
        self.put(name, value)

    def __delitem__(self, name: str) -> None:
        self.delete(name)

    def __contains__(self, name: object) -> bool:
        try:
            return isinstance(name, str) and self.exists(name)
        except InvalidName:
            return False

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __len__(self) -> int:
        return len(self.names())

    def __repr__(self) -> str:
        return f"<bodega.Store {self._root.path} run={self._run!r}>"

    # Two stores are not compared by loading all their values.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (str(self._root.path), self._run, self._options)


def _reopen(path: str, run: str, options: Options) -> Store:
    return Store(open_tiers(open_root(path, group=options.group), options), run, options)


def _objects(tier: Tier) -> builtins.list[int]:
    """How many objects each run has in a tier, without bodega's own records: as many as a list of it shows."""
    return [sum(not is_record(name) for name in tier.names(run)) for run in tier.runs()]


@with_hints
def open(
    root: str | os.PathLike[str] | None = None,
    *,
    run: str | None = None,
    capacity: int | str | None = None,
    spill: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None,
    storage_options: Mapping[str, str] | None = None,
    time_to_live: float | str | None = None,
    prefault: int | str | None = None,
    verify: bool = False,
    trust: Trust = "code",
    group: bool = False,
) -> Store:
    """Open a store, making its root where there is none.

    Args:
        root: a folder on tmpfs or a local disk; else ``BODEGA_ROOT``, else one of this user's in shared memory.
        run: the namespace of names; else ``BODEGA_RUN``, else ``default``.
        capacity: how much all objects in memory may take together: bytes, ``"8GiB"``, or a share of the file system
            such as ``"50%"``; else what the root is set to, and 80% for a new one.
        spill: lower tiers, the fastest first: a folder on a disk, and last an ``s3://``, ``gs://``, ``az://`` or
            ``file://`` URL. A folder may say what it may take, as ``/folder?capacity=1TiB``. Objects move there when memory is full, and come up again when they are read. The last is
            the durable tier. An empty root is set to capacity and spill that it is opened with, for whoever opens it
            without; one with objects stays as it is set, and these hold for this store alone. ``()`` is a store without
            lower tiers. ``bodega settings`` shows, changes and forgets what a root is set to.
        storage_options: of object storage, such as endpoint and keys, in obstore's words; else the environment's.
        time_to_live: a run that nothing is put into for so long (seconds, ``"12h"``, ``"7d"``) may be dropped.
        prefault: how much memory to have warm for the first puts.
        verify: keep a digest of every object that is put, and compare it with every get of one that has a digest.
        trust: ``"data"`` refuses every object that would have to be unpickled, which could run its writer's code.
        group: share a new root with the members of the folder's group (mode 2770), or use one that another member has
            shared. Whoever unpickles there trusts all of them; see ``trust``.

    Raises:
        RootError: the folder cannot be used.
        SettingsError: the capacity or another setting is not understood.
        UnsupportedPlatform: not Linux or macOS.
    """
    check_flag("group", group)
    checked = open_root(root, group=group)
    given = parse_tiers(capacity, spill)
    options = make_options(
        checked,
        given,
        storage_options=storage_options,
        time_to_live=time_to_live,
        verify=verify,
        trust=trust,
        group=group,
    )
    name = resolve_run(run)
    store = Store(open_tiers(checked, options), name, options)
    # Only what was understood and could be opened is there for others.
    adopt(checked, given)
    if prefault is not None:
        store.warm_up(prefault)
    return store
