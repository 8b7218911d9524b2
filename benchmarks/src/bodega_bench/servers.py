"""Servers on Unix sockets, run for as long as something is measured; needs the standard library alone."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO

from bodega.demo.project import stop
from bodega.testing.lifeline import bound
from bodega_bench.environments import Unavailable

_PATIENCE = 30.0
"""Seconds for a server to start or to stop."""


@contextmanager
def on_socket(
    command: Sequence[str], socket: str, *, log: IO[bytes] | None = None, apart: bool = False
) -> Iterator[None]:
    """A server that listens on a Unix socket, stopped afterwards.

    Args:
        command: that runs it.
        socket: where it listens.
        log: takes what it says; otherwise this process's own output does.
        apart: whether a Ctrl-C reaches this process only, which stops it in turn.

    Raises:
        Unavailable: it does not listen.
    """
    with subprocess.Popen(
        bound(command), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=apart
    ) as server:
        try:
            deadline = time.monotonic() + _PATIENCE
            while not os.path.exists(socket):
                if server.poll() is not None or time.monotonic() > deadline:
                    raise Unavailable(f"{os.path.basename(command[0])} does not listen (exit status {server.poll()})")
                time.sleep(0.05)
            yield
        finally:
            stop(server, _PATIENCE)
