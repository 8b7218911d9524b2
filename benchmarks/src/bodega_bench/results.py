"""What all benchmarks end with: tables for people, a file of JSON for later, or that JSON alone."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console

from bodega.commands import print_json
from bodega.errors import did_you_mean
from bodega_bench.machine import machine
from bodega_bench.tables import Table, print_tables

RESULTS = Path("bench-results")
_Command = TypeVar("_Command", bound=Callable[..., Any])


def output_option(files: str, default: Path = RESULTS) -> Callable[[_Command], _Command]:
    """The option ``--output``: the folder for some files."""
    return click.option(
        "--output",
        type=click.Path(file_okay=False, path_type=Path),
        default=default,
        show_default=True,
        help=f"The folder for {files}.",
    )


json_option = click.option("--json", "as_json", is_flag=True, help="Print the results as JSON instead of as tables.")


def now() -> str:
    """The time, as results hold it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def typed_command() -> str:
    """The command line that is running."""
    return shlex.join(["bodega", *sys.argv[1:]])


def choose(text: str, known: Mapping[str, object] | Sequence[str], what: str, option: str) -> list[str]:
    """The names that a text with commas has, each once.

    Args:
        text: what was given for an option.
        known: names there are.
        what: a word for one of them.
        option: that was given.

    Raises:
        click.BadParameter: a name is not known.
    """
    names = [name for name in map(str.strip, text.split(",")) if name]
    for name in names:
        if name not in known:
            hint = did_you_mean(name, known, f"there are {', '.join(known)}")
            raise click.BadParameter(f"There is no {what} {name!r}: {hint}", param_hint=option)
    return list(dict.fromkeys(names))


def finish(name: str, facts: Mapping[str, Any], tables: Iterable[Table], output: Path, *, as_json: bool) -> None:
    """Write ``NAME.json``, and print the tables, or what was written.

    Args:
        name: of the benchmark.
        facts: what was measured, in seconds and bytes.
        tables: the same for people.
        output: the folder, which is made.
        as_json: whether to print what was written instead of the tables.
    """
    output.mkdir(parents=True, exist_ok=True)
    path = output / f"{name}.json"
    load = [round(each, 2) for each in os.getloadavg()]
    whole = {
        "date": now(),
        "command": typed_command(),
        "machine": machine() | {"load average afterwards": load},
        **facts,
    }
    path.write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")
    if as_json:
        print_json(whole)
    else:
        print_tables(tables, Console(highlight=False))
    click.echo(f"Written: {path}", err=as_json)
