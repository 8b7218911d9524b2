"""Values that come one after the other and are one object: the chunks of a stream.

Each chunk is encoded by itself, as any value is, and its buffers (its pickle stream is the first) follow those of the
chunk before. So a writer needs no more memory than one chunk takes, and a reader maps the whole and rebuilds the
chunks that it asks for.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple, overload

from bodega import codecs
from bodega.codecs.tabular import joiner
from bodega.errors import LayoutError
from bodega.format import Buffer, Encoded

KIND = "bodega.Chunks"


class _Chunk(NamedTuple):
    """Where a chunk is, and how it is rebuilt."""

    recipe: Mapping[str, Any]
    checksum: int
    """CRC-32 of its pickle stream."""
    stream: memoryview
    buffers: Sequence[memoryview]


class Chunks(Sequence[Any]):
    """The chunks of a stream that has ended; each is rebuilt when it is asked for, over the bytes of the store.

    Examples:
        >>> import bodega
        >>> store = bodega.open(run="example")
        >>> with store.stream("numbers") as stream:
        ...     stream.append([1, 2])
        ...     stream.append([3])
        >>> numbers = store["numbers"]
        >>> numbers
        <2 chunks of list: iterate over them, or join them with .whole()>
        >>> [sum(chunk) for chunk in numbers]
        [3, 3]
        >>> numbers.whole()
        [1, 2, 3]
    """

    def __init__(self, chunks: Sequence[_Chunk], kind: str) -> None:
        self._chunks = chunks
        self._kind = kind

    def __len__(self) -> int:
        return len(self._chunks)

    @overload
    def __getitem__(self, at: int) -> Any: ...

    @overload
    def __getitem__(self, at: slice) -> Chunks: ...

    def __getitem__(self, at: int | slice) -> Any:
        if isinstance(at, slice):
            return Chunks(self._chunks[at], self._kind)
        chunk = self._chunks[at]
        if zlib.crc32(chunk.stream) != chunk.checksum:
            raise LayoutError(f"The pickle stream of chunk {at} does not match its checksum: the object is damaged.")
        return codecs.decode(chunk.recipe, chunk.stream, chunk.buffers)

    def whole(self) -> Any:
        """All chunks as one value of their kind.

        Frames, series, tables and arrays are put together row by row (arrays along the first axis; frames of pandas
        that only number their rows are numbered anew), lists and tuples become one list, texts and bytes one of
        theirs. Chunks of other or of different kinds are a list.

        Raises:
            ValueError: there is no chunk, and so nothing says what kind of value the whole is.
        """
        chunks = list(self)
        if not chunks:
            raise ValueError("the stream ended without a chunk, so there is nothing to make a whole of")
        kinds = {type(chunk) for chunk in chunks}
        join = _joiner(kinds.pop()) if len(kinds) == 1 else None
        return chunks if join is None else join(chunks)

    def __repr__(self) -> str:
        return f"<{len(self)} chunks of {self._kind}: iterate over them, or join them with .whole()>"

    def __reduce__(self) -> tuple[Any, ...]:
        """They are a view of the store; elsewhere they are a list."""
        return list, (list(self),)


class Encoder:
    """Encodes chunks one by one, and describes them all at the end."""

    def __init__(self) -> None:
        self._recipes: list[list[Any]] = []
        self._kinds: dict[str, None] = {}
        self._first: dict[str, Any] = {}
        self._rows: int | None = 0

    def add(self, value: object) -> list[Buffer]:
        """The buffers of the next chunk, to be stored behind those of the chunk before.

        Raises:
            NotShareable: the value, or something in it, is a handle and not data, or cannot be pickled.
        """
        stream = _Held()
        encoded = codecs.encode(value, stream)
        self._recipes.append([encoded.recipe, zlib.crc32(stream.data), len(encoded.buffers)])
        self._kinds[encoded.kind] = None
        self._first = self._first or encoded.schema
        shape = encoded.schema.get("shape")
        self._rows = self._rows + shape[0] if shape and self._rows is not None else None
        return [memoryview(stream.data), *encoded.buffers]

    def finish(self) -> Encoded:
        """What to say of them all; its buffers are those that `add` has returned."""
        kind = " or ".join(self._kinds) or "nothing"
        schema: dict[str, Any] = {"chunks": len(self._recipes), "of": kind}
        if len(self._kinds) == 1 and self._rows is not None:
            schema |= {**self._first, "shape": [self._rows, *self._first["shape"][1:]]}
        return Encoded(KIND, schema, {"codec": "chunks", "of": kind, "chunks": self._recipes})


def are_plain(recipe: Mapping[str, Any]) -> bool:
    """Whether all chunks are rebuilt without unpickling anything."""
    return all(codecs.is_plain(each) for each, _, _ in _recipes(recipe))


def decode_chunks(recipe: Mapping[str, Any], buffers: Sequence[memoryview]) -> Chunks:
    """The chunks over their buffers. See `bodega.codecs.decode`."""
    chunks, at = [], 0
    for each, checksum, count in _recipes(recipe):
        own = buffers[at : at + 1 + count]
        if len(own) != 1 + count:
            raise LayoutError(f"The recipe names more buffers than the {len(buffers)} there are: it is damaged.")
        chunks.append(_Chunk(each, checksum, own[0], own[1:]))
        at += 1 + count
    if at != len(buffers):
        raise LayoutError(f"The recipe names {at} buffers, and there are {len(buffers)}: the object is damaged.")
    return Chunks(chunks, str(recipe.get("of")))


def _recipes(recipe: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], int, int]]:
    entries = recipe.get("chunks")
    for entry in entries if isinstance(entries, list) else [None]:
        match entry:
            case [{"codec": codec, **_rest} as each, int(checksum), int(count)] if codec != "chunks" and count >= 0:
                yield each, checksum, count
            case _:
                raise LayoutError(f"The recipe of a chunk {entry!r:.200} is not understood: the object is damaged.")


class _Held:
    """A sink that holds what it takes."""

    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: bytes | memoryview, /) -> int:
        view = memoryview(data).cast("B")
        self.data += view
        return view.nbytes


def _joiner(cls: type) -> Callable[[list[Any]], Any] | None:
    """How values of a class become one."""
    if cls in (list, tuple):
        return lambda chunks: list(chain.from_iterable(chunks))
    if cls is str:
        return "".join
    if cls in (bytes, bytearray):
        return lambda chunks: cls().join(chunks)
    return joiner(cls)
