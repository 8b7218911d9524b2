"""What a program that is killed leaves: the servers it started end with it, and the next one removes its folders.

Needs the standard library alone.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

_YOUNG = 60.0
"""Seconds for which a folder stays in any case: it has its name a moment before it has its lock."""


def bound(command: Sequence[str]) -> list[str]:
    """A command whose process the kernel ends with the one that starts it, be that killed.

    Where util-linux is missing it is the same command. Start it from a thread that stays: its end counts.
    """
    return [*_setpriv(), *command]


@cache
def _setpriv() -> tuple[str, ...]:
    program = shutil.which("setpriv")
    if program is None:
        return ()
    words = (program, "--pdeathsig", "TERM")
    # Busybox has a program of this name that cannot do it.
    tried = subprocess.run([*words, "true"], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return words if tried.returncode == 0 else ()


@contextmanager
def scratch(prefix: str, parent: str | None = None) -> Iterator[Path]:
    """A new folder for as long as the block runs; those that killed processes left beside it go first.

    Args:
        prefix: of its name, and of those that are looked at.
        parent: where; by default among the temporary files.
    """
    parent = tempfile.gettempdir() if parent is None else parent
    for left in Path(parent).glob(f"{prefix}*"):
        with suppress(OSError):
            _remove_if_left(left)
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _remove_if_left(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        status = os.fstat(descriptor)
        if status.st_uid == os.getuid() and time.time() - status.st_mtime >= _YOUNG:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(descriptor)
