"""Which nodes of a run have finished, kept in the store beside the run's data, so that a retry does only what is missing.

A file that is there says nothing: an earlier run may have left it. So a node is skipped only if this run has a record of
it, written after all its outputs were saved, and what is still needed of it can be loaded. A record is an object of its
own under a name that is not listed: it goes where the run's data goes, and with it when the run is dropped; two tasks
write two of them.
"""

from __future__ import annotations

import json
import logging
import os
import socket
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import xxhash

from bodega.env import HOST_VARIABLE
from bodega.errors import ObjectNotFound
from bodega.kedro import compat
from bodega.kedro.dataset import BodegaDataset
from bodega.names import RESERVED, is_parameter, stored_name

if TYPE_CHECKING:
    from kedro.io import CatalogProtocol
    from kedro.pipeline import Pipeline
    from kedro.pipeline.node import Node

    from bodega.kedro.project.place import Place
    from bodega.store import Store

_FINISHED = f"{RESERVED}finished/"
_log = logging.getLogger(__name__)


class RunRecord:
    """The nodes of one run that have finished."""

    def __init__(self, place: Place) -> None:
        # Not the place itself: where it belongs to no project, its data goes with the last dataset that has it.
        self._persists = place.is_among_hosts
        self._store: Store = place.open()

    def add(self, node: Node, catalog: CatalogProtocol[Any, Any]) -> None:
        """Write down that a node has finished and all its outputs are saved.

        Raises:
            StoreFull: there is no room for the record.
            TierError: the durable tier, which the run's data went to, failed.
        """
        facts = {
            "node": node.name,
            "host": this_host(),
            "finished": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "parameters": _digest_of_parameters(node, catalog),
            "files": {name: _signs(catalog.get(name)) for name in node.outputs},
            "inputs": list(node.inputs),
            "is_stored": all(_is_in_run(catalog.get(name), name, self._store) for name in node.outputs),
        }
        # By a digest, since names of nodes may be longer than an object's.
        self._store.put(_FINISHED + _digest(node.name), json.dumps(facts).encode(), persist=self._persists)

    def find(self, node: Node) -> dict[str, Any] | None:
        """What was written down of a node."""
        return self.find_name(node.name)

    def find_name(self, node: str) -> dict[str, Any] | None:
        """What was written down of the node of a name."""
        try:
            facts: dict[str, Any] = json.loads(bytes(self._store.get(_FINISHED + _digest(node))))
        except ObjectNotFound:
            return None
        return facts

    def forget(self, nodes: Iterable[Node]) -> None:
        """Forget that nodes have finished, which an earlier run of the same name may have written down.

        Raises:
            TierError: the durable tier failed.
        """
        for node in nodes:
            with suppress(ObjectNotFound):
                self._store.delete(_FINISHED + _digest(node.name))


def this_host() -> str:
    """What Kubernetes calls this host, or it itself does."""
    return os.environ.get(HOST_VARIABLE) or socket.gethostname()


def missing(pipeline: Pipeline, catalog: CatalogProtocol[Any, Any], record: RunRecord, place: Place) -> Pipeline:
    """The part of a pipeline that has to run: what did not finish in this run, and what that needs and cannot load.

    Args:
        pipeline: the nodes that were asked for.
        catalog: their datasets.
        record: of the run.
        place: what the task makes for others must be there at the end; for a whole pipeline, what no node of it reads.
    """
    found = {node.name: record.find(node) for node in pipeline.nodes}
    outdated = _outdated(pipeline, catalog, found)
    wanted = set(map(stored_name, pipeline.outputs() if place.shared is None else place.shared))
    to_run = []
    for node in reversed(pipeline.nodes):
        facts = found[node.name]
        if facts is None or node.name in outdated or not _is_there(node, facts, catalog, wanted):
            to_run.append(node.name)
            wanted.update(map(stored_name, node.inputs))
    if len(to_run) == len(pipeline.nodes):
        return pipeline
    skipped = [node.name for node in pipeline.nodes if node.name not in to_run]
    _log.info("Skipping %d finished nodes of this run: %s", len(skipped), ", ".join(skipped))
    return pipeline.filter(node_names=to_run) if to_run else type(pipeline)([])


def are_done(nodes: Iterable[str], record: RunRecord, place: Place, parameters: Mapping[str, Any]) -> bool:
    """Whether all nodes of a task have finished and what it shares is in the store, by the run's record alone.

    So a task that has nothing to do imports none of the project's pipelines. False where only `missing` can tell: a file
    was written, or an input or a parameter is another than the record says.

    Args:
        nodes: names of the task's nodes.
        record: of the run.
        place: of the run.
        parameters: as the task would have them.
    """
    found = [record.find_name(name) for name in nodes]
    facts = [each for each in found if each is not None and each.get("is_stored")]
    if len(facts) < len(found):
        return False
    made = {stored_name(output): each["finished"] for each in facts for output in each["files"]}
    for each in facts:
        read = [name for name in each["inputs"] if is_parameter(name)]
        values = {name: _value(name, parameters) for name in read}
        if each["parameters"] != _digest(repr(_in_order(values))):
            return False
        if any(made.get(stored_name(name), "") > each["finished"] for name in each["inputs"]):
            return False
    store = place.open()
    return all(store.exists(name) for name in place.shared or ())


def _value(name: str, parameters: Mapping[str, Any]) -> Any:
    """What Kedro's catalog has under the name of a parameter; None where there is none of it."""
    key = name.removeprefix("params:")
    value: Any = parameters
    for part in [] if name == "parameters" else [key] if key in parameters else key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _is_in_run(dataset: object, name: str, store: Store) -> bool:
    """Whether a dataset's data is in the run's store under its own name."""
    return isinstance(dataset, BodegaDataset) and store.exists(stored_name(name)) and dataset.is_of(store.run)


def forget_inner(pipeline: Pipeline, place: Place) -> None:
    """Delete what only the task itself read, now that it is done: until then a retry may have needed it."""
    if place.shared is None:
        return
    store = place.open()
    for name in {stored_name(output) for node in pipeline.nodes for output in node.outputs}:
        if place.is_inner(name) and store.exists(name):
            store.delete(name)


def _outdated(
    pipeline: Pipeline, catalog: CatalogProtocol[Any, Any], found: Mapping[str, dict[str, Any] | None]
) -> set[str]:
    """The finished nodes that had other parameters than now or older inputs, and all that read what such a node made."""
    nodes: set[str] = set()
    datasets: set[str] = set()
    made: dict[str, str] = {}
    """When, by dataset."""
    for node in pipeline.nodes:
        inputs, outputs = ([stored_name(name) for name in names] for names in (node.inputs, node.outputs))
        facts = found[node.name]
        # Clocks of two hosts may differ: then at worst a node runs once more.
        has_others = facts is not None and (
            facts["parameters"] != _digest_of_parameters(node, catalog)
            or any(made.get(name, "") > facts["finished"] for name in inputs)
        )
        if has_others or not datasets.isdisjoint(inputs):
            nodes.add(node.name)
            datasets.update(outputs)
        if facts is not None:
            made.update(dict.fromkeys(outputs, facts["finished"]))
    return nodes


def _is_there(node: Node, facts: dict[str, Any], catalog: CatalogProtocol[Any, Any], wanted: set[str]) -> bool:
    """Whether what is wanted of a finished node is there, and is what it made."""
    return all(
        name in catalog and catalog.exists(name) and facts["files"].get(name) == _signs(catalog.get(name))
        for name in node.outputs
        if stored_name(name) in wanted
    )


def _digest_of_parameters(node: Node, catalog: CatalogProtocol[Any, Any]) -> str:
    values = {name: catalog.load(name) for name in node.inputs if is_parameter(name)}
    return _digest(repr(_in_order(values)))


def _in_order(value: object) -> object:
    """A value whose text does not depend on the order of keys, which need not be of one type."""
    if isinstance(value, Mapping):
        return sorted((repr(key), _in_order(below)) for key, below in value.items())
    return [_in_order(each) for each in value] if isinstance(value, (list, tuple)) else value


def _signs(dataset: object) -> dict[str, str] | None:
    return None if isinstance(dataset, BodegaDataset) else compat.signs_of_file(dataset)


def _digest(text: str) -> str:
    return xxhash.xxh3_128_hexdigest(text.encode("utf-8", "surrogatepass"))
