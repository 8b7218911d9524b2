"""A simulated distance to a server: a line that takes its time and carries only so much.

    python -m bodega_bench.pipeline.distance HOST PORT LATENCY BANDWIDTH

Run as a process of its own, so that what it costs is not taken from whoever measures. It listens on a port of this
machine, which it prints, and ends when its standard input does. Every byte arrives half of LATENCY (milliseconds of a
round trip) after it was sent, a connection is there after a whole one, as TCP's handshake would have it, and all
connections share BANDWIDTH (millions of bits a second, each way).
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

_CHUNK = 1 << 16
_ON_THE_WAY = 8 << 20
"""Bytes that one connection may have on the way, each way; then its sender waits."""


@dataclass(frozen=True)
class Distance:
    """How far away a server shall seem."""

    latency: float
    """Milliseconds of a round trip."""
    bandwidth: float
    """Millions of bits a second."""

    def __str__(self) -> str:
        return f"{self.latency:g} ms, {self.bandwidth:g} Mbit/s"


@contextmanager
def far_away(host: str, port: int, distance: Distance) -> Iterator[int]:
    """A port of this machine that leads to a server at a distance, while the block runs."""
    command = [
        sys.executable, "-m", "bodega_bench.pipeline.distance", host, str(port), str(distance.latency), str(distance.bandwidth),
    ]  # fmt: skip
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()


class _Way:
    """One direction of the line, which all connections share."""

    def __init__(self, distance: Distance) -> None:
        self._delay = distance.latency / 2000
        self._rate = distance.bandwidth * 1e6 / 8
        self._free_at = 0.0

    def arrival(self, nbytes: int) -> float:
        """When bytes arrive that are sent now."""
        self._free_at = max(self._free_at, asyncio.get_running_loop().time()) + nbytes / self._rate
        return self._free_at + self._delay

    async def carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        """Carry what comes from one side to the other, until it ends."""
        travelling: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_ON_THE_WAY // _CHUNK)
        arriving = asyncio.create_task(_deliver(travelling, sink))
        try:
            while data := await source.read(_CHUNK):
                await travelling.put((self.arrival(len(data)), data))
            await travelling.put((self.arrival(0), b""))
            await arriving
        finally:
            arriving.cancel()


async def _deliver(travelling: asyncio.Queue[tuple[float, bytes]], sink: asyncio.StreamWriter) -> None:
    clock = asyncio.get_running_loop().time
    while True:
        when, data = await travelling.get()
        await asyncio.sleep(max(0.0, when - clock()))
        if not data:
            sink.write_eof()
            return
        sink.write(data)
        await sink.drain()


async def _main(host: str, port: int, distance: Distance) -> None:
    there, back = _Way(distance), _Way(distance)

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(distance.latency / 1000)
        with suppress(OSError):
            from_server, to_server = await asyncio.open_connection(host, port)
            try:
                await asyncio.gather(there.carry(reader, to_server), back.carry(from_server, writer))
            finally:
                to_server.close()
        writer.close()

    server = await asyncio.start_server(connect, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    os._exit(0)  # Whatever is on the way: whoever measured is gone.


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], int(sys.argv[2]), Distance(float(sys.argv[3]), float(sys.argv[4]))))
