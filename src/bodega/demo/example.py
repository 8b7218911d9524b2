"""Where the example project is, and a working copy of it."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path

import click

INSTALL = "pip install 'bodega[demo]'"

_PACKAGE = Path(__file__).parents[1]
_PLACES = (
    _PACKAGE / "examples" / "house-prices",  # in an installed wheel
    _PACKAGE.parents[1] / "examples" / "house-prices",  # in a checkout
)


def require(*modules: str) -> None:
    """Raise `click.ClickException` with the command that installs them if any of the modules is missing."""
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise click.ClickException(f"The demo needs {', '.join(missing)}, which is not installed: {INSTALL}")


def copy_example(target: Path) -> Path:
    """Copy the example project, without what runs have left in it, to a new folder ``target``.

    Raises:
        click.ClickException: this installation lacks the example.
    """
    source = next((place for place in _PLACES if (place / "pyproject.toml").is_file()), None)
    if source is None:
        raise click.ClickException(
            f"The example project is not in this installation (looked in {' and '.join(map(str, _PLACES))}): "
            f"install bodega again, {INSTALL}, or run the demo from a checkout."
        )
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", ".*_cache", "02_intermediate"))
    return target
