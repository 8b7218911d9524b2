"""The one dataset of the benchmark that kedro-datasets has no class for."""

from __future__ import annotations

from typing import Any

import cloudpickle
import fsspec
import zstandard
from kedro.io import AbstractDataset


class CloudpickleZstdDataset(AbstractDataset[Any, Any]):
    """A value pickled by cloudpickle, compressed by Zstandard at its default level, in a file anywhere."""

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        """Name the file, by a path or by a URL that fsspec knows."""
        self._filepath = filepath
        self.metadata = metadata

    def load(self) -> Any:
        """Decompress while it is read."""
        with fsspec.open(self._filepath, "rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as stream:
            return cloudpickle.load(stream)

    def save(self, data: Any) -> None:
        """Compress while it is written."""
        with fsspec.open(self._filepath, "wb") as file, zstandard.ZstdCompressor().stream_writer(file) as stream:
            cloudpickle.dump(data, stream)

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath}
