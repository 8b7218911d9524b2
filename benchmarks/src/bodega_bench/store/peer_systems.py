"""The systems that are compared, each behind the same few calls: those that need no server.

Each works as its documentation says one should for arrays that other processes read. Runs in an environment made for
one of them, so each imports its library when it is started.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import pickle
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from multiprocessing.shared_memory import SharedMemory
from typing import Any, NamedTuple

import numpy as np

from bodega_bench.store.peer_reading import FileSignpost, FixedSignpost, Get, Opened, Signpost

Results = Callable[[], list[Any]]
"""Waits for what functions in other processes return."""


class System(NamedTuple):
    """What is measured of each."""

    put: Callable[[Any, Any], Any]
    """Keep a value; returns its key. Where there are names, a key that is not None is the name to put it under."""
    get: Get
    drop: Callable[[Any], object]
    crowd: Callable[[Callable[..., Any], Sequence[tuple[Any, ...]]], AbstractContextManager[Results]]
    """Call a function of `peer_reading` in as many new processes at once as there are tuples of arguments."""
    signpost: Signpost
    names: bool = True
    """Whether a value can be put in the place of another, under a name that stays. Else each put makes a new key."""
    private: bool = True
    """Whether nobody else sees what a reader changes in its value."""


Started = Callable[[str, int], AbstractContextManager[System]]
"""Starts a system in a folder, with room for so many bytes."""


@contextmanager
def spawned(opened: Opened, function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]) -> Iterator[Results]:
    """Call a function in new processes of Python."""
    with ProcessPoolExecutor(len(arguments), multiprocessing.get_context("spawn")) as pool:
        futures = [pool.submit(function, opened, *each) for each in arguments]
        yield lambda: [future.result() for future in futures]


@contextmanager
def bodega(folder: str, _capacity: int) -> Iterator[System]:
    """Files on tmpfs, no server."""
    import bodega

    names = map(str, itertools.count())
    store = bodega.open(f"{folder}/root", run="bench")
    yield System(
        put=lambda value, key: store.put(key or next(names), value).name,
        get=store.get,
        drop=store.delete,
        crowd=partial(spawned, partial(getattr, store, "get")),
        signpost=FixedSignpost(),
    )


def _files(folder: str, write: Callable[[Any, str], object], read: Get) -> System:
    """A file of tmpfs an object, each written beside and moved to its name, so that no reader sees half of one."""
    paths = (f"{folder}/{number}" for number in itertools.count())

    def put(value: Any, key: str | None) -> str:
        path = key or next(paths)
        write(value, f"{path}.new")
        os.replace(f"{path}.new", path)
        return path

    return System(
        put=put,
        get=read,
        drop=os.unlink,
        crowd=partial(spawned, partial(_ready, read)),
        signpost=FixedSignpost(),
    )


def _ready(read: Get) -> Get:
    return read


@contextmanager
def joblib(folder: str, _capacity: int) -> Iterator[System]:
    """`joblib.dump`, and `joblib.load` with copy-on-write memory maps."""
    from joblib import dump, load  # type: ignore[import-untyped]

    yield _files(folder, dump, partial(load, mmap_mode="c"))


@contextmanager
def arrow(folder: str, _capacity: int) -> Iterator[System]:
    """Arrow's files, mapped: an array as a tensor, a frame as a table."""
    yield _files(folder, _write_arrow, _read_arrow)


def _write_arrow(value: Any, path: str) -> None:
    import pyarrow as pa

    with pa.OSFile(path, "wb") as file:
        if isinstance(value, np.ndarray):
            pa.ipc.write_tensor(pa.Tensor.from_numpy(value), file)
        else:
            table = pa.Table.from_pandas(value)
            with pa.ipc.new_file(file, table.schema) as writer:
                writer.write_table(table)


def _read_arrow(path: str) -> Any:
    import pyarrow as pa

    with pa.memory_map(path) as file:
        if file.read(len(_ARROW_FILE)) == _ARROW_FILE:
            return pa.ipc.open_file(file).read_all().to_pandas(split_blocks=True)
        file.seek(0)
        return pa.ipc.read_tensor(file).to_numpy()


_ARROW_FILE = b"ARROW1"
"""How a file of tables begins; a tensor's does not."""


@contextmanager
def pickles(folder: str, _capacity: int) -> Iterator[System]:
    """Plain pickle files."""
    yield _files(folder, _write_pickle, _read_pickle)


def _write_pickle(value: Any, path: str) -> None:
    with open(path, "wb") as file:
        pickle.dump(value, file, 5)


def _read_pickle(path: str) -> Any:
    with open(path, "rb") as file:
        return pickle.load(file)


@contextmanager
def shared_memory(folder: str, _capacity: int) -> Iterator[System]:
    """`multiprocessing.shared_memory`: a new segment a put, attached once and kept, as its documentation does."""
    kept: dict[str, SharedMemory] = {}

    def put(value: Any, _key: _Segment | None) -> _Segment:
        if not isinstance(value, np.ndarray):
            raise TypeError("it shares arrays only")
        memory = SharedMemory(create=True, size=value.nbytes)
        kept[memory.name] = memory
        np.copyto(np.ndarray(value.shape, value.dtype, memory.buf), value)
        return _Segment(memory.name, value.shape, value.dtype.str)

    def get(key: _Segment) -> Any:
        return np.ndarray(key.shape, key.dtype, kept[key.name].buf)

    def drop(key: _Segment) -> None:
        memory = kept.pop(key.name)
        memory.unlink()
        _close(memory)

    try:
        yield System(
            put=put,
            get=get,
            drop=drop,
            crowd=partial(spawned, _attach),
            signpost=FileSignpost(f"{folder}/newest"),
            names=False,
            private=False,
        )
    finally:
        for memory in kept.values():
            memory.unlink()
            _close(memory)


class _Segment(NamedTuple):
    """What a reader must be told besides the name."""

    name: str
    shape: tuple[int, ...]
    dtype: str


def _attach() -> Get:
    kept: dict[str, SharedMemory] = {}

    def get(key: _Segment) -> Any:
        if key.name not in kept:
            memory = SharedMemory(key.name)
            while kept:
                _close(kept.popitem()[1])
            kept[key.name] = memory
        return np.ndarray(key.shape, key.dtype, kept[key.name].buf)

    return get


def _close(memory: SharedMemory) -> None:
    with suppress(BufferError):  # Somebody still looks at it; then it goes with the process.
        memory.close()
