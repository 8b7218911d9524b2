"""The folder that holds a store: found, made, and checked before anything in it is trusted.

A default root lies in a folder that everyone can write to (``/dev/shm``), where another user may have put
something under our name. So: made with mode 0700, and refused unless it is a folder of this user that nobody
else can enter.
"""

from __future__ import annotations

import errno
import json
import os
import stat
import sys
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from bodega.env import ROOT_VARIABLE
from bodega.errors import BodegaError, LayoutError, RootError, SettingsError, StoreFull, UnsupportedPlatform
from bodega.format import is_id
from bodega.memory import places
from bodega.memory.capabilities import Capabilities, probe
from bodega.memory.descriptors import Descriptor
from bodega.memory.filesystems import FileSystem, filesystem_of
from bodega.memory.locks import FULL, Exclusive, Shared, no_room, say_where
from bodega.memory.places import PARTS, gone, no_folder
from bodega.settings import expand
from bodega.texts import command

FORMAT = 2
_FORMATS = (1, FORMAT)
"""Those that are read. The first, of version 0.1, has no id and no versions of its parts, which are 1 where there are any."""
VERSIONS: Mapping[str, tuple[int, ...]] = {
    "names": (1,),
    "attempts": (0,),
    "ledger": (1,),
    "pool": (1,),
    "references": (0,),
}
"""The versions of each part of a root that can be worked with: a new root gets the last, and 0 is a part that it lacks."""
MARKER = "bodega-root.json"
TAG = "CACHEDIR.TAG"
_TAG = (
    "Signature: 8a477f597d28d172789f06886806bc55\n"
    "# Data that bodega shares between the tasks of a pipeline, which can make it again: https://bford.info/cachedir/\n"
)
"""What keeps programs that make backups out of a folder; the first line is fixed."""
LOCK_FILES = (
    "usage", "temporaries", "swept", "settings", *(f"name-{stripe:02}" for stripe in range(64)),
    *(f"transfer-{stripe:04}" for stripe in range(256)), *(f"run-{stripe:02}" for stripe in range(64)),
)  # fmt: skip
_MOST_DISPLACED = 4096
"""Those before them are left to a sweep."""
_PARENT = 0o755
_GROUP_FOLDER = 0o2770
_GROUP_FILE = 0o640
_GROUP_LOCK = 0o660


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
    id: str = ""
    """128 random bits in hexadecimal: another root at the same path has another. None where an old one has no room for it."""
    displaced: deque[str] = field(
        default_factory=lambda: deque(maxlen=_MOST_DISPLACED), init=False, compare=False, repr=False
    )
    """File names of segments that this process has taken the name of while they were mapped; a put tries to retire them."""

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

    def require(self, *paths: str) -> None:
        """Complain where the root is gone: what it held must not look as if it had never been there.

        Args:
            paths: inside it, or elsewhere, that could not be used.

        Raises:
            RootError: it is, or a part of it that cannot be made again; or something else is in the place of a folder
                that leads to one of the paths, or of the file.
        """
        root = str(self.path)
        missing = [path for part in PARTS if part != "pool" and not os.path.isdir(path := f"{root}/{part}")]
        for path in (*missing, *paths):
            if (fault := places.fault_on_way(root, path, follow=not self.group)) is not None:
                raise fault

    def explain(self, error: BaseException | None) -> None:
        """Say what is wrong with the root, where that is why a call of the system failed.

        Raises:
            RootError: see `require`.
        """
        if isinstance(error, OSError) and not isinstance(error, BodegaError):
            self.require(*(path for path in (error.filename, error.filename2) if isinstance(path, str)))

    @property
    def file_mode(self) -> int:
        """Of a segment that is not pinned."""
        return _GROUP_FILE if self.group else 0o600

    def share(self, descriptor: Descriptor) -> None:
        """Let the group read a file, where the root is shared with one."""
        if self.group:
            os.fchmod(descriptor.number, _GROUP_FILE)

    def run_folder(self, filename: str) -> str:
        """The folder of a run.

        Raises:
            FileNotFoundError: it is not there (in a root of one user, whatever is done in it says so).
            NotADirectoryError: another file is in its place, or a link.
        """
        return places.join(self.runs, filename)

    def make_run(self, filename: str) -> None:
        """Make the folder of a run, and see to it that whoever may put objects can put some there.

        Raises:
            RootError: the root is gone.
        """
        self._make_folder(places.join(self.runs, filename))

    def make_pool(self) -> None:
        """Make the folder of warm segments anew.

        Raises:
            RootError: the root is gone.
        """
        self._make_folder(places.join(self._itself(), "pool"))

    def _make_folder(self, path: str) -> None:
        try:
            places.make_folder(path)
        except FileExistsError:
            self.require(path)
        except FileNotFoundError:
            self.require()
            raise

    def lock(self, name: str, what: str, deadline: float | None = None, *, shared: bool = False) -> Exclusive:
        """The lock of a lock file; see `locks.Exclusive` and `locks.Shared`."""
        return (Shared if shared else Exclusive)(f"{self.locks}/{name}", what, deadline)

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
        return places.join(self.tmp, os.urandom(16).hex())

    def temporary_names(self) -> Exclusive:
        """The lock between making a temporary file by name and locking it; a sweep holds it for each look."""
        return self.lock("temporaries", "The folder of temporary files")

    def read(self, name: str) -> bytes:
        """What is said of the store in a file of the root.

        Raises:
            FileNotFoundError: there is no such file.
            RootError: it is no file of a store, but a link, a folder or the like.
        """
        return places.read_small(places.join(self._itself(), name))

    def remove(self, name: str) -> None:
        """Say nothing of the store in a file of the root any more.

        Raises:
            FileNotFoundError: there is no such file.
        """
        places.unlink(places.join(self._itself(), name))

    def write(self, name: str, data: bytes) -> None:
        """Say something of the store in a file of the root, in one atomic step.

        Raises:
            StoreFull: the file system has no room.
        """
        self.write_small(places.join(self._itself(), name), data, "What is said of the store")

    def write_small(self, path: str, data: bytes, what: str) -> None:
        """Let a small file hold some bytes, in one atomic step: whoever wrote it before may be another user.

        Args:
            path: of the file.
            data: what it is to hold.
            what: what the file says, for messages.

        Raises:
            StoreFull: the file system has no room.
        """
        # Held so long that no sweep takes the draft for a left-over.
        with self.temporary_names():
            draft = self.temporary()
            try:
                descriptor = places.open_file(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW)
                try:
                    self.share(descriptor)
                    os.pwrite(descriptor.number, data, 0)
                    places.rename(draft, path)
                finally:
                    descriptor.close()
            except BaseException as error:
                with suppress(OSError):
                    places.unlink(draft)
                if isinstance(error, OSError) and error.errno in FULL:
                    raise no_room(path, what) from error
                say_where(error, path)
                raise

    def _itself(self) -> str:
        return str(self.path)


class SharedRoot(Root):
    """A root of a group: any member could make a link of anything at any time, so its folders are opened for each use."""

    def _itself(self) -> str:
        try:
            return places.enter(str(self.path), follow=True)
        except FileNotFoundError:
            raise gone(str(self.path), str(self.path)) from None

    def _part(self, name: str) -> str:
        path = places.join(self._itself(), name)
        try:
            return places.enter(path)
        except FileNotFoundError:
            if name == "pool":
                raise
            raise gone(str(self.path), path) from None
        except NotADirectoryError:
            raise no_folder(path) from None

    @property
    def runs(self) -> str:
        """Folder of one folder per run."""
        return self._part("runs")

    @property
    def tmp(self) -> str:
        """Folder of segments that have no name: being published, or replaced and still mapped."""
        return self._part("tmp")

    @property
    def pool(self) -> str:
        """Folder of segments kept warm."""
        return self._part("pool")

    @property
    def locks(self) -> str:
        """Folder of lock files."""
        return self._part("locks")

    def run_folder(self, filename: str) -> str:
        """The folder of a run."""
        return places.enter(super().run_folder(filename))

    def _make_folder(self, path: str) -> None:
        # With its mode before it has its name: a member of the group may come at any time.
        draft = self.temporary()
        places.make_folder(draft)
        try:
            opened = places.enter(draft)
            os.fchmod(opened.folder.number, _GROUP_FOLDER)
            places.rename(draft, path)
        except OSError:
            places.remove_folder(draft)
            self.require()
            if not stat.S_ISDIR(places.status(path).st_mode):
                raise

    def lock(self, name: str, what: str, deadline: float | None = None, *, shared: bool = False) -> Exclusive:
        """The lock of a lock file, which all members can take."""
        return (Shared if shared else Exclusive)(places.join(self.locks, name), what, deadline, _GROUP_LOCK)


def open_root(path: str | os.PathLike[str] | None = None, *, group: bool = False, warm: bool = True) -> Root:
    """Find or make a root and check that it can be trusted.

    Args:
        path: the folder, else the default one.
        group: share it with the members of the folder's group, or use a root that another member has shared.
        warm: whether segments are kept warm there. A root where they are not lies below memory, and may have the only copy of
            something: it gets no tag that keeps backups out.

    Raises:
        LayoutError: it was made by a version of bodega that did it otherwise, or what it says of itself is damaged.
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
    if path == "":
        raise SettingsError(f"The root {path!r} is not a path: give a folder, or None for the default.")
    if "://" in str(path or ""):
        raise SettingsError("A root is a folder of this host, and not a URL: name URLs as lower tiers (spill=).")
    folder = expand(default_root() if path is None else path, f"The root (root= or {ROOT_VARIABLE})")
    try:
        fault = fault_of(folder, os.getuid(), group=group) if os.path.lexists(folder) else None
        filesystem = filesystem_of(folder)
    except OSError as error:
        _refuse(folder, f"it cannot be looked at ({error.strerror})", "choose a path that you can write to")
    if fault is not None:
        _refuse(folder, fault.reason, fault.remedy)
    if (around := _store_around(folder)) is not None:
        _refuse(folder, f"it lies inside the store {around}, which frees what is there", "choose a path outside of it")
    if filesystem.is_network:
        _refuse(
            folder,
            f"it is on a network file system ({filesystem.type} at {filesystem.mount_point}), where locks do not reach "
            "other hosts",
            "use tmpfs or a local disk",
        )
    try:
        _make_root(folder)
    except FileExistsError:
        _refuse(folder, "it is not a folder", "remove it or choose another path")
    except OSError as error:
        _refuse(folder, f"it cannot be made ({error.strerror})", "choose a path that you can write to")
    # Somebody else may have made it in between.
    if fault := fault_of(folder, os.getuid(), group=group):
        _refuse(folder, fault.reason, fault.remedy)
    try:
        facts = _enter(folder, group, tagged=warm)
        kind = SharedRoot if facts.group else Root
        root = kind(folder, facts.portable_names, Capabilities(), facts.group, warm, facts.id)
        if not facts.id:
            root = replace(root, id=_renew(root))
        # A sweep must neither remove the files that are tried on, nor hold the locks that are tried.
        with root.temporary_names():
            return replace(root, capabilities=probe(root.tmp))
    except BodegaError:
        raise
    except OSError as error:
        if error.errno in {errno.EFBIG, errno.ENOMEM}:
            _refuse(
                folder, f"this process met a limit of its own ({error.strerror})", "raise it ('ulimit -f', 'ulimit -v')"
            )
        _refuse(folder, f"it cannot be written ({error.strerror})", "choose a path that you can write to")


def _store_around(folder: Path) -> Path | None:
    """The root among whose objects or temporary files a folder would lie."""
    real = folder.resolve()
    parts = (each for each in (real, *real.parents) if each.name in PARTS)
    return next((part.parent for part in parts if os.path.lexists(part.parent / MARKER)), None)


def _make_root(folder: Path) -> None:
    """Make a root and what is missing above it: nobody else may ever write there, whatever the umask."""
    for parent in reversed(folder.parents):
        if not parent.exists():
            parent.mkdir(mode=_PARENT, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)


class Fault(NamedTuple):
    """What keeps a folder from being the root of a user's store."""

    reason: str
    remedy: str
    can_close: bool = False
    """Whether the mode is all that is wrong, and may be changed: it is a store, and not a folder that others need."""


def fault_of(folder: Path, user: int, *, group: bool) -> Fault | None:
    """Look at who owns a folder that is there, and who can enter it.

    Args:
        folder: the root.
        user: who opens it.
        group: whether the user trusts the members of the folder's group.
    """
    link = folder.lstat()
    if stat.S_ISLNK(link.st_mode) and link.st_uid not in {user, 0}:
        return Fault(f"it is a symbolic link made by another user (uid {link.st_uid})", "choose another path")
    if not folder.is_dir():
        return Fault("it is not a folder", "remove it or choose another path")
    status = folder.stat()
    if _is_shared(status):
        if status.st_uid == user or (group and status.st_gid in {os.getegid(), *os.getgroups()}):
            return None
        return Fault(
            f"it is shared by another user (uid {status.st_uid}) with the group {status.st_gid}",
            "be a member of that group and say that you trust its members (group=True), or choose a path of your own",
        )
    if status.st_uid != user:
        return Fault(
            f"it belongs to another user (uid {status.st_uid}, this is uid {user})", "choose a path of your own"
        )
    if status.st_mode & 0o077:
        names = os.listdir(folder)
        # Never for a folder with other things in it: it may be one that others need.
        can_close = not names or MARKER in names
        close = command("chmod", "700", folder)
        remedy = f"run {close}, or choose another path" if can_close else "choose another path"
        return Fault(f"other users can enter it (mode {stat.S_IMODE(status.st_mode):04o})", remedy, MARKER in names)
    return None


def _is_shared(status: os.stat_result) -> bool:
    """Whether a folder is set up for its group and for nobody else."""
    return stat.S_IMODE(status.st_mode) == _GROUP_FOLDER


def _share_folder(folder: Path) -> None:
    """Set a new root up for its group, with all lock files: whoever makes one later might keep it to himself."""
    folder.chmod(_GROUP_FOLDER)  # First: what is made inside then belongs to the folder's group.
    for name in PARTS:
        (folder / name).mkdir(mode=0o700, exist_ok=True)
        (folder / name).chmod(_GROUP_FOLDER)
    for name in LOCK_FILES:
        lock = folder / "locks" / name
        lock.touch(mode=0o600)
        lock.chmod(_GROUP_LOCK)


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
    id: str
    """None of a root of the first format."""


def strangers(folder: Path) -> list[str]:
    """What lies in a folder that is no root and would not be in one: it is somebody else's."""
    names = os.listdir(folder)
    return (
        []
        if MARKER in names
        else sorted(name for name in names if name not in {*PARTS, TAG} and not name.startswith(MARKER))
    )


def _enter(folder: Path, group: bool, *, tagged: bool) -> _Facts:
    """Make what is missing in a root."""
    marker = folder / MARKER
    if not os.path.lexists(marker):
        # Another process may make a root of it meanwhile, and say something of the store in it.
        if (others := strangers(folder)) and not os.path.lexists(marker):
            _refuse(
                folder,
                f"it already holds other things ({', '.join(others[:3])})",
                "choose an empty or a new folder",
            )
        # Two processes may be first at once: each writes its own file, one of them becomes the marker.
        draft = folder / f"{MARKER}.{os.urandom(16).hex()}"
        facts = {"portable_names": _folds_names(folder), "group": group}
        if group:
            _share_folder(folder)
        draft.touch(mode=0o600)
        draft.write_text(_marked(facts), encoding="utf-8")
        if group:
            draft.chmod(_GROUP_FILE)
        if tagged:
            # Empty where the file system is full.
            with suppress(OSError):
                (folder / TAG).touch(mode=0o600)
                (folder / TAG).write_text(_TAG, encoding="utf-8")
                if group:
                    (folder / TAG).chmod(_GROUP_FILE)
        try:
            os.link(draft, marker)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    for name in PARTS:
        try:
            (folder / name).mkdir(mode=0o700, exist_ok=True)
        except FileExistsError:
            raise no_folder(str(folder / name)) from None
    known = _read_marker(folder, places.read_small(str(marker)))
    if group and not known.group:
        _refuse(folder, "it was made for one user", "make a new root with group=True")
    return known


def _marked(facts: Mapping[str, Any]) -> str:
    """What the marker of a root says."""
    parts = {part: known[-1] for part, known in VERSIONS.items()}
    return json.dumps({"format": FORMAT, "id": os.urandom(16).hex(), **facts, "parts": parts})


def _read_marker(folder: Path, text: bytes) -> _Facts:
    """Read what the marker of a root says, be it one of an older version of bodega.

    Raises:
        LayoutError: it is damaged, or of a root that a newer version made otherwise.
    """
    marker = str(folder / MARKER)
    parts: dict[str, Any] = {}
    try:
        facts = json.loads(text)
        version, known = facts["format"], _Facts(portable_names=True, group=False, id="")
        if version in _FORMATS:
            known = _Facts(bool(facts["portable_names"]), bool(facts.get("group")), "")
        if version == FORMAT:
            known, parts = known._replace(id=facts["id"]), {**dict.fromkeys(VERSIONS, 0), **facts["parts"]}
            if not is_id(known.id):
                raise ValueError("an id has 32 hexadecimal digits")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise LayoutError(
            f"{marker} is damaged ({error}): it should be a line of JSON. Remove the whole root {folder} to start anew.",
            path=marker,
        ) from None
    if version not in _FORMATS:
        knows = " and ".join(map(str, _FORMATS))
        raise _too_new(folder, marker, f"it has format {version!r:.50}, and this one knows {knows}")
    for part, number in parts.items():
        # What a root lacks disturbs nobody.
        usable = VERSIONS.get(part, (0,))
        if number not in usable:
            knows = " and ".join(map(str, usable)) if any(usable) else "none"
            raise _too_new(folder, marker, f"it has version {number!r:.50} of {part!r:.50}, and this one knows {knows}")
    return known


def _too_new(folder: Path, marker: str, reason: str) -> LayoutError:
    return LayoutError(
        f"The root {folder} was made by another version of bodega: {reason}. Use one version for this root, or another root "
        f"(root= or {ROOT_VARIABLE}).",
        path=marker,
        reason=reason,
    )


def _renew(root: Root) -> str:
    """Give a root of the first format its id and the versions of its parts; returns the id, or none where there is no room.

    From here on the version of bodega that made it refuses to open it: objects that are put now are not for it.
    """
    # The next one to open it finds room, where there is none.
    with suppress(StoreFull), root.lock("settings", "What is said of the store"):
        known = _read_marker(root.path, root.read(MARKER))
        if known.id:
            return known.id  # Somebody else was faster.
        text = _marked({"portable_names": known.portable_names, "group": known.group}).encode()
        root.write(MARKER, text)
        return _read_marker(root.path, text).id
    return ""


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
