"""Where the example project is, and a copy of it: for the demo, for the starter, for the benchmarks."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from bodega.errors import IncompleteInstallation
from bodega.texts import install

_PACKAGE = Path(__file__).parent
_PLACES = (
    _PACKAGE / "examples" / "house-prices",  # in an installed wheel
    _PACKAGE.parents[1] / "examples" / "house-prices",  # in a checkout
)
_LEFT_BY_USE = shutil.ignore_patterns(
    "__pycache__", ".*_cache", "*.egg-info", ".telemetry", "02_intermediate", "wheels"
)


def copy_example(target: Path) -> Path:
    """Copy the example project, without what using it has left in it, to a folder ``target``, new or there already.

    Raises:
        IncompleteInstallation: this installation lacks the example.
    """
    source = next((place for place in _PLACES if (place / "pyproject.toml").is_file()), None)
    if source is None:
        raise IncompleteInstallation(
            f"The example project is not in this installation (looked in {' and '.join(map(str, _PLACES))}): "
            f"install bodega again ({install('bodega[demo]')}), or use a checkout."
        )
    shutil.copytree(source, target, ignore=_left_behind, dirs_exist_ok=True)
    return target


def _left_behind(folder: str, names: list[str]) -> set[str]:
    if os.path.basename(folder) == "local":  # Kedro's place for what is one person's own: credentials.
        return set(names) - {".gitkeep"}
    return _LEFT_BY_USE(folder, names)
