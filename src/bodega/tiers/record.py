"""Which lower tiers a root has, written down in the root: whoever opens it sees the objects that moved there."""

from __future__ import annotations

import json
import os

from bodega.errors import LayoutError
from bodega.memory.root import Root

_FILE = "tiers.json"


def remember(root: Root, spill: tuple[str, ...]) -> None:
    """Write the folders and URLs of lower tiers down, the fastest first. They hold no secrets."""
    if recall(root) == spill:
        return
    draft = root.temporary()
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    root.share(descriptor)
    with open(descriptor, "w", encoding="utf-8") as file:
        json.dump({"spill": spill}, file)
    os.rename(draft, root.path / _FILE)


def recall(root: Root) -> tuple[str, ...]:
    """What was written down last.

    Raises:
        LayoutError: the file is damaged.
    """
    path = root.path / _FILE
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return ()
    try:
        return tuple(map(str, json.loads(text)["spill"]))
    except (ValueError, KeyError, TypeError) as error:
        raise LayoutError(
            f"{path} is damaged ({error}): open the store with spill= once to write it anew.", path=str(path)
        ) from None
