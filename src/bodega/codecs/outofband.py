"""Buffers that leave a pickle stream, whatever their shape in memory."""

from __future__ import annotations

import pickle
from collections.abc import Hashable

from bodega.layout import Buffer


class _Placeholder(bytearray):
    """Stands for a buffer inside the pickler, which takes contiguous memory only and keeps read-only what was so."""

    buffer: Buffer
    identity: Hashable


def out_of_band(buffer: Buffer, *, identity: Hashable = None) -> pickle.PickleBuffer:
    """What a reducer puts among its arguments for a buffer; the function that restores gets a memoryview in its place.

    Args:
        buffer: the bytes to store. Those who read them get them writable, whatever they are here.
        identity: of memory that nobody ever changes (Arrow's): buffers of equal identity are stored once.
    """
    placeholder = _Placeholder()
    placeholder.buffer = buffer
    placeholder.identity = identity
    return pickle.PickleBuffer(placeholder)


class Collector:
    """Gathers the buffers of one pickle."""

    def __init__(self) -> None:
        self.buffers: list[Buffer] = []
        """What is to be stored."""
        self.order: list[int] = []
        """For each buffer that the stream asks for in turn, its place among the stored ones."""
        self._places: dict[Hashable, int] = {}

    def add(self, met: pickle.PickleBuffer) -> None:
        """The pickler's ``buffer_callback``."""
        exporter = memoryview(met).obj
        if not isinstance(exporter, _Placeholder):
            self._append(met.raw())
        elif exporter.identity is None:
            self._append(exporter.buffer)
        elif exporter.identity in self._places:
            self.order.append(self._places[exporter.identity])
        else:
            self._places[exporter.identity] = len(self.buffers)
            self._append(exporter.buffer)

    def _append(self, buffer: Buffer) -> None:
        self.order.append(len(self.buffers))
        self.buffers.append(buffer)
