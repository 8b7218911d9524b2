"""System calls that fail on purpose: those that bodega itself makes, one by one, through Python's own functions."""

import errno
import fcntl
import mmap
import os
import sys
from contextlib import contextmanager
from typing import NamedTuple

from bodega.memory import libc

ERRNOS = (errno.ENOSPC, errno.EIO, errno.ENOMEM, errno.EMFILE, errno.EINTR, errno.EACCES)

# Not os.close: Linux closes the descriptor even where the call says that it failed.
_CALLS = [
    *((os, name) for name in (
        "open", "pread", "preadv", "pwrite", "pwritev", "fstat", "stat", "lstat", "link", "rename", "unlink", "utime",
        "chmod", "fsync", "ftruncate", "listdir", "scandir", "mkdir", "makedirs", "rmdir", "statvfs",
    )),
    (fcntl, "flock"),
    (mmap, "mmap"),
    (libc, "map_over"),
    (libc, "rename_exchange"),
]  # fmt: skip
_ALLOCATING = {"pwrite", "pwritev", "link", "rename", "rename_exchange", "mkdir", "makedirs", "ftruncate"}


class Call(NamedTuple):
    """One call, and whether a full file system could refuse it."""

    name: str
    target: str
    allocates: bool


class Plan:
    """Which of the calls fail: none, the n-th, or all from there on."""

    def __init__(self, number=None, code=errno.EIO, *, for_ever=False):
        self._number, self._code, self._for_ever = number, code, for_ever
        self.calls = []
        self.failed = None
        """The first call that failed."""

    def __repr__(self):
        how = "for ever" if self._for_ever else "once"
        return f"{errno.errorcode[self._code]} {how} from call {self._number} on ({self.failed})"

    def allow(self, name, arguments):
        """Count a call, or refuse it as the kernel would."""
        target = arguments[0] if arguments else None
        path = os.fspath(target) if isinstance(target, (str, os.PathLike)) else None
        creates = name == "open" and bool(arguments[1] & (os.O_CREAT | os.O_TMPFILE & ~os.O_DIRECTORY))
        call = Call(name, path or "descriptor", creates or name in _ALLOCATING)
        index = len(self.calls)
        self.calls.append(call)
        if self._number is None or index < self._number or (index > self._number and not self._for_ever):
            return
        self.failed = self.failed or call
        # What takes a descriptor cannot name a file, as in the standard library.
        error = OSError(self._code, os.strerror(self._code), path)
        error.call = call  # type: ignore[attr-defined]  # A class of our own would not be a FileNotFoundError.
        raise error


@contextmanager
def failing(plan):
    """Make the calls of bodega's own modules fail as planned."""
    originals = [(module, name, getattr(module, name)) for module, name in _CALLS]

    def wrap(name, original):
        def call(*arguments, **options):
            if sys._getframe(1).f_globals.get("__name__", "").startswith("bodega."):
                plan.allow(name, arguments)
            return original(*arguments, **options)

        return call

    for module, name, original in originals:
        setattr(module, name, wrap(name, original))
    try:
        yield plan
    finally:
        for module, name, original in originals:
            setattr(module, name, original)
