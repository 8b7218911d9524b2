"""What the kernel, the file system and the interpreter offer under a root, found by trying it.

Each capability has a portable path behind it: without any of them a root is a plain folder on any POSIX system.
``BODEGA_WITHOUT`` (names joined by commas, or ``all``) switches capabilities off, to test those paths.
"""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from dataclasses import dataclass, fields, replace

from bodega.env import ROOT_VARIABLE, WITHOUT_VARIABLE
from bodega.errors import RootError, SettingsError
from bodega.memory import lease, locks, places

_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW


@dataclass(frozen=True, slots=True)
class Capabilities:
    """Booleans; all of them false is the portable path."""

    tmpfile: bool = False
    """Files can be written without a name (``O_TMPFILE``) and be named later (linkat(2) through ``/proc``)."""
    exchange: bool = False
    """Two names can swap their files (``RENAME_EXCHANGE``), so that a replaced segment is kept for reuse."""
    overlay: bool = False
    """A mapping laid over an anonymous one keeps the lock without a descriptor (through ctypes)."""
    trackfd: bool = False
    """Python's own mapping keeps the lock without a descriptor (``trackfd=False``, Python 3.13 and later)."""
    noreserve: bool = False
    """Private mappings need not count against the commit limit (``MAP_NORESERVE``)."""


def probe(root: str) -> Capabilities:
    """Try each capability with small files in a folder; leaves nothing behind.

    Raises:
        RootError: the file system cannot even lock files, so it cannot hold a store.
    """
    folder = root
    found = Capabilities(
        tmpfile=_try_tmpfile(folder),
        exchange=_try_exchange(folder),
        noreserve=sys.platform == "linux",
    )
    found = _without(found)
    ways = {"trackfd": sys.version_info >= (3, 13), "overlay": sys.platform == "linux"}
    for way in (way for way, possible in ways.items() if possible):
        candidate = _without(replace(found, **{way: True}))
        if getattr(candidate, way) and _lease_holds(folder, candidate):
            return candidate
    if not _lease_holds(folder, found):
        raise RootError(
            f"The file system of {folder} does not keep locks (flock) for mapped files, so readers would not be safe. "
            f"Use a root on tmpfs or a local disk ({ROOT_VARIABLE}).",
            path=folder,
            reason="flock",
        )
    return found


def _without(found: Capabilities) -> Capabilities:
    switched_off = [word.strip() for word in os.environ.get(WITHOUT_VARIABLE, "").split(",") if word.strip()]
    names = [field.name for field in fields(Capabilities)]
    if unknown := [word for word in switched_off if word not in {*names, "all"}]:
        raise SettingsError(
            f"{WITHOUT_VARIABLE} names {unknown[0]!r}, which is no capability: use {', '.join(names)} or all."
        )
    return replace(found, **dict.fromkeys(names if "all" in switched_off else switched_off, False))


def _try_tmpfile(folder: str) -> bool:
    if not hasattr(os, "O_TMPFILE"):
        return False
    path = _probe_path(folder)
    try:
        descriptor = places.open_file(folder, os.O_TMPFILE | os.O_RDWR)
    except OSError:
        return False
    try:
        places.link(descriptor, path)
    except OSError:
        return False
    finally:
        descriptor.close()
    places.unlink(path)
    return True


def _try_exchange(folder: str) -> bool:
    if sys.platform != "linux":
        return False
    first, second = _probe_path(folder), _probe_path(folder)
    try:
        # Empty, since a store must open on a full file system too.
        for path in (first, second):
            places.open_file(path, _NEW).close()
        number = places.status(second).st_ino
        places.exchange(first, second)
        return places.status(first).st_ino == number
    except (AttributeError, OSError):
        return False
    finally:
        for path in (first, second):
            with suppress(FileNotFoundError):
                places.unlink(path)


def _lease_holds(folder: str, capabilities: Capabilities) -> bool:
    """Whether a mapping alone keeps the shared lock, and gives it up when it goes."""
    path = _probe_path(folder)
    writer = places.open_file(path, _NEW)
    try:
        readable = _write_or_grow(writer.number, b"lease")
        reader = places.open_file(path, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            locks.try_shared(reader.number)
            mapping = lease.map_private(reader.number, 5, capabilities)
        finally:
            reader.close()
        kept = not locks.try_exclusive(writer.number) and (not readable or mapping[:5] == b"lease")
        del mapping
        return kept and locks.try_exclusive(writer.number)
    except OSError as error:
        # A limit of the process or the file system, which says nothing of locks. Another way may need less memory.
        last = not (capabilities.trackfd or capabilities.overlay)
        if error.errno in {errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EFBIG} or (
            last and error.errno == errno.ENOMEM
        ):
            raise
        return False
    finally:
        writer.close()
        with suppress(FileNotFoundError):
            places.unlink(path)


def _write_or_grow(descriptor: int, data: bytes) -> bool:
    """Write to an empty file, or on a full file system only make it as long: its bytes must then not be read."""
    try:
        os.write(descriptor, data)
    except OSError as error:
        if error.errno not in locks.FULL:
            raise
        os.ftruncate(descriptor, len(data))
        return False
    return True


def _probe_path(folder: str) -> str:
    return places.join(folder, f"probe-{os.urandom(16).hex()}")
