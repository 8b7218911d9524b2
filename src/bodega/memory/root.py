"""The folder that holds a store: found, made, and checked before anything in it is trusted.

A default root lies in a folder that everyone can write to (``/dev/shm``), where another user may have put
something under our name. So: made with mode 0700, and refused unless it is a folder of this user that nobody
else can enter.
"""

from __future__ import annotations

import json
import os
import stat
import sys
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, NoReturn

from bodega.errors import BodegaError, LayoutError, RootError, SettingsError, UnsupportedPlatform
from bodega.memory.capabilities import Capabilities, probe
from bodega.memory.filesystems import FileSystem, filesystem_of
from bodega.memory.locks import Exclusive
from bodega.settings import ROOT_VARIABLE, expand
from bodega.texts import command

FORMAT = 1
MARKER = "bodega-root.json"
LOCK_FILES = (
    "usage", "temporaries", "swept", "settings", *(f"name-{stripe:02}" for stripe in range(64)),
    *(f"transfer-{stripe:04}" for stripe in range(256)),
)  # fmt: skip
_GROUP_FOLDER = 0o2770
_GROUP_FILE = 0o640
_FOLDERS = ("runs", "tmp", "pool", "locks")


def default_root() -> Path:
    """``BODEGA_ROOT``, else a folder of this user in shared memory, else one among the temporary files."""
    if configured := os.environ.get(ROOT_VARIABLE):
        return Path(configured)
    shared_memory = Path("/dev/shm")  # noqa: S108 - the checks of `Root` are made for folders that all can write to
    if not (sys.platform == "linux" and shared_memory.is_dir() and os.access(shared_memory, os.W_OK)):
        import tempfile  # Slow to import, and seldom needed.

        shared_memory = Path(tempfile.gettempdir())
    return shared_memory / f"bodega-{os.getuid()}"


def root_option(root: os.PathLike[str]) -> tuple[str, ...]:
    """What a command needs to find a root: nothing, where it would take that one anyway."""
    return () if expand(default_root()) == Path(root) else ("--root", os.fspath(root))


@dataclass(frozen=True)
class Root:
    """A checked root; `open_root` makes them."""

    path: Path
    portable_names: bool
    """File names must survive a file system that folds case or normalises Unicode."""
    capabilities: Capabilities
    group: bool = False
    """Shared with the members of the folder's group."""
    warm: bool = True
    """Segments whose object is gone are kept for the next puts; on a disk that gains nothing."""

    @cached_property
    def runs(self) -> str:
        """Folder of one folder per run."""
        return str(self.path / "runs")

    @cached_property
    def tmp(self) -> str:
        """Folder of segments that have no name: being published, or replaced and still mapped."""
        return str(self.path / "tmp")

    @cached_property
    def pool(self) -> str:
        """Folder of segments kept warm."""
        return str(self.path / "pool")

    @cached_property
    def locks(self) -> str:
        """Folder of lock files."""
        return str(self.path / "locks")

    @cached_property
    def filesystem(self) -> FileSystem:
        """What it is on."""
        return filesystem_of(self.path)

    def require(self) -> None:
        """Complain where the root is gone: what it held must not look as if it had never been there.

        Raises:
            RootError: it is.
        """
        if not os.path.isdir(self.tmp):
            raise RootError(
                f"The root {self.path} is gone, or a part of it: somebody removed or unmounted it while the store was open. "
                "Bring it back, or open the store again to make a new one.",
                path=str(self.path),
                reason="removed",
            )

    @property
    def file_mode(self) -> int:
        """Of a segment that is not pinned."""
        return _GROUP_FILE if self.group else 0o600

    def share(self, descriptor: int) -> None:
        """Let the group read a file, where the root is shared with one."""
        if self.group:
            os.fchmod(descriptor, _GROUP_FILE)

    def make_folder(self, path: str) -> None:
        """Make a folder of a run, and see to it that whoever may put objects can put some there."""
        if not self.group:
            os.makedirs(path, mode=0o700, exist_ok=True)
            return
        # With its mode before it has its name: a member of the group may come at any time.
        draft = self.temporary()
        os.mkdir(draft, 0o700)
        os.chmod(draft, _GROUP_FOLDER)
        try:
            os.rename(draft, path)
        except OSError:
            os.rmdir(draft)
            if not os.path.isdir(path):
                raise

    def free(self) -> int:
        """Bytes that this user can still write to the file system."""
        status = os.statvfs(self.path)
        return status.f_bavail * status.f_frsize

    def size(self) -> int:
        """Bytes of the whole file system."""
        status = os.statvfs(self.path)
        return status.f_blocks * status.f_frsize

    def temporary(self) -> str:
        """A path for a segment without a name; nobody else will ever pick it."""
        return f"{self.tmp}/{os.urandom(16).hex()}"

    def temporary_names(self) -> Exclusive:
        """The lock between making a temporary file by name and locking it; a sweep holds it for each look."""
        return Exclusive(f"{self.locks}/temporaries", "The folder of temporary files")


def open_root(path: str | os.PathLike[str] | None = None, *, group: bool = False, warm: bool = True) -> Root:
    """Find or make a root and check that it can be trusted.

    Args:
        path: the folder, else the default one.
        group: share it with the members of the folder's group, or use a root that another member has shared.
        warm: whether segments are kept warm there.

    Raises:
        RootError: not a folder, not this user's, open to others, not writable, on a network file system, or a
            folder with other things in it.
        UnsupportedPlatform: the system has no flock (Windows).
    """
    if sys.platform == "win32":
        raise UnsupportedPlatform(
            "bodega needs the file locks and mappings of Linux or macOS. On Windows run it inside WSL 2."
        )
    if path is not None and not isinstance(path, (str, os.PathLike)):
        raise SettingsError(f"A root is a path, not {path!r}.")
    if path == "" or "\0" in str(path or ""):
        raise SettingsError(f"The root {path!r} is not a path: give a folder, or None for the default.")
    folder = expand(default_root() if path is None else path)
    try:
        _check_link(folder)
        filesystem = filesystem_of(folder)
    except OSError as error:
        if isinstance(error, RootError):
            raise
        _refuse(folder, f"it cannot be looked at ({error.strerror})", "choose a path that you can write to")
    if filesystem.is_network:
        _refuse(
            folder,
            f"it is on a network file system ({filesystem.type} at {filesystem.mount_point}), where locks do not reach "
            "other hosts",
            "use tmpfs or a local disk",
        )
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except FileExistsError:
        _refuse(folder, "it is not a folder", "remove it or choose another path")
    except OSError as error:
        _refuse(folder, f"it cannot be made ({error.strerror})", "choose a path that you can write to")
    _check_owner(folder, group)
    try:
        facts = _enter(folder, group)
        root = Root(folder, facts.portable_names, Capabilities(), facts.group, warm)
        # A sweep must neither remove the files that are tried on, nor hold the locks that are tried.
        with root.temporary_names():
            return replace(root, capabilities=probe(root.tmp))
    except BodegaError:
        raise
    except OSError as error:
        _refuse(folder, f"it cannot be written ({error.strerror})", "choose a path that you can write to")


def _check_link(folder: Path) -> None:
    try:
        status = folder.lstat()
    except OSError:
        return
    if stat.S_ISLNK(status.st_mode) and status.st_uid not in {os.getuid(), 0}:
        _refuse(folder, f"it is a symbolic link made by another user (uid {status.st_uid})", "choose another path")


def _check_owner(folder: Path, group: bool) -> None:
    status = folder.stat()
    if _is_shared(status):
        if status.st_uid == os.getuid() or (group and status.st_gid in {os.getegid(), *os.getgroups()}):
            return
        _refuse(
            folder,
            f"it is shared by another user (uid {status.st_uid}) with the group {status.st_gid}",
            "be a member of that group and say that you trust its members (group=True), or choose a path of your own",
        )
    if status.st_uid != os.getuid():
        _refuse(
            folder,
            f"it belongs to another user (uid {status.st_uid}, this is uid {os.getuid()})",
            "choose a path of your own",
        )
    if status.st_mode & 0o077:
        _refuse(
            folder,
            f"other users can enter it (mode {stat.S_IMODE(status.st_mode):o})",
            # Never for a folder with other things in it: it may be one that others need.
            f"run {command('chmod', '700', folder)}, or choose another path"
            if _is_ours_to_close(folder)
            else "choose another path",
        )


def _is_ours_to_close(folder: Path) -> bool:
    names = os.listdir(folder)
    return not names or MARKER in names


def _is_shared(status: os.stat_result) -> bool:
    """Whether a folder is set up for its group and for nobody else."""
    return stat.S_IMODE(status.st_mode) == _GROUP_FOLDER


def _share_folder(folder: Path) -> None:
    """Set a new root up for its group, with all lock files: whoever makes one later might keep it to himself."""
    folder.chmod(_GROUP_FOLDER)  # First: what is made inside then belongs to the folder's group.
    for name in _FOLDERS:
        (folder / name).mkdir(mode=0o700, exist_ok=True)
        (folder / name).chmod(_GROUP_FOLDER)
    for name in LOCK_FILES:
        lock = folder / "locks" / name
        lock.touch(mode=0o600)
        lock.chmod(0o660)


def _refuse(folder: Path, reason: str, remedy: str) -> NoReturn:
    raise RootError(
        f"{folder} cannot be the root of a store: {reason}. Remedy: {remedy} (root= or {ROOT_VARIABLE}).",
        path=str(folder),
        reason=reason,
        remedy=remedy,
    )


class _Facts(NamedTuple):
    """What the marker says of a root."""

    portable_names: bool
    group: bool


def _enter(folder: Path, group: bool) -> _Facts:
    """Make what is missing in a root."""
    marker = folder / MARKER
    if not marker.exists():
        foreign = {entry.name for entry in os.scandir(folder)} - {*_FOLDERS, MARKER}
        if foreign := {name for name in foreign if not name.startswith(MARKER)}:
            _refuse(
                folder,
                f"it already holds other things ({', '.join(sorted(foreign)[:3])})",
                "choose an empty or a new folder",
            )
        # Two processes may be first at once: each writes its own file, one of them becomes the marker.
        draft = folder / f"{MARKER}.{os.urandom(16).hex()}"
        facts = {"format": FORMAT, "portable_names": _folds_names(folder), "group": group}
        if group:
            _share_folder(folder)
        draft.write_text(json.dumps(facts), encoding="utf-8")
        if group:
            draft.chmod(_GROUP_FILE)
        try:
            os.link(draft, marker)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    for name in _FOLDERS:
        (folder / name).mkdir(mode=0o700, exist_ok=True)
    try:
        facts = json.loads(marker.read_bytes())
        version, known = facts["format"], _Facts(bool(facts["portable_names"]), bool(facts.get("group")))
    except (ValueError, KeyError, TypeError) as error:
        raise LayoutError(
            f"{marker} is damaged ({error}): it should be a line of JSON. Remove the whole root {folder} to start anew.",
            path=str(marker),
        ) from None
    if version != FORMAT:
        raise LayoutError(
            f"The root {folder} has format {version}; this version of bodega knows {FORMAT}. Use another root.",
            path=str(marker),
        )
    if group and not known.group:
        _refuse(folder, "it was made for one user", "make a new root with group=True")
    return known


def _folds_names(folder: Path) -> bool:
    """Whether two names that differ by case, or by Unicode normalisation, are one file here."""
    unique = os.urandom(16).hex()
    probes = (f"{MARKER}.{unique}-a", f"{MARKER}.{unique}-A"), (f"{MARKER}.{unique}-\xe9", f"{MARKER}.{unique}-e\u0301")
    for written, looked_up in probes:
        path = folder / written
        path.touch(mode=0o600)
        try:
            if (folder / looked_up).exists():
                return True
        finally:
            path.unlink()
    return False
