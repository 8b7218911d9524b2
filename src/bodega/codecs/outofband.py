"""Buffers that leave a pickle stream, whatever their shape in memory."""

from __future__ import annotations

import pickle
from collections.abc import Hashable

from bodega.format import Buffer, Pieces

_SMALL = 1024
"""Buffers of fewer bytes stay in the pickle stream: each one outside costs more than copying so little does."""


def stays_inside(nbytes: int) -> bool:
    """Whether a buffer of so many bytes stays in the pickle stream."""
    return nbytes < _SMALL


class _Placeholder(bytearray):
    """Stands for a buffer inside the pickler, which takes contiguous memory only and keeps read-only what was so."""

    buffer: Buffer
    identity: Hashable


def out_of_band(buffer: Buffer, *, identity: Hashable = None) -> pickle.PickleBuffer | bytearray:
    """What a reducer puts among its arguments for a buffer.

    The function that restores gets a memoryview in its place, or, of one that stays inside, a bytearray.

    Args:
        buffer: the bytes to store. Those who read them get them writable, whatever they are here.
        identity: of memory that nobody ever changes (Arrow's): buffers of equal identity are stored once.
    """
    if stays_inside(buffer.nbytes):
        return bytearray(b"".join(buffer.parts()) if isinstance(buffer, Pieces) else buffer)
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

    def add(self, met: pickle.PickleBuffer) -> bool:
        """The pickler's ``buffer_callback``; returns whether the buffer stays in the stream."""
        view = memoryview(met)
        exporter = view.obj
        if type(exporter) is not _Placeholder:
            if view.nbytes < _SMALL:
                return True
            self._append(met.raw())
        elif exporter.identity is None:
            self._append(exporter.buffer)
        elif exporter.identity in self._places:
            self.order.append(self._places[exporter.identity])
        else:
            self._places[exporter.identity] = len(self.buffers)
            self._append(exporter.buffer)
        return False

    def _append(self, buffer: Buffer) -> None:
        self.order.append(len(self.buffers))
        self.buffers.append(buffer)
