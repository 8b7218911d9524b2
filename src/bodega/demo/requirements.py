"""What the demo needs besides bodega itself."""

from __future__ import annotations

from importlib.util import find_spec

import click

from bodega.texts import install


def require(*modules: str) -> None:
    """Raise `click.ClickException` with the command that installs them if any of the modules is missing."""
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise click.ClickException(
            f"The demo needs {', '.join(missing)}, which is not installed: {install('bodega[demo]')}"
        )
