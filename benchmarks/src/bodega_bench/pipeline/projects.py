"""Working copies of the example, with an environment for each medium that the example has none for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import yaml

from bodega.demo.project import Project
from bodega.example import copy_example
from bodega_bench.pipeline.media import Medium

_RAW = {"house_prices_raw": {"type": "pandas.CSVDataSet", "filepath": "data/01_raw/house_prices.csv"}}
"""The source as the Kedro of before 0.19 reads it: the example's own dataset is written for 1.0."""
_OLD_SETTINGS = """
from kedro.config import OmegaConfigLoader

CONFIG_LOADER_CLASS = OmegaConfigLoader
"""
_OLD_VERSION = "0.18.14"


def make_project(folder: Path, media: Iterable[Medium]) -> tuple[Path, list[str]]:
    """A copy of the example in a new folder, with environments for some media.

    Returns:
        Its path, and the names of its nodes in the order they run.
    """
    path = copy_example(folder)
    nodes, datasets = Project(path, {}).describe()
    for medium in media:
        write_catalog(path, medium, datasets)
    return path, nodes


def make_old_project(folder: Path, medium: Medium, interpreter: str) -> Path:
    """A copy for a Kedro of before 0.19, with an environment for the one medium that needs it."""
    path = copy_example(folder)
    settings = path / "src" / "house_prices" / "settings.py"
    settings.write_text(settings.read_text(encoding="utf-8") + _OLD_SETTINGS, encoding="utf-8")
    project = path / "pyproject.toml"
    text = re.sub(r'kedro_init_version = "[^"]*"', f'kedro_init_version = "{_OLD_VERSION}"', project.read_text())
    project.write_text(text, encoding="utf-8")
    _, datasets = Project(path, {}, interpreter=interpreter).describe()
    write_catalog(path, medium, datasets)
    catalog = path / "conf" / medium.environment / "catalog.yml"
    catalog.write_text(catalog.read_text(encoding="utf-8") + yaml.safe_dump(_RAW), encoding="utf-8")
    return path


def write_catalog(project: Path, medium: Medium, datasets: Sequence[str]) -> None:
    """Make the environment of a medium, unless the example has it."""
    if medium.entry is None:
        return
    folder = project / "conf" / medium.environment
    folder.mkdir(exist_ok=True)
    entries = {name: dict(medium.entry(name)) for name in datasets}
    (folder / "catalog.yml").write_text(yaml.safe_dump(entries), encoding="utf-8")
