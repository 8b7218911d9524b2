"""Names of objects, runs and Kedro's datasets, and the file names that stand for them.

The mapping is one to one: two names never share a file. Readable characters stay as they are, so that a person
can look into a root; the others become ``%XX`` per byte of UTF-8.
"""

from __future__ import annotations

import re
from functools import lru_cache

from bodega.errors import InvalidName

MAX_FILENAME = 255
"""Bytes of one file name on every file system a root can be on (Linux ``NAME_MAX``)."""

RESERVED = ".bodega/"
"""What the names of bodega's own records begin with: like a shell's dot files they are listed only when asked for."""

_UNSAFE = re.compile(r"[%/\x00-\x1f\x7f]|^\.")
_UNSAFE_PORTABLE = re.compile(r"[^a-z0-9_\-.@,+=:~]|^\.")
_ARTICLE = {"object": "an object", "run": "a run"}
_ESCAPE = re.compile(rb"%([0-9A-F]{2})")


def to_filename(name: str, *, portable: bool = False, what: str = "object", most: int = MAX_FILENAME) -> str:
    """The file name of an object's or a run's name.

    Args:
        name: any text but the empty one.
        portable: for file systems that fold case or normalise Unicode: escape whatever they would confuse.
        what: the word for the message, ``object`` or ``run``.
        most: bytes that the file name may have.

    Raises:
        InvalidName: not a text, empty, not UTF-8, or longer than a file name can be.
    """
    if not isinstance(name, str):
        raise InvalidName(
            f"The name of {_ARTICLE[what]} is a text, not {name!r} of type {type(name).__name__}.",
            name=name,
            reason="type",
        )
    return _to_filename(name, portable, what, most)


@lru_cache(maxsize=4096)
def _to_filename(name: str, portable: bool, what: str, most: int) -> str:
    if not name:
        raise InvalidName(
            f"The name of {_ARTICLE[what]} is empty: give it at least one character.", name=name, reason="empty"
        )
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise InvalidName(
            f"The name {name!r} is not valid Unicode (position {error.start}), so it cannot be kept as UTF-8.",
            name=name,
            reason="unicode",
        ) from None
    filename = (_UNSAFE_PORTABLE if portable else _UNSAFE).sub(_escape, name)
    if len(filename.encode()) > most:
        raise InvalidName(
            f"The name {name[:40]!r}... takes {len(filename.encode())} bytes as a file name; {most} is the most.",
            name=name,
            reason="length",
        )
    return filename


def is_record(name: str) -> bool:
    """Whether a name stands for a record of bodega's own."""
    return name.startswith(RESERVED)


def is_filename(filename: str, portable: bool) -> bool:
    """Whether `to_filename` could have made this: what else lies in a folder was put there from outside."""
    if filename.startswith("."):
        return False
    if "%" not in filename and filename.isascii():
        return True
    try:
        return filename == to_filename(from_filename(filename), portable=portable)
    except (InvalidName, UnicodeEncodeError):
        return False


def from_filename(filename: str) -> str:
    """The name that `to_filename` made this file name of."""
    if "%" not in filename:
        return filename
    return _ESCAPE.sub(lambda match: bytes([int(match[1], 16)]), filename.encode()).decode(errors="replace")


def _escape(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode())


def stored_name(dataset: str) -> str:
    """The object's name of a dataset's; transcoded datasets (``cars@pandas``, ``cars@polars``) are one object."""
    return dataset.partition("@")[0]


def is_parameter(dataset: str) -> bool:
    """Whether a dataset's name means parameters, which no task makes."""
    return dataset == "parameters" or dataset.startswith("params:")
