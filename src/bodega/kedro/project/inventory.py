"""The datasets of a pipeline: what the catalog says of each, where its data will be, and who shares it.

`bodega.kedro.dataset.homes` decides, as when a run begins. Here nothing is registered or changed.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kedro.io import AbstractDataset, DatasetError

from bodega.kedro import compat
from bodega.kedro.dataset import BodegaDataset
from bodega.kedro.dataset.homes import Decision, Home, Stored, decide
from bodega.names import is_parameter, stored_name
from bodega.plan import Plan

if TYPE_CHECKING:
    from bodega.kedro.project.session import OpenedProject


@dataclass(frozen=True)
class Entry:
    """A dataset of a pipeline."""

    name: str
    """As the nodes write it."""
    type: str | None
    """The class that the catalog names; None where the catalog leaves the dataset out."""
    decision: Decision
    """Where its data goes."""
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

    @property
    def home(self) -> Home:
        """Where its data goes."""
        return self.decision.home


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
        if entry.home == "store" and is_own and compat.version_of(entry.dataset) is None:
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
    decision = decide(
        name, dataset, project.settings, is_made_here=known_as in makers, stored=stored, is_left_out=not in_catalog
    )
    return Entry(
        name=name,
        type=_type(dataset) if dataset is not None else ("?" if problem else None),
        decision=decision,
        pattern=compat.pattern_of(project.catalog, name) if in_catalog else None,
        made_by=made_by,
        is_made_here=known_as in makers,
        read_by=tuple(
            sorted(node.name for node in project.pipeline.nodes if known_as in map(stored_name, node.inputs))
        ),
        crosses=known_as in crossing,
        persists=decision.home == "elsewhere"
        or (decision.home == "store" and (project.settings.persists(name) or _persists(dataset))),
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


def _type(dataset: AbstractDataset[Any, Any]) -> str:
    return f"{type(dataset).__module__}.{type(dataset).__qualname__}"


def _persists(dataset: AbstractDataset[Any, Any] | None) -> bool:
    return isinstance(dataset, BodegaDataset) and bool(dataset._describe()["persist"])  # noqa: SLF001 # what Kedro shows
