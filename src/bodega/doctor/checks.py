"""The checks: facts in, findings out."""

from __future__ import annotations

import importlib.metadata
import os
import re
import resource
import shlex
import stat
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bodega.env import ROOT_VARIABLE, WITHOUT_VARIABLE
from bodega.findings import Finding, Level
from bodega.memory.capabilities import Capabilities
from bodega.memory.cgroups import MemoryLimit
from bodega.memory.filesystems import FileSystem
from bodega.memory.root import fault_of, strangers
from bodega.texts import format_size, install

DEFAULT_SHM = 64 * 2**20
"""Bytes of ``/dev/shm`` in a container that was given no other size, by Docker, containerd and CRI-O alike."""
TESTED_PYTHONS = ((3, 11), (3, 13))
DEFAULT_MAP_COUNT = 65_530
"""The kernel's own default of ``vm.max_map_count``; each object mapped takes one."""
SPARE_DESCRIPTORS = 256
"""What Python, numpy and a pipeline open besides objects."""
FIRST_PERSON = 1000
"""Users below this number are the system's (``SYSTEM_UID_MAX`` of systemd is one less)."""

NEW_ROOT = f'export {ROOT_VARIABLE}="$(mktemp -d /dev/shm/bodega-XXXXXX)"'
LINUX_CONTAINER = "docker run --rm -it --shm-size=8g python:3.13 bash"
OWN_MOUNT = (
    "sudo mkdir -p /mnt/bodega && "
    "sudo mount -t tmpfs -o size=50%,mode=1777,huge=within_size,noswap tmpfs /mnt/bodega && "
    f'export {ROOT_VARIABLE}="/mnt/bodega/$(id -un)"'
)


@dataclass(frozen=True, slots=True)
class Space:
    """Size of a file system, in bytes and files; a total of 0 is no limit."""

    total: int
    free: int
    files: int
    files_free: int


def check_platform(system: str, release: str, machine: str) -> Finding:
    """Linux has everything; macOS works over a folder on disk."""
    if system == "linux":
        return Finding("ok", "platform", f"Linux {release} on {machine}.")
    if system == "darwin":
        finding = "macOS has no tmpfs, so objects are files on disk: right, but slower than on Linux."
        return Finding("note", "platform", finding, LINUX_CONTAINER)
    return Finding("error", "platform", f"A store needs Linux or macOS, not {system}.", "wsl --install")


def check_python(version: tuple[int, ...]) -> Finding:
    """Versions of Python that the tests run on."""
    oldest, newest = (".".join(map(str, each)) for each in TESTED_PYTHONS)
    name = ".".join(map(str, version))
    if TESTED_PYTHONS[0] <= version <= TESTED_PYTHONS[1]:
        return Finding("ok", "Python", f"Python {name}.")
    return Finding(
        "note", "Python", f"Python {name} is untested: {oldest} to {newest} are.", f"uv venv --python {newest}"
    )


def check_root(root: Path, user: int) -> Finding:
    """Who owns the root, who can get in, and whether it is one."""
    if not os.path.lexists(root):
        return Finding("ok", "root", f"{root} is not there yet: it is made when it is first used.")
    try:
        fault = fault_of(root, user, group=True)
        foreign = strangers(root) if root.is_dir() else []
        shared = stat.S_IMODE(root.stat().st_mode) & stat.S_IRWXG
    except OSError as error:
        return Finding("error", "root", f"{root} cannot be looked at ({error.strerror}).", NEW_ROOT)
    # Before the mode: a remedy must never lock others out of a folder that is no store's, such as /tmp.
    if foreign:
        return Finding("error", "root", f"{root} holds other things already ({', '.join(foreign[:3])}).", NEW_ROOT)
    if fault is not None:
        remedy = f"chmod 0700 {shlex.quote(str(root))}" if fault.can_close else NEW_ROOT
        return Finding("error", "root", f"{root} cannot be your root: {fault.reason}.", remedy)
    return Finding("ok", "root", f"{root} is your group's." if shared else f"{root} is yours alone.")


def check_filesystem(filesystem: FileSystem, space: Space) -> Iterator[Finding]:
    """What kind of file system the root is on, and how much fits."""
    name = f"{filesystem.type} mounted at {filesystem.mount_point}"
    mount_point = shlex.quote(filesystem.mount_point)
    if filesystem.is_network:
        finding = f"{name} is a network file system: locks and mappings of one host mean nothing to another."
        yield Finding("error", "file system", finding, NEW_ROOT)
    elif "ro" in filesystem.options:
        yield Finding("error", "file system", f"{name} is read-only.", f"sudo mount -o remount,rw {mount_point}")
    elif filesystem.type == "tmpfs" or sys.platform != "linux":
        yield Finding("ok", "file system", f"{name}.")
    elif filesystem.is_memory:
        yield Finding("warning", "file system", f"{name} keeps to no size: it can fill the machine.", NEW_ROOT)
    else:
        yield Finding("note", "file system", f"{name} is a disk: objects are written to it, not to memory.", NEW_ROOT)

    if not space.total:
        finding = "The file system has no size: objects can fill the machine's memory."
        yield Finding("warning", "space", finding, f"sudo mount -o remount,size=50% {mount_point}")
        return
    finding = f"{format_size(space.free)} of {format_size(space.total)} are free"
    if filesystem.type == "tmpfs" and space.total <= DEFAULT_SHM:
        finding += ": this is what containers get that ask for no more."
        yield Finding("warning", "space", finding, "docker run --shm-size=8g IMAGE")
    elif space.free < space.total // 10:
        yield Finding("warning", "space", f"{finding}.", "bodega sweep && bodega ls --all-runs")
    else:
        yield Finding("ok", "space", f"{finding}.")
    if space.files and space.files_free < max(1_000, space.files // 100):
        finding = f"Only {space.files_free:,} more files can be made; each object is one or two."
        yield Finding("warning", "files", finding, f"sudo mount -o remount,nr_inodes=1m {mount_point}")


def check_huge_pages(shmem_enabled: str, filesystem: FileSystem) -> Finding:
    """Whether a tmpfs keeps its files in huge pages, which copies several times faster.

    Args:
        shmem_enabled: the text of ``/sys/kernel/mm/transparent_hugepage/shmem_enabled``, in which brackets mark the
            word that holds: ``deny`` and ``force`` overrule mounts, the others do not concern them.
        filesystem: a tmpfs.
    """
    words = re.findall(r"\[(\w+)\]", shmem_enabled)
    mount_point = shlex.quote(filesystem.mount_point)
    remount = f"sudo mount -o remount,huge=within_size {mount_point}"
    option = next((word[5:] for word in filesystem.options if word.startswith("huge=")), "never")
    if not words:
        return Finding("ok", "huge pages", "This kernel has none for tmpfs.")
    if words[0] == "deny":
        allow = "echo never | sudo tee /sys/kernel/mm/transparent_hugepage/shmem_enabled"
        return Finding("note", "huge pages", "The kernel is set to deny them to tmpfs.", f"{allow} && {remount}")
    if words[0] == "force" or option in {"always", "within_size"}:
        return Finding("ok", "huge pages", f"In use at {filesystem.mount_point}.")
    finding = f"Not in use at {filesystem.mount_point} (huge={option}): large puts run at a fraction of their speed."
    return Finding("note", "huge pages", finding, remount)


def check_memory_limit(limit: MemoryLimit | None, filesystem: FileSystem, space: Space) -> Finding:
    """Whether the container's memory limit ends before the file system does: the kernel kills whoever crosses it."""
    if limit is None:
        return Finding("ok", "memory limit", "No control group limits this process's memory.")
    finding = f"A control group allows {format_size(limit.limit)}, {format_size(limit.free)} of them free"
    if not filesystem.is_memory:
        return Finding("ok", "memory limit", f"{finding}; objects on disk do not count.")
    if limit.free < limit.limit // 10:
        twice = -(-limit.limit * 2 // 2**20)
        finding += ": large puts end in a process killed by the kernel."
        return Finding("warning", "memory limit", finding, f"docker run --memory={twice}m IMAGE")
    if space.total > limit.limit:
        finding += f"; objects count against it, and the root's file system would take {format_size(space.total)}."
        remedy = f"sudo mount -o remount,size={limit.limit // 2**21}m {shlex.quote(filesystem.mount_point)}"
        return Finding("warning", "memory limit", finding, remedy)
    return Finding("ok", "memory limit", f"{finding}.")


def check_machine_memory(memory: int, filesystem: FileSystem, space: Space) -> Finding:
    """Whether a full tmpfs would leave the machine anything."""
    finding = f"The machine has {format_size(memory)}"
    if filesystem.is_memory and space.total > memory * 9 // 10:
        finding += f", and the root's file system may take {format_size(space.total)} of them."
        remedy = f"sudo mount -o remount,size=50% {shlex.quote(filesystem.mount_point)}"
        return Finding("note", "memory", finding, remedy)
    return Finding("ok", "memory", f"{finding}.")


def check_swap(swaps: str, filesystem: FileSystem) -> Finding:
    """Whether objects on a tmpfs can be swapped out (``swaps``: the text of ``/proc/swaps``)."""
    devices = [line.split()[0] for line in swaps.splitlines()[1:] if line.split()]
    if not devices or "noswap" in filesystem.options:
        return Finding("ok", "swap", "Objects are never swapped out.")
    finding = f"Objects may be swapped out to {', '.join(devices)}; a mount with noswap (Linux 6.4) keeps them."
    return Finding("note", "swap", finding, OWN_MOUNT)


def check_logout(logind: Iterable[str], filesystem: FileSystem, user: int, *, lingers: bool) -> Finding:
    """Whether systemd empties ``/dev/shm`` of a user's files when they log out (``RemoveIPC=``, logind.conf(5)).

    Args:
        logind: texts of the configuration files, in the order in which later ones win.
        filesystem: of the root.
        user: users below 1000 are the system's, whose files stay.
        lingers: whether the user's services outlive the session, which counts as logged in.
    """
    settings = [word for text in logind for word in re.findall(r"(?im)^\s*RemoveIPC\s*=\s*(\w+)", text)]
    removes = not settings or settings[-1].lower() in {"yes", "true", "on", "1"}
    if removes and user >= FIRST_PERSON and not lingers and filesystem.mount_point == "/dev/shm":  # noqa: S108 - compared, not used
        finding = "systemd removes your files from /dev/shm when you log out of your last session."
        return Finding("note", "log-out", finding, "loginctl enable-linger")
    return Finding("ok", "log-out", "Objects outlive your session.")


def check_descriptors(soft: int, hard: int, *, one_per_object: bool) -> Finding:
    """Whether the limit on open files suffices."""
    need = 65_536 if one_per_object else SPARE_DESCRIPTORS
    finding = f"{_limit(soft)} at once"
    if one_per_object:
        finding += "; each object held takes one here"
    if soft == resource.RLIM_INFINITY or soft >= need:
        return Finding("ok", "open files", f"{finding}.")
    wanted = need if hard == resource.RLIM_INFINITY else min(need, hard)
    level: Level = "note" if one_per_object else "warning"
    return Finding(level, "open files", f"{finding}.", f"ulimit -n {wanted}")


def check_map_count(limit: int) -> Finding:
    """How many objects a process can hold at once."""
    finding = f"A process can hold about {limit:,} mapped objects at once"
    if limit >= DEFAULT_MAP_COUNT:
        return Finding("ok", "mappings", f"{finding}.")
    return Finding("warning", "mappings", f"{finding}.", "sudo sysctl -w vm.max_map_count=262144")


def check_overcommit(mode: str) -> Finding:
    """Whether a mapping counts as memory before it is written to."""
    if mode.strip() == "2":
        finding = "vm.overcommit_memory is 2: each object held counts in full as memory, although nothing is copied."
        return Finding("warning", "overcommit", finding, "sudo sysctl -w vm.overcommit_memory=0")
    return Finding("ok", "overcommit", "What is mapped counts only when it is changed.")


def check_process_limit(check_name: str, effect: str, flag: str, soft: int) -> Finding:
    """A limit of ``ulimit`` that objects count against."""
    if soft == resource.RLIM_INFINITY:
        return Finding("ok", check_name, "No limit.")
    return Finding("warning", check_name, f"{format_size(soft)}: {effect}.", f"ulimit -S -{flag} unlimited")


def check_capabilities(found: Capabilities) -> Finding:
    """What the kernel, the file system and the interpreter offer."""
    lacking = [
        text
        for text, there in {
            "files without a name (O_TMPFILE)": found.tmpfile,
            "swapping two names (RENAME_EXCHANGE)": found.exchange,
            "locks kept by mappings alone": lease_is_free(found),
            "mappings that reserve nothing (MAP_NORESERVE)": found.noreserve,
        }.items()
        if not there
    ]
    if not lacking:
        return Finding("ok", "kernel features", "All that bodega can use.")
    if os.environ.get(WITHOUT_VARIABLE):
        remedy = f"unset {WITHOUT_VARIABLE}"
    else:
        remedy = NEW_ROOT if sys.platform == "linux" else LINUX_CONTAINER
    return Finding("note", "kernel features", f"Done without, more slowly: {', '.join(lacking)}.", remedy)


def check_libraries(requirements: Iterable[str]) -> Iterator[Finding]:
    """Versions of the libraries that stores need or know.

    Args:
        requirements: as bodega's package metadata lists them, such as ``pandas>=2.2; extra == 'pandas'``.
    """
    oldest: dict[str, tuple[str, bool]] = {}
    for requirement in requirements:
        if re.search(r"extra == '(bench|demo)'", requirement):
            continue  # What they need they say themselves; no store is better for it.
        if match := re.match(r"([\w.-]+)>=([\w.]+)(.*)", requirement):
            name, version, marker = match.groups()
            optional = "extra" in marker and oldest.get(name, ("", True))[1]
            oldest[name] = version, optional
    for name, (version, optional) in sorted(oldest.items()):
        remedy = install(f"{name}>={version}")
        try:
            there = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            level: Level = "note" if optional else "error"
            yield Finding(level, name, "Not installed.", remedy)
            continue
        if _release(there) < _release(version):
            level = "warning" if optional else "error"
            yield Finding(level, name, f"{there} is too old: {version} is the oldest that works.", remedy)
        else:
            yield Finding("ok", name, f"{there}.")


def _release(version: str) -> tuple[int, ...]:
    """The numbers that a version begins with: enough to compare with the plain ones of our requirements."""
    match = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(number) for number in match[0].split(".")) if match else ()


def lease_is_free(capabilities: Capabilities) -> bool:
    """Whether an object that is held costs no descriptor."""
    return capabilities.overlay or capabilities.trackfd


def _limit(number: int) -> str:
    return "unlimited" if number == resource.RLIM_INFINITY else f"{number:,}"
