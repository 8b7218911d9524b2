"""A pipeline as tasks: which nodes run together in one process or pod, and what passes between tasks.

Whoever deploys a pipeline needs this, and whoever checks one: both read the same frozen plan.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from heapq import heapify, heappop, heappush
from typing import TypeGuard, get_args

from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from bodega.errors import PlanError, did_you_mean
from bodega.names import is_parameter, stored_name
from bodega.plan import Grouping, GroupingRule, Need, Plan, Task, matchable, matches

LIGHT_TAG = "light"
"""The tag of nodes that are not worth a task of their own, for the grouping ``auto``."""


def make_plan(
    pipeline: Pipeline, grouping: Grouping = "node", *, kind: Callable[[Node], Hashable] = lambda _node: None
) -> Plan:
    """Cut a pipeline into tasks.

    Args:
        pipeline: the nodes.
        grouping: one of

            - ``node``: a task for each node;
            - ``namespace``: a task for each top-level namespace; nodes without one are tasks of their own;
            - ``tag``: a task for each tag; nodes without one are tasks of their own;
            - ``auto``: fewer tasks, which still run at once what is worth it. Two tasks become one, until no two do, where both hold
              nodes of one kind and the first is the only one that the second reads from, while the second is the only
              one that reads from it (a *chain*); or where all nodes of one are *light* - tagged ``light``, or reading
              nothing but parameters - and the other is the only one that reads from it or the only one that it reads
              from (in that order);
            - patterns (as of a shell) by the name of a group. A pattern matches a node by its name, by a tag, or by its
              namespace or one around it; ``node:``, ``tag:`` and ``namespace:`` before it leave one of the three.
              What no group names is a task of its own.
        kind: for ``auto``, what nodes have in common that may run together, such as their resources.

    Raises:
        PlanError: the pipeline is empty, a pattern matches nothing, a node is in two groups, or groups need each other.
    """
    if not pipeline.nodes:
        raise PlanError(
            "The pipeline has no nodes, so there is nothing to run: check its name and what it registers.",
            code="empty-pipeline",
        )
    graph = _Graph(pipeline)
    if grouping == "auto":
        return graph.plan(_auto_groups(graph, kind))
    if grouping == "node":
        named = {}
    elif grouping == "namespace":
        named = _gather((node.namespace.partition(".")[0], node) for node in graph.nodes if node.namespace)
    elif grouping == "tag":
        named = _gather((tag, node) for node in graph.nodes for tag in sorted(node.tags))
    elif isinstance(grouping, Mapping):
        named = _gather(_matches(grouping, graph.nodes))
    else:
        raise PlanError(
            f"The grouping {grouping!r} is not known: it is one of {', '.join(get_args(GroupingRule))}.",
            code="unknown-grouping",
        )
    return graph.plan(_with_the_others(named, graph))


class _Graph:
    """The nodes of a pipeline, in one order that they can run in, and what passes between them."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.nodes: list[Node] = pipeline.nodes
        self.position = {node.name: position for position, node in enumerate(self.nodes)}
        self.makers = {stored_name(output): node.name for node in self.nodes for output in node.outputs}
        self.inputs = {
            node.name: {stored_name(each) for each in node.inputs if not is_parameter(each)} for node in self.nodes
        }
        self.outputs = {node.name: set(map(stored_name, node.outputs)) for node in self.nodes}

    def edges(self, groups: Sequence[Sequence[str]]) -> dict[int, dict[int, set[str]]]:
        """Of each group, by the groups it reads from: which datasets."""
        home = {node: number for number, nodes in enumerate(groups) for node in nodes}
        edges: dict[int, dict[int, set[str]]] = {number: defaultdict(set) for number in range(len(groups))}
        for node, number in home.items():
            for dataset in self.inputs[node]:
                source = home.get(self.makers.get(dataset, ""), number)
                if source != number:
                    edges[number][source].add(dataset)
        return edges

    def plan(self, groups: Mapping[str, Sequence[str]]) -> Plan:
        names = list(groups)
        edges = self.edges(list(groups.values()))
        # Of the tasks that could be next, the one whose first node comes first in the pipeline.
        first = [self.position[nodes[0]] for nodes in groups.values()]
        waiting = {number: set(sources) for number, sources in edges.items()}
        ready = [(first[number], number) for number, sources in waiting.items() if not sources]
        heapify(ready)
        order: list[int] = []
        while ready:
            _, done = heappop(ready)
            order.append(done)
            del waiting[done]
            for number, awaited in waiting.items():
                if done in awaited:
                    awaited.remove(done)
                    if not awaited:
                        heappush(ready, (first[number], number))
        if waiting:
            raise _cycle_error(names, edges, waiting)
        rank = {number: place for place, number in enumerate(order)}
        read_outside: dict[int, set[str]] = defaultdict(set)
        for sources in edges.values():
            for source, datasets in sources.items():
                read_outside[source] |= datasets
        tasks = []
        for number in order:
            nodes = groups[names[number]]
            loaded = set().union(*(self.inputs[node] for node in nodes))
            made = set().union(*(self.outputs[node] for node in nodes))
            tasks.append(
                Task(
                    name=names[number],
                    nodes=tuple(nodes),
                    inputs=tuple(sorted(loaded - made)),
                    outputs=tuple(sorted((made - loaded) | read_outside[number])),
                    needs=tuple(
                        Need(names[source], tuple(sorted(edges[number][source])))
                        for source in sorted(edges[number], key=rank.__getitem__)
                    ),
                )
            )
        return Plan(tuple(tasks))


def _gather(members: Iterable[tuple[str, Node]]) -> dict[str, list[str]]:
    """Groups of the pairs of a group's name and a node.

    Raises:
        PlanError: a node is in two of them.
    """
    groups: dict[str, list[str]] = defaultdict(list)
    home: dict[str, str] = {}
    for group, node in members:
        other = home.setdefault(node.name, group)
        if other != group:
            raise PlanError(
                f"The node {node.name!r} is in two groups, {other!r} and {group!r}: a node runs in one task. Write the "
                f"groups out under 'grouping', by patterns that leave it in one of them.",
                code="node-in-two-groups",
                groups=(other, group),
            )
        groups[group].append(node.name)
    return groups


def _matches(grouping: Mapping[str, Sequence[str]], nodes: Sequence[Node]) -> Iterable[tuple[str, Node]]:
    """The nodes of each group, in the order of the pipeline."""
    for group, patterns in grouping.items():
        chosen: set[str] = set()
        for pattern in patterns:
            matching = {node.name for node in nodes if matches(pattern, node)}
            if not matching:
                raise _no_match_error(group, pattern, nodes)
            chosen |= matching
        yield from ((group, node) for node in nodes if node.name in chosen)


def _no_match_error(group: str, pattern: str, nodes: Sequence[Node]) -> PlanError:
    known = sorted({text for node in nodes for text in matchable(node)})
    otherwise = f"Nodes, tags and namespaces are {', '.join(known[:12])}{', ...' if len(known) > 12 else ''}."
    hint = did_you_mean(pattern.rpartition(":")[2], known, otherwise, most=3)
    return PlanError(
        f"The pattern {pattern!r} of the group {group!r} matches no node, tag or namespace of the pipeline. {hint}",
        code="pattern-matches-nothing",
        groups=(group,),
    )


def _with_the_others(named: Mapping[str, Sequence[str]], graph: _Graph) -> dict[str, Sequence[str]]:
    """The groups and a task for every other node, by names of which no two are the same."""
    grouped = {node for nodes in named.values() for node in nodes}
    groups = dict(named)
    for node in graph.nodes:
        if node.name not in grouped:
            groups[_free_name(node.name, groups)] = [node.name]
    return groups


def _free_name(name: str, taken: Mapping[str, object]) -> str:
    """The name, with a number behind it where another task has it."""
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}-{number}"
    return free


def _auto_groups(graph: _Graph, kind: Callable[[Node], Hashable]) -> dict[str, Sequence[str]]:
    groups = [[node.name] for node in graph.nodes]
    kinds = {node.name: kind(node) for node in graph.nodes}
    light = {node.name for node in graph.nodes if LIGHT_TAG in node.tags or not graph.inputs[node.name]}
    while (pair := _mergeable(graph, groups, kinds, light)) is not None:
        first, second = pair
        groups[first] = sorted([*groups[first], *groups[second]], key=graph.position.__getitem__)
        del groups[second]
    named: dict[str, Sequence[str]] = {}
    for nodes in groups:
        name = nodes[0] if len(nodes) == 1 else f"{nodes[0]}-to-{nodes[-1]}"
        named[_free_name(name, named)] = nodes
    return named


def _mergeable(
    graph: _Graph, groups: Sequence[Sequence[str]], kinds: Mapping[str, Hashable], light: set[str]
) -> tuple[int, int] | None:
    """The first two tasks that ``auto`` makes one of.

    One of the two has no other reader, or reads from no other task: so no path leads from one to the other around the
    edge between them, and no merge makes a cycle.
    """
    sources = graph.edges(groups)
    readers: dict[int, list[int]] = defaultdict(list)
    for number, edges in sources.items():
        for source in edges:
            readers[source].append(number)

    def may_join(other: int | None, number: int) -> TypeGuard[int]:
        return other is not None and kinds[groups[number][0]] == kinds[groups[other][0]]

    for number, nodes in enumerate(groups):
        only_reader = readers[number][0] if len(readers[number]) == 1 else None
        only_source = next(iter(sources[number])) if len(sources[number]) == 1 else None
        is_light = light.issuperset(nodes)
        if may_join(only_reader, number) and (is_light or len(sources[only_reader]) == 1):
            return number, only_reader
        if may_join(only_source, number) and is_light:
            return only_source, number
    return None


def _cycle_error(names: Sequence[str], edges: Mapping[int, Mapping[int, set[str]]], stuck: Iterable[int]) -> PlanError:
    """Names the shortest cycle among the groups that wait for each other."""
    among = set(stuck)
    cycle = min(
        (_shortest_cycle(start, edges, among) for start in sorted(among)), key=lambda each: len(each) or 1 << 30
    )
    # Along the data: what a group reads comes from the next one of the cycle.
    steps = [
        f"{names[reader]!r} reads {', '.join(repr(each) for each in sorted(edges[reader][source]))} of {names[source]!r}"
        for reader, source in zip(cycle, [*cycle[1:], cycle[0]], strict=True)
    ]
    return PlanError(
        f"The groups {' and '.join(repr(names[number]) for number in cycle)} need each other, so neither can run first: "
        f"{', and '.join(steps)}. Put them into one group, or move the nodes between them out.",
        code="group-cycle",
        groups=tuple(names[number] for number in cycle),
    )


def _shortest_cycle(start: int, edges: Mapping[int, Mapping[int, set[str]]], among: set[int]) -> list[int]:
    """From a group along what it reads back to it; empty where there is no such way."""
    paths = [[start]]
    seen: set[int] = set()
    while paths:
        path = paths.pop(0)
        for source in sorted(edges[path[-1]]):
            if source == start:
                return path
            if source in among and source not in seen:
                seen.add(source)
                paths.append([*path, source])
    return []
