"""``kedro bodega``: what a project's owner does with shared data, from the first look to the workflow on a cluster.

Kedro loads this module with every command in every project of an environment that has bodega installed, so it imports
next to nothing; each command is imported when it is called.
"""

from __future__ import annotations

from typing import Any

import click
from kedro.framework.cli.utils import LazyGroup

from bodega.errors import BodegaError


class _Commands(LazyGroup):
    """Errors end as one line on standard error, and exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        from kedro.config import MissingConfigException
        from kedro.io import DatasetError

        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # Whoever reads has enough; click knows what to do.
            raise
        except (BodegaError, OSError, DatasetError, MissingConfigException) as error:
            raise click.ClickException(str(error)) from error


@click.group(name="bodega")
def commands() -> None:
    """What the entry point ``kedro.project_commands`` adds to ``kedro``."""


@commands.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    lazy_subcommands={
        "argo": "bodega.kedro.argo.argo",
        "docker": "bodega.kedro.docker.docker",
        "info": "bodega.kedro.objects.info",
        "ls": "bodega.kedro.objects.ls",
        "rm": "bodega.kedro.objects.rm",
        "usage": "bodega.kedro.objects.usage",
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
