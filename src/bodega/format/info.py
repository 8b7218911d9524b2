"""What is known of an object without reading its data, and the errors of a file that does not say it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bodega.errors import LayoutError

MOST = 2**63 - 1
"""The largest number that a description may hold: the lengths of files end there."""
_LAST_YEAR = 3000
"""Last year of a put's time: dates near the end of the calendar cannot be shown in every time zone."""
_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Producer:
    """Who put an object."""

    process: int
    host: str
    task: str | None = None
    """The Kedro node, where there is one."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What is known of an object without reading its data."""

    name: str
    run: str
    id: str
    """128 random bits in hexadecimal: new with every put."""
    nbytes: int
    """Bytes of stream and buffers."""
    kind: str
    created: datetime
    """Time zone aware, UTC."""
    producer: Producer
    schema: dict[str, Any] = field(default_factory=dict)
    tier: str = ""
    """The folder or URL of the tier that has it."""


def is_id(text: object) -> bool:
    """Whether a text is an id as all of them are written: 32 hexadecimal digits, so that it never is a path."""
    return isinstance(text, str) and _ID.fullmatch(text) is not None


def is_sound(info: ObjectInfo) -> bool:
    """Whether the facts of a description are what people's tables, and programs, can take them for."""
    process, host, task = info.producer.process, info.producer.host, info.producer.task
    return (
        _is_count(info.nbytes)
        and isinstance(info.kind, str)
        and info.created.year < _LAST_YEAR
        and _is_count(process)
        and isinstance(host, str)
        and (task is None or isinstance(task, str))
        and isinstance(info.schema, dict)
        and all(_is_fact(key, value) for key, value in info.schema.items())
    )


def _is_fact(key: str, value: object) -> bool:
    if key == "shape":
        return isinstance(value, list) and all(map(_is_count, value))
    if key == "length":
        return _is_count(value)
    if key in {"columns", "index"}:
        return isinstance(value, list) and all(
            isinstance(each, list) and len(each) == 2 and all(map(_is_scalar, each)) for each in value
        )
    return _is_scalar(value) or (isinstance(value, list) and all(map(_is_scalar, value)))


def _is_scalar(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)  # JSON has no others.
    if isinstance(value, int):
        return abs(value) <= MOST
    return value is None or isinstance(value, str)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST


def damaged(path: str, reason: str) -> LayoutError:
    """The error for a file that is not a readable object."""
    return LayoutError(
        f"{path} is not a readable object: {reason}. Remove it ('bodega rm') and put the object again.",
        path=path,
        reason=reason,
    )


def too_new(path: str, reason: str) -> LayoutError:
    """The error for an object that has what this version does not know, or does not do yet."""
    return LayoutError(
        f"{path} is an object of another version of bodega: {reason}. Read it with that version, or put it again with "
        "this one.",
        path=path,
        reason=reason,
    )
