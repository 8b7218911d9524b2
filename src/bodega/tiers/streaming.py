"""An object that is written by somebody who learns of its next part when this one is written.

What is written lies in a draft, which nobody sees and which goes with its writer. It needs room in memory for all of
it; where there is none, it moves to the next folder below and grows on there.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from bodega.errors import StoreFull
from bodega.format import Buffer, Encoded, ObjectInfo
from bodega.tiers.base import Folder


class Growing:
    """An object whose buffers come one after the other. Leaving its context without `publish` leaves nothing behind.

    Args:
        folders: where it may lie: the first that has room for it.
        run: namespace of the name.
        name: name of the object.
    """

    def __init__(self, folders: Sequence[Folder], run: str, name: str) -> None:
        self.folder, *self._below = folders
        """Where it lies at present."""
        self._run, self._name = run, name
        # Sealed wherever it lies: where it will be published is not known yet, and below memory an object needs its digest.
        self._writer = self.folder.begin(run, name, seal=True)

    def __enter__(self) -> Self:
        try:
            self._writer.begin()
        except BaseException as error:
            self._writer.__exit__(type(error), error, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.__exit__(kind, error, trace)

    def append(self, buffers: Sequence[Buffer]) -> None:
        """Write the next buffers.

        Raises:
            StoreFull: they fit nowhere.
        """
        for buffer in buffers:
            try:
                self._writer.append(buffer)
            except StoreFull:
                if not self._below:
                    raise
                self._move()
                self._writer.append(buffer)

    def finish(self, encoded: Encoded) -> ObjectInfo:
        """Write what is said of it, when all buffers are there."""
        return self._writer.finish(encoded)

    def publish(self) -> None:
        """Let the name stand for what was written."""
        self._writer.publish()

    def _move(self) -> None:
        """Go on in the next folder below; what is here goes at once, for its room is what was needed."""
        self.folder = self._below.pop(0)
        old, self._writer = self._writer, self.folder.begin(self._run, self._name, seal=True)
        try:
            self._writer.take_over(old)
        finally:
            old.__exit__(None, None, None)
