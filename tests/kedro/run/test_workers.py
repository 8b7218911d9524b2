"""What happens when nodes fail, processes die and people press Ctrl-C; all with real processes."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import pytest

from bodega.errors import TaskFailed
from bodega.kedro import ParallelRunner

START_METHODS = ("fork", "spawn", "forkserver")
PARALLEL = "--runner=bodega.kedro.ParallelRunner"


def eventually(claim: Callable[[], bool], seconds: float = 300) -> bool:
    """Whether a claim comes true before a deadline."""
    deadline = time.monotonic() + seconds
    while not claim():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def is_running(pid: int) -> bool:
    """Whether a process exists and is not a zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


# Errors of nodes


ERRORS = """
class Plain(Exception):
    pass

class Stubborn(Exception):  # Pickles, and does not unpickle.
    def __init__(self, code, text):
        super().__init__(f"{code}: {text}")

class Locked(Exception):  # Does not pickle.
    def __init__(self, text):
        super().__init__(text)
        self.lock = threading.Lock()

def make(size):
    return [size]

def innermost(kind):
    raise {"plain": lambda: Plain("the oven is cold"),
           "stubborn": lambda: Stubborn(7, "the oven is cold"),
           "locked": lambda: Locked("the oven is cold"),
           "chained": lambda: Plain("the oven is cold")}[kind]()

def fail(numbers, kind):
    if kind == "chained":
        try:
            1 / 0
        except ZeroDivisionError as error:
            raise Plain("the oven is cold") from error
    innermost(kind)
"""
FAILING = """
    node(make, "params:size", "numbers", name="make"),
    node(fail, ["numbers", "params:kind"], "never", name="fail"),
"""


@pytest.fixture
def failing(project):
    project.write("conf/base/parameters.yml", "size: 10\nkind: plain\n")
    project.code(ERRORS, FAILING)
    return project


@pytest.mark.parametrize("method", START_METHODS)
def test_an_error_arrives_as_it_is_with_its_traceback_and_kedros_hint(failing, method: str) -> None:
    output = failing.run(PARALLEL, fails=True, KEDRO_MP_CONTEXT=method)
    assert "Plain: the oven is cold" in output
    assert "in innermost" in output
    assert '--from-nodes "fail"' in output


def test_an_error_keeps_its_type_and_its_own_causes(failing) -> None:
    with pytest.raises(Exception, match="the oven is cold") as caught:
        failing.session(runtime_params={"kind": "chained"}).run(runner=ParallelRunner())
    assert type(caught.value).__name__ == "Plain"
    assert "ZeroDivisionError: division by zero" in str(caught.value.__cause__)


@pytest.mark.parametrize(("kind", "name"), [("stubborn", "Stubborn: 7: the"), ("locked", "Locked: the")])
def test_an_error_that_cannot_travel_is_still_shown(failing, kind: str, name: str) -> None:
    with pytest.raises(TaskFailed, match=f"{name} oven is cold") as caught:
        failing.session(runtime_params={"kind": kind}).run(runner=ParallelRunner())
    assert "in innermost" in str(caught.value.__cause__)


def test_nodes_at_work_finish_when_another_fails_and_no_other_starts(project, tmp_path, monkeypatch) -> None:
    project.code(
        f"""
        folder = Path({str(tmp_path)!r})

        def fail(size):
            while not (folder / "started").exists():
                time.sleep(0.01)
            raise ValueError("broken on purpose")

        def finish(size):
            (folder / "started").touch()
            while not (folder / "failed").exists():
                time.sleep(0.01)
            return [size]

        def never(finished):
            (folder / "never").touch()
            return finished
        """,
        "node(fail, 'params:size', 'a'), node(finish, 'params:size', 'b'), node(never, 'b', 'c')",
    )
    real = Future.set_exception

    def set_exception(future, error) -> None:
        real(future, error)
        (tmp_path / "failed").touch()

    monkeypatch.setattr(Future, "set_exception", set_exception)
    with pytest.raises(ValueError, match="broken on purpose"):
        project.session().run(runner=ParallelRunner(max_workers=2))
    assert project.stored().get("b") == [10]
    assert not (tmp_path / "never").exists()


def test_a_node_may_exit(project) -> None:
    project.code("def leave(size):\n    sys.exit(3)\n", "node(leave, 'params:size', 'a')")
    with pytest.raises(SystemExit):
        project.session().run(runner=ParallelRunner())


# Deaths


KILLED = ("os.kill(os.getpid(), signal.SIGKILL)", "node 'die' was killed by SIGKILL .*memory.*max_workers")


@pytest.mark.parametrize(
    ("method", "death", "message"),
    [*((method, *KILLED) for method in START_METHODS), ("fork", "os._exit(3)", "'die' ended with exit code 3 before")],
)
def test_the_death_of_a_worker_names_its_node(project, monkeypatch, method: str, death: str, message: str) -> None:
    monkeypatch.setenv("KEDRO_MP_CONTEXT", method)
    project.code(
        f"def live(size):\n    return [size]\n\ndef die(size):\n    {death}\n",
        "node(live, 'params:size', 'a', name='live'), node(die, 'params:size', 'b', name='die'),"
        + ",".join(f"node(live, 'params:size', 'c{i}', name='live{i}')" for i in range(4)),
    )
    with pytest.raises(TaskFailed, match=message):
        project.session().run(runner=ParallelRunner(max_workers=2))


def test_a_worker_that_cannot_start_says_why(project, monkeypatch) -> None:
    monkeypatch.setenv("KEDRO_MP_CONTEXT", "spawn")
    project.write(
        f"src/{project.package}/settings.py",
        """
        import multiprocessing
        if multiprocessing.parent_process() is not None:
            raise ImportError("no settings here")
        """,
    )
    with pytest.raises(Exception, match="no settings here"):
        project.session().run(runner=ParallelRunner())


# Ctrl-C


SLEEPERS = """
folder = Path(os.environ["NOTES"])

def sleep(size):
    try:
        (folder / f"pid-{os.getpid()}").touch()
        time.sleep(600)
    finally:
        (folder / f"cleaned-{os.getpid()}").touch()
    return [size]
"""


@pytest.fixture
def sleeping(project, tmp_path):
    """Start a run whose nodes sleep in two processes; the run and the processes."""
    (tmp_path / "notes").mkdir()
    nodes = SLEEPERS.replace('os.environ["NOTES"]', repr(str(tmp_path / "notes")))
    project.code(nodes, "node(sleep, 'params:size', 'a'), node(sleep, 'params:size', 'b')")
    started = []

    def start(**environment: str):
        run = project.start(PARALLEL, **environment)
        started.append(run)
        assert eventually(lambda: len(list((tmp_path / "notes").glob("pid-*"))) == 2 or run.poll() is not None)
        assert run.poll() is None, run.communicate()[0]
        return run, [int(note.name.partition("-")[2]) for note in (tmp_path / "notes").glob("pid-*")]

    yield start
    for run in started:
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)
        run.communicate()


@pytest.mark.parametrize(
    ("method", "to_the_group"), [*((method, True) for method in START_METHODS), ("fork", False), ("spawn", False)]
)
def test_ctrl_c_leaves_no_process_behind(sleeping, tmp_path, method: str, to_the_group: bool) -> None:
    run, workers = sleeping(KEDRO_MP_CONTEXT=method)
    (os.killpg if to_the_group else os.kill)(run.pid, signal.SIGINT)
    output, _ = run.communicate(timeout=300)
    assert run.returncode != 0
    assert "Process bodega-worker" not in output  # No traceback but the parent's.
    for pid in workers:
        assert not is_running(pid)
        assert (tmp_path / "notes" / f"cleaned-{pid}").exists()
    assert eventually(lambda: not members(run.pid))


@pytest.mark.parametrize("method", START_METHODS)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_parent_takes_the_nodes_at_work_with_it(sleeping, method: str, number: int) -> None:
    run, workers = sleeping(KEDRO_MP_CONTEXT=method)
    os.kill(run.pid, number)
    run.communicate(timeout=300)
    assert eventually(lambda: not any(map(is_running, workers)), 20)


def members(group: int) -> list[int]:
    """The processes of a process group that are not zombies."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


def test_a_worker_that_does_not_listen_is_killed(project, tmp_path) -> None:
    project.code(
        f"""
        def deaf(size):
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
            Path({str(tmp_path / "pid")!r}).write_text(str(os.getpid()))
            while True:
                time.sleep(1)
        """,
        "node(deaf, 'params:size', 'a')",
    )
    run = project.start(PARALLEL)
    try:
        assert eventually(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text() != "")
        os.kill(run.pid, signal.SIGINT)
        run.communicate(timeout=300)
        assert not is_running(int((tmp_path / "pid").read_text()))
    finally:
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)
            run.communicate()


def test_workers_end_with_a_parent_that_was_killed(project, tmp_path) -> None:
    project.code(
        f"""
        folder = Path({str(tmp_path)!r})

        def wait(size):
            parent = os.getppid()
            (folder / f"pid-{{os.getpid()}}").touch()
            while os.getppid() == parent:
                time.sleep(0.01)
            return [size]
        """,
        "node(wait, 'params:size', 'a'), node(wait, 'params:size', 'b'), node(wait, 'a', 'c')",
    )
    run = project.start(PARALLEL, KEDRO_MP_CONTEXT="fork")
    try:
        assert eventually(lambda: len(list(tmp_path.glob("pid-*"))) == 2)
        os.kill(run.pid, signal.SIGKILL)
        run.wait()
        assert eventually(lambda: not members(run.pid))
    finally:
        if members(run.pid):
            os.killpg(run.pid, signal.SIGKILL)
        run.communicate()
