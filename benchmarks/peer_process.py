"""The environments of peers, and the processes that measure in them."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TOP = Path(__file__).parent.parent
RESULTS = Path("bench-results")
_PATIENCE = 300.0
"""Seconds for an answer."""


@dataclass(frozen=True)
class Peer:
    """What its environment is made of."""

    requirements: tuple[str, ...]
    pythons: tuple[str, ...] = ()
    """Versions to try in this order; none means the one that runs this."""


PEERS = {
    # Its last release; with later numpy, pandas or setuptools it does not import.
    "vineyard": Peer(("vineyard", "numpy<2", "pandas<2.2", "pyarrow<26", "setuptools<70"), ("3.11", "3.10")),
    "ray": Peer(("ray", "pandas", "pyarrow")),
}


class Unavailable(Exception):
    """Why a system cannot be measured."""


def environment(name: str) -> str:
    """The interpreter of a peer's environment, made where it is missing.

    Raises:
        Unavailable: it cannot be made; says why.
    """
    peer, folder = PEERS[name], (RESULTS / "environments" / name).absolute()
    made_of, recipe = folder / "made-of.txt", "\n".join(peer.requirements)
    interpreter = str(folder / "bin" / "python")
    if made_of.exists() and made_of.read_text(encoding="utf-8") == recipe:
        return interpreter
    shutil.rmtree(folder, ignore_errors=True)
    python = _python(peer)
    if uv := shutil.which("uv"):
        make, install = [uv, "venv", "--python", python], [uv, "pip", "install", "--python", interpreter]
    else:
        make, install = [python, "-m", "venv"], [interpreter, "-m", "pip", "install"]
    for command in ([*make, str(folder)], [*install, *peer.requirements]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Unavailable(f"not installed: {_last_line(done.stderr)}")
    made_of.write_text(recipe, encoding="utf-8")
    return interpreter


def _python(peer: Peer) -> str:
    for version in peer.pythons:
        found = subprocess.run([TOP / "scripts" / "find-python", version], capture_output=True, text=True, check=False)
        if found.returncode == 0:
            return found.stdout.strip()
    if peer.pythons:
        raise Unavailable(f"not installed: it needs Python {' or '.join(peer.pythons)}, and neither is here")
    return sys.executable


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no reason given"


class Worker:
    """A process that measures one system with one item, asked over its pipes."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self._process, self._log = process, log
        self.versions: dict[str, str] = self._answer()["versions"]

    def ask(self, do: str, repeats: int) -> list[float]:
        """Seconds of each call.

        Raises:
            Unavailable: the call failed or the process is gone; says why.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"do": do, "repeats": repeats}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # Its log says why.
        answer = self._answer()
        if "error" in answer:
            raise Unavailable(answer["error"].splitlines()[0])
        return [float(each) for each in answer["times"]]

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], _PATIENCE)[0]:
            raise Unavailable(f"no answer in {_PATIENCE:.0f} s, see {self._log}")
        line = self._process.stdout.readline()
        if not line:
            status = self._process.wait(_PATIENCE)
            raise Unavailable(
                f"stopped with exit status {status}: {_last_line(self._log.read_text(errors='replace'))} (see {self._log})"
            )
        return dict(json.loads(line))


@contextmanager
def started(name: str, python: str, kind: str, nbytes: int, capacity: int) -> Iterator[Worker]:
    """A worker and its server, both gone afterwards.

    Args:
        name: of the system.
        python: the interpreter of its environment.
        kind: of the object, see `benchmarks.peer_worker.make`.
        nbytes: of the object.
        capacity: bytes that the server may hold.

    Raises:
        Unavailable: it cannot be started; says why.
    """
    log = RESULTS / f"peers-{name}.log"
    folder = tempfile.mkdtemp(prefix="peer-", dir="/dev/shm")
    command = [python, "-m", "benchmarks.peer_worker", name, folder, str(capacity), kind, str(nbytes)]
    variables = os.environ | {"DO_NOT_TRACK": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    with log.open("w") as errors:
        # In a session of its own, Ctrl-C reaches only this process, which then ends the input of the other.
        process = subprocess.Popen(
            command, cwd=TOP, env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True,
            start_new_session=True,
        )  # fmt: skip
    try:
        yield Worker(process, log)
    finally:
        try:
            process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            pass
        finally:
            if process.poll() != 0:
                # It did not stop its server, which is in its group.
                try:
                    os.killpg(process.pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
                process.wait()
            shutil.rmtree(folder, ignore_errors=True)
