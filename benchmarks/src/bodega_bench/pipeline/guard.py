"""What a measurement would need, and whether it fits.

A machine that swaps or kills measures nothing. What is needed grows with the scale, so it follows from the largest
scale that was measured before; the figures for the first are rounded up from the example's table.
"""

from __future__ import annotations

import mmap
import shutil
from collections.abc import Iterable
from pathlib import Path

from bodega.texts import format_size
from bodega_bench.machine import memory_left
from bodega_bench.pipeline.measurements import Measurement
from bodega_bench.pipeline.media import Medium

_PROCESS = 300 << 20
"""Bytes of Python, Kedro and pandas."""
_TABLE = 5 << 18
"""Bytes of the table in memory, or in any medium, for each 1,460 houses."""
_TABLES_AT_ONCE = 4
"""That the process of a node holds: its input, its result, and what it makes on the way."""
_TABLES_HANDED_ON = 6
_RESERVE = 1.15
"""What is asked for beyond what is expected."""


def why_not(medium: Medium, scale: int, before: Iterable[Measurement], disk: Path) -> str | None:
    """Why a medium cannot be measured at a scale; None where it can.

    Args:
        medium: what is to be measured.
        scale: how many times the data.
        before: what was measured of the same medium.
        disk: the folder that files are written to.
    """
    memory, stored = _needs(medium, scale, before)
    if medium.is_memory:
        memory += stored
    if (needed := int(memory * _RESERVE)) > (left := memory_left()):
        return f"it would take about {format_size(needed)} of memory, and {format_size(left)} are left"
    if medium.crosses_processes and not medium.is_memory:
        left = shutil.disk_usage(disk).free
        if (needed := int(stored * _RESERVE)) > left:
            return f"it would take about {format_size(needed)} of disk, and {format_size(left)} are left"
    return None


def warm(medium: Medium, scale: int, before: Iterable[Measurement]) -> None:
    """Take and free as much memory as a measurement will, the page cache of files included.

    A virtual machine may have to fetch pages from its host first, which takes several times as long as using them: the
    first medium of a scale would pay for all. Arguments are those of `why_not`.
    """
    nbytes = min(sum(_needs(medium, scale, before)), int(memory_left() / _RESERVE))
    with mmap.mmap(-1, nbytes) as memory:
        for start in range(0, nbytes, mmap.PAGESIZE):
            memory[start] = 1


def _needs(medium: Medium, scale: int, before: Iterable[Measurement]) -> tuple[int, int]:
    """Bytes of memory of the processes that work at once, and bytes that are handed on."""
    private, stored = _of_one(scale, before)
    if medium.runner is not None and medium.is_memory:
        private *= 2  # Two processes hold tables at once: who works, and who keeps them.
    return private, stored


def _of_one(scale: int, before: Iterable[Measurement]) -> tuple[int, int]:
    """Bytes of memory of a process, and bytes that are handed on."""
    largest = max(before, key=lambda each: each.scale, default=None)
    tables = _TABLE * scale
    private, stored = _PROCESS + tables * _TABLES_AT_ONCE, tables * _TABLES_HANDED_ON
    if largest is None:
        return private, stored
    growth = max(1.0, scale / largest.scale)
    seen = largest.most("private") or largest.most("peak")
    # A small scale says more about Python than about the data.
    if seen > 2 * _PROCESS:
        private = int(_PROCESS + (seen - _PROCESS / 2) * growth)
    return private, int(largest.nbytes * growth) or stored
