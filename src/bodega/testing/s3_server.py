"""A real S3 server on this machine, MinIO or SeaweedFS: started for a test or a benchmark, and stopped behind it."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

from bodega.env import MINIO_VARIABLE
from bodega.errors import BodegaError
from bodega.testing.lifeline import bound, scratch

BUCKET = "bucket"
KEY, SECRET = "a-key", "a-secret-that-nobody-must-see"
_PORTS = (
    "master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc", "s3.port",
    "s3.port.grpc", "s3.port.iceberg", "s3.port.lance",
)  # fmt: skip
_VOLUME = 256
"""MiB of a volume, in which SeaweedFS keeps objects."""
_VOLUMES = 40
_SECONDS_TO_START = 60.0


class ServerFailed(BodegaError, RuntimeError):
    """A server did not start; the message has the end of its log."""


@dataclass(frozen=True)
class Bucket:
    """A bucket, and how to reach it."""

    name: str
    endpoint: str | None
    """None means Amazon's."""
    access_key: str
    secret_key: str
    region: str
    server: str
    """Its name and version."""

    @property
    def url(self) -> str:
        """Of the whole bucket."""
        return f"s3://{self.name}"

    @property
    def options(self) -> dict[str, str]:
        """How to reach it, in the words of obstore."""
        options = {"access_key_id": self.access_key, "secret_access_key": self.secret_key, "region": self.region}
        if self.endpoint is not None:
            options |= {"endpoint": self.endpoint, "virtual_hosted_style_request": "false"}
        return options

    @property
    def variables(self) -> dict[str, str]:
        """How to reach it, in the variables that Amazon's own libraries read."""
        variables = {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": self.region,
        }
        return variables if self.endpoint is None else {**variables, "AWS_ENDPOINT_URL": self.endpoint}


def find_seaweedfs() -> str | None:
    """SeaweedFS, where it is installed beside this Python or on the path."""
    beside = Path(sys.executable).with_name("weed")
    return str(beside) if beside.exists() else shutil.which("weed")


def find_minio() -> str | None:
    """MinIO, where ``BODEGA_MINIO`` says, or on the path."""
    return os.environ.get(MINIO_VARIABLE) or shutil.which("minio")


def find_server() -> AbstractContextManager[Bucket] | None:
    """The server that a benchmark takes: MinIO, else SeaweedFS, else None."""
    if (program := find_minio()) is not None:
        return minio(program)
    if (program := find_seaweedfs()) is not None:
        return seaweedfs(program, volumes=0)
    return None


@contextmanager
def minio(program: str) -> Iterator[Bucket]:
    """Run MinIO with one bucket.

    Raises:
        ServerFailed: it does not start.
    """
    with scratch("bodega-s3-") as folder:
        (port,) = _free_ports(1)
        yield from _serve(
            [program, "server", "--quiet", "--address", f"127.0.0.1:{port}", os.fspath(folder / "data")],
            folder,
            _bucket(port, "MinIO " + _version(program, "--version", r"version (\S+)")),
            {"HOME": os.fspath(folder), "MINIO_ROOT_USER": KEY, "MINIO_ROOT_PASSWORD": SECRET, "MINIO_BROWSER": "off"},
        )


@contextmanager
def seaweedfs(program: str, *, volumes: int = _VOLUMES) -> Iterator[Bucket]:
    """Run SeaweedFS with one bucket.

    Args:
        program: its path.
        volumes: of 256 MiB that it may fill; 0 means as many as the disk has room for.

    Raises:
        ServerFailed: it does not start.
    """
    with scratch("bodega-s3-") as folder:
        identity = {
            "name": "all",
            "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        (folder / "s3.json").write_text(json.dumps({"identities": [identity]}), encoding="utf-8")
        ports = dict(zip(_PORTS, _free_ports(len(_PORTS)), strict=True))
        yield from _serve(
            [program, "server", "-s3", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
             f"-volume.max={volumes}", f"-master.volumeSizeLimitMB={_VOLUME}", f"-s3.config={folder / 's3.json'}",
             *(f"-{name}={port}" for name, port in ports.items())],
            folder,
            _bucket(ports["s3.port"], "SeaweedFS " + _version(program, "version", r" (\d+\.\d+) ")),
            {},
        )  # fmt: skip


def is_ready(options: dict[str, str]) -> bool:
    """Make the bucket and write to it: a server answers long before it can do that."""
    import obstore
    from obstore.store import from_url

    store = from_url(
        f"s3://{BUCKET}",
        config=cast("Any", options),
        client_options=cast("Any", {"allow_http": "true"}),
        retry_config={"max_retries": 0},
    )
    try:
        # obstore has no call that makes a bucket; it can sign one.
        url = obstore.sign(cast("Any", store), "PUT", "", timedelta(minutes=1))
        request = urllib.request.Request(url, method="PUT", data=b"")  # noqa: S310 - HTTP, see the options
        urllib.request.urlopen(request, timeout=10).close()  # noqa: S310
    except urllib.error.HTTPError as error:
        if error.code != 409:  # It is there.
            return False
    except OSError:
        return False
    try:
        obstore.put(store, "ready", b"1")
        obstore.delete(store, "ready")
    except Exception:
        return False
    return True


def _serve(command: Sequence[str], folder: Path, bucket: Bucket, variables: Mapping[str, str]) -> Iterator[Bucket]:
    with (folder / "log").open("wb") as log:
        # In a group of its own, Ctrl-C reaches this process first, which stops it in turn.
        server = subprocess.Popen(
            bound(command), env={**os.environ, **variables}, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
        try:
            end = time.monotonic() + _SECONDS_TO_START
            while not is_ready(bucket.options):
                if server.poll() is not None or time.monotonic() > end:
                    last = (folder / "log").read_text(encoding="utf-8", errors="replace")[-3000:]
                    raise ServerFailed(f"{bucket.server} did not start:\n{last}")
                time.sleep(0.2)
            yield bucket
        finally:
            server.kill()  # It would take its time to stop; its folder goes anyway.
            server.wait()


def _bucket(port: int, server: str) -> Bucket:
    return Bucket(BUCKET, f"http://127.0.0.1:{port}", KEY, SECRET, "us-east-1", server)


def _version(program: str, word: str, pattern: str) -> str:
    """What a program says about itself that a pattern has in brackets."""
    said = subprocess.run([program, word], capture_output=True, text=True, check=False).stdout
    return next(iter(re.findall(pattern, said)), "of unknown version")


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
