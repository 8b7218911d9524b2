"""Exclusive locks on lock files, and the shared lock under which a segment is read.

All locks are flock(2): they belong to an open file, cross containers of one host, and go with a crash.
Nothing here ever waits in the kernel: a stopped holder costs the caller its deadline, not its life.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from contextlib import suppress
from types import TracebackType

from bodega.errors import BodegaError, StoreBusy, StoreFull

DEADLINE = 30.0
"""Seconds after which a lock that others hold for microseconds is reported as stuck."""

FULL = {errno.ENOSPC, errno.EDQUOT}

_LOCK_FILE = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
_held: set[int] = set()


def forget_in_child(descriptor: int) -> None:
    """A child forked by another thread closes this descriptor: it would keep the lock, should the parent die."""
    _held.add(descriptor)


def close(descriptor: int) -> None:
    """Close a descriptor that `forget_in_child` was told of."""
    _held.discard(descriptor)
    os.close(descriptor)


def _close_in_child() -> None:
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_close_in_child)


def say_where(error: BaseException | None, path: str) -> None:
    """Add a path to an error of a call that took a descriptor, which cannot name its file."""
    if isinstance(error, OSError) and not isinstance(error, BodegaError) and error.errno and error.filename is None:
        error.filename = path


def no_room(path: str, what: str) -> StoreFull:
    """The error for a file that cannot be made or written, such as a lock file, though it takes next to nothing."""
    return StoreFull(
        f"{path} ({what}) cannot be written: its file system is full, of bytes or of files ('df -h', 'df -i'). Remove "
        "objects, runs or other files, or use a larger file system.",
        need=None,
        free=0,
        path=path,
    )


class Patience:
    """Waits a little longer each time, until the deadline; then raises `StoreBusy`."""

    def __init__(self, path: str, what: str, deadline: float | None = None) -> None:
        self._path, self._what = path, what
        self._seconds = DEADLINE if deadline is None else deadline
        self._pause, self._end = 20e-6, time.monotonic() + self._seconds

    def wait(self) -> None:
        """Sleep before the next try."""
        if time.monotonic() >= self._end:
            raise StoreBusy(
                f"{self._what} ({self._path}) has been locked by another process for {self._seconds:.0f} s. It is stopped or "
                f"very slow: find it with 'fuser {self._path}', continue or end it, and try again.",
                path=self._path,
            )
        time.sleep(self._pause)
        self._pause = min(self._pause * 2, 2e-3)


def try_exclusive(descriptor: int) -> bool:
    """Take the exclusive lock of a freshly opened file if nobody holds or maps it.

    Never call it on a descriptor that holds the shared lock: a failed try would lose that.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def try_shared(descriptor: int) -> bool:
    """Take the shared lock if nobody holds the exclusive one."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def release(descriptor: int) -> None:
    """Give up an exclusive lock by name: a forked child's copy of the descriptor would keep it past `os.close`."""
    # Where the kernel has no memory for that, closing does it, which follows.
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_UN)


class Exclusive:
    """Holds the exclusive lock of a lock file; its context is the descriptor, open for reading and writing.

    A class, since the generator of a ``contextmanager`` costs as much as the system calls.

    Args:
        path: the lock file; made where it is missing, its folder is not.
        what: what the lock guards, for the message of `StoreBusy`.
        deadline: seconds to wait at most, instead of `DEADLINE`.
    """

    __slots__ = ("_deadline", "_descriptor", "_path", "_what")

    def __init__(self, path: str, what: str, deadline: float | None = None) -> None:
        self._path, self._what, self._deadline = path, what, deadline

    def __enter__(self) -> int:
        try:
            descriptor = os.open(self._path, _LOCK_FILE, 0o600)
        except OSError as error:
            if error.errno not in FULL:
                raise
            raise no_room(self._path, self._what) from error
        self._descriptor = descriptor
        forget_in_child(descriptor)
        try:
            if not self._try(descriptor):
                patience = Patience(self._path, self._what, self._deadline)
                while not self._try(descriptor):
                    patience.wait()
        except BaseException as error:
            close(descriptor)
            say_where(error, self._path)
            raise
        return descriptor

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            release(self._descriptor)
        finally:
            close(self._descriptor)
        say_where(error, self._path)

    def _try(self, descriptor: int) -> bool:
        return try_exclusive(descriptor)


class Shared(Exclusive):
    """Holds the shared lock of a lock file: any number of them at a time, and none beside an `Exclusive`."""

    __slots__ = ()

    def _try(self, descriptor: int) -> bool:
        return try_shared(descriptor)
