"""What a check says: of a machine, of a project, of a manifest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "note", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found."""

    level: Level
    """An error loses data, or stops a store or a run; a warning may be meant so; a note could be faster."""
    code: str
    """What was looked at, or the kind of problem: a word or two that do not change."""
    message: str
    """What is the matter, in a sentence."""
    remedy: str = ""
    """What to do; shell commands to paste where it is about a machine."""
    subject: str = ""
    """What it is about, where there are several: a dataset, a task, a key of ``bodega.yml``, a path in a manifest."""
