"""Generator nodes: their chunks are saved as they come, and are visible when the last one is there.

Kedro saves each chunk by itself and tells no dataset that a stream has ended. What can be seen is the end of the
generator itself: so the hook puts another one in its place, which passes the chunks on.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from inspect import isgenerator, isgeneratorfunction
from typing import TYPE_CHECKING, Any

from bodega.kedro.dataset import BodegaDataset
from bodega.settings import current_task

if TYPE_CHECKING:
    from kedro.io import CatalogProtocol
    from kedro.pipeline.node import Node


def follow(node: Node, catalog: CatalogProtocol[Any, Any], outputs: dict[str, Any]) -> None:
    """Begin the streams of a node's outputs, if it is a generator node, and have them end with the generator.

    Args:
        node: that has begun to run.
        catalog: of the run.
        outputs: of the node, by name; changed in place.
    """
    # Kedro 1.0 also streams what a plain function returns, if it is a generator.
    if not outputs or not (isgeneratorfunction(node.func) or all(map(isgenerator, outputs.values()))):
        return
    found = [catalog.get(name) for name in outputs]
    datasets = [dataset for dataset in found if isinstance(dataset, BodegaDataset)]
    if not datasets:
        return
    for dataset in datasets:
        dataset.begin_stream()
    for name, chunks in outputs.items():
        outputs[name] = _pass_on(chunks, node.name, datasets)


def _pass_on(chunks: Iterator[Any], task: str, datasets: list[BodegaDataset]) -> Generator[Any]:
    """The chunks of one output.

    Kedro takes a chunk of each output in turn, and stops when the first output has no more: that ends the streams of
    all. When it stops for an error, this generator is closed, or collected.
    """
    try:
        while True:
            # The body of the node's function runs now, after its hooks are done.
            token = current_task.set(task)
            try:
                chunk = next(chunks)
            except StopIteration:
                break
            finally:
                current_task.reset(token)
            yield chunk
        for dataset in datasets:
            dataset.end_stream()
    except BaseException:
        for dataset in datasets:
            dataset.give_up_stream()
        raise
