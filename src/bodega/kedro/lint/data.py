"""What lint finds in a project's data and nodes, wherever they run."""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import partial
from multiprocessing.reduction import ForkingPickler
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints

from bodega.codecs.handles import handle
from bodega.errors import InvalidName, did_you_mean
from bodega.findings import Finding, Level
from bodega.kedro import compat
from bodega.kedro.dataset import BodegaDataset
from bodega.kedro.lint.findings import Examined
from bodega.names import stored_name, to_filename
from bodega.texts import listed

if TYPE_CHECKING:
    from kedro.pipeline.node import Node

    from bodega.kedro.project.inventory import Entry


def broken_entries(examined: Examined) -> Iterator[Finding]:
    """Entries that the catalog cannot make."""
    for entry in examined.datasets:
        if entry.problem is not None:
            yield Finding(
                "error",
                "catalog-entry",
                f"The catalog cannot make it: {entry.problem}",
                "Correct the entry, or install what it needs.",
                entry.name,
            )


def missing_inputs(examined: Examined) -> Iterator[Finding]:
    """Datasets and parameters that nobody provides."""
    known = list(examined.project.catalog.keys())
    for entry in examined.entries:
        if entry.home == "parameters" and entry.name not in known:
            yield Finding(
                "error",
                "missing-parameter",
                f"It is read by {listed(entry.read_by)}, but the project has no such parameter.",
                did_you_mean(entry.name, known, "Add it to parameters.yml."),
                entry.name,
            )
        elif entry.home == "nowhere":
            names = [*known, *(other.name for other in examined.datasets if other.is_made_here)]
            yield Finding(
                "error",
                "missing-input",
                f"It is read by {listed(entry.read_by)}, but no node makes it and the catalog does not define it.",
                did_you_mean(entry.name, names, "Define it in the catalog."),
                entry.name,
            )


def ephemeral_across_tasks(examined: Examined) -> Iterator[Finding]:
    """Data that stays in the memory of one process, but is read in another."""
    level: Level = "error" if examined.is_deployed else "warning"
    for entry in examined.datasets:
        is_ephemeral = entry.home == "memory" or (entry.home == "elsewhere" and compat.is_ephemeral(entry.dataset))
        if entry.crosses and is_ephemeral and entry.problem is None:
            readers = [node for node in entry.read_by if examined.task_of(node) != examined.task_of(entry.made_by)]
            why = (
                f"is a {type(entry.dataset).__name__} of the catalog"
                if entry.dataset is not None
                else f"is kept out of the store by {examined.project.settings.source}"
            )
            yield Finding(
                level,
                "ephemeral-crosses",
                f"It {why}, so it is lost when node {entry.made_by!r} is done in one task and {listed(readers)} "
                f"begins in another.",
                "Let it go to the store (remove the entry, or the pattern under 'exclude'), define it as a file, or put "
                "those nodes into one group.",
                entry.name,
            )


def memory_datasets(examined: Examined) -> Iterator[Finding]:
    """Entries of the catalog that another process could not read."""
    for entry in examined.datasets:
        kind = type(entry.dataset).__name__
        if entry.decision.refusal == "refused":
            yield Finding(
                "error",
                "memory-dataset-refused",
                f"The catalog defines it as a {kind}, and 'memory_datasets: refuse' is set.",
                "Remove the entry, so that it goes to the store, or write 'type: bodega.kedro.BodegaDataset'.",
                entry.name,
            )
        elif entry.decision.is_replaced:
            yield Finding(
                "warning",
                "memory-dataset-replaced",
                f"The catalog defines it as a {kind}, which no other process can read: it will go to the store.",
                "Remove the entry, or set 'memory_datasets: keep' in bodega.yml.",
                entry.name,
            )


def catch_all_patterns(examined: Examined) -> Iterator[Finding]:
    """Factory patterns that leave nothing over for the store."""
    hidden: dict[str, list[Entry]] = defaultdict(list)
    for entry in examined.datasets:
        is_catch_all = entry.pattern is not None and compat.is_catch_all(entry.pattern)
        if is_catch_all and entry.is_made_here and not isinstance(entry.dataset, BodegaDataset):
            hidden[entry.pattern or ""].append(entry)
    for pattern, entries in hidden.items():
        yield Finding(
            "warning",
            "catch-all",
            f"The factory pattern of the catalog takes every dataset that has no entry, such as "
            f"{listed(entry.name for entry in entries)}, as {_kind(entries)}: none of them goes to the store.",
            "Give the pattern 'type: bodega.kedro.BodegaDataset', narrow it, or list them under 'override' in bodega.yml.",
            pattern,
        )


def _kind(entries: list[Entry]) -> str:
    """The class of a pattern's entries, where the catalog can make any of them."""
    return next((entry.type for entry in entries if entry.dataset is not None and entry.type), "files or tables")


def transcoded_apart(examined: Examined) -> Iterator[Finding]:
    """Transcoded names of one dataset whose data is in different places."""
    places: dict[str, set[str]] = defaultdict(set)
    for entry in examined.datasets:
        if entry.made_by is not None and "@" in entry.name:
            places[stored_name(entry.name)].add(entry.home)
    for name, homes in places.items():
        if len(homes) > 1:
            yield Finding(
                "error",
                "transcoded-apart",
                f"What is saved under one of its transcoded names is not loaded under another: they go to "
                f"{' and '.join(sorted(homes))}.",
                f"Define all of {listed(each.name for each in examined.datasets if stored_name(each.name) == name)} in "
                f"the catalog, or none.",
                name,
            )


def unusable_names(examined: Examined) -> Iterator[Finding]:
    """Names that the store cannot keep. No two names are the same file there."""
    for entry in examined.datasets:
        if entry.home == "store":
            try:
                to_filename(stored_name(entry.name))
            except InvalidName as error:
                yield Finding("error", "unusable-name", str(error), "Give the dataset another name.", entry.name)


def several_writers(examined: Examined) -> Iterator[Finding]:
    """Datasets of different names that are one object or file."""
    writers: dict[tuple[str, ...], dict[str, Entry]] = defaultdict(dict)
    for entry in examined.datasets:
        target = _target(examined, entry)
        if entry.is_made_here and target is not None:
            writers[target].setdefault(stored_name(entry.name), entry)
    for target, entries in writers.items():
        if len(entries) > 1:
            tasks = {examined.task_of(entry.made_by) for entry in entries.values()}
            nodes = listed(entry.made_by or "" for entry in entries.values())
            yield Finding(
                "error" if len(tasks) > 1 else "warning",
                "several-writers",
                f"They are one {target[0]}, {target[-1]!r}, which nodes {nodes} write: who comes last wins.",
                f"Give each its own {'path' if target[0] == 'file' else 'name'} in the catalog.",
                " and ".join(entries),
            )


def handles(examined: Examined) -> Iterator[Finding]:
    """Outputs that are said to be handles: they mean something to one process only."""
    homes = {entry.name: entry.home for entry in examined.datasets}
    for node in examined.project.pipeline.nodes:
        for output, cls in _returned(node):
            kind = handle(cls)
            # What a generator yields is saved chunk by chunk.
            if kind is not None and homes.get(output) == "store" and not inspect.isgeneratorfunction(node.func):
                yield Finding(
                    "error",
                    "not-shareable",
                    f"Node {node.name!r} says that it returns a {cls.__module__}.{cls.__qualname__}, which is {kind.what}, "
                    f"and not data: it cannot be saved.",
                    f"{kind.remedy} Or list the dataset under 'exclude' in bodega.yml, and run those who need it in one "
                    f"process.",
                    output,
                )


def unpicklable_nodes(examined: Examined) -> Iterator[Finding]:
    """Nodes that cannot be sent to another process."""
    for node in examined.project.pipeline.nodes:
        try:
            ForkingPickler.dumps(node)
        except Exception as error:  # Whatever the objects that its function refers to raise.
            yield Finding(
                "warning",
                "not-picklable",
                f"ParallelRunner cannot send its function to another process: {error}",
                "Make it a function at the top of a module, not a lambda, a closure or a method of an object with an open "
                "handle; or use another runner.",
                node.name,
            )


def idle_patterns(examined: Examined) -> Iterator[Finding]:
    """Patterns of bodega.yml that no dataset of the project matches."""
    settings = examined.project.settings
    pipelines = examined.project.pipelines.values()
    names = sorted({name for pipeline in pipelines for name in pipeline.datasets()})
    for key in ("datasets", "exclude", "override", "persist"):
        for pattern in getattr(settings, key):
            if pattern != "*" and not any(fnmatchcase(name, pattern) for name in names):
                yield Finding(
                    "warning",
                    "pattern-matches-nothing",
                    f"The pattern {pattern!r} matches no dataset of the project.",
                    did_you_mean(pattern, names, f"Correct or remove it in {settings.source}."),
                    key,
                )


def persisting_nowhere(examined: Examined) -> Iterator[Finding]:
    """Datasets that are to persist, but have no durable tier."""
    for entry in examined.datasets:
        if isinstance(entry.dataset, BodegaDataset) and entry.persists and not entry.dataset._options["spill"]:  # noqa: SLF001
            yield Finding(
                "error",
                "persist-without-tier",
                "It is to persist, but there is no durable tier that it could be in.",
                "Name one under 'spill' in bodega.yml or in the entry, such as s3://bucket/prefix.",
                entry.name,
            )


CHECKS = (
    broken_entries,
    missing_inputs,
    ephemeral_across_tasks,
    memory_datasets,
    catch_all_patterns,
    transcoded_apart,
    unusable_names,
    several_writers,
    handles,
    unpicklable_nodes,
    idle_patterns,
    persisting_nowhere,
)


def file_of(entry: Entry) -> tuple[str, str] | None:
    """The protocol and the path of a dataset that is a file."""
    return None if isinstance(entry.dataset, BodegaDataset) else compat.file_of(entry.dataset)


def _target(examined: Examined, entry: Entry) -> tuple[str, ...] | None:
    """What a dataset is written to."""
    if entry.home == "store":
        place = examined.project.place
        described = entry.dataset._describe() if isinstance(entry.dataset, BodegaDataset) else {}  # noqa: SLF001
        root, run = described.get("root") or place.root or "", described.get("run") or place.run
        return ("object", root, run, described.get("name") or stored_name(entry.name))
    file = file_of(entry)
    return None if file is None else ("file", *file)


def _returned(node: Node) -> Iterator[tuple[str, type]]:
    """The outputs of a node and the classes that its function's annotation says they are."""
    function = node.func
    while isinstance(function, partial):
        function = function.func
    try:
        annotation: Any = get_type_hints(function).get("return")
    except Exception:  # Names that exist for the type checker only, objects that are no functions, ...
        return
    many = get_args(annotation) if get_origin(annotation) in {tuple, list} else (annotation,)
    if len(many) == len(node.outputs):
        yield from ((name, cls) for name, cls in zip(node.outputs, many, strict=True) if isinstance(cls, type))
