"""Puts the datasets of a pipeline that belong in the store into its catalog."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from kedro.io import (
    AbstractDataset,
    AbstractVersionedDataset,
    DataCatalog,
    DatasetError,
    MemoryDataset,
)

from bodega.errors import SettingsError
from bodega.kedro.dataset import BodegaDataset
from bodega.kedro.dataset.homes import IN_MEMORY, Stored, goes_to_store, is_available
from bodega.kedro.dataset.versions import MARK
from bodega.names import is_parameter, stored_name

if TYPE_CHECKING:
    from collections.abc import Container

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
        joins = goes_to_store(name, dataset, place.settings, is_made_here=task is not None, stored=stored)
        if isinstance(dataset, IN_MEMORY) and not place.settings.overrides(name):
            joins = joins or _crosses(name, dataset, place, stored, is_made_here=task is not None, apart=apart)
            if joins and (task is not None or not dataset.exists()):
                _say_replaced(name, dataset)
        elif dataset is None and apart and task is not None and not joins:
            raise _forbidden(name, place)
        if joins:
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
    for name in catalog.keys():  # noqa: SIM118 - a catalog is no mapping
        if stored_name(name) in made and place.settings.overrides(name):
            dataset = catalog.get(name)
            if not isinstance(dataset, (BodegaDataset, *IN_MEMORY)):
                _put_in(catalog, name, dataset, place, None)
    for name in stored:
        if MARK not in name and name not in catalog and place.settings.covers(name):
            _put_in(catalog, name, None, place, None)


def _crosses(
    name: str,
    dataset: AbstractDataset[Any, Any],
    place: Place,
    stored: Container[str],
    *,
    is_made_here: bool,
    apart: bool,
) -> bool:
    """Whether a dataset that may stay in memory goes to the store all the same, to reach other processes.

    Raises:
        SettingsError: it has to, but the project's rules forbid it; or they refuse such datasets altogether.
    """
    rules = place.settings
    if not is_made_here and dataset.exists():
        # The caller's own data. Each worker would get a pickled copy of it: let them map one object instead.
        return apart and not rules.excludes(name)
    if not is_available(name, is_made_here=is_made_here, stored=stored):
        return False
    if rules.memory_datasets == "refuse" and not rules.excludes(name):
        raise SettingsError(
            f"The catalog defines {name!r} as a {type(dataset).__name__}, which no other process can read, and "
            f"'memory_datasets: refuse' is set in {rules.source}. Remove the entry, so that {name!r} goes to "
            f"the store, or write 'type: bodega.kedro.BodegaDataset'.",
            dataset=name,
        )
    if apart:
        raise _forbidden(name, place)
    return False


def _say_replaced(name: str, dataset: AbstractDataset[Any, Any]) -> None:
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
    version = old._version if isinstance(old, AbstractVersionedDataset) else None  # noqa: SLF001 - a subclass knows it
    dataset = BodegaDataset(metadata=getattr(old, "metadata", None), version=version)
    dataset.settle(place, name, task)
    if old is None:
        catalog[name] = dataset
        return
    if task is None and isinstance(old, MemoryDataset) and old.exists():
        try:
            dataset.save(old.load())
        except DatasetError:  # Not shareable: Kedro pickles it, or says why it cannot.
            return
    # Not by catalog[name] = ...: that would forget the validators declared for the entry.
    catalog._datasets[name] = dataset  # noqa: SLF001
