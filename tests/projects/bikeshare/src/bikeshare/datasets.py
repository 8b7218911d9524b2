"""Datasets of the project's own: whole files, and one that is written bit by bit."""

import json
import pickle
from pathlib import Path, PurePosixPath

import pandas as pd
import polars as pl
from kedro.io import AbstractDataset, AbstractVersionedDataset


class AppendingDataset(AbstractDataset):
    """Adds each frame that is saved to those before; all of them together are loaded."""

    def __init__(self, *, filepath, library="pandas"):
        self._filepath = Path(filepath)
        self._library = library

    def load(self):
        frames = []
        with self._filepath.open("rb") as file:
            while file.peek(1):
                frames.append(pickle.load(file))
        whole = pd.concat(frames, ignore_index=True)
        return pl.from_pandas(whole) if self._library == "polars" else whole

    def save(self, data):
        self._filepath.parent.mkdir(parents=True, exist_ok=True)
        with self._filepath.open("ab") as file:
            pickle.dump(data, file)

    def _exists(self):
        return self._filepath.exists()

    def _describe(self):
        return {"filepath": str(self._filepath)}


class PickleDataset(AbstractVersionedDataset):
    """A pickle in a file."""

    def __init__(self, *, filepath, version=None):
        super().__init__(PurePosixPath(filepath), version)

    def load(self):
        return pickle.loads(Path(self._get_load_path()).read_bytes())

    def save(self, data):
        path = Path(self._get_save_path())
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pickle.dumps(data))

    def _exists(self):
        return Path(self._get_load_path()).exists()

    def _describe(self):
        return {"filepath": str(self._filepath), "version": self._version}


class JSONDataset(AbstractDataset):
    """A value as JSON in a file."""

    def __init__(self, *, filepath):
        self._filepath = Path(filepath)

    def load(self):
        return json.loads(self._filepath.read_text())

    def save(self, data):
        self._filepath.parent.mkdir(parents=True, exist_ok=True)
        self._filepath.write_text(json.dumps(data, indent=2))

    def _exists(self):
        return self._filepath.exists()

    def _describe(self):
        return {"filepath": str(self._filepath)}
