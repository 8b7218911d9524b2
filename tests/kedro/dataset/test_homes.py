"""Where data goes is decided once: what is said before a run is what the run does."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from kedro.framework.project import pipelines
from kedro.io import AbstractDataset, MemoryDataset
from kedro_datasets.pickle import PickleDataset
from tests.kedro.conftest import KedroProject

from bodega.kedro import BodegaDataset
from bodega.kedro.dataset.homes import Decision, decide
from bodega.kedro.project.config import ProjectSettings, parse_settings
from bodega.kedro.project.place import Place
from bodega.kedro.project.session import open_project
from bodega.kedro.run.registration import register

NOBODY: frozenset[str] = frozenset()
RULES: tuple[dict[str, Any], ...] = (
    {},
    {"exclude": ["doubled"]},
    {"datasets": ["numbers"]},
    {"override": ["doubled"]},
    {"memory_datasets": "keep"},
    {"memory_datasets": "keep", "override": ["doubled"]},
)
ENTRIES = (
    "",
    "doubled: {type: MemoryDataset}\n",
    "doubled: {type: pickle.PickleDataset, filepath: data/doubled.pickle}\n",
    "doubled: {type: bodega.kedro.BodegaDataset}\n",
)


def rules(**keys: Any) -> ProjectSettings:
    return parse_settings(keys, source="bodega.yml", project_path=Path("project"))


def decided(dataset: AbstractDataset[Any, Any] | None, settings: ProjectSettings, **facts: Any) -> Decision:
    return decide("x", dataset, settings, **{"is_made_here": True, "stored": NOBODY, **facts})


@pytest.mark.parametrize(
    ("dataset", "settings", "facts", "expected"),
    [
        (None, {}, {}, Decision("store")),
        (None, {}, {"is_made_here": False, "stored": {"x"}}, Decision("store")),
        (None, {}, {"is_made_here": False}, Decision("nowhere")),
        (None, {"exclude": ["x"]}, {}, Decision("memory")),
        (None, {"exclude": ["x"]}, {"apart": True}, Decision("memory", refusal="apart")),
        (None, {}, {"is_left_out": False}, Decision("elsewhere")),
        (BodegaDataset(name="x"), {"exclude": ["x"]}, {}, Decision("store")),
        (PickleDataset(filepath="x"), {}, {}, Decision("elsewhere")),
        (PickleDataset(filepath="x"), {"override": ["x"]}, {}, Decision("store")),
        (PickleDataset(filepath="x"), {"override": ["x"]}, {"is_made_here": False}, Decision("elsewhere")),
        (MemoryDataset(), {}, {}, Decision("store", is_replaced=True)),
        (MemoryDataset(), {"override": ["x"]}, {}, Decision("store")),
        (MemoryDataset(), {"memory_datasets": "keep"}, {}, Decision("memory")),
        (MemoryDataset(), {"memory_datasets": "keep"}, {"apart": True}, Decision("memory", refusal="apart")),
        (MemoryDataset(), {"memory_datasets": "refuse"}, {}, Decision("memory", refusal="refused")),
        (MemoryDataset(), {"memory_datasets": "refuse", "exclude": ["x"]}, {}, Decision("memory")),
        (MemoryDataset(1), {}, {"is_made_here": False}, Decision("memory")),
        (MemoryDataset(1), {}, {"is_made_here": False, "apart": True}, Decision("store")),
        (MemoryDataset(1), {"exclude": ["x"]}, {"is_made_here": False, "apart": True}, Decision("memory")),
    ],
)
def test_each_kind_of_dataset(
    dataset: Any, settings: dict[str, Any], facts: dict[str, Any], expected: Decision
) -> None:
    pipelines.configure(None)
    assert decided(dataset, rules(**settings), **facts) == expected


def test_a_parameter_is_no_dataset() -> None:
    assert decide("params:x", MemoryDataset(1), rules(), is_made_here=False, stored=NOBODY) == Decision("parameters")


def test_the_store_is_asked_only_where_it_decides() -> None:
    class Unreachable:
        def __contains__(self, name: object) -> bool:
            raise AssertionError(name)

    pipelines.configure(None)
    decided(None, rules(exclude=["x"]), is_made_here=False, stored=Unreachable())
    decided(MemoryDataset(), rules(memory_datasets="keep"), is_made_here=False, stored=Unreachable())
    decided(PickleDataset(filepath="x"), rules(), is_made_here=False, stored=Unreachable())


@pytest.mark.parametrize(("keys", "entry"), list(product(RULES, ENTRIES)))
def test_a_run_does_what_the_list_says(opted_in: KedroProject, keys: dict[str, Any], entry: str) -> None:
    opted_in.write("conf/base/bodega.yml", json.dumps(keys))
    opted_in.write("conf/base/catalog.yml", entry)
    listed = json.loads(opted_in.command("catalog", "list", "--json").stdout)["datasets"]
    project = open_project(str(opted_in.path))
    catalog = project.catalog
    register(project.pipeline, catalog, Place("a-run", settings=project.settings))
    stored = {name for name in project.pipeline.datasets() if name in catalog and _is_stored(catalog.get(name))}
    assert {each["name"] for each in listed if each["home"] == "store"} == stored


def _is_stored(dataset: object) -> bool:
    return isinstance(dataset, BodegaDataset)
