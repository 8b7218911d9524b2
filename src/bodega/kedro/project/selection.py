"""Which registered pipelines a task has to load: Kedro imports no others, and imports are most of what a task costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from kedro.framework.project import pipelines

if TYPE_CHECKING:
    from kedro.pipeline import Pipeline
    from kedro.pipeline.node import Node

    from bodega.kedro.project.session import OpenedProject

_DEFAULT = "__default__"


def load_only(names: Sequence[str]) -> None:
    """Let Kedro load no other pipelines than these from now on; none means all. Older ones than 1.5 load all anyway."""
    if hasattr(pipelines, "set_requested"):
        pipelines.set_requested(list(names) or None)


def pipelines_of(project: OpenedProject, tasks: Sequence[tuple[str, ...]]) -> dict[tuple[str, ...], tuple[str, ...]]:
    """The pipelines that each task loads: as few as hold its nodes; those that were asked for where that is not enough.

    Args:
        project: opened for the pipelines that are to run.
        tasks: the names of the nodes of each.
    """
    asked = project.pipeline_names
    registered = {
        name: pipeline
        for name, pipeline in project.pipelines.items()
        if name != _DEFAULT and (not asked or name in asked)
    }
    wanted = {node.name: node for node in project.pipeline.nodes}
    holders = {nodes: _holders([wanted[name] for name in nodes], registered) for nodes in tasks}
    try:
        # A registry of the project's own may need a pipeline to make another of it: so each choice is tried.
        sound = {names: _is_enough(names, wanted) for names in set(holders.values()) if names}
    finally:
        load_only(())
    return {
        nodes: names if all(sound.get(names, {}).get(name) for name in nodes) else asked
        for nodes, names in holders.items()
    }


def _holders(nodes: Sequence[Node], registered: Mapping[str, Pipeline]) -> tuple[str, ...]:
    """The names of pipelines that together hold some nodes, sorted; none where some node is in no pipeline.

    The next one is always that with most of the nodes that are left, then the smallest.
    """
    left, chosen = list(nodes), []
    while left:
        held = {name: [node for node in left if _holds(pipeline, node)] for name, pipeline in registered.items()}
        best = min(held, key=lambda name: (-len(held[name]), len(registered[name].nodes), name), default=None)
        if best is None or not held[best]:
            return ()
        chosen.append(best)
        left = [node for node in left if node not in held[best]]
    return tuple(sorted(chosen))


def _is_enough(names: tuple[str, ...], wanted: Mapping[str, Node]) -> dict[str, bool]:
    """Of each node, whether it is there, and the same, when no other pipelines are loaded."""
    load_only(names)
    try:
        loaded = {node.name: node for name in names for node in pipelines[name].nodes}
    except Exception:  # Whatever the project's registry raises without the others.
        return {}
    return {name: _is_same(wanted[name], node) for name, node in loaded.items() if name in wanted}


def _holds(pipeline: Pipeline, node: Node) -> bool:
    return any(_is_same(each, node) for each in pipeline.nodes)


def _is_same(first: Node, second: Node) -> bool:
    return first == second and _code(first.func) == _code(second.func)


def _code(function: object) -> object:
    """What a function is, however often the pipeline around it is made."""
    if isinstance(function, partial):
        return _code(function.func), repr(function.args), repr(function.keywords)
    return getattr(function, "__code__", function)
