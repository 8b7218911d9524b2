"""``kedro bodega schema``."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import click

from bodega.commands import write_file


@click.command()
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="The file; by default standard output.")
def schema(*, output: Path | None) -> None:
    """Print the JSON schema of bodega.yml, by which editors check it while it is written.

    \b
    Examples:
      kedro bodega schema --output bodega.schema.json
    """
    text = files("bodega").joinpath("bodega.schema.json").read_text(encoding="utf-8")
    if output is None:
        click.echo(text, nl=False)
    else:
        write_file(output, text)
        click.echo(f"Wrote {output}. An editor finds it by a first line: # yaml-language-server: $schema={output}")
