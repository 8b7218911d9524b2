"""Puts the datasets of a pipeline that belong in the store into its catalog."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from kedro.io import (
    AbstractDataset,
    DataCatalog,
    DatasetError,
    MemoryDataset,
)

from bodega.errors import SettingsError
from bodega.kedro import compat
from bodega.kedro.dataset import BodegaDataset
from bodega.kedro.dataset.homes import Stored, decide
from bodega.kedro.dataset.versions import MARK
from bodega.names import is_parameter, stored_name

if TYPE_CHECKING:
    from kedro.io import CatalogProtocol
    from kedro.pipeline import Pipeline

    from bodega.kedro.project.place import Place

_log = logging.getLogger(__name__)


def register(pipeline: Pipeline, catalog: CatalogProtocol[Any, Any], place: Place, *, apart: bool = False) -> None:
    """Register what the nodes of a pipeline share through the store.

    A dataset that the catalog does not define becomes a `BodegaDataset` if a node of the project makes it or the
    store has it. Others stay undefined, so that Kedro's own errors name a misspelt input or parameter. What the
    catalog defines stays as it is, but for the settings ``override`` and ``memory_datasets``.

    Args:
        pipeline: the nodes that are about to run.
        catalog: changed in place.
        place: where the data goes, and the project's rules.
        apart: every node runs in a process of its own, so that nothing passes between nodes but through the store.

    Raises:
        SettingsError: a dataset has to cross processes, but the project's rules forbid what is needed for it.
    """
    tasks = {stored_name(output): node.name for node in pipeline.nodes for output in node.outputs}
    stored = Stored(place)
    for name in sorted(pipeline.datasets()):
        if is_parameter(name):
            continue
        dataset = catalog.get(name) if name in catalog else None
        task = tasks.get(stored_name(name))
        if isinstance(dataset, BodegaDataset):
            dataset.settle(place, name, task)
            continue
        decision = decide(name, dataset, place.settings, is_made_here=task is not None, stored=stored, apart=apart)
        if decision.refusal is not None:
            raise _refused(name, dataset, place) if decision.refusal == "refused" else _forbidden(name, place)
        if decision.is_replaced:
            _say_replaced(name, dataset)
        if decision.home == "store":
            _put_in(catalog, name, dataset, place, task)


def register_stored(catalog: CatalogProtocol[Any, Any], place: Place) -> None:
    """For a notebook or Kedro-Viz: settle the catalog's datasets, and put in what earlier runs left in the store."""
    if not isinstance(catalog, DataCatalog):  # A class of the project's own, which may not list what it holds.
        return
    for name in catalog.filter(type_regex=rf"\.{BodegaDataset.__name__}$"):
        dataset = catalog.get(name)
        if isinstance(dataset, BodegaDataset):
            dataset.settle(place, name)
    stored = place.open().names()
    made = set(map(stored_name, stored))  # Of a version, too, the name of its dataset is what stands before the mark.
    overridden = [name for name in catalog.keys() if stored_name(name) in made and place.settings.overrides(name)]  # noqa: SIM118 - a catalog is no mapping
    for name in (*overridden, *(name for name in stored if MARK not in name and name not in catalog)):
        dataset = catalog.get(name) if name in catalog else None
        if not isinstance(dataset, BodegaDataset):
            decision = decide(name, dataset, place.settings, is_made_here=False, stored=made)
            if decision.home == "store":
                _put_in(catalog, name, dataset, place, None)


def _refused(name: str, dataset: object, place: Place) -> SettingsError:
    return SettingsError(
        f"The catalog defines {name!r} as a {type(dataset).__name__}, which no other process can read, and "
        f"'memory_datasets: refuse' is set in {place.settings.source}. Remove the entry, so that {name!r} goes to "
        f"the store, or write 'type: bodega.kedro.BodegaDataset'.",
        dataset=name,
    )


def _say_replaced(name: str, dataset: object) -> None:
    _log.warning(
        "The catalog defines '%s' as a %s, which no other process can read: it goes to the store instead. "
        "Remove the entry, or set 'memory_datasets: keep' in bodega.yml.",
        name,
        type(dataset).__name__,
    )


def _forbidden(name: str, place: Place) -> SettingsError:
    return SettingsError(
        f"Each node runs in a process of its own, so {name!r} has to go through the store, but {place.settings.source} "
        f"keeps it out. Change 'datasets', 'exclude' or 'memory_datasets' there, or use "
        f"bodega.kedro.SequentialRunner or ThreadRunner.",
        dataset=name,
    )


def _put_in(
    catalog: CatalogProtocol[Any, Any],
    name: str,
    old: AbstractDataset[Any, Any] | None,
    place: Place,
    task: str | None,
) -> None:
    dataset = BodegaDataset(metadata=getattr(old, "metadata", None), version=compat.version_of(old))
    dataset.settle(place, name, task)
    if old is None:
        catalog[name] = dataset
        return
    if task is None and isinstance(old, MemoryDataset) and old.exists():
        try:
            dataset.save(old.load())
        except DatasetError:  # Not shareable: Kedro pickles it, or says why it cannot.
            return
    compat.replace_dataset(catalog, name, dataset)
