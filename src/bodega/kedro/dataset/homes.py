"""Where a dataset's data goes: the one answer for runs, notebooks, ``kedro bodega catalog list`` and ``lint``."""

from __future__ import annotations

from collections.abc import Container
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from kedro.io import AbstractDataset, MemoryDataset, SharedMemoryDataset

from bodega.kedro.dataset import BodegaDataset, maker
from bodega.names import is_parameter, stored_name

if TYPE_CHECKING:
    from bodega.kedro.project.config import ProjectSettings
    from bodega.kedro.project.place import Place

IN_MEMORY = (MemoryDataset, SharedMemoryDataset)
"""Datasets that no other process can read."""

Home = Literal["store", "elsewhere", "memory", "parameters", "nowhere"]
"""Where data goes: to bodega's store; where a dataset of another kind keeps it, such as a file; to the memory of one
process; to the configuration; or nowhere, since no node makes it and the catalog does not define it."""


class Decision(NamedTuple):
    """Where a dataset's data goes, and what the run has to say of it."""

    home: Home
    is_replaced: bool = False
    """Whether a dataset of the catalog that lives in memory gives way to the store."""
    refusal: Literal["refused", "apart"] | None = None
    """Why no run may begin: the project refuses datasets in memory, or nodes in processes of their own cannot share it."""


class Stored(Container[str]):
    """The names that a run has in the store, which is opened when somebody asks."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def __contains__(self, name: object) -> bool:
        return name in self._place.open()


def decide(
    name: str,
    dataset: AbstractDataset[Any, Any] | None,
    rules: ProjectSettings,
    *,
    is_made_here: bool,
    stored: Container[str],
    is_left_out: bool | None = None,
    apart: bool = False,
) -> Decision:
    """Decide where a dataset's data goes.

    Args:
        name: as the nodes write it.
        dataset: as the catalog defines it; None where it does not, or cannot make it.
        rules: of the project.
        is_made_here: whether a node that runs makes it.
        stored: the names that the run has already.
        is_left_out: whether the catalog does not define it; by default where there is no dataset.
        apart: whether every node runs in a process of its own.
    """
    if is_parameter(name):
        return Decision("parameters")
    if isinstance(dataset, BodegaDataset):
        return Decision("store")

    @cache
    def is_made() -> bool:
        return is_made_here or maker(stored_name(name)) is not None

    def is_available() -> bool:
        # The store is asked last: it may be on object storage, which not every command can reach.
        return is_made() or stored_name(name) in stored

    if is_left_out is None:
        is_left_out = dataset is None
    if is_left_out:
        if rules.covers(name) and is_available():
            return Decision("store")
        return Decision("memory" if is_made() else "nowhere", refusal="apart" if apart and is_made_here else None)
    is_in_memory = isinstance(dataset, IN_MEMORY)
    if dataset is not None and is_in_memory and not is_made_here and dataset.exists():
        # The caller's own data. Each worker would get a pickled copy of it: let them map one object instead.
        return Decision("store" if apart and not rules.excludes(name) else "memory")
    if dataset is not None and rules.overrides(name) and is_available():
        return Decision("store")
    if not is_in_memory:
        return Decision("elsewhere")
    rule = "keep" if rules.excludes(name) else rules.memory_datasets
    if rules.overrides(name) or (rule == "keep" and not apart) or not is_available():
        return Decision("memory")
    if rule == "replace":
        return Decision("store", is_replaced=True)
    return Decision("memory", refusal="refused" if rule == "refuse" else "apart")
