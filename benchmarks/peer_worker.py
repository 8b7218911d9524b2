"""One system under measurement: each line of JSON on standard input is a request, each is answered with a line.

Started by `benchmarks.peers` in an environment made for that system alone, hence the few imports. When its input ends
it stops its server and goes, also where whoever started it was killed.
"""

from __future__ import annotations

import importlib.metadata
import itertools
import json
import math
import mmap
import multiprocessing
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from benchmarks.timing import times

_FLOATS = 10
"""Columns of a frame."""
_SMALL = 1 << 20
"""Bytes of an object for what is only done once."""
_SPARE = 64 << 20
"""Bytes of memory to touch besides those of the object."""
_PATIENCE = 30.0
"""Seconds for a server to start or to stop."""


class System(NamedTuple):
    """What is measured of each."""

    put: Callable[[Any], Any]
    """Keep a value under a new name; returns its key."""
    replace: Callable[[Any, Any], Any]
    """Put a value, then drop what was under a key; returns the new key."""
    get: Callable[[Any], Any]
    drop: Callable[[Any], object]
    read_elsewhere: Callable[[Any, Any], float]
    """`read_second` of two keys, in a new process."""


def read_second(opened: Callable[[], Callable[[Any], Any]], first: Any, second: Any) -> float:
    """Seconds to get the second of two objects and to add up its floats; the first is for what is only done once."""
    get = opened()
    total(get(first))
    return times(lambda: total(get(second)), 1)[0]


def spawned(opened: Callable[[], Callable[[Any], Any]], first: Any, second: Any) -> float:
    """The same in a new process."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(read_second, opened, first, second).result()


@contextmanager
def bodega(folder: str, _capacity: int) -> Iterator[System]:
    """Files on tmpfs, no server."""
    import bodega

    names = map(str, itertools.count())
    store = bodega.open(f"{folder}/root", run="peers")
    yield System(
        put=lambda value: store.put(next(names), value).name,
        replace=lambda key, value: store.put(key, value).name,
        get=store.get,
        drop=store.delete,
        read_elsewhere=partial(spawned, partial(getattr, store, "get")),
    )


@contextmanager
def vineyard(folder: str, capacity: int) -> Iterator[System]:
    """A server of its own, over its Unix socket; metadata in its memory instead of etcd's."""
    import vineyard  # type: ignore[import-not-found]
    from vineyard.deploy.utils import find_vineyardd_path  # type: ignore[import-not-found]

    socket = f"{folder}/vineyard.sock"
    options = ["--socket", socket, "--meta", "local", "--norpc", "--size", str(capacity)]
    program = find_vineyardd_path()
    if program is None:
        raise RuntimeError("there is no vineyardd in its wheel for this machine")
    server = subprocess.Popen([program, *options], stdin=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + _PATIENCE
        while not os.path.exists(socket):
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"vineyardd does not listen (exit status {server.poll()})")
            time.sleep(0.05)
        client = vineyard.connect(socket)

        def replace(key: Any, value: Any) -> Any:
            new = client.put(value)
            client.delete(key)
            return new

        yield System(
            put=client.put,
            replace=replace,
            get=client.get,
            drop=client.delete,
            read_elsewhere=partial(spawned, partial(_connected_to_vineyard, socket)),
        )
    finally:
        server.terminate()
        try:
            server.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            server.kill()


def _connected_to_vineyard(socket: str) -> Callable[[Any], Any]:
    import vineyard

    get: Callable[[Any], Any] = vineyard.connect(socket).get
    return get


@contextmanager
def ray(folder: str, capacity: int) -> Iterator[System]:
    """A local cluster without a dashboard; an object goes when its key does."""
    os.environ["HOME"] = folder  # It leaves a token there.
    import ray  # type: ignore[import-not-found]

    ray.init(include_dashboard=False, num_cpus=1, object_store_memory=capacity, _temp_dir=folder)
    try:
        read = ray.remote(max_calls=1)(lambda keys: read_second(lambda: ray.get, *keys))
        yield System(
            put=ray.put,
            replace=lambda _key, value: ray.put(value),
            get=ray.get,
            drop=lambda _key: None,
            # In a list, keys stay keys.
            read_elsewhere=lambda *keys: float(ray.get(read.remote(list(keys)))),
        )
    finally:
        ray.shutdown()


SYSTEMS: dict[str, Callable[[str, int], AbstractContextManager[System]]] = {
    "bodega": bodega,
    "vineyard": vineyard,
    "ray": ray,
}


def make(kind: str, nbytes: int) -> Any:
    """The same object in every environment: an ``array``, a ``frame`` of floats, or one with ``strings`` besides."""
    random = np.random.default_rng(0)
    if kind == "array":
        return random.random(nbytes // 8)
    rows = nbytes // 8 // _FLOATS
    frame = pd.DataFrame({f"column {number}": random.random(rows) for number in range(_FLOATS)})
    if kind == "strings":
        frame["name"] = [f"name {number % 1000}" for number in range(rows)]
    return frame


def total(value: Any) -> float:
    """The sum of all floats, read one after the other."""
    if isinstance(value, pd.DataFrame):
        return sum(float(value[column].to_numpy().sum()) for column in value.columns[:_FLOATS])
    return float(value.sum())


class Session:
    """What can be asked for, about one object."""

    def __init__(self, system: System, kind: str, nbytes: int) -> None:
        self._system, self._nbytes = system, nbytes
        self._value = make(kind, nbytes)
        self._small = system.put(make(kind, _SMALL))
        self._keys: list[Any] = []

    def touch(self) -> None:
        """Take and free as much memory: a virtual machine may have to fetch pages from its host, which takes longer."""
        with mmap.mmap(-1, self._nbytes + _SPARE) as memory:
            for offset in range(0, len(memory), mmap.PAGESIZE):
                memory[offset] = 1

    def new(self) -> None:
        """Put it under a new name; all that was put before is kept, so memory must be new too."""
        self._keys.append(self._system.put(self._value))

    def settle(self) -> None:
        """Drop all but one, and see that this one is what was put."""
        while len(self._keys) > 1:
            self._system.drop(self._keys.pop())
        if not math.isclose(self.sum(), total(self._value)):
            raise ValueError("what was read is not what was put")

    def replace(self) -> None:
        """Put it in the place of the one there is."""
        self._keys[0] = self._system.replace(self._keys[0], self._value)

    def get(self) -> Any:
        """Read it."""
        return self._system.get(self._keys[0])

    def sum(self) -> float:
        """Read it, add up its floats, and let go of it."""
        return total(self.get())

    def elsewhere(self) -> float:
        """Seconds of the same in a new process."""
        return self._system.read_elsewhere(self._small, self._keys[0])


def main() -> None:
    """Serve: ``peer_worker SYSTEM FOLDER CAPACITY KIND NBYTES``."""
    name, folder, capacity, kind, nbytes = sys.argv[1:]
    # Only answers go to standard output: what libraries and servers print is for the log.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(facts: dict[str, object]) -> None:
        print(json.dumps(facts), file=answers, flush=True)

    try:
        with SYSTEMS[name](folder, int(capacity)) as system:
            session = Session(system, kind, int(nbytes))
            packages = {each: importlib.metadata.version(each) for each in (name, "numpy", "pandas", "pyarrow")}
            answer({"versions": {"python": platform.python_version(), **packages}})
            for line in sys.stdin:
                request = json.loads(line)
                try:
                    do, repeats = getattr(session, request["do"]), request["repeats"]
                    answer({"times": [do() for _ in range(repeats)] if do == session.elsewhere else times(do, repeats)})
                except Exception as error:
                    answer({"error": f"{type(error).__name__}: {error}"})
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
