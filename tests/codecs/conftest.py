"""What a store does with a value, without a store: encode, lay out the bytes, decode."""

from __future__ import annotations

import ctypes
import json
from collections.abc import Callable
from typing import Any

import pytest

from bodega.codecs import decode, encode, outofband
from bodega.format import ALIGNMENT, Encoded, Pieces

PIECE = 8 << 20


class ListSink:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def write(self, data: bytes | memoryview, /) -> int:
        self.parts.append(bytes(data))
        return len(data)


def address(view: memoryview) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(view)) if view.nbytes else 0


def aligned(data: bytes) -> memoryview:
    """A private, writable, aligned copy."""
    room = memoryview(bytearray(len(data) + ALIGNMENT))
    start = -address(room) % ALIGNMENT
    view = room[start : start + len(data)]
    view[:] = data
    return view


class Stored:
    """An encoded value, of which every `get` has memory of its own, as private mappings have."""

    def __init__(self, value: object) -> None:
        sink = ListSink()
        self.encoded: Encoded = encode(value, sink)
        self.stream = b"".join(sink.parts)
        self.recipe: dict[str, Any] = json.loads(json.dumps(self.encoded.recipe, allow_nan=False))
        json.dumps(self.encoded.schema, allow_nan=False)
        self.buffers = [self._bytes(buffer) for buffer in self.encoded.buffers]
        self.views: list[memoryview] = []

    @staticmethod
    def _bytes(buffer: memoryview | Pieces) -> bytes:
        if isinstance(buffer, Pieces):
            parts = list(buffer.parts())
            for part in parts:
                assert (part.ndim, part.format, part.contiguous) == (1, "B", True)
                assert part.nbytes <= PIECE
            data = b"".join(parts)
            assert len(data) == buffer.nbytes
            return data
        assert (buffer.ndim, buffer.format, buffer.contiguous) == (1, "B", True)
        return bytes(buffer)

    @property
    def nbytes(self) -> int:
        """Bytes of the buffers."""
        return sum(map(len, self.buffers))

    def get(self) -> Any:
        self.views = [aligned(buffer) for buffer in self.buffers]
        return decode(self.recipe, memoryview(self.stream), self.views)

    def holds(self, where: int, nbytes: int) -> bool:
        """Whether memory lies in the buffers of the latest `get`."""
        return any(address(view) <= where and where + nbytes <= address(view) + view.nbytes for view in self.views)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Callable[[object], Stored]:
    """Encode a value with all of its buffers outside of the stream, so that a small one shows what a large one does."""
    monkeypatch.setattr(outofband, "_SMALL", 0)
    return Stored


@pytest.fixture
def store_small() -> Callable[[object], Stored]:
    """Encode a value as a store does, with small buffers inside the stream."""
    return Stored
