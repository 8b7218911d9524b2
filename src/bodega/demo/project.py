"""Runs nodes of a project, each in a fresh process, and gathers what they timed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from bodega.errors import BodegaError

WORKER = Path(__file__).with_name("worker.py")
PARTS = ("load", "compute", "save")
"""What is timed of a node; the rest of its process is start-up."""
_TAIL = 25
"""Lines of a failed process's output that are shown."""
_GRACE = 5.0
"""Seconds that a process gets to end by itself."""
_SAMPLE_EVERY = 0.02
"""Seconds between two looks at a process's memory."""


class NodeFailed(BodegaError, RuntimeError):
    """The process of a node ended with an error; the message ends with what it printed last."""

    status: int
    """Exit status of the process; the negative number of a signal where one ended it."""


@dataclass(frozen=True)
class Step:
    """How one Kedro node, or all of them, ran in a process; times in seconds, memory in bytes."""

    node: str
    load: float
    compute: float
    save: float
    process: float
    """From starting the process to its end."""
    shape: tuple[int, int]
    """Rows and columns of the (last) node's result."""
    peak: int = 0
    """Memory at most, shared pages included: of the largest process, where a runner has several."""
    private: int = 0
    """Anonymous memory at most, which nobody shares, seen in samples from outside; 0 where the system does not tell."""

    @property
    def start_up(self) -> float:
        """What is not loading, computing or saving: Python, imports, Kedro's configuration."""
        return self.process - self.load - self.compute - self.save


class Project:
    """A folder with a Kedro project, and how its nodes are run."""

    def __init__(self, path: Path, variables: Mapping[str, str], *, interpreter: str = sys.executable) -> None:
        """Run the project in the folder ``path``.

        Args:
            path: the folder, which gets one more file.
            variables: of the environment, besides those of this process.
            interpreter: the Python that has what the project needs.
        """
        self.path = path
        self._interpreter = interpreter
        self._environment = {
            **os.environ,
            "DO_NOT_TRACK": "1",
            "PYTHONUNBUFFERED": "1",
            # Bytecode is cached, as it is for whoever runs a project twice, wherever this machine stands on that.
            "PYTHONDONTWRITEBYTECODE": "",
            "PYTHONPYCACHEPREFIX": os.fspath(path.parent / "bytecode"),
            **variables,
        }

    def describe(self) -> tuple[list[str], list[str]]:
        """The nodes in the order they run, and the datasets they make.

        Raises:
            NodeFailed: the project cannot be read.
        """
        (found,) = self._work("reading the project")[0]
        return found["nodes"], found["datasets"]

    def run(self, environment: str, node: str | None = None, *, runner: str | None = None) -> Step:
        """Run one node, or all of them, in a fresh process.

        Args:
            environment: the project's, below ``conf``.
            node: its name; None means the whole pipeline.
            runner: the class to run it with; None means Kedro's own choice.

        Raises:
            NodeFailed: the process failed.
        """
        what = f"node {node!r}" if node else "the pipeline"
        options = [*(["--node", node] if node else []), *(["--runner", runner] if runner else [])]
        began = perf_counter()
        lines, private = self._work(f"{what} in environment {environment!r}", environment, *options)
        process = perf_counter() - began
        seconds = dict.fromkeys(PARTS, 0.0)
        rows, columns = 0, 0
        for line in lines[:-1]:
            seconds[line["part"]] += line["seconds"]
            rows, columns = line.get("shape", (rows, columns))
        return Step(
            node=node or "all nodes",
            process=process,
            shape=(rows, columns),
            peak=lines[-1]["peak"],
            private=private,
            **seconds,
        )

    def _work(self, what: str, *task: str) -> tuple[list[dict[str, Any]], int]:
        """The lines that a worker writes, and the private memory it had at most."""
        report = self.path / "report.jsonl"
        report.unlink(missing_ok=True)
        with subprocess.Popen(
            [self._interpreter, os.fspath(WORKER), os.fspath(self.path), os.fspath(report), *task],
            cwd=self.path,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        ) as process:
            try:
                with _watched(process.pid) as sampled:
                    output, _ = process.communicate()
            except BaseException:
                stop(process)
                # Kedro's own ParallelRunner leaves its workers behind when it is ended.
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                raise
        if process.returncode != 0:
            tail = "\n".join(output.splitlines()[-_TAIL:])
            raise NodeFailed(f"{what} ({_ending(process.returncode)}):\n\n{tail}", status=process.returncode)
        return [json.loads(line) for line in report.read_text(encoding="utf-8").splitlines()], max(sampled)


def _ending(status: int) -> str:
    # The kernel kills what takes the memory of others with SIGKILL, and leaves no word.
    return f"killed by signal {-status}: out of memory?" if status < 0 else f"exit status {status}"


def stop(process: subprocess.Popen[Any], seconds: float = _GRACE) -> None:
    """End a process: it gets some seconds to do that by itself."""
    process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()


@contextmanager
def _watched(pid: int) -> Iterator[list[int]]:
    """Samples of the private memory of a process, and of those it starts, while the block runs."""
    samples = [0]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(_SAMPLE_EVERY):
            samples.append(max(map(_private_memory, _family(pid))))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        done.set()
        thread.join()


def _family(pid: int) -> Iterator[int]:
    yield pid
    with suppress(OSError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split():
            yield from _family(int(child))


def _private_memory(pid: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    return 0
