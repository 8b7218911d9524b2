"""Environments for what does not run beside this bodega: made once, kept in the user's cache."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from bodega.errors import BodegaError


class Unavailable(BodegaError, RuntimeError):
    """Why something cannot be measured on this machine."""


def make_environment(name: str, requirements: Sequence[str], pythons: Sequence[str] = ()) -> str:
    """The interpreter of an environment, which is made where it is missing or made of something else.

    Args:
        name: of its folder in the cache.
        requirements: what is installed there.
        pythons: versions to try in this order; none means the one that runs this.

    Raises:
        Unavailable: it cannot be made.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bodega"
    folder = cache / "environments" / name
    made_of, recipe = folder / "made-of.txt", "\n".join(requirements)
    interpreter = os.fspath(folder / "bin" / "python")
    if made_of.exists() and made_of.read_text(encoding="utf-8") == recipe:
        return interpreter
    shutil.rmtree(folder, ignore_errors=True)
    uv = shutil.which("uv")
    python = _find_python(pythons, has_uv=uv is not None)
    if uv is not None:
        make, install = [uv, "venv", "--python", python], [uv, "pip", "install", "--python", interpreter]
    else:
        make, install = [python, "-m", "venv"], [interpreter, "-m", "pip", "install"]
    for command in ([*make, os.fspath(folder)], [*install, *requirements]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            reason = ([line.strip() for line in done.stderr.splitlines() if line.strip()] or ["no reason given"])[-1]
            raise Unavailable(f"its environment cannot be made ({' '.join(requirements)}): {reason}")
    made_of.write_text(recipe, encoding="utf-8")
    return interpreter


def _find_python(pythons: Sequence[str], *, has_uv: bool) -> str:
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    if not pythons or here in pythons:
        return sys.executable
    if has_uv:
        return pythons[0]  # It finds one, or gets one.
    for version in pythons:
        if found := shutil.which(f"python{version}"):
            return found
    raise Unavailable(f"it needs Python {' or '.join(pythons)}, or uv, and none is here")
