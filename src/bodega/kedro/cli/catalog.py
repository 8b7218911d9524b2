"""``kedro bodega catalog``: what the catalog says of a pipeline's datasets, and entries for those that it leaves out.

A run needs no entries: what the catalog leaves out is registered when it begins. But Kedro-Viz, notebooks and people
see only what is written down.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import yaml

from bodega.commands import count, json_option, print_json, write_file
from bodega.errors import SettingsError
from bodega.kedro.project.inventory import Entry, take_inventory
from bodega.kedro.project.session import OpenedProject, open_project, project_options

if TYPE_CHECKING:
    from kedro.framework.startup import ProjectMetadata

FILE = "catalog_bodega.yml"
"""Kedro reads every file whose name begins with ``catalog``."""
TYPE = "bodega.kedro.BodegaDataset"
_HEADER = (
    "# Datasets that go to bodega's store, written by: kedro bodega catalog create\n"
    "# Each takes further keys, such as persist, load_as or metadata, and may be removed at any time.\n"
)


@click.group()
def catalog() -> None:
    """Look at the catalog, and complete it.

    \b
    Examples:
      kedro bodega catalog list      each dataset, and where its data goes
      kedro bodega catalog create    writes entries for what the catalog leaves out
    """


@catalog.command(name="list")
@project_options
@json_option
@click.pass_obj
def list_entries(
    metadata: ProjectMetadata,
    env: str | None,
    pipelines: list[str],
    params: dict[str, Any],
    conf_source: str | None,
    *,
    as_json: bool,
) -> None:
    """List the datasets of a pipeline: their type, and where their data goes.

    STORE is bodega's, ELSEWHERE what another kind of dataset keeps (a file, a table), MEMORY that of one process,
    NOWHERE what the catalog leaves out and no node makes. CROSSES says that a dataset passes from one task to another,
    by the grouping in bodega.yml.

    \b
    Examples:
      kedro bodega catalog list
      kedro bodega catalog list --env prod --pipelines training --json
    """
    project = open_project(metadata, env=env, pipelines=pipelines, params=params, conf_source=conf_source)
    entries = take_inventory(project, project.plan())
    if as_json:
        print_json({"env": project.env, "datasets": [_facts(entry) for entry in entries]})
        return
    from bodega.tables import print_rows

    print_rows(
        ["dataset", "type", "goes to", "crosses", "persists", "made by"],
        [
            [
                entry.name,
                entry.type or "-",
                entry.home,
                "yes" if entry.crosses else "-",
                "yes" if entry.persists else "-",
                entry.made_by or "-",
            ]
            for entry in entries
            if entry.home != "parameters"
        ],
    )


@catalog.command()
@project_options
@click.option("--write/--stdout", "to_file", default=True, help="Write the file (the default), or only print it.")
@json_option
@click.pass_obj
def create(
    metadata: ProjectMetadata,
    env: str | None,
    pipelines: list[str],
    params: dict[str, Any],
    conf_source: str | None,
    *,
    to_file: bool,
    as_json: bool,
) -> None:
    """Write entries for what the catalog leaves out and goes to the store.

    They go to conf/ENV/catalog_bodega.yml; without --env to the base environment. What the catalog defines, by name or
    by a factory pattern, is left alone, and so is what the file holds already: new entries are added at its end.

    \b
    Examples:
      kedro bodega catalog create
      kedro bodega catalog create --env prod --pipelines training
      kedro bodega catalog create --stdout
    """
    project = open_project(metadata, env=env, pipelines=pipelines, params=params, conf_source=conf_source)
    entries = take_inventory(project, project.plan("node"))
    names = [entry.name for entry in entries if entry.type is None and entry.home == "store"]
    path = None if not to_file else _file(project, env)
    if names and path is not None:
        _add(path, names)
    if as_json:
        print_json({"file": None if path is None else str(path), "added": names})
        return
    if not names:
        click.echo("There is nothing to add: the catalog defines every dataset that goes to the store.", err=True)
    elif path is None:
        click.echo(f"{_HEADER}\n{_yaml(names)}", nl=False)
    else:
        click.echo(f"Added {count(len(names), 'dataset')} to {path}: {', '.join(names)}")


def _facts(entry: Entry) -> dict[str, Any]:
    return {field.name: getattr(entry, field.name) for field in fields(entry) if field.name != "dataset"}


def _file(project: OpenedProject, env: str | None) -> Path:
    loader = project.context.config_loader
    source = str(loader.conf_source)
    folder = Path(source) / (env or getattr(loader, "base_env", None) or "base")
    if not Path(source).is_dir():
        raise SettingsError(f"Nothing can be written to {source}, which is no folder: use --stdout.")
    if not folder.is_dir():
        raise SettingsError(f"There is no environment {folder.name!r} in {source}: make the folder {folder} first.")
    return folder / FILE


def _yaml(names: list[str]) -> str:
    return "\n".join(yaml.safe_dump({name: {"type": TYPE}}, allow_unicode=True) for name in names)


def _add(path: Path, names: list[str]) -> None:
    """Add entries at the end of a file, in one atomic step.

    Raises:
        SettingsError: the file is not one that entries can be added to.
    """
    old = path.read_text(encoding="utf-8") if path.exists() else _HEADER
    separator = "" if old.endswith("\n\n") else "\n" if old.endswith("\n") else "\n\n"
    text = old + separator + _yaml(names)
    try:
        before, after = yaml.safe_load(old) or {}, yaml.safe_load(text)
    except yaml.YAMLError:
        before = after = None
    if not isinstance(after, dict) or after != {**before, **{name: {"type": TYPE} for name in names}}:
        raise SettingsError(
            f"Entries cannot be added at the end of {path}, which is left as it is: see what there is to add with "
            f"--stdout."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, text)
