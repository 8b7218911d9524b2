"""How much memory the kernel lets this process and its container have: whoever crosses the limit is killed.

Pages of a tmpfs count against the control group that first writes them. Both versions of control groups are read;
on a system without them there is no limit.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import NamedTuple

_MOUNT = Path("/sys/fs/cgroup")
_UNLIMITED = 1 << 62
"""Version 1 writes "no limit" as the largest number of whole pages."""


class MemoryLimit(NamedTuple):
    """The limit of one control group, in bytes."""

    group: str
    """Its folder."""
    limit: int
    used: int
    """Without file pages that the kernel can drop at any time."""

    @property
    def free(self) -> int:
        """What can still be written."""
        return max(0, self.limit - self.used)


def memory_limit() -> MemoryLimit | None:
    """The limit that this process meets first, of its own group or of one above; None where nothing limits it."""
    try:
        groups = Path("/proc/self/cgroup").read_text(encoding="utf-8")
    except OSError:
        return None
    limits = [limit for folder in memory_groups(groups) if (limit := _read(folder))]
    return min(limits, key=lambda limit: limit.free, default=None)


def memory_groups(table: str, mount: Path = _MOUNT) -> list[Path]:
    """Folders of the groups whose limits hold, the innermost first (see cgroups(7)).

    A container may see itself at the top of its own mount, under a path of the host that it cannot see: folders that
    do not exist are therefore no error, only skipped by the reader.

    Args:
        table: the text of ``/proc/self/cgroup``.
        mount: where the control groups are mounted.
    """
    folders: list[Path] = []
    for line in table.splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        top = mount / "memory" if controllers else mount
        group = PurePosixPath("/", path)
        folders += [top / each.relative_to("/") for each in (group, *group.parents)]
    return folders


def _read(folder: Path) -> MemoryLimit | None:
    for limit_name, used_name, cache_name in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        try:
            limit = (folder / limit_name).read_text(encoding="ascii").strip()
            used = int((folder / used_name).read_text(encoding="ascii"))
            statistics = (folder / "memory.stat").read_text(encoding="ascii")
        except OSError:
            continue
        if limit == "max" or int(limit) >= _UNLIMITED:
            return None
        cache = dict(line.split(" ", 1) for line in statistics.splitlines() if " " in line).get(cache_name, "0")
        return MemoryLimit(str(folder), int(limit), max(0, used - int(cache)))
    return None
