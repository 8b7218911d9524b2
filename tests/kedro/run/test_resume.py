"""A retry does only what is missing. A node is skipped for what this run recorded, never for a file that lies about."""

import json
import pickle

import pytest

import bodega
from bodega.kedro.project.place import Project
from bodega.memory.presence import Work, board
from bodega.memory.root import open_root

PICKLES = """
import pickle
from kedro.io import AbstractDataset

class PickleDataset(AbstractDataset):
    def __init__(self, filepath):
        self._filepath = filepath
    def load(self):
        with open(self._filepath, "rb") as file:
            return pickle.load(file)
    def save(self, data):
        with open(self._filepath, "wb") as file:
            pickle.dump(data, file)
    def _exists(self):
        import os
        return os.path.exists(self._filepath)
    def _describe(self):
        return {"filepath": self._filepath}
"""

NODES = """
def ran(name):
    with open("ran.txt", "a") as file:
        file.write(name + "\\n")

def make(size):
    ran("make")
    return list(range(size))

def double(numbers):
    ran("double")
    return [2 * number for number in numbers]

def add(doubled):
    ran("add")
    if os.path.exists("fail"):
        raise RuntimeError("add fails")
    if os.path.exists("die"):
        os.kill(os.getpid(), signal.SIGKILL)
    return sum(doubled)
"""

PIPELINE = """
    node(make, "params:size", "numbers", name="make"),
    node(double, "numbers", "doubled", name="double"),
    node(add, "doubled", "total", name="add"),
"""

RESUMED = {"BODEGA_RESUME": "1", "BODEGA_RUN": "retried"}
RUNNERS = ["SequentialRunner", "ThreadRunner", "ParallelRunner"]


@pytest.fixture
def chain(opted_in):
    opted_in.code(NODES, PIPELINE)
    opted_in.write(f"src/{opted_in.package}/pickles.py", PICKLES)
    return opted_in


def ran(project):
    """The nodes that ran since this was asked last."""
    file = project.path / "ran.txt"
    names = file.read_text().split() if file.exists() else []
    file.unlink(missing_ok=True)
    return names


def run(project, *, runner="SequentialRunner", fails=False, nodes=(), **environment):
    options = ["--runner", f"bodega.kedro.{runner}", *(["--nodes", ",".join(nodes)] if nodes else [])]
    project.run(*options, fails=fails, **{**RESUMED, **environment})
    return ran(project)


def fail(project, how="fail", **options):
    (project.path / how).write_text("")
    names = run(project, fails=True, **options)
    (project.path / how).unlink()
    return names


def keep_in_pickles(project, *names):
    entries = [f"{name}: {{type: {project.package}.pickles.PickleDataset, filepath: {name}.pkl}}" for name in names]
    project.write("conf/base/catalog.yml", "\n".join(entries))


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_retry_runs_only_what_did_not_finish(chain, runner):
    assert fail(chain, runner=runner) == ["make", "double", "add"]
    assert run(chain, runner=runner) == ["add"]
    assert chain.stored("retried")["total"] == 90
    assert run(chain, runner=runner) == []


def test_a_retry_after_a_killed_process(chain):
    assert fail(chain, "die") == ["make", "double", "add"]
    assert run(chain) == ["add"]


def test_nothing_is_skipped_unless_asked(chain):
    run(chain)
    assert run(chain, BODEGA_RESUME="0") == ["make", "double", "add"]


def test_a_run_that_fails_leaves_no_record_of_the_one_before_it(chain):
    run(chain)
    assert fail(chain, BODEGA_RESUME="0") == ["make", "double", "add"]
    assert run(chain) == ["add"]


def test_what_read_older_inputs_runs_again(chain):
    run(chain)
    assert run(chain, nodes=["make"], BODEGA_RESUME="0") == ["make"]
    assert run(chain) == ["double", "add"]
    assert run(chain) == []


def test_another_run_skips_nothing(chain):
    run(chain)
    assert run(chain, BODEGA_RUN="another") == ["make", "double", "add"]


def test_what_a_missing_node_needs_is_made_again(chain):
    fail(chain)
    del chain.stored("retried")["doubled"]
    assert run(chain) == ["double", "add"]


def test_what_is_needed_no_more_is_not_made_again(chain):
    run(chain)
    del chain.stored("retried")["numbers"]
    assert run(chain) == []
    del chain.stored("retried")["total"]
    assert run(chain) == ["add"]


def test_a_file_of_an_earlier_run_is_not_taken_for_done(chain):
    keep_in_pickles(chain, "doubled")
    (chain.path / "doubled.pkl").write_bytes(pickle.dumps([1_000]))
    assert run(chain) == ["make", "double", "add"]
    assert chain.stored("retried")["total"] == 90


def test_a_file_of_this_run_is(chain):
    keep_in_pickles(chain, "doubled")
    fail(chain)
    assert run(chain) == ["add"]


def test_a_file_system_that_answers_strangely_fails_no_run(chain):
    chain.write(
        f"src/{chain.package}/pickles.py",
        PICKLES + "\n    class _fs:\n        @staticmethod\n        def info(path):\n            return 7\n",
    )
    keep_in_pickles(chain, "doubled")
    assert fail(chain) == ["make", "double", "add"]
    assert run(chain) == ["add"]


def test_resuming_may_be_set_in_the_file(chain):
    chain.write("conf/base/bodega.yml", "resume: true\n")
    assert fail(chain, BODEGA_RESUME="") == ["make", "double", "add"]
    assert run(chain, BODEGA_RESUME="") == ["add"]
    assert run(chain, BODEGA_RESUME="0") == ["make", "double", "add"]


@pytest.mark.parametrize("runner", RUNNERS)
def test_resuming_is_an_option_of_the_runners(chain, monkeypatch, runner):
    import bodega.kedro

    monkeypatch.chdir(chain.path)
    monkeypatch.setenv("BODEGA_RUN", "retried")
    for resumes, expected in ((None, ["make", "double", "add"]), (True, []), (False, ["make", "double", "add"])):
        chain.session().run(runner=getattr(bodega.kedro, runner)(resume=resumes))
        assert ran(chain) == expected


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_runner_that_resumes_wants_the_run_that_another_process_is_at(chain, monkeypatch, runner):
    """As with ``BODEGA_RESUME=1``: a run of its own would have nothing to go on from."""
    import bodega.kedro

    monkeypatch.chdir(chain.path)
    run = Project(chain.path, "local").run_name
    with board(open_root(bodega.open().root)) as others:
        presence = others.add(Work(run, writes=frozenset({"total"})))
    try:
        with pytest.raises(bodega.StoreBusy, match="needs what is there"):
            chain.session().run(runner=getattr(bodega.kedro, runner)(resume=True))
        monkeypatch.setenv("BODEGA_RESUME", "1")
        with pytest.raises(bodega.StoreBusy, match="needs what is there"):
            chain.session().run(runner=getattr(bodega.kedro, runner)())
        chain.session().run(runner=getattr(bodega.kedro, runner)(resume=False))
    finally:
        presence.end()
    assert bodega.open().runs() == [f"{run}-2"]


def test_a_file_that_was_replaced_since_is_not(chain):
    # As in a new container, whose image has a file that an earlier run left.
    keep_in_pickles(chain, "doubled")
    fail(chain)
    (chain.path / "doubled.pkl").write_bytes(pickle.dumps([1_000]))
    assert run(chain) == ["double", "add"]
    assert chain.stored("retried")["total"] == 90


def test_other_parameters_make_a_node_run_again(chain):
    fail(chain)
    chain.write("conf/base/parameters.yml", "size: 3\n")
    assert run(chain) == ["make", "double", "add"]
    assert chain.stored("retried")["total"] == 6


def test_a_node_without_outputs_is_skipped_too(chain):
    chain.code(NODES + "def tell(total):\n    ran('tell')\n", PIPELINE + "node(tell, 'total', None, name='tell'),")
    assert run(chain) == ["make", "double", "add", "tell"]
    assert run(chain) == []


def test_records_are_no_objects_of_the_user_and_go_with_the_run(chain):
    run(chain)
    store = chain.stored("retried")
    assert list(store) == ["doubled", "numbers", "total"] and len(store) == 3
    assert len(store.names(".bodega/finished/*")) == 3
    store.drop_run()
    assert run(chain) == ["make", "double", "add"]


def test_a_record_says_which_node_finished_where_and_when(chain):
    run(chain, BODEGA_HOST="node-7")
    store = chain.stored("retried")
    records = [json.loads(bytes(store[name])) for name in store.names(".bodega/finished/*")]
    assert {record["node"] for record in records} == {"make", "double", "add"}
    assert {record["host"] for record in records} == {"node-7"}
    assert all(record["finished"].endswith("+00:00") for record in records)


# Tasks cut out of the pipeline


def test_a_task_hands_over_what_others_read_and_forgets_the_rest(chain):
    assert run(chain, nodes=["make", "double"], BODEGA_SHARED='["doubled"]') == ["make", "double"]
    assert list(chain.stored("retried")) == ["doubled"]
    assert run(chain, nodes=["make", "double"], BODEGA_SHARED='["doubled"]') == []
    assert run(chain, nodes=["add"], BODEGA_SHARED='["total"]') == ["add"]
    assert list(chain.stored("retried")) == ["doubled", "total"]


def test_a_task_that_failed_goes_on_from_what_it_had(chain):
    assert fail(chain, BODEGA_SHARED='["total"]') == ["make", "double", "add"]
    assert run(chain, BODEGA_SHARED='["total"]') == ["add"]
    assert list(chain.stored("retried")) == ["total"]


@pytest.fixture
def two_hosts(chain, tmp_path):
    """The roots of two hosts, and a durable tier that both reach."""
    chain.write("conf/base/bodega.yml", f"spill: file://{tmp_path}/durable")
    roots = {host: str(tmp_path / host) for host in ("one", "two")}
    return lambda host, **options: {"BODEGA_ROOT": roots[host], "BODEGA_HOST": host, **options}


def test_a_retry_on_another_host_goes_on_from_the_durable_tier(chain, two_hosts):
    assert run(chain, nodes=["make"], **two_hosts("one", BODEGA_SHARED='["numbers"]')) == ["make"]
    assert run(chain, nodes=["make"], **two_hosts("two", BODEGA_SHARED='["numbers"]')) == []
    assert run(chain, nodes=["double"], **two_hosts("two", BODEGA_SHARED='["doubled"]')) == ["double"]


def test_what_stayed_on_the_host_before_is_made_again(chain, two_hosts):
    # Only what leaves the task is in the durable tier, so another host has neither of the two that are inside.
    fail(chain, **two_hosts("one", BODEGA_SHARED='["total"]'))
    assert run(chain, **two_hosts("two", BODEGA_SHARED='["total"]')) == ["make", "double", "add"]
    store = bodega.open(two_hosts("two")["BODEGA_ROOT"], run="retried")
    assert list(store) == ["total"]


def test_a_list_that_is_none_is_named(chain):
    output = chain.run("--runner", "bodega.kedro.SequentialRunner", fails=True, **RESUMED, BODEGA_SHARED="total")
    assert "BODEGA_SHARED is a JSON list" in output


def test_concurrent_tasks_write_records_of_their_own(chain):
    chain.code(
        NODES, 'node(make, "params:size", "numbers", name="make"), node(make, "params:size", "others", name="more"),'
    )
    both = [
        chain.start("--nodes", name, "--runner", "bodega.kedro.SequentialRunner", **RESUMED)
        for name in ("make", "more")
    ]
    for process in both:
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output
    ran(chain)
    assert run(chain) == []
