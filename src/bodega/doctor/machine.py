"""The facts of this machine; one that cannot be read, as much of ``/proc`` on macOS, is left out."""

from __future__ import annotations

import fcntl
import importlib.metadata
import os
import platform
import pwd
import resource
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import bodega
from bodega.doctor.checks import (
    NEW_ROOT,
    Space,
    check_capabilities,
    check_descriptors,
    check_filesystem,
    check_huge_pages,
    check_libraries,
    check_logout,
    check_machine_memory,
    check_map_count,
    check_memory_limit,
    check_overcommit,
    check_platform,
    check_process_limit,
    check_python,
    check_root,
    check_swap,
    lease_is_free,
)
from bodega.errors import BodegaError
from bodega.findings import Finding
from bodega.memory.capabilities import Capabilities, probe
from bodega.memory.cgroups import memory_limit
from bodega.memory.filesystems import FileSystem, filesystem_of
from bodega.memory.root import MARKER, default_root, open_root
from bodega.memory.sweep import leftovers
from bodega.texts import command
from bodega.tiers.kept import recall


def check(root: str | os.PathLike[str] | None = None) -> list[Finding]:
    """Look at everything a store at this root depends on; changes nothing and leaves nothing behind.

    Args:
        root: as for `bodega.open`; it need not exist.
    """
    place = (default_root() if root is None else Path(root)).expanduser().absolute()
    filesystem = filesystem_of(place)
    space = _space(_nearest(place))
    findings = [
        check_platform(sys.platform, platform.release(), platform.machine()),
        check_python(sys.version_info[:2]),
        check_root(place, os.getuid()),
        *check_filesystem(filesystem, space),
    ]
    capabilities: Capabilities | None = None
    # Where the root or its file system will not do, the rest would be the same fault in other words.
    if all(finding.level != "error" for finding in findings):
        capabilities, finding = _try(place)
        findings.append(finding)
        if capabilities is not None:
            findings.append(check_capabilities(capabilities))
        if (place / MARKER).exists():
            findings += _check_store(place)
    findings += _check_memory(filesystem, space)
    findings += _check_limits(one_per_object=capabilities is not None and not lease_is_free(capabilities))
    findings += check_libraries(importlib.metadata.requires("bodega") or ())
    return findings


def _nearest(place: Path) -> Path:
    """The folder itself, or the nearest one above that exists."""
    return next(folder for folder in (place, *place.parents) if folder.is_dir())


def _space(folder: Path) -> Space:
    status = os.statvfs(folder)
    unit = status.f_frsize
    return Space(status.f_blocks * unit, status.f_bavail * unit, status.f_files, status.f_favail)


def _try(place: Path) -> tuple[Capabilities | None, Finding]:
    """Do once what a store does all the time, in a folder of its own that is gone afterwards."""
    folder = _nearest(place)
    try:
        # The name is one that a root does not take for a stranger's.
        with tempfile.TemporaryDirectory(prefix=f"{MARKER}.", dir=folder) as scratch:
            first, second = Path(scratch, "first"), Path(scratch, "second")
            first.write_bytes(bytes(4096))
            os.link(first, second)
            second.replace(Path(scratch, "third"))
            with first.open("rb") as holder, first.open("rb") as other:
                fcntl.flock(holder, fcntl.LOCK_EX | fcntl.LOCK_NB)
                try:
                    fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    pass
                else:
                    return None, Finding("error", "permissions", f"Locks in {folder} keep nobody out.", NEW_ROOT)
            capabilities = probe(scratch)
    except BodegaError as error:
        return None, Finding("error", "permissions", str(error), NEW_ROOT)
    except OSError as error:
        finding = f"Files cannot be made, linked and locked in {folder} ({error.strerror})."
        return None, Finding("error", "permissions", finding, NEW_ROOT)
    return capabilities, Finding("ok", "permissions", f"Files can be made, linked and locked in {folder}.")


def _check_store(place: Path) -> Iterator[Finding]:
    """What a sweep would free (a file in use looks the same from outside, so this is a note at most), and lower tiers."""
    try:
        # What it finds is counted only, so it may be a group's.
        root = open_root(place, group=stat.S_IMODE(place.stat().st_mode) & stat.S_IRWXG != 0)
        paths = leftovers(root)
    except (BodegaError, OSError) as error:
        yield Finding("error", "store", str(error), NEW_ROOT)
        return
    if paths:
        finding = f"{len(paths)} segments without a name: in use, or left by a crash."
        yield Finding("note", "store", finding, command("bodega", "sweep", "--root", place))
    else:
        yield Finding("ok", "store", "Nothing is left over.")
    forget = command("bodega", "settings", "--forget", "--root", place)
    try:
        spill = [str(each) for each in recall(root).get("spill", ())]
        # What opening the store looks at; object storage is not asked.
        bodega.open(place, group=root.group)
    except (BodegaError, OSError) as error:
        yield Finding("error", "tiers", str(error), forget)
        return
    if spill:
        yield Finding("ok", "tiers", f"Objects move to {', then '.join(spill)}.")


def _check_memory(filesystem: FileSystem, space: Space) -> Iterator[Finding]:
    if filesystem.type == "tmpfs":
        shmem_enabled = _text("/sys/kernel/mm/transparent_hugepage/shmem_enabled") or ""
        yield check_huge_pages(shmem_enabled, filesystem)
        if (swaps := _text("/proc/swaps")) is not None:
            yield check_swap(swaps, filesystem)
    yield check_machine_memory(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), filesystem, space)
    yield check_memory_limit(memory_limit(), filesystem, space)
    if Path("/run/systemd/system").is_dir():
        folders = ("/usr/lib/systemd/logind.conf.d", "/run/systemd/logind.conf.d", "/etc/systemd/logind.conf.d")
        drop_ins = sorted((path for each in folders for path in Path(each).glob("*.conf")), key=lambda path: path.name)
        texts = [_text(path) or "" for path in (Path("/etc/systemd/logind.conf"), *drop_ins)]
        lingers = Path("/var/lib/systemd/linger", _user_name()).exists()
        yield check_logout(texts, filesystem, os.getuid(), lingers=lingers)


def _check_limits(*, one_per_object: bool) -> Iterator[Finding]:
    yield check_descriptors(*resource.getrlimit(resource.RLIMIT_NOFILE), one_per_object=one_per_object)
    if (count := _text("/proc/sys/vm/max_map_count")) is not None:
        yield check_map_count(int(count))
    if (mode := _text("/proc/sys/vm/overcommit_memory")) is not None:
        yield check_overcommit(mode)
    for name, number, flag, effect in (
        ("address space", resource.RLIMIT_AS, "v", "every object held counts against it in full"),
        ("data size", resource.RLIMIT_DATA, "d", "objects beyond it can be read but not changed"),
        ("file size", resource.RLIMIT_FSIZE, "f", "larger objects cannot be put"),
    ):
        yield check_process_limit(name, effect, flag, resource.getrlimit(number)[0])


def _text(path: str | Path) -> str | None:
    """A file of the kernel's or the system's, where there is one."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError:
        return None


def _user_name() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
