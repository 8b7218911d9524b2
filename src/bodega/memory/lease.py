"""The lease: a shared lock that lives exactly as long as a private mapping.

An flock belongs to an open file, and a mapping keeps its file open. So: lock, map, close every descriptor; the
lock goes when the last array over the mapping does, or with the process. CPython's own `mmap.mmap` duplicates the
descriptor, which costs one per object; two ways around it are tried (see `bodega.memory.capabilities`).

The kernel goes through all locks of a file for each that comes or goes. So of many mappings of one file in one process
only the first two have locks of their own: with the second comes an anchor, a page that has its lock, and the mappings
after that hold the anchor instead.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING
from weakref import ref

from bodega.memory import libc

if TYPE_CHECKING:
    from bodega.memory.capabilities import Capabilities

_READ_WRITE = mmap.PROT_READ | mmap.PROT_WRITE
_MAP_FIXED = 0x10
_MAP_NORESERVE = 0x4000
"""Linux, x86-64 and arm64. Without it a private writable mapping counts in full against the commit limit."""


class Mapping(mmap.mmap):
    """A mapping that keeps the lock of its file, or the anchor that does."""

    is_anchor = False
    anchor: Mapping | None = None


_leased: dict[tuple[int, int], ref[Mapping]] = {}
"""By device and inode of its file: the anchor, or else the one mapping there is. A child's are its own as well.

References without a callback, which would be Python in the middle of anything, and swallow an interrupt.
"""
_firsts: dict[tuple[int, int], ref[Mapping]] = {}
"""The mapping that was there before its file got an anchor: it has a lock of its own, and may outlive that."""
_look_at = 1024
"""Entries at which those of dead mappings are looked for."""


def anchor_of(status: os.stat_result) -> Mapping | None:
    """What holds the shared lock of a file in this process already, for as long as it is held on to."""
    # The reference is held from here on: an anchor that this process lets go of a moment later keeps its lock for the caller.
    found = _living((status.st_dev, status.st_ino))
    return found if found is not None and found.is_anchor else None


def held() -> set[tuple[int, int]]:
    """Device and inode of the files that this process maps."""
    both = [*_leased.items(), *_firsts.items()]
    return {key for key, reference in both if reference() is not None}


def has_leased() -> bool:
    """Whether this process has ever mapped a file."""
    return bool(_leased)


def _living(key: tuple[int, int]) -> Mapping | None:
    reference = _leased.get(key)
    return None if reference is None else reference()


def _note(key: tuple[int, int], mapping: Mapping) -> None:
    global _look_at
    if len(_leased) >= _look_at:
        for known in (_leased, _firsts):
            for each, reference in list(known.items()):
                if reference() is None:
                    known.pop(each, None)
        # So that many living ones are not looked through with each get.
        _look_at = max(1024, 2 * len(_leased))
    _leased[key] = ref(mapping)


def lease(
    descriptor: int, status: os.stat_result, length: int, capabilities: Capabilities, anchor: Mapping | None
) -> Mapping:
    """Map a file as `map_private` does, under a shared lock that lasts as long as the mapping.

    Args:
        descriptor: open for reading, with the shared lock unless there is an anchor.
        status: of the file.
        length: bytes, at least 1, no more than the file has.
        capabilities: of the root that the file is in.
        anchor: what `anchor_of` said, if anything.
    """
    # The lock is there before the mapping, and stays when the caller closes the descriptor: it belongs to the open file,
    # which the mapping keeps. At no moment can anybody have the exclusive lock and rewrite what is mapped.
    mapping, key = map_private(descriptor, length, capabilities), (status.st_dev, status.st_ino)
    if anchor is None and _living(key) is not None:
        # The second one in this process. Its own lock passes to an anchor, which the mappings after it hold as well. The
        # first keeps its own, since nothing can be added to it: whoever has it may be letting go of it at this moment.
        with suppress(OSError):  # Without one this mapping keeps the lock by itself.
            anchor = _map(descriptor, 1, _READ_WRITE, capabilities)
            anchor.is_anchor = True
            if (first := _leased.get(key)) is not None:
                _firsts[key] = first
            _note(key, anchor)
    elif anchor is None:
        _note(key, mapping)
    mapping.anchor = anchor
    return mapping


def map_private(descriptor: int, length: int, capabilities: Capabilities) -> Mapping:
    """Map a file's first bytes copy-on-write: what the caller changes stays in its own pages.

    The caller holds the file's shared lock and closes the descriptor afterwards; the mapping keeps the lock.
    Do not close the mapping by hand: it is unmapped when the last view of it goes.

    Args:
        descriptor: open for reading, with the shared lock.
        length: bytes, at least 1, no more than the file has.
        capabilities: of the root that the file is in.
    """
    try:
        return _map(descriptor, length, _READ_WRITE, capabilities)
    except OSError:
        # Private writable pages count against RLIMIT_DATA, and commit limits may be strict; reading always works.
        mapping = _map(descriptor, length, mmap.PROT_READ, capabilities)
        warnings.warn(
            f"bodega: {length:,} bytes cannot be mapped writable under this process's limits (see 'ulimit -d'); "
            "the value is read-only: copy it before changing it.",
            RuntimeWarning,
            stacklevel=2,
        )
        return mapping


def _map(descriptor: int, length: int, protection: int, capabilities: Capabilities) -> Mapping:
    flags = mmap.MAP_PRIVATE | (_MAP_NORESERVE if capabilities.noreserve else 0)
    if capabilities.trackfd and sys.version_info >= (3, 13):
        return Mapping(descriptor, length, flags=flags, prot=protection, trackfd=False)
    if capabilities.overlay and protection == _READ_WRITE:
        # This object owns the address range and its unmapping; the file is laid over it by hand. The range is taken until
        # then, so that no other thread's mapping can lie where this one goes.
        mapping = Mapping(-1, length, flags=flags | mmap.MAP_ANONYMOUS, prot=protection)
        view = ctypes.c_char.from_buffer(mapping)
        address = ctypes.addressof(view)
        del view
        libc.map_over(address, length, protection, flags | _MAP_FIXED, descriptor)
        return mapping
    return Mapping(descriptor, length, flags=flags, prot=protection)
