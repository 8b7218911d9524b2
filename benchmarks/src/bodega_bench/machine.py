"""What figures depend on, and how much memory a measurement may take."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from pathlib import Path
from typing import Any

from bodega.memory.cgroups import memory_limit
from bodega.memory.filesystems import filesystem_of
from bodega.texts import format_size

_SHARED = "/dev/shm"


def memory_folder() -> str:
    """Where files are memory; where there is no such place, the system's folder for temporary files."""
    return _SHARED if os.path.isdir(_SHARED) else tempfile.gettempdir()


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    return {
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": _processor(),
        "processors": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory": format_size(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")),
        "shared memory": filesystem_of(memory_folder()).type,
        "huge pages in shared memory": filesystem_of(memory_folder()).has_huge_pages,
        "load average": [round(each, 2) for each in os.getloadavg()],
    }


def memory_left() -> int:
    """Bytes that can still be taken, by processes and in shared memory together."""
    left = shutil.disk_usage(memory_folder()).free
    if (limit := memory_limit()) is not None:  # Of a container.
        left = min(left, limit.free)
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except FileNotFoundError:
        return left  # Only Linux tells.
    facts = dict(line.split(":") for line in lines)
    return min(int(facts["MemAvailable"].split()[0]) << 10, left)


def _processor() -> str:
    """The model, where the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
