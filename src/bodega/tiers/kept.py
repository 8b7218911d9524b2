"""What a root says of its store: its capacity and its lower tiers, so that all who open it see and do the same.

A folder on a disk that serves as a lower tier says in turn which root it belongs to: two stores that move objects of the
same run and name into one folder would take each other's for their own.

Whoever opens a store with settings of their own has them for that handle alone. They are kept for others where nobody
can mind, since the root is empty, and where others could not do without, since objects lie in the lower tiers.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from bodega.errors import LayoutError, SettingsError
from bodega.memory import locks, places
from bodega.memory.root import MARKER, Root
from bodega.texts import command

_FILE = "store.json"
_OWNER = "belongs-to.json"
_HOLDS = "holds"
"""Whether objects may lie in the lower tiers: one that is gone is then an error, else it is made anew."""


def recall(root: Root) -> dict[str, Any]:
    """The settings of those who open the root without any: ``capacity`` (text or bytes) and ``spill`` (a list), if known.

    Raises:
        LayoutError: the file is damaged.
    """
    return _read(root, _FILE)


def adopt(root: Root, given: dict[str, Any]) -> None:
    """Keep what an empty root is opened with, unless it has such a setting; one with objects keeps to its own."""
    if given.keys() <= recall(root).keys() or not _is_empty(root):
        return
    with _changes(root):
        # Among two that open a new root at once, each may give what the other does not.
        _write(root, _FILE, {_HOLDS: False, **given, **recall(root)})


def change(root: Root, settings: dict[str, Any]) -> None:
    """Keep settings in place of those that are there."""
    with _changes(root):
        _write(root, _FILE, {**recall(root), **settings, _HOLDS: True})


def forget(root: Root) -> None:
    """Keep no settings any more."""
    with _changes(root), suppress(FileNotFoundError):
        root.remove(_FILE)


def note_below(root: Root, spill: Sequence[str]) -> None:
    """Keep in mind that objects lie in lower tiers: before the first one does, for it must never look lost.

    A root that is set to other tiers goes on with those: who names tiers with each open has what lies there alone.
    """
    known = recall(root)
    if known.get("spill", list(spill)) != list(spill) or ("spill" in known and holds_below(known)):
        return
    with _changes(root):
        known = recall(root)
        if known.setdefault("spill", list(spill)) == list(spill):
            _write(root, _FILE, {**known, _HOLDS: True})


def holds_below(settings: dict[str, Any]) -> bool:
    """Whether objects may lie in the lower tiers that a root is set to."""
    return bool(settings.get(_HOLDS, True))


def claim(lower: Root, owner: Root) -> None:
    """Make a folder the lower tier of one root.

    Raises:
        SettingsError: it belongs to another root that is still there.
    """
    here = str(owner.path.resolve())
    if _read(lower, _OWNER).get("root") == here:
        return
    with _changes(lower):
        found = _read(lower, _OWNER).get("root")
        if found not in {None, here} and os.path.exists(os.path.join(found, MARKER)):
            raise SettingsError(
                f"The folder {lower.path} is the lower tier of another store, {found}: their objects would be mixed up. "
                "Name another folder (spill=), or remove that store first."
            )
        if found is None and not _is_empty(lower):
            raise SettingsError(
                f"The folder {lower.path} is the root of a store that has objects, and not a lower tier: they would be "
                "taken for what was evicted, and dropped with it. Name another folder (spill=)."
            )
        _write(lower, _OWNER, {"root": here})


def _changes(root: Root) -> locks.Exclusive:
    """Around reading settings and writing them: else one of two that change them at once would be lost."""
    return root.lock("settings", "What is said of the store")


def _is_empty(root: Root) -> bool:
    with places.scan(root.runs) as entries:
        return next(entries, None) is None


def _read(root: Root, name: str) -> dict[str, Any]:
    path = root.path / name
    try:
        text = root.read(name)
    except FileNotFoundError:
        return {}
    try:
        found = json.loads(text)
        if not isinstance(found, dict):
            raise TypeError("no object")
        if name == _OWNER and not isinstance(found.get("root"), str):
            raise TypeError("no path of a root")
        tiers = found.get("spill", [])
        if not isinstance(tiers, list) or not all(isinstance(tier, str) for tier in tiers):
            raise TypeError("no object with a list of tiers")
    except (ValueError, TypeError, RecursionError) as error:
        remedy = (
            "Remove it, and open the store that this folder is a lower tier of."
            if name == _OWNER
            else "Forget what it says, and open the store with spill= and capacity= once more: "
            + command("bodega", "settings", "--forget", "--root", root.path)
        )
        raise LayoutError(f"{path} is damaged ({error}). {remedy}", path=str(path)) from None
    return found


def _write(root: Root, name: str, facts: dict[str, Any]) -> None:
    root.write(name, json.dumps(facts).encode())
