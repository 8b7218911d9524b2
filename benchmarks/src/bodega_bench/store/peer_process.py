"""The environments of peers, and the processes that measure in them."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import bodega
import bodega_bench
from bodega.testing.lifeline import bound, scratch
from bodega_bench.environments import Unavailable, make_environment
from bodega_bench.machine import memory_folder
from bodega_bench.store.peers import PEERS, Peer

_PATIENCE = 600.0
"""Seconds for the next step."""
_TO_STOP = 60.0
"""Seconds for a server to stop."""
_VARIABLES = {"DO_NOT_TRACK": "1", "RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}


def environment(name: str) -> str:
    """The interpreter of a peer's environment: the one at hand if it has all that is needed, else one that is made.

    Raises:
        Unavailable: it cannot be made; says why.
    """
    peer = PEERS[name]
    if all(map(_is_here, peer.requirements)):
        return sys.executable
    return make_environment(name, ["numpy", *peer.requirements], peer.pythons)


def _is_here(requirement: str) -> bool:
    """Whether this environment has a package that may have any version."""
    try:
        importlib.metadata.version(requirement)
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return False
    return True


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no reason given"


def packages(peer: Peer) -> list[str]:
    """The names of what its figures depend on."""
    return ["numpy", *(re.split(r"[<>=]", each)[0] for each in peer.requirements)]


@contextmanager
def measuring(
    name: str, python: str, *, kind: str, nbytes: int, capacity: int, steps: Mapping[str, int], log: Path
) -> Iterator[Iterator[dict[str, Any]]]:
    """A process that measures one system, and its server; both are gone afterwards.

    Args:
        name: of the system.
        python: the interpreter of its environment.
        kind: of the object, see `bodega_bench.store.peer_worker.make`.
        nbytes: of the object.
        capacity: bytes that a server may hold.
        steps: and the calls of each.
        log: what it prints.

    Yields:
        What it answers, as it comes; an `Unavailable` is raised where no more comes before it is done.
    """
    with scratch("bodega-bench-", memory_folder()) as folder:
        # What it imports of bodega is found here, in whatever environment: nothing else of this one must be.
        (folder / "source").mkdir()
        for package in (bodega, bodega_bench):
            (folder / "source" / package.__name__).symlink_to(Path(str(package.__file__)).parent)
        place = folder / "system"
        place.mkdir()
        command = [
            python, "-m", "bodega_bench.store.peer_worker", name, str(place), str(capacity), kind, str(nbytes), json.dumps(dict(steps)),
            json.dumps(packages(PEERS[name])),
        ]  # fmt: skip
        variables = os.environ | _VARIABLES | {"PYTHONPATH": str(folder / "source")}
        with log.open("w") as errors:
            # In a session of its own, Ctrl-C reaches only this process, which then stops the other.
            process = subprocess.Popen(
                bound(command), cwd=folder, env=variables, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors,
                start_new_session=True,
            )  # fmt: skip
        try:
            yield _answers(process, log)
        finally:
            _stop(process)


def _answers(process: subprocess.Popen[bytes], log: Path) -> Iterator[dict[str, Any]]:
    assert process.stdout is not None
    unread = b""
    while True:
        if not select.select([process.stdout], [], [], _PATIENCE)[0]:
            raise Unavailable(f"no answer in {_PATIENCE:.0f} s, see {log}")
        # Not by lines: what a buffer holds already would never be waited for.
        came = os.read(process.stdout.fileno(), 1 << 16)
        if not came:
            break
        *lines, unread = (unread + came).split(b"\n")
        yield from map(json.loads, lines)
    if status := process.wait(_TO_STOP):
        last = _last_line(log.read_text(encoding="utf-8", errors="replace"))
        raise Unavailable(f"stopped with exit status {status}: {last} (see {log})")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End a process and what it started, kindly first."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_TO_STOP)
    if process.poll() != 0:
        # It did not stop its server, which is in its group.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert process.stdout is not None
    process.stdout.close()
