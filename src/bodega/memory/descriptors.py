"""Descriptors that close with whoever has them, at whatever moment that is interrupted, and in every forked child.

A signal's handler may raise between any two steps of Python, also between a call that opens a file and the assignment
of what it returned, or as a ``finally`` begins. So a descriptor is opened and handed to an object that closes it in one
call of C, and that object closes it when nobody has it any more; everything else is only sooner.
"""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Iterator
from functools import partial
from threading import get_ident
from weakref import ref

# Any type of C that owns a descriptor would do: these neither look at the file nor warn when they are dropped.
if sys.platform == "linux":
    _own = select.epoll.fromfd
else:
    _own = select.kqueue.fromfd

_MOVING = -2
"""The number of a descriptor that is just being opened or closed."""
_PAUSE, _PATIENCE = 20e-6, 1.0
"""Seconds between two looks, and for which a fork and what is opened or closed wait for each other at most."""

_known: dict[int, ref[Descriptor]] = {}
"""By number; one that has none yet by its thread. What has been closed stays until another takes its place."""
_forking: dict[int, float] = {}
"""The threads that fork at this moment, and until when others stand still for them."""


class Descriptor:
    """An open file of this process and of no child; `number` is negative when it is closed.

    Python lets other threads run in the middle of open(2) and close(2). A child that was forked there would keep a copy
    which nobody knows of, with a lock or the memory of a deleted file: so a fork waits until nothing is moving, and
    nothing moves while a thread forks.

    Args:
        path: what is opened, relative to ``folder`` where that is given.
        flags: of open(2).
        mode: of a file that is made.
        folder: descriptor of a folder.
    """

    __slots__ = ("__weakref__", "_owner", "is_exclusive", "number", "thread")

    def __init__(self, path: str, flags: int, mode: int = 0o600, folder: int | None = None) -> None:
        self.thread = thread = get_ident()
        self.is_exclusive = False
        """Whether it has the exclusive lock of its file."""
        self.number: int = _MOVING
        _known[thread] = reference = ref(self)
        if _forking:
            self._wait()
        try:
            if folder is None:
                self._owner = next(map(_own, map(os.open, (path,), (flags,), (mode,))))
            else:
                self._owner = next(map(_own, map(partial(os.open, dir_fd=folder), (path,), (flags,), (mode,))))
        except BaseException:
            self.number = -1
            raise
        # Known by its number before it stops moving.
        number = self._owner.fileno()
        _known[number] = reference
        self.number = number

    def close(self) -> None:
        """Close it, if it is open."""
        self.number = _MOVING
        if _forking:
            self._wait()
        try:
            self._owner.close()
        finally:
            self.number = -1

    def _wait(self) -> None:
        """Stand still while another thread forks."""
        thread = get_ident()
        # Says that it moves before it looks, as a fork says that it comes before it looks: one of them sees the other.
        while thread not in _forking and any(time.monotonic() < end for end in list(_forking.values())):
            self.number = -1
            time.sleep(_PAUSE)
            self.number = _MOVING

    def forget(self) -> None:
        """Close the copy of a forked child, whatever its parent was about to do with it."""
        self.number = -1
        if hasattr(self, "_owner"):
            self._owner.close()

    def __index__(self) -> int:
        return self.number

    fileno = __index__


def of_this_thread() -> Iterator[Descriptor]:
    """The descriptors that this thread has open."""
    thread = get_ident()
    return (each for each in _all() if each.thread == thread and each.number >= 0)


def _all() -> list[Descriptor]:
    return [descriptor for reference in list(_known.values()) if (descriptor := reference()) is not None]


def _before_fork() -> None:
    # An open may hang, as of a file of a stuck disk; or have a lock that another library takes before each fork.
    thread, end = get_ident(), time.monotonic() + _PATIENCE
    _forking[thread] = end
    while any(each.number == _MOVING and each.thread != thread for each in _all()) and time.monotonic() < end:
        time.sleep(_PAUSE)


def _after_fork() -> None:
    _forking.pop(get_ident(), None)


def _in_child() -> None:
    """A copy would keep a lock or a deleted file alive; and what its parent holds a child must not undo."""
    _forking.clear()
    for descriptor in _all():
        descriptor.forget()
    _known.clear()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_in_child)
