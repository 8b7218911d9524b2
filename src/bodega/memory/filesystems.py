"""What file system a path is on."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NamedTuple

NETWORK_TYPES = frozenset({
    "9p", "afs", "beegfs", "ceph", "cifs", "fuse.ceph", "fuse.cephfs", "fuse.glusterfs", "fuse.juicefs", "fuse.rclone",
    "fuse.s3fs", "fuse.sshfs", "gfs2", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "pvfs2", "smb3",
    "smbfs", "virtiofs", "webdav",
})  # fmt: skip
"""File systems where a lock or a mapping of one host means nothing to another."""


class FileSystem(NamedTuple):
    """A mounted file system."""

    type: str
    """Such as ``tmpfs`` or ``ext4``; ``unknown`` where the system does not tell."""
    mount_point: str
    options: tuple[str, ...] = ()
    device: str = ""

    @property
    def is_network(self) -> bool:
        """Whether other hosts may share it."""
        return self.type in NETWORK_TYPES

    @property
    def has_huge_pages(self) -> bool:
        """Whether it keeps its files in huge pages (``huge=always`` or ``within_size``)."""
        return self.type == "tmpfs" and not {"huge=always", "huge=within_size"}.isdisjoint(self.options)

    @property
    def is_memory(self) -> bool:
        """Whether its files live in memory."""
        return self.type in {"tmpfs", "ramfs", "hugetlbfs"}


def filesystem_of(path: str | os.PathLike[str]) -> FileSystem:
    """The file system that holds a path (or would hold it, where it does not exist yet)."""
    place = Path(path).absolute()
    while not place.exists():
        place = place.parent
    place = place.resolve()
    try:
        table = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return _from_mount_command(place) if sys.platform == "darwin" else FileSystem("unknown", "/")
    return parse_mountinfo(table, place, os.stat(place).st_dev)


def parse_mountinfo(table: str, place: Path, device: int) -> FileSystem:
    """The mount in a text of ``/proc/self/mountinfo`` (see proc(5)) that holds a path on a device.

    The longest mount point above the path wins, and of several mounted there the last, which hides the others.
    """
    number = f"{os.major(device)}:{os.minor(device)}"
    best = FileSystem("unknown", "/")
    best_rank = (False, -1)
    for line in table.splitlines():
        before, _, after = line.partition(" - ")
        fields, rest = before.split(" "), after.split(" ")
        if len(fields) < 6 or len(rest) < 3:
            continue
        mount_point = _unescape(fields[4])
        if not place.is_relative_to(mount_point):
            continue
        rank = (fields[2] == number, len(mount_point))
        if rank >= best_rank:
            options = tuple(dict.fromkeys([*fields[5].split(","), *rest[2].split(",")]))
            best, best_rank = FileSystem(rest[0], mount_point, options, _unescape(rest[1])), rank
    return best


def _unescape(text: str) -> str:
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, character)
    return text


def _from_mount_command(place: Path) -> FileSystem:
    """MacOS has no ``/proc``: its ``mount`` prints ``device on /mount/point (type, option, ...)``."""
    import subprocess  # Slow to import, and needed on macOS only.

    table = subprocess.run(["/sbin/mount"], capture_output=True, text=True, check=False).stdout
    best = FileSystem("unknown", "/")
    for line in table.splitlines():
        device, _, rest = line.partition(" on ")
        mount_point, _, details = rest.rpartition(" (")
        kind, *options = details.rstrip(")").split(", ")
        if place.is_relative_to(mount_point) and len(mount_point) >= len(best.mount_point):
            best = FileSystem(kind, mount_point, tuple(options), device)
    return best
