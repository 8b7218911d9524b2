"""Where a dataset's data is: what a run does by it, and what the commands say of it."""

from __future__ import annotations

from collections.abc import Container
from typing import TYPE_CHECKING, Any

from kedro.io import AbstractDataset, MemoryDataset, SharedMemoryDataset

from bodega.kedro.dataset import BodegaDataset, maker
from bodega.names import stored_name

if TYPE_CHECKING:
    from bodega.kedro.project.config import ProjectSettings
    from bodega.kedro.project.place import Place

IN_MEMORY = (MemoryDataset, SharedMemoryDataset)
"""Datasets that no other process can read."""


class Stored(Container[str]):
    """The names that a run has in the store, which is opened when somebody asks."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def __contains__(self, name: object) -> bool:
        return name in self._place.open()


def goes_to_store(
    name: str,
    dataset: AbstractDataset[Any, Any] | None,
    rules: ProjectSettings,
    *,
    is_made_here: bool,
    stored: Container[str],
) -> bool:
    """Whether a dataset's data is in the store.

    Args:
        name: as the nodes write it.
        dataset: as the catalog defines it; None where it does not.
        rules: of the project.
        is_made_here: whether a node that runs makes it.
        stored: the names that the run has already.
    """
    if isinstance(dataset, BodegaDataset):
        return True
    if isinstance(dataset, IN_MEMORY) and not is_made_here and dataset.exists():
        return False  # The caller's own data.
    if dataset is None:
        is_meant = rules.covers(name)
    elif rules.overrides(name):
        is_meant = True
    else:
        is_meant = isinstance(dataset, IN_MEMORY) and rules.memory_datasets == "replace" and not rules.excludes(name)
    # The store is asked last: it may be on object storage, which not every command can reach.
    return is_meant and is_available(name, is_made_here=is_made_here, stored=stored)


def is_available(name: str, *, is_made_here: bool, stored: Container[str]) -> bool:
    """Whether the store has a dataset, or will have it once a node of the project has run."""
    return is_made_here or maker(stored_name(name)) is not None or stored_name(name) in stored
