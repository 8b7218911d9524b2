"""Files by the folder that they are in: what a path leads to may change, what an open folder holds does not.

In a root that others may write to, any folder or file can become a link while it is looked up, and lead to a file of
whoever follows it. There a path is a `Place`: it knows its open folder, and every call looks its last part up in that.
Elsewhere it is plain text, since nobody else can enter. No function here follows a link.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from types import TracebackType

from bodega.errors import RootError
from bodega.memory import libc
from bodega.memory.descriptors import Descriptor

_FOLDER = os.O_RDONLY | os.O_DIRECTORY
FOREIGN = {errno.ELOOP, errno.EISDIR, errno.ENOTDIR, errno.ENXIO}
"""What the opening of a link, a folder or the like says that should be a file."""
PARTS = ("runs", "tmp", "pool", "locks")
"""Folders of a root."""
_SMALL = 1 << 20


class Place(str):
    """A path whose folder is open: the text is for people."""

    __slots__ = ("folder", "name")
    name: str
    """Of the file in the folder; ``.`` is the folder itself."""
    folder: Descriptor

    @classmethod
    def in_folder(cls, text: str, folder: Descriptor, name: str = ".") -> Place:
        """The place of a name in an open folder."""
        place = cls(text)
        place.name, place.folder = name, folder
        return place


def enter(path: str, *, follow: bool = False) -> Place:
    """Open a folder.

    Args:
        path: of the folder.
        follow: it may be a link.

    Raises:
        NotADirectoryError: it is another file, or a link.
    """
    return Place.in_folder(path, open_file(path, _FOLDER | (0 if follow else os.O_NOFOLLOW)))


def join(folder: str, name: str) -> str:
    """The path of a name in a folder."""
    text = f"{folder}/{name}"
    return text if type(folder) is str or not isinstance(folder, Place) else Place.in_folder(text, folder.folder, name)


def _where(path: str) -> tuple[str, int | None]:
    return (path.name, path.folder.number) if isinstance(path, Place) else (path, None)


class _naming:  # noqa: N801 - reads as the statement it is
    """Gives an error the whole path, where the call was told a folder and a name."""

    __slots__ = ("_path", "_second")

    def __init__(self, path: str, second: str | None = None) -> None:
        self._path, self._second = path, second

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if isinstance(error, OSError):
            error.filename = self._path
            if self._second is not None:
                error.filename2 = self._second
            elif error.filename2 is not None:
                del error.filename2  # Set to None it would be shown as a name.


def open_file(path: str, flags: int, mode: int = 0o600) -> Descriptor:
    """Open a file; as open(2)."""
    if type(path) is str:
        return Descriptor(path, flags, mode)
    name, folder = _where(path)
    with _naming(path):
        return Descriptor(name, flags, mode, folder)


def status(path: str) -> os.stat_result:
    """What lstat(2) says of a file."""
    if type(path) is str:
        return os.stat(path, follow_symlinks=False)
    name, folder = _where(path)
    with _naming(path):
        return os.stat(name, dir_fd=folder, follow_symlinks=False)


def exists(path: str) -> bool:
    """Whether there is anything at a path."""
    try:
        status(path)
    except FileNotFoundError:
        return False
    return True


def unlink(path: str) -> None:
    """Take a file's name away."""
    if type(path) is str:
        os.unlink(path)
        return
    name, folder = _where(path)
    with _naming(path):
        os.unlink(name, dir_fd=folder)


def rename(source: str, target: str) -> None:
    """Move a file or a folder, over what is there."""
    if type(source) is type(target) is str:
        os.rename(source, target)
        return
    (name, folder), (new, into) = _where(source), _where(target)
    with _naming(source, target):
        os.rename(name, new, src_dir_fd=folder, dst_dir_fd=into)


def exchange(first: str, second: str) -> None:
    """Let two names swap their files in one step."""
    (name, folder), (other, of_other) = _where(first), _where(second)
    with _naming(first, second):
        libc.rename_exchange(name, other, folder, of_other)


def link(descriptor: Descriptor, path: str) -> None:
    """Give a nameless file a name, which must be free."""
    name, folder = _where(path)
    # ``os.link`` calls linkat(2), which follows the link in ``/proc``, only when it is passed a folder's descriptor; any
    # will do for an absolute path.
    with _naming(path):
        os.link(
            f"/proc/self/fd/{descriptor.number}",
            name,
            src_dir_fd=descriptor.number,
            dst_dir_fd=folder,
            follow_symlinks=True,
        )


def make_folder(path: str, mode: int = 0o700) -> None:
    """Make one folder; those above it must be there."""
    name, folder = _where(path)
    with _naming(path):
        os.mkdir(name, mode, dir_fd=folder)


def remove_folder(path: str) -> None:
    """Remove an empty folder."""
    name, folder = _where(path)
    with _naming(path):
        os.rmdir(name, dir_fd=folder)


def scan(folder: str) -> AbstractContextManager[Iterator[os.DirEntry[str]]]:
    """As ``os.scandir``."""
    if not isinstance(folder, Place):
        return os.scandir(folder)
    with _naming(folder):
        return os.scandir(folder.folder.number)


def listing(folder: str) -> list[str]:
    """The names in a folder."""
    with _naming(folder):
        return os.listdir(folder.folder.number if isinstance(folder, Place) else folder)


def folders(folder: str) -> list[str]:
    """The names of the folders in a folder; what else lies there was put there from outside."""
    found = []
    with scan(folder) as entries:
        for entry in entries:
            with suppress(OSError):  # A link that leads nowhere.
                if entry.is_dir():
                    found.append(entry.name)
    return found


def may_change(found: os.stat_result) -> bool:
    """Whether a file's bytes may be written over: it is this user's, and has no other name, such as in a backup."""
    return found.st_uid == os.getuid() and found.st_nlink <= 1


def read_small(path: str) -> bytes:
    """What a small file holds.

    Raises:
        RootError: it is no file, but a link, a folder or the like.
    """
    try:
        descriptor = open_file(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if error.errno in FOREIGN:
            raise foreign(path, "What is said of the store") from error
        raise
    try:
        if not stat.S_ISREG(os.fstat(descriptor.number).st_mode):
            raise foreign(path, "What is said of the store")
        return os.pread(descriptor.number, _SMALL, 0)
    except OSError as error:
        if not isinstance(error, RootError):
            error.filename = path
        raise
    finally:
        descriptor.close()


def fault_on_way(root: str, path: str, *, follow: bool) -> RootError | None:
    """What keeps a path of a root from being used, where a folder that leads to it is gone or none, or it is no file.

    Args:
        root: folder that holds the store.
        path: the root, or something in it.
        follow: whether the folders in the root may be links.
    """
    if path != root and not path.startswith(f"{root}/"):
        return None
    steps = path[len(root) :].split("/")[1:]
    for depth in range(len(steps) + 1):
        here = "/".join([root, *steps[:depth]])
        is_part = depth == 0 or (depth == 1 and steps[0] in PARTS)
        is_folder = is_part or (depth == 2 and steps[0] == "runs")
        try:
            mode = os.stat(here, follow_symlinks=is_folder and (follow or depth == 0)).st_mode
        except OSError:
            # A link that leads nowhere. What is simply there now may have been made since: the run is put into again.
            if os.path.islink(here):
                return no_folder(here)
            return gone(root, here) if is_part else None
        if is_folder and not stat.S_ISDIR(mode):
            return no_folder(here)
        # Among the temporary files lie folders, too: of runs that are dropped.
        if not is_folder and not stat.S_ISREG(mode) and not (steps[0] == "tmp" and stat.S_ISDIR(mode)):
            return foreign(here, "A file of the store")
    return None


def gone(root: str, part: str) -> RootError:
    """The error where a folder of a store is not there any more: what it held must not look as if it had never been."""
    what = f"The root {root}" if part == root else f"{part}, a part of the root {root},"
    return RootError(
        f"{what} is gone: somebody removed or unmounted it while the store was open. Bring it back, or open the store "
        "again to make a new one.",
        path=root,
        reason="removed",
    )


def no_folder(path: str) -> RootError:
    """The error for what is at a path where a folder of a store should be."""
    return RootError(
        f"{path} is a link or a file, where a folder of a store should be: it was put there from outside. Remove it by "
        "hand.",
        path=path,
        reason="foreign",
        remedy="remove it by hand",
    )


def foreign(path: str, what: str) -> RootError:
    """The error for what is at a path where a file of a store should be."""
    return RootError(
        f"{path} ({what}) is no file of a store, but a link, a folder or the like: it was put there from outside. Remove "
        "it by hand.",
        path=path,
        reason="foreign",
    )
