"""The tasks of a pipeline, and what passes between them, as data: all that the Kubernetes side knows of it.

`bodega.kedro.plan` makes a plan of Kedro's nodes. Nothing here imports Kedro.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from kedro.pipeline.node import Node

GroupingRule = Literal["node", "namespace", "tag", "auto"]
Grouping = GroupingRule | Mapping[str, Sequence[str]]

_KINDS = ("node", "tag", "namespace")


@dataclass(frozen=True)
class Need:
    """An edge: what a task reads of what another one makes."""

    task: str
    datasets: tuple[str, ...]
    """Names as the store knows them (without Kedro's transcoding), sorted."""


@dataclass(frozen=True)
class Task:
    """Nodes that run together."""

    name: str
    """Readable, and unique in the plan."""
    nodes: tuple[str, ...]
    """Names of Kedro nodes, in an order they can run in."""
    inputs: tuple[str, ...]
    """Datasets that are loaded and not made inside, sorted; parameters are none."""
    outputs: tuple[str, ...]
    """Datasets that are made inside and leave it, sorted: another task reads them, or no node does."""
    needs: tuple[Need, ...]
    """In the order of the tasks."""


@dataclass(frozen=True)
class Plan:
    """All tasks of a pipeline, each after those it needs. The same pipeline gives the same plan."""

    tasks: tuple[Task, ...]


def matches(pattern: str, node: Node) -> bool:
    """Whether a pattern means a node, by its name, a tag, or its namespace or one around it.

    See `bodega.kedro.plan.make_plan`.
    """
    kind, colon, rest = pattern.partition(":")
    kinds, glob = ((kind,), rest) if colon and kind in _KINDS else (_KINDS, pattern)
    return any(fnmatchcase(text, glob) for text in matchable(node, kinds))


def matchable(node: Node, kinds: Iterable[str] = _KINDS) -> Iterator[str]:
    """The texts of a node that patterns are compared with."""
    for kind in kinds:
        if kind == "node":
            yield node.name
        elif kind == "tag":
            yield from sorted(node.tags)
        elif node.namespace:
            yield from node.namespace_prefixes
