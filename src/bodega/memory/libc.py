"""The two calls that Python's standard library lacks."""

from __future__ import annotations

import ctypes
import os
from functools import cache

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


@cache
def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = (
        ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_ssize_t,
    )  # fmt: skip
    return libc


def map_over(address: int, length: int, protection: int, flags: int, descriptor: int) -> None:
    """mmap(2) with ``MAP_FIXED`` in ``flags``: lay a file over pages that the caller owns."""
    got = _libc().mmap(address, length, protection, flags, descriptor, 0)
    if got != address:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def rename_exchange(first: str, second: str, folder: int | None = None, of_second: int | None = None) -> None:
    """renameat2(2) with ``RENAME_EXCHANGE``: two names swap their files in one atomic step.

    Args:
        first: a path, relative to the folder where there is one.
        second: another.
        folder: descriptor of the folder of the first.
        of_second: descriptor of that of the second.

    Raises:
        AttributeError: the C library lacks the call (glibc has it since 2.28).
        OSError: as renameat2(2); ``EINVAL`` where the file system cannot.
    """
    old, new = (_AT_FDCWD if each is None else each for each in (folder, of_second))
    if _libc().renameat2(old, os.fsencode(first), new, os.fsencode(second), _RENAME_EXCHANGE) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), first, None, second)
