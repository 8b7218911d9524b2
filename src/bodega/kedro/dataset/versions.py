"""The versions of a dataset with ``versioned: true``: objects of their own, which are kept.

A version is the object ``model@2026-01-31T08.30.00.000Z`` of the dataset's run. Versions that persist outlive their
run: they lie in a run that all runs of the project share. There the newest version may be another run's, so a run
keeps a record of the version it saved last, and goes on with that. So does a workflow with the one that its first task
to read the dataset found: tasks hours apart read the same.
"""

from __future__ import annotations

from glob import escape
from typing import TYPE_CHECKING, NamedTuple

from bodega.names import RESERVED

if TYPE_CHECKING:
    from bodega.store import Store

MARK = "@"
"""Between the name and the version. Kedro's own mark of transcoding, so no stored dataset has it in its name."""
_PINNED = f"{RESERVED}version/"


class Versions(NamedTuple):
    """The versions of one dataset."""

    name: str
    """The stored name of the dataset."""
    kept: Store
    """Where the versions are."""
    own: Store | None
    """The run's own store, where that is another."""

    def object_name(self, version: str) -> str:
        """The name of the object that is a version."""
        return f"{self.name}{MARK}{version}"

    def saved(self) -> list[str]:
        """All versions, the newest first."""
        start = len(self.object_name(""))
        return [name[start:] for name in reversed(self.kept.names(f"{escape(self.name)}{MARK}?*"))]

    def latest(self) -> str | None:
        """The version that this run goes on with, else the newest."""
        return self.pinned() or next(iter(self.saved()), None)

    def pinned(self) -> str | None:
        """The version that this run goes on with, if it has settled on one."""
        version: str | None = None if self.own is None else self.own.get(_PINNED + self.name, None)
        return version

    def pin(self, version: str) -> None:
        """Let this run go on with a version."""
        if self.own is not None:
            self.own.put(_PINNED + self.name, version, persist=True)
