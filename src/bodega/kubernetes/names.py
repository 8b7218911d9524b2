"""Names that Kubernetes and Argo take, of names that were made for people.

Kedro's names may hold capitals, dots, underscores, letters of any script, and, before Kedro 1.1, commas and brackets.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable

MAX_LABEL = 63
"""Characters of a label of RFC 1123, which names of pods are built of."""
_DIGEST = 8


def unique_names(names: Iterable[str], *, taken: Iterable[str] = (), parameters: bool = False) -> dict[str, str]:
    """A valid name for each of some names, unique among them; it depends on no order.

    Args:
        names: of tasks or parameters, all different.
        taken: names that are not free.
        parameters: names of Argo's parameters, which may hold capitals and underscores too.

    Returns:
        The valid name of each. It reads like the name it stands for; where two read the same, or a name is too long, the
        end is a digest of that name.
    """
    given = list(names)
    cleaned = {name: _clean(name, parameters=parameters) for name in given}
    count = Counter(cleaned.values()) + Counter(taken)
    return {
        name: _with_digest(clean, name) if count[clean] > 1 or not _fits(clean) else clean
        for name, clean in cleaned.items()
    }


def _fits(clean: str) -> bool:
    return 0 < len(clean) <= MAX_LABEL


def _clean(name: str, *, parameters: bool) -> str:
    if parameters:
        return re.sub(r"[^-A-Za-z0-9_]+", "-", name)
    clean = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    # What depends on a task cannot say so where its name begins with a digit.
    return f"task-{clean}" if clean[:1].isdigit() else clean


def _with_digest(clean: str, name: str) -> str:
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:_DIGEST]
    start = clean[: MAX_LABEL - _DIGEST - 1].rstrip("-") or "task"
    return f"{start}-{digest}"
