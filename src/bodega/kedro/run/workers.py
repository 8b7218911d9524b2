"""The processes of the ParallelRunner.

Each worker process is driven by a thread of the parent over a pipe, one node at a time, so that the parent knows
which node a process was at when it died, and can end all of them at once. A pool of the standard library knows
neither. The catalog is pickled once a run, not once a node; data goes through the store, never through the pipe.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from multiprocessing.reduction import ForkingPickler
from queue import SimpleQueue
from types import FrameType, TracebackType
from typing import Any, cast

from kedro.framework import project
from kedro.io import CatalogProtocol
from kedro.pipeline.node import Node
from kedro.runner import Task

from bodega.env import KEDRO_METHOD_VARIABLE
from bodega.errors import TaskFailed
from bodega.kedro import compat
from bodega.kedro.run.hooks import with_ours

START_METHODS = ("fork", "spawn", "forkserver")
GRACE_SECONDS = 3.0
"""How long interrupted workers may clean up before they are killed."""

_DO_NOT_FORK = ("obstore", "polars")
"""Libraries with threads that do not survive a fork: what waits for them in the child waits forever."""
_STOP = b""


@dataclass(frozen=True)
class _Setup:
    """What a worker needs before its first node."""

    catalog: bytes
    is_async: bool
    run_id: str | None
    package_name: str | None
    logging_config: dict[str, Any]
    runs_hooks: bool
    """Those of plugins and of the project."""


class WorkerTraceback(Exception):
    """The traceback of an error, as the worker saw it."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


class WorkerPool(Executor):
    """Runs Kedro's tasks in processes, all of which start with the first task."""

    def __init__(self, max_workers: int, *, runs_hooks: bool) -> None:
        self._max_workers = max_workers
        self._runs_hooks = runs_hooks
        self._threads = ThreadPoolExecutor(max_workers, thread_name_prefix="bodega-worker")
        self._workers: list[_Worker] = []
        self._idle: SimpleQueue[_Worker] = SimpleQueue()

    def submit(self, fn: Callable[..., Any], /, *_args: Any, **_kwargs: Any) -> Future[Any]:
        """Run a `kedro.runner.Task`; the future holds its node."""
        task = cast("Task", fn)
        if not self._workers:
            self._start(task)
        return self._threads.submit(self._perform, task.node)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = True) -> None:
        """Let the nodes at work finish, start no others, and end the processes."""
        self._threads.shutdown(wait=wait, cancel_futures=cancel_futures)
        for worker in self._workers:
            worker.stop()
        for worker in self._workers:
            worker.process.join()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for the nodes at work, unless the parent is interrupted, now or meanwhile."""
        try:
            if kind is None or issubclass(kind, Exception):
                self.shutdown()
        finally:
            self._end_all()

    def _start(self, task: Task) -> None:
        name = os.environ.get(KEDRO_METHOD_VARIABLE)
        default = None if sys.modules.keys().isdisjoint(_DO_NOT_FORK) else "spawn"
        context = multiprocessing.get_context(name if name in START_METHODS else default)
        setup = _Setup(
            catalog=bytes(ForkingPickler.dumps(task.catalog)),
            is_async=task.is_async,
            run_id=task.run_id,
            package_name=project.PACKAGE_NAME,
            logging_config=dict(project.LOGGING),
            runs_hooks=self._runs_hooks,
        )
        # All of them before the first thread: a fork is safest while there is but one.
        self._workers = [_Worker(context, setup) for _ in range(self._max_workers)]
        for worker in self._workers:
            self._idle.put(worker)

    def _perform(self, node: Node) -> Node:
        worker = self._idle.get()
        try:
            worker.run(node)
        finally:
            self._idle.put(worker)
        return node

    def _end_all(self) -> None:
        """Interrupt the processes that are still there, and kill those that do not go."""
        alive = [worker.process for worker in self._workers if worker.process.is_alive()]
        deadline = time.monotonic() + GRACE_SECONDS
        try:
            while alive and time.monotonic() < deadline:
                # Again and again: a signal that comes just before a blocking call does not end that call.
                for process in alive:
                    process.terminate()
                wait([process.sentinel for process in alive], timeout=0.1)
                alive = [process for process in alive if process.is_alive()]
        finally:  # Whatever happens, such as a second Ctrl-C.
            for process in alive:
                process.kill()
                process.join()
        self._threads.shutdown(wait=True, cancel_futures=True)


class _Worker:
    """A process, and the parent's end of the pipe to it."""

    def __init__(self, context: BaseContext, setup: _Setup) -> None:
        self._death: TaskFailed | None = None
        self._pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, setup), name="bodega-worker")  # type: ignore[attr-defined] # every concrete context has it
        self.process.start()
        theirs.close()

    def run(self, node: Node) -> None:
        """Run a node and wait for it.

        Raises:
            BaseException: what the node raised, with the worker's traceback as its cause.
            TaskFailed: the process died, at this node or at an earlier one, which the message then names.
        """
        if self._death is not None:
            raise self._death
        try:
            self._pipe.send_bytes(ForkingPickler.dumps(node))
            # The process too: children that a node forked may keep the other end of the pipe open.
            wait([self._pipe, self.process.sentinel])
            outcome = self._pipe.recv_bytes() if self._pipe.poll() else None
        except (BrokenPipeError, ConnectionResetError, EOFError):
            outcome = None
        if outcome is None:
            self._death = self._post_mortem(node.name)
            raise self._death
        error, trace = pickle.loads(outcome)
        if error is not None:
            raise error from WorkerTraceback(trace)

    def stop(self) -> None:
        """Ask the process to end after what it is doing."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self._pipe.send_bytes(_STOP)

    def _post_mortem(self, task: str) -> TaskFailed:
        self.process.join()
        code = self.process.exitcode or 0
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        hint = (
            " Most often the system ran out of memory: run fewer nodes at once (max_workers), or give it more memory."
            if -code == signal.SIGKILL
            else ""
        )
        return TaskFailed(f"The process that ran node {task!r} {how} before the node was done.{hint}", task=task)


def _serve(pipe: Connection, setup: _Setup) -> None:
    """What a worker process does: nodes come in, errors or nothing go out."""
    with suppress(KeyboardInterrupt):  # The parent says what there is to say.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _interrupt)
        run: Callable[[Node], None]
        try:
            run = _prepare(setup)
        except Exception as error:
            run = _raiser(error)
        parent = cast("Any", multiprocessing.parent_process()).sentinel
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
        with suppress(EOFError, BrokenPipeError, ConnectionResetError):
            # A forked worker holds the parent's end of its own pipe too, so only the sentinel tells of a parent's death.
            while parent not in wait([pipe, parent]) and (request := pipe.recv_bytes()) != _STOP:
                pipe.send_bytes(_outcome(run, request))


def _end_with(parent: int) -> None:
    """Interrupt the node at work when the parent is killed, and end the process if it does not listen."""
    wait([parent])
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os._exit(1)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """Interrupt the node once, so that its ``finally`` clauses run; a second signal must not interrupt those."""
    for number in (signal.SIGINT, signal.SIGTERM):
        # Not SIG_IGN, which the programs that a node starts would inherit.
        signal.signal(number, lambda _number, _frame: None)
    raise KeyboardInterrupt


def _prepare(setup: _Setup) -> Callable[[Node], None]:
    if setup.package_name is not None and setup.package_name != project.PACKAGE_NAME:
        # A fresh interpreter (spawn, forkserver) knows nothing of the project yet.
        project.configure_project(setup.package_name)
        project.validate_settings()  # An error in them would go unnoticed otherwise, and with it the project's hooks.
        project.configure_logging(setup.logging_config)
    hook_manager = with_ours(compat.new_hooks(of_project=setup.runs_hooks))

    def run(node: Node) -> None:
        # Afresh for each node, as under Kedro's own runner: what a dataset holds for one is not there for the next, and
        # what it held when the run began is.
        catalog: CatalogProtocol[Any, Any] = pickle.loads(setup.catalog)
        Task(node, catalog, setup.is_async, hook_manager, setup.run_id).execute()

    return run


def _raiser(error: Exception) -> Callable[[Node], None]:
    def run(_node: Node) -> None:
        raise error

    return run


def _outcome(run: Callable[[Node], None], request: bytes) -> bytes:
    """Run a node, and pickle its error (or None) and traceback."""
    try:
        run(pickle.loads(request))
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        trace = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        try:
            outcome = pickle.dumps((error, trace))
            pickle.loads(outcome)
        except Exception:
            message = "".join(traceback.format_exception_only(type(error), error)).strip()
            outcome = pickle.dumps((TaskFailed(message), trace))
        return outcome
    return pickle.dumps((None, ""))
