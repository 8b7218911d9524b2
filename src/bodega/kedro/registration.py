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
    SharedMemoryDataset,
)

from bodega.errors import SettingsError
from bodega.kedro.dataset import BodegaDataset, maker
from bodega.kedro.versions import MARK
from bodega.names import stored_name

if TYPE_CHECKING:
    from kedro.io import CatalogProtocol
    from kedro.pipeline import Pipeline

    from bodega.kedro.place import Place

_IN_MEMORY = MemoryDataset | SharedMemoryDataset

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
    for name in sorted(pipeline.datasets()):
        if name == "parameters" or name.startswith("params:"):
            continue
        dataset = catalog.get(name) if name in catalog else None
        task = tasks.get(stored_name(name))
        made_here = task is not None
        if dataset is None:
            joins = _joins(name, place, made_here=made_here, apart=apart)
        elif isinstance(dataset, BodegaDataset):
            dataset.settle(place, name, task)
            joins = False
        elif isinstance(dataset, _IN_MEMORY):
            joins = _moves(name, dataset, place, made_here=made_here, apart=apart)
        else:
            joins = place.settings.overrides(name) and (made_here or _is_available(name, place))
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
            if not isinstance(dataset, BodegaDataset | _IN_MEMORY):
                _put_in(catalog, name, dataset, place, None)
    for name in stored:
        if MARK not in name and name not in catalog and place.settings.covers(name):
            _put_in(catalog, name, None, place, None)


def _joins(name: str, place: Place, *, made_here: bool, apart: bool) -> bool:
    """Whether a dataset that the catalog does not define goes to the store."""
    if not place.settings.covers(name):
        if apart and made_here:
            raise _forbidden(name, place)
        return False
    return made_here or _is_available(name, place)


def _moves(name: str, dataset: AbstractDataset[Any, Any], place: Place, *, made_here: bool, apart: bool) -> bool:
    """Whether a dataset in memory goes to the store, since another process could not read it."""
    if not made_here and dataset.exists():
        # The caller's own data. Each worker would get a pickled copy of it: let them map one object instead.
        return apart and not place.settings.excludes(name)
    if not made_here and not _is_available(name, place):
        return False
    rule = place.settings.memory_datasets
    if rule == "keep" or place.settings.excludes(name):
        if apart:
            raise _forbidden(name, place)
        return False
    if rule == "refuse":
        raise SettingsError(
            f"The catalog defines {name!r} as a {type(dataset).__name__}, which no other process can read, and "
            f"'memory_datasets: refuse' is set in {place.settings.source}. Remove the entry, so that {name!r} goes to "
            f"the store, or write 'type: bodega.kedro.BodegaDataset'.",
            dataset=name,
        )
    _log.warning(
        "The catalog defines '%s' as a %s, which no other process can read: it goes to the store instead. "
        "Remove the entry, or set 'memory_datasets: keep' in bodega.yml.",
        name,
        type(dataset).__name__,
    )
    return True


def _forbidden(name: str, place: Place) -> SettingsError:
    return SettingsError(
        f"Each node runs in a process of its own, so {name!r} has to go through the store, but {place.settings.source} "
        f"keeps it out. Change 'datasets', 'exclude' or 'memory_datasets' there, or use "
        f"bodega.kedro.SequentialRunner or ThreadRunner.",
        dataset=name,
    )


def _is_available(name: str, place: Place) -> bool:
    """Whether the store has a free input, or will have once another node of the project has run."""
    return maker(stored_name(name)) is not None or place.open().exists(stored_name(name))


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
