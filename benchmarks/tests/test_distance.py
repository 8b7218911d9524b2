"""A simulated distance carries every byte, at its own pace."""

import socket
import threading
import time

import pytest

from bodega_bench.pipeline.distance import Distance, far_away


@pytest.fixture
def echo():
    """A server that sends back what it gets, once the sender has ended; its port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def answer(connection):
        with connection:
            got = b""
            while data := connection.recv(1 << 16):
                got += data
            connection.sendall(got)

    def accept():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def exchange(port, data):
    with socket.create_connection(("127.0.0.1", port), timeout=300) as connection:
        sending = threading.Thread(target=lambda: (connection.sendall(data), connection.shutdown(socket.SHUT_WR)))
        sending.start()
        got = b""
        while more := connection.recv(1 << 16):
            got += more
        sending.join()
    return got


def test_every_byte_arrives_in_order_on_all_connections(echo):
    data = [bytes([number]) * 1_000_000 + b"end" for number in range(4)]
    got = {}
    with far_away("127.0.0.1", echo, Distance(latency=1, bandwidth=10_000)) as port:
        threads = [
            threading.Thread(target=lambda number=number: got.update({number: exchange(port, data[number])}))
            for number in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert got == dict(enumerate(data))


@pytest.mark.parametrize(
    ("distance", "nbytes", "least"),
    [
        (Distance(latency=200, bandwidth=1000), 1, 0.4),  # The handshake takes a round trip, then there and back.
        (Distance(latency=0, bandwidth=8), 300_000, 0.6),  # A megabyte a second, each way.
    ],
)
def test_it_takes_as_long_as_the_way_is(echo, distance, nbytes, least):
    with far_away("127.0.0.1", echo, distance) as port:
        began = time.perf_counter()
        assert len(exchange(port, b"x" * nbytes)) == nbytes
        assert time.perf_counter() - began >= least * 0.99


def test_nothing_is_left_when_it_ends(echo):
    with far_away("127.0.0.1", echo, Distance(latency=1, bandwidth=1000)) as port:
        assert exchange(port, b"there") == b"there"
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=5)


def test_it_says_what_it_simulates():
    assert str(Distance(20.0, 500.0)) == "20 ms, 500 Mbit/s"
