"""What a root says of its store: its capacity and its lower tiers, so that all who open it see and do the same.

A folder on a disk that serves as a lower tier says in turn which root it belongs to: two stores that move objects of the
same run and name into one folder would take each other's for their own.
"""

from __future__ import annotations

import json
import os
from typing import Any

from bodega.errors import LayoutError, SettingsError
from bodega.memory.root import MARKER, Root

_FILE = "store.json"
_OWNER = "belongs-to.json"


def recall(root: Root) -> dict[str, Any]:
    """The settings that were given last: ``capacity`` (as text or bytes) and ``spill`` (a list), where there are any.

    Raises:
        LayoutError: the file is damaged.
    """
    return _read(root, _FILE)


def remember(root: Root, settings: dict[str, Any]) -> None:
    """Write settings down beside those that are there. They hold no secrets."""
    known = recall(root)
    if known != (settings := {**known, **settings}):
        _write(root, _FILE, settings)


def claim(lower: Root, owner: Root) -> None:
    """Make a folder the lower tier of one root.

    Raises:
        SettingsError: it belongs to another root that is still there.
    """
    here = str(owner.path.resolve())
    found = _read(lower, _OWNER).get("root")
    if found == here:
        return
    if found is not None and os.path.exists(os.path.join(found, MARKER)):
        raise SettingsError(
            f"The folder {lower.path} is the lower tier of another store, {found}: their objects would be mixed up. "
            "Name another folder (spill=), or remove that store first."
        )
    _write(lower, _OWNER, {"root": here})


def _read(root: Root, name: str) -> dict[str, Any]:
    path = root.path / name
    try:
        text = root.read(name)
    except FileNotFoundError:
        return {}
    try:
        found = json.loads(text)
        if not isinstance(found, dict) or not isinstance(found.get("spill", []), list):
            raise TypeError("no object with a list of tiers")
    except (ValueError, TypeError) as error:
        raise LayoutError(
            f"{path} is damaged ({error}): remove it, and open the store with spill= and capacity= once more.",
            path=str(path),
        ) from None
    return found


def _write(root: Root, name: str, facts: dict[str, Any]) -> None:
    root.write(name, json.dumps(facts).encode())
