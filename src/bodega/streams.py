"""The writer's side of a stream: chunks in, one object out."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

from bodega.codecs.chunks import Encoder
from bodega.format import ObjectInfo
from bodega.tiers.stack import Growth


class StreamWriter:
    """Writes a value chunk by chunk; made by `Store.stream`.

    One that is given up, by an error or by nobody holding it any more, leaves nothing behind.
    """

    def __init__(self, growth: Growth, published: Callable[[ObjectInfo], None]) -> None:
        self._growth = growth
        self._published = published
        self._encoder = Encoder()
        next(growth)

    def append(self, chunk: object) -> None:
        """Write the next chunk. After an error the stream is closed.

        Raises:
            NotShareable: the chunk is a handle, not data, or does not pickle.
            StoreFull: it does not fit; the old object of the name is untouched.
            ValueError: the stream is closed.
        """
        try:
            self._growth.send(self._encoder.add(chunk))
        except StopIteration:
            raise _closed() from None
        except BaseException:
            self.close()
            raise

    def publish(self) -> ObjectInfo:
        """End the stream: what was appended is now the object of its name.

        Raises:
            TierError: a lower tier failed; the object is in memory.
            ValueError: the stream is closed.
        """
        try:
            self._growth.send(self._encoder.finish())
        except StopIteration as end:
            if end.value is None:
                raise _closed() from None
            info: ObjectInfo = end.value
        self._published(info)
        return info

    def close(self) -> None:
        """Give up what was not published."""
        self._growth.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Publish, unless there was an error."""
        if kind is None:
            self.publish()
        else:
            self.close()


def _closed() -> ValueError:
    return ValueError("The stream is closed: it was published or given up. Begin another one with Store.stream().")
