"""Exclusive locks on lock files, and the shared lock under which a segment is read.

All locks are flock(2): they belong to an open file, cross containers of one host, and go with a crash.
Nothing here ever waits in the kernel: a stopped holder costs the caller its deadline, not its life.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from types import TracebackType

from bodega.errors import BodegaError, StoreBusy, StoreFull
from bodega.memory.descriptors import Descriptor, of_this_thread
from bodega.memory.places import FOREIGN, fault_on_way, foreign, open_file

DEADLINE = 30.0
"""Seconds after which a lock that others hold for microseconds is reported as stuck."""

FULL = {errno.ENOSPC, errno.EDQUOT}

_LOCK_FILE = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK


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
    """Waits a little longer each time, until the deadline; then raises `StoreBusy`.

    Args:
        path: of the locked file.
        what: what it is, for the message.
        deadline: seconds to wait at most, instead of `DEADLINE`.
        status: of the locked file.

    Raises:
        StoreBusy: this thread has the lock itself, so that waiting would not help.
    """

    def __init__(self, path: str, what: str, deadline: float | None, status: os.stat_result) -> None:
        self._path, self._what = path, what
        if any(each.is_exclusive and os.path.samestat(os.fstat(each.number), status) for each in of_this_thread()):
            raise StoreBusy(
                f"{what} ({path}) is locked by this very thread: a signal handler or a finalizer uses the store in the "
                "middle of another operation of it. Have it note what is to be done, and do that afterwards. (If an "
                "operation was interrupted: its lock goes with its traceback.)",
                path=path,
            )
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


def release(descriptor: Descriptor) -> None:
    """Give up an exclusive lock and close its file; nothing, where that has been done or this is a forked child."""
    if descriptor.number < 0:
        return
    unlock(descriptor)
    descriptor.close()


def unlock(descriptor: Descriptor) -> None:
    """Give up an exclusive lock by name: a copy of the descriptor that a C library's fork made would keep it."""
    # Where the kernel has no memory for that, closing does it.
    try:
        fcntl.flock(descriptor.number, fcntl.LOCK_UN)
    except OSError:
        pass
    descriptor.is_exclusive = False


class Exclusive:
    """Holds the exclusive lock of a lock file; its context is the descriptor, open for reading and writing.

    A class, since the generator of a ``contextmanager`` costs as much as the system calls.

    Args:
        path: the lock file; made where it is missing, its folder is not.
        what: what the lock guards, for the message of `StoreBusy`.
        deadline: seconds to wait at most, instead of `DEADLINE`.
        mode: of a lock file that is made.
    """

    __slots__ = ("_deadline", "_descriptor", "_mode", "_what", "path")
    _try = staticmethod(try_exclusive)
    _is_exclusive = True

    def __init__(self, path: str, what: str, deadline: float | None = None, mode: int = 0o600) -> None:
        self.path, self._what, self._deadline, self._mode = path, what, deadline, mode

    def __enter__(self) -> Descriptor:
        self._descriptor = descriptor = self.open()
        try:
            if not self._try(descriptor.number):
                patience = Patience(self.path, self._what, self._deadline, os.fstat(descriptor.number))
                while not self._try(descriptor.number):
                    patience.wait()
        except BaseException as error:
            descriptor.close()
            say_where(error, self.path)
            raise
        descriptor.is_exclusive = self._is_exclusive
        return descriptor

    def open(self) -> Descriptor:
        """Open the lock file, made where it is missing, without taking the lock."""
        try:
            descriptor = open_file(self.path, _LOCK_FILE, self._mode)
            if type(self.path) is not str:
                status = os.fstat(descriptor.number)
                if not stat.S_ISREG(status.st_mode):
                    raise foreign(self.path, self._what)
                if status.st_mode & 0o777 != self._mode and status.st_uid == os.getuid():
                    os.fchmod(descriptor.number, self._mode)
        except OSError as error:
            if error.errno in FULL:
                raise no_room(self.path, self._what) from error
            if error.errno in FOREIGN or error.errno == errno.ENOENT:
                # Its folder is not made anew here: others may still hold locks of the old one.
                root = os.path.dirname(os.path.dirname(self.path))
                fault = fault_on_way(root, os.path.dirname(self.path), follow=True)
                raise fault or foreign(self.path, self._what) from error
            raise
        return descriptor

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        release(self._descriptor)
        if error is not None:
            say_where(error, self.path)


class Shared(Exclusive):
    """Holds the shared lock of a lock file: any number of them at a time, and none beside an `Exclusive`."""

    __slots__ = ()
    _try = staticmethod(try_shared)
    _is_exclusive = False
