"""Settings from arguments and environment: sizes, the root, the run, the task at work."""

from __future__ import annotations

import math
import os
import re
from contextvars import ContextVar
from pathlib import Path

from bodega.env import RUN_VARIABLE
from bodega.errors import SettingsError
from bodega.texts import secret_part

DEFAULT_RUN = "default"

current_task: ContextVar[str | None] = ContextVar("bodega_task", default=None)
"""The task (a Kedro node's name) that this thread is working on; recorded as the producer of what it puts."""

_UNITS = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "tib": 2**40,
    # The quantities of Kubernetes.
    "k": 10**3,
    "m": 10**6,
    "g": 10**9,
    "t": 10**12,
    "ki": 2**10,
    "mi": 2**20,
    "gi": 2**30,
    "ti": 2**40,
}


def parse_size(size: int | str) -> int:
    """Bytes of a size such as ``8GiB``, ``512 MB``, ``1.5Gi`` or ``1048576``.

    Raises:
        SettingsError: the number or the unit is not understood, or the size is not positive.
    """
    if isinstance(size, bool) or not isinstance(size, (int, str)):
        raise SettingsError(f"A size is a number of bytes or a text such as '8GiB', not {size!r}.")
    if isinstance(size, int):
        total = size
    else:
        match = re.fullmatch(r"\s*([0-9]{1,18}(?:\.[0-9]{1,18})?)\s*([A-Za-z]*)\s*", size)
        if match is None:
            raise SettingsError(f"The size {size!r} is not understood: write a number and a unit, such as '8GiB'.")
        number, unit = match.groups()
        if unit.lower() not in _UNITS:
            raise SettingsError(
                f"The unit {unit!r} of the size {size!r} is not known: use B, kB, MB, GB, TB or KiB, MiB, GiB, TiB."
            )
        total = int(float(number) * _UNITS[unit.lower()]) if "." in number else int(number) * _UNITS[unit.lower()]
    if total <= 0:
        raise SettingsError(f"The size {size!r} is not positive.")
    return total


def parse_capacity(capacity: int | str, whole: int) -> int:
    """Bytes of a capacity: a size, or a share of the file system such as ``50%``.

    Args:
        capacity: as for `parse_size`, or a percentage.
        whole: bytes of the file system.

    Raises:
        SettingsError: not understood, or not positive.
    """
    if isinstance(capacity, str) and capacity.strip().endswith("%"):
        match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*%\s*", capacity)
        share = float(match[1]) if match else 0.0
        if not 0 < share <= 100:
            raise SettingsError(f"The share {capacity!r} is not understood: write a number of percent, such as '50%'.")
        return int(whole * share / 100)
    return parse_size(capacity)


def check_flag(name: str, value: object) -> None:
    """Refuse what is neither true nor false, which would count as one of them.

    Args:
        name: name of the argument.
        value: what was given.

    Raises:
        SettingsError: it is something else.
    """
    if not isinstance(value, bool):
        raise SettingsError(f"{name}= is True or False, not {value!r:.200} of type {type(value).__name__}.")


def check_text(what: str, value: object) -> None:
    """Refuse what no file system and no object storage takes for a name.

    Args:
        what: what the text is, for the message.
        value: what was given.

    Raises:
        SettingsError: no text, or one with a NUL or half a character.
    """
    if not isinstance(value, str):
        raise SettingsError(f"{what} is a text, not {value!r:.200} of type {type(value).__name__}.")
    try:
        os.fsencode(value)
    except UnicodeEncodeError as error:
        raise SettingsError(
            f"{what} is not valid Unicode: {value!r:.200} has half a character at position {error.start}."
        ) from None
    if "\0" in value:
        raise SettingsError(f"{what} has a NUL character, which no path can have: {value!r:.200}.")


def expand(path: str | os.PathLike[str], what: str = "The path of a file") -> Path:
    """An absolute path of one that may begin with ``~``.

    Args:
        path: as somebody wrote it.
        what: what it is, for the message.

    Raises:
        SettingsError: no such user's home, or not a path.
    """
    check_text(what, os.fspath(path))
    try:
        return Path(path).expanduser().absolute()
    except RuntimeError as error:
        raise SettingsError(f"The path {str(path)!r} is not understood: {error}") from None


def check_place(url: str) -> None:
    """Refuse the URL of a place in object storage that has more in it than the place: it is kept, and shown.

    Raises:
        SettingsError: it has; the message does not show it.
    """
    check_text("The URL of a lower tier (spill=)", url)
    scheme = url.partition("://")[0]
    if (secret := secret_part(url)) is not None:
        raise SettingsError(
            f"The URL {scheme}://... has {secret} in it, which would be kept and shown. Name the place alone, such as "
            f"{scheme}://bucket/prefix (spill=): keys and other options belong in storage_options= or the environment."
        )


SECONDS = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 604800}
"""Seconds of the units of durations."""


def parse_duration(duration: float | str) -> float:
    """Seconds of a duration such as ``90s``, ``30m``, ``12h``, ``7d``, or a number of seconds.

    Raises:
        SettingsError: not understood, or not positive.
    """
    if isinstance(duration, bool) or not isinstance(duration, (int, float, str)):
        raise SettingsError(f"A duration is a number of seconds or a text such as '12h', not {duration!r}.")
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([a-z]*)\s*", str(duration))
    if match is None or match[2] not in SECONDS or not 0 < float(match[1]) < math.inf:
        raise SettingsError(
            f"The duration {duration!r:.200} is not understood: write a positive number and one of s, m, h, d, w, such as '7d'."
        )
    return float(match[1]) * SECONDS[match[2]]


def resolve_run(run: str | None = None) -> str:
    """The run: the argument, else ``BODEGA_RUN``, else ``default``."""
    if run is None:
        return os.environ.get(RUN_VARIABLE) or DEFAULT_RUN
    return run
