"""The store: values by name, in a run, under a root."""

from __future__ import annotations

import builtins
import os
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from bodega import codecs
from bodega.errors import InvalidName, LayoutError, NotShareable, ObjectNotFound
from bodega.layout import ObjectInfo, damaged, parse_stream
from bodega.memory import ledger, pool
from bodega.memory.root import Root, open_root
from bodega.names import to_filename
from bodega.settings import parse_size, resolve_run
from bodega.sweep import Swept, leftovers, sweep
from bodega.tiers.directory import DirectoryTier


@dataclass(frozen=True, slots=True)
class Usage:
    """What a store takes, in bytes of whole pages."""

    root: str
    filesystem: str
    """Its type, such as ``tmpfs``."""
    capacity: int | None
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


class Store(MutableMapping[str, Any]):
    """Values by name; made by `bodega.open`.

    A mapping of names to values: ``store["x"] = value``, ``store["x"]``, ``"x" in store``, ``del store["x"]``,
    ``list(store)``, ``len(store)``. It holds no descriptor and no lock, so it can be shared between threads, survives
    fork, and pickles.
    """

    def __init__(self, root: Root, run: str, capacity: int | None = None) -> None:
        to_filename(run, what="run")
        self._root = root
        self._run = run
        self._tier = DirectoryTier(root, capacity)

    @property
    def root(self) -> os.PathLike[str]:
        """The folder that holds the store."""
        return self._root.path

    @property
    def run(self) -> str:
        """The namespace of names."""
        return self._run

    def with_run(self, run: str) -> Store:
        """The same store seen from another run."""
        return Store(self._root, run, self._tier.capacity)

    def put(self, name: str, value: object) -> ObjectInfo:
        """Publish a value under a name, in one atomic step; readers of the name's old object keep it.

        Args:
            name: any text of up to 255 bytes.
            value: data; the README says what is shared without copies.

        Returns:
            What the store now says of the object.

        Raises:
            InvalidName: the name cannot be kept.
            NotShareable: the value is a handle, not data, or does not pickle.
            StoreFull: it does not fit; the old object is untouched.
        """
        if value is None:
            raise NotShareable(
                f"None cannot be put as {name!r}: it says that there is no data. Delete the name instead.", kind="None"
            )
        return self._tier.put(self._run, name, lambda sink: codecs.encode(value, sink))

    def get(self, name: str, default: Any = ...) -> Any:
        """The value under a name: a view of the store's bytes, which may be changed freely and seen by nobody else.

        Args:
            name: of the object.
            default: returned where there is no such name; without it that is an error.

        Raises:
            ObjectNotFound: no such name (a `KeyError`).
            LayoutError: the object is damaged.
        """
        try:
            stored = self._tier.open(self._run, name)
        except ObjectNotFound:
            if default is ...:
                raise
            return default
        data, description = stored.data, stored.description
        stream = parse_stream(stored.header, data, stored.path)
        buffers = [data[offset : offset + length] for offset, length in description.buffers]
        try:
            return codecs.decode(description.recipe, stream, buffers)
        except LayoutError as error:
            raise damaged(stored.path, str(error)) from error

    def info(self, name: str) -> ObjectInfo:
        """What is known of an object; reads its header only and unpickles nothing.

        Raises:
            ObjectNotFound: no such name (a `KeyError`).
            LayoutError: the object is damaged.
        """
        return self._tier.info(self._run, name)

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

    def names(self, pattern: str = "*") -> builtins.list[str]:
        """The names of the run that match a shell pattern, sorted."""
        return [name for name in self._tier.names(self._run) if fnmatchcase(name, pattern)]

    def exists(self, name: str) -> bool:
        """Whether the run has an object of this name."""
        return self._tier.exists(self._run, name)

    def delete(self, name: str) -> int:
        """Take a name away; those who hold its object keep it. Returns the object's bytes in whole pages.

        Raises:
            ObjectNotFound: no such name (a `KeyError`).
        """
        return self._tier.delete(self._run, name)

    def runs(self) -> builtins.list[str]:
        """All runs of the store that hold objects, sorted."""
        return self._tier.runs()

    def drop_run(self, run: str | None = None) -> int:
        """Delete all objects of a run (this one, by default); returns how many there were."""
        return self._tier.drop_run(self._run if run is None else run)

    def usage(self) -> Usage:
        """What the store takes and what is left."""
        runs = [self._tier.names(run) for run in self._tier.runs()]
        return Usage(
            root=str(self._root.path),
            filesystem=self._root.filesystem.type,
            capacity=self._tier.capacity,
            used=ledger.read(self._root),
            pool=pool.size(self._root),
            free=self._root.free(),
            objects=sum(map(len, runs)),
            runs=len(runs),
            leftovers=len(leftovers(self._root)),
        )

    def sweep(self, *, empty_pool: bool = False) -> Swept:
        """Free what crashes left; ``empty_pool`` also gives the memory of warm segments back to the system."""
        return sweep(self._root, empty_pool=empty_pool)

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
        return len(self._tier.names(self._run))

    def __repr__(self) -> str:
        return f"<bodega.Store {self._root.path} run={self._run!r}>"

    # Two stores are not compared by loading all their values.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (str(self._root.path), self._run, self._tier.capacity)


def _reopen(root: str, run: str, capacity: int | None) -> Store:
    return Store(open_root(root), run, capacity)


def open(
    root: str | os.PathLike[str] | None = None,
    *,
    run: str | None = None,
    capacity: int | str | None = None,
) -> Store:
    """Open a store, making its root where there is none.

    Args:
        root: a folder on tmpfs or a local disk; else ``BODEGA_ROOT``, else one of this user's in shared memory.
        run: the namespace of names; else ``BODEGA_RUN``, else ``default``.
        capacity: how much all objects may take together, in bytes or as ``"8GiB"``; by default what the file
            system has.

    Raises:
        RootError: the folder cannot be used.
        SettingsError: the capacity is not understood.
        UnsupportedPlatform: not Linux or macOS.
    """
    return Store(open_root(root), resolve_run(run), None if capacity is None else parse_size(capacity))
