"""Descriptors that close with whoever has them, at whatever moment that is interrupted, and in every forked child.

A signal's handler may raise between any two steps of Python, also between a call that opens a file and the assignment
of what it returned, or as a ``finally`` begins. So a descriptor is opened and handed to an object that closes it in one
call of C, and that object closes it when nobody has it any more; everything else is only sooner.
"""

from __future__ import annotations

import os
import select
import sys
import threading
import weakref
from collections.abc import Iterator
from contextlib import suppress
from functools import partial

# Any type of C that owns a descriptor would do: these neither look at the file nor warn when they are dropped.
if sys.platform == "linux":
    _own = select.epoll.fromfd
else:
    _own = select.kqueue.fromfd

_opened: set[weakref.ref[Descriptor]] = set()
_watched: set[str] = set()


class Descriptor:
    """An open file of this process and of no child; `number` is -1 once it is closed.

    Args:
        path: what is opened, relative to ``folder`` where that is given.
        flags: of open(2).
        mode: of a file that is made.
        folder: descriptor of a folder.
    """

    __slots__ = ("__weakref__", "_owner", "is_exclusive", "number", "thread")

    def __init__(self, path: str, flags: int, mode: int = 0o600, folder: int | None = None) -> None:
        call = os.open if folder is None else partial(os.open, dir_fd=folder)
        self._owner = next(map(_own, map(call, (path,), (flags | os.O_CLOEXEC,), (mode,))))
        self.number: int = self._owner.fileno()
        self.thread = threading.get_ident()
        self.is_exclusive = False
        """Whether it has the exclusive lock of its file."""
        # Goes with this object, without a step of Python.
        _opened.add(weakref.ref(self, _opened.discard))

    def close(self) -> None:
        """Close it, if it is open."""
        self.number = -1
        self._owner.close()

    def __index__(self) -> int:
        return self.number

    fileno = __index__


def of_this_thread() -> Iterator[Descriptor]:
    """The descriptors that this thread has open."""
    thread = threading.get_ident()
    return (each for each in _all() if each.thread == thread and each.number >= 0)


def _all() -> list[Descriptor]:
    return [descriptor for reference in list(_opened) if (descriptor := reference()) is not None]


def watch(root: str) -> None:
    """Let a forked child close whatever it has open of a root's locks, drafts and warm segments."""
    _watched.update(f"{root}/{part}/" for part in ("locks", "tmp", "pool"))


def _close_in_child() -> None:
    """A copy would keep a lock or a deleted file alive; and what its parent holds a child must not undo."""
    for descriptor in _all():
        descriptor.close()
    # Another thread may have been between opening a file and noting it, as the parent was forked.
    prefixes = tuple(_watched)
    with suppress(OSError):  # There is no /proc.
        for number in os.listdir("/proc/self/fd"):
            with suppress(OSError):  # That of the folder is closed by now.
                if os.readlink(f"/proc/self/fd/{number}").startswith(prefixes):
                    os.close(int(number))


os.register_at_fork(after_in_child=_close_in_child)
