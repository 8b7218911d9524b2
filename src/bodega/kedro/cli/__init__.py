"""``kedro bodega``: what a project's owner does with shared data, from the first look to the workflow on a cluster.

Kedro loads this module with every command in every project of an environment that has bodega installed, so it imports
next to nothing; each command is imported when it is called.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

import click
from kedro.framework.cli.utils import LazyGroup

from bodega.errors import BodegaError


class _Commands(LazyGroup):
    """Errors end as one line on standard error, and exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        from kedro.config import MissingConfigException
        from kedro.io import DatasetError

        from bodega.commands import fill_standard_streams

        fill_standard_streams()
        _log_to_standard_error()
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # Whoever reads has enough; click knows what to do.
            raise
        except (BodegaError, OSError, DatasetError, MissingConfigException) as error:
            raise click.ClickException(str(error)) from error


def _log_to_standard_error() -> None:
    """Leave standard output to facts: Kedro's own configuration logs there."""
    named = (logging.getLogger(name) for name in list(logging.root.manager.loggerDict))
    for handler in {handler for logger in (logging.root, *named) for handler in logger.handlers}:
        console = getattr(handler, "console", None)
        if console is not None:  # Rich's, which most often is the one console of the whole process.
            handler.console = type(console)(stderr=True)  # type: ignore[attr-defined]
        elif isinstance(handler, logging.StreamHandler) and handler.stream is sys.stdout:
            handler.setStream(sys.stderr)


@click.group(name="bodega")
def commands() -> None:
    """What the entry point ``kedro.project_commands`` adds to ``kedro``."""


@commands.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    lazy_subcommands={
        "argo": "bodega.kedro.cli.argo.argo",
        "catalog": "bodega.kedro.cli.catalog.catalog",
        "docker": "bodega.kedro.cli.docker.docker",
        "info": "bodega.kedro.cli.objects.info",
        "lint": "bodega.kedro.cli.lint.lint",
        "ls": "bodega.kedro.cli.objects.ls",
        "rm": "bodega.kedro.cli.objects.rm",
        "schema": "bodega.kedro.cli.schema.schema",
        "usage": "bodega.kedro.cli.objects.usage",
    },
)
def bodega() -> None:
    """Share the project's data between tasks without copies.

    \b
    Examples:
      kedro bodega lint             finds data that would be lost or clash
      kedro bodega ls               what the project's run holds
      kedro bodega catalog create   writes entries for what the catalog leaves out
      kedro bodega argo generate    makes an Argo workflow
    """
