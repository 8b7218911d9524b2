"""The datasets of a pipeline: what the catalog says of each, where its data will be, and who shares it.

`bodega.kedro.dataset.homes` decides, as when a run begins. Here nothing is registered or changed.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from kedro.io import AbstractDataset, DataCatalog, DatasetError

from bodega.kedro.dataset import BodegaDataset
from bodega.kedro.dataset.homes import IN_MEMORY, Stored, goes_to_store
from bodega.names import is_parameter, stored_name
from bodega.plan import Plan

if TYPE_CHECKING:
    from bodega.kedro.project.session import OpenedProject

Home = Literal["store", "elsewhere", "memory", "parameters", "nowhere"]
"""Where data will be: in bodega's store; where a dataset of another kind keeps it, such as a file; in the memory of one
process; in the configuration; or nowhere, since no node makes it and the catalog does not define it."""


@dataclass(frozen=True)
class Entry:
    """A dataset of a pipeline."""

    name: str
    """As the nodes write it."""
    type: str | None
    """The class that the catalog names; None where the catalog leaves the dataset out."""
    home: Home
    pattern: str | None
    """The factory pattern of the catalog that it comes from."""
    made_by: str | None
    """A node of the pipeline, or where none makes it, one of another pipeline of the project."""
    is_made_here: bool
    """Whether the pipeline itself makes it."""
    read_by: tuple[str, ...]
    """Nodes of the pipeline, sorted."""
    crosses: bool
    """Whether it passes from one task to another."""
    persists: bool
    """Whether it outlives the machine: it is in the durable tier, or another kind of dataset keeps it."""
    dataset: AbstractDataset[Any, Any] | None
    """As the catalog makes it; None where it leaves it out, or cannot make it."""
    problem: str | None = None
    """Why the catalog cannot make it."""


def take_inventory(project: OpenedProject, plan: Plan, *, is_run_new: bool = False) -> list[Entry]:
    """All datasets of the project's pipeline, sorted by name.

    Args:
        project: its catalog is looked at, never changed but for what the catalog itself makes of its entries.
        plan: the tasks, which say what crosses.
        is_run_new: whether it will run where nothing is stored yet, as a workflow does.
    """
    crossing = {dataset for task in plan.tasks for need in task.needs for dataset in need.datasets}
    makers = {stored_name(output): node.name for node in project.pipeline.nodes for output in node.outputs}
    others = {
        stored_name(output): node.name
        for pipeline in project.pipelines.values()
        for node in pipeline.nodes
        for output in node.outputs
    }
    stored: Container[str] = frozenset() if is_run_new else Stored(project.place)
    return [
        _entry(project, name, crossing, makers, others, stored=stored) for name in sorted(project.pipeline.datasets())
    ]


def stored_in_run(project: OpenedProject, entries: Iterable[Entry]) -> set[str]:
    """The names, as the store knows them, of what a task leaves in the run of the project under that name.

    Versions, and what an entry puts into another run or root or under another name, are elsewhere.
    """
    place = project.place
    own = {"run": place.run, "root": place.root}
    names = set()
    for entry in entries:
        described = entry.dataset._describe() if isinstance(entry.dataset, BodegaDataset) else {}  # noqa: SLF001
        stored = stored_name(entry.name)
        is_own = {**own, "name": stored, **described}.items() >= {**own, "name": stored}.items()
        if entry.home == "store" and is_own and getattr(entry.dataset, "_version", None) is None:
            names.add(stored)
    return names


def _entry(
    project: OpenedProject,
    name: str,
    crossing: set[str],
    makers: Mapping[str, str],
    others: Mapping[str, str],
    *,
    stored: Container[str],
) -> Entry:
    known_as = stored_name(name)
    made_by = makers.get(known_as) or others.get(known_as)
    dataset, problem = (None, None) if is_parameter(name) else _dataset(project, name)
    in_catalog = name in project.catalog
    home = _home(
        project,
        name,
        dataset,
        stored,
        is_left_out=not in_catalog,
        made_by=made_by,
        is_made_here=known_as in makers,
    )
    return Entry(
        name=name,
        type=_type(dataset) if dataset is not None else ("?" if problem else None),
        home=home,
        pattern=_pattern(project, name) if in_catalog else None,
        made_by=made_by,
        is_made_here=known_as in makers,
        read_by=tuple(
            sorted(node.name for node in project.pipeline.nodes if known_as in map(stored_name, node.inputs))
        ),
        crosses=known_as in crossing,
        persists=home == "elsewhere" or (home == "store" and (project.settings.persists(name) or _persists(dataset))),
        dataset=dataset,
        problem=problem,
    )


def _dataset(project: OpenedProject, name: str) -> tuple[AbstractDataset[Any, Any] | None, str | None]:
    try:
        dataset = project.catalog.get(name) if name in project.catalog else None
    except DatasetError as error:  # Its library is not installed, its settings are wrong, ...
        return None, " ".join(str(error).split())
    if isinstance(dataset, BodegaDataset):
        dataset.settle(project.place, name)
    return dataset, None


def _home(
    project: OpenedProject,
    name: str,
    dataset: AbstractDataset[Any, Any] | None,
    stored: Container[str],
    *,
    is_left_out: bool,
    made_by: str | None,
    is_made_here: bool,
) -> Home:
    if is_parameter(name):
        return "parameters"
    if (dataset is not None or is_left_out) and goes_to_store(
        name, dataset, project.settings, is_made_here=is_made_here, stored=stored
    ):
        return "store"
    if is_left_out:
        return "memory" if made_by else "nowhere"
    return "memory" if isinstance(dataset, IN_MEMORY) else "elsewhere"


def _pattern(project: OpenedProject, name: str) -> str | None:
    """The factory pattern that a name matches, unless the catalog has an entry of that very name."""
    if not isinstance(project.catalog, DataCatalog):  # A class of the project's own, which may have no patterns.
        return None
    resolver = project.catalog.config_resolver
    if name in resolver.config:
        return None
    return resolver.match_dataset_pattern(name) or resolver.match_user_catch_all_pattern(name)


def _type(dataset: AbstractDataset[Any, Any]) -> str:
    return f"{type(dataset).__module__}.{type(dataset).__qualname__}"


def _persists(dataset: AbstractDataset[Any, Any] | None) -> bool:
    return isinstance(dataset, BodegaDataset) and bool(dataset._describe()["persist"])  # noqa: SLF001 # what Kedro shows
