"""The example as a workflow of a real cluster: what its tasks share, where they run, and what happens when one dies.

Each test says what it saw (``make e2e`` shows it).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.e2e import _storage
from tests.e2e._cluster import Cluster, wait_for
from tests.e2e._project import ENVIRONMENT, GROUPED, HOST_ROOT, RESULT, RESULTS, Project
from tests.e2e._workflows import Workflow, kill

pytestmark = pytest.mark.timeout(1800)

CHAIN = ["read_houses", "drop_outliers", "log_price", "drop_columns", "fill_missing", "add_total_area"]


@pytest.fixture(autouse=True)
def result_of_this_test(cluster: Cluster) -> None:
    """No result of another test is there; a host that was killed meanwhile has not even the folder."""
    for host in cluster.hosts:
        cluster.remove(host, RESULTS)
        cluster.make_folder(host, RESULTS)


@pytest.mark.parametrize("env", [ENVIRONMENT, GROUPED])
def test_a_workflow_gives_the_result_of_a_local_run_and_leaves_nothing(project, env):
    workflow = project.submit("--watch", "-p", "multiplier=10", env=env)
    show(workflow)
    assert workflow.phase == "Succeeded", workflow.report()
    assert_is_local_result(project, workflow, multiplier=10)
    assert len(workflow.tasks()) == (len(CHAIN) if env == ENVIRONMENT else 2)
    assert_ran_near_their_input(workflow)
    assert_nothing_is_left(workflow)


def test_tasks_follow_their_input_to_the_busier_host(project):
    cluster = project.cluster
    quiet, busy = cluster.hosts  # One has the object storage besides: left alone, the scheduler takes the other.
    with cordoned(cluster, quiet):
        workflow = project.submit("-p", "multiplier=10", env=GROUPED)
        workflow.wait_for("the first task", lambda: "read" in workflow.hosts())
    assert workflow.finish() == "Succeeded", workflow.report()
    show(workflow)
    assert workflow.hosts() == {"read": busy, "clean": busy}
    assert_ran_near_their_input(workflow)
    assert_nothing_is_left(workflow)


def test_what_finished_is_not_done_again_when_a_task_is_killed(project):
    hosts = project.cluster.hosts
    workflow = project.submit("-p", "multiplier=100", env=GROUPED)
    run = workflow.run
    (pod,) = workflow.wait_for("the first pod", workflow.pods)
    wait_for("the first node", lambda: any(finished(project.cluster, host, run) for host in hosts), pause=0.05)
    kill(pod, "python")
    assert workflow.finish() == "Succeeded", workflow.report()
    show(workflow)
    killed, again = workflow.tasks()["read"]
    assert killed["phase"] != "Succeeded"
    before, after = nodes_run(workflow.log(killed)), nodes_run(workflow.log(again))
    print(f"  killed after {before}, then ran {after}")
    assert before[0] == CHAIN[0] and CHAIN[0] not in after
    assert set(after) | set(before) == set(CHAIN[:3])
    assert_is_local_result(project, workflow, multiplier=100)
    assert_nothing_is_left(workflow)


def test_the_rest_finishes_from_the_durable_tier_when_the_host_of_a_finished_task_dies(project, dying_host):
    cluster = project.cluster
    workflow = project.submit("-p", "multiplier=10")
    workflow.wait_for("the first task", lambda: "read-houses" in workflow.tasks())
    workflow.suspend(True)
    workflow.wait_for("its end", lambda: succeeded(workflow, "read-houses"))
    assert workflow.hosts() == {"read-houses": dying_host}
    cluster.do("kill", dying_host)
    wait_for("Kubernetes to see it", lambda: not cluster.is_ready(dying_host))
    cluster.kubectl("uncordon", *[host for host in cluster.hosts if host != dying_host])
    workflow.suspend(False)
    assert workflow.finish() == "Succeeded", workflow.report()
    show(workflow)
    assert {task: host != dying_host for task, host in workflow.hosts().items()} == {
        task: task != "read-houses" for task in workflow.tasks()
    }
    assert_is_local_result(project, workflow, multiplier=10)
    assert_nothing_is_left(workflow)


def test_a_host_that_is_cut_off_at_the_end_keeps_nothing_in_the_bucket_and_its_memory_until_the_next_end(project):
    cluster = project.cluster
    cut_off, other = cluster.hosts  # The object storage is on the other.
    with cordoned(cluster, other):
        workflow = project.submit("-p", "multiplier=10", env=GROUPED)
        workflow.wait_for("the last task", lambda: "clean" in workflow.tasks())
        workflow.suspend(True)
        workflow.wait_for("its end", lambda: succeeded(workflow, "clean"))
    with without_network(cluster, cut_off):
        workflow.suspend(False)
        assert workflow.finish() == "Succeeded", workflow.report()
        show(workflow)
        assert in_bucket(workflow) == [] and in_memory(workflow, cut_off) != []
    with cordoned(cluster, other):
        following = project.submit("-p", "multiplier=10", env=GROUPED)
        assert following.finish() == "Succeeded", following.report()
    show(following)
    for each in (workflow, following):
        assert_nothing_is_left(each)


@contextmanager
def without_network(cluster: Cluster, host: str) -> Iterator[None]:
    """Cut a host off, as Kubernetes sees it; what it has in memory stays."""
    cluster.do("fail", host)
    try:
        wait_for("Kubernetes to see it", lambda: not cluster.is_ready(host))
        yield
    finally:
        cluster.do("heal", host)
        wait_for("the host", lambda: cluster.is_ready(host))


@pytest.fixture
def dying_host(cluster: Cluster) -> Iterator[str]:
    """A host that is killed by the test: not the one of the object storage. The first task has no other choice."""
    dying, living = cluster.hosts
    with cordoned(cluster, living):
        yield dying
    if not cluster.is_ready(dying):
        cluster.do("start", dying)
        wait_for("the host", lambda: cluster.is_ready(dying))


@contextmanager
def cordoned(cluster: Cluster, host: str) -> Iterator[None]:
    """Let no more pods onto a host."""
    cluster.kubectl("cordon", host)
    try:
        yield
    finally:
        cluster.kubectl("uncordon", host)


def succeeded(workflow: Workflow, task: str) -> bool:
    return any(node["phase"] == "Succeeded" for node in workflow.tasks().get(task, []))


def finished(cluster: Cluster, host: str, run: str) -> bool:
    """Whether a host has a record of a node that has finished in a run."""
    return any(f"runs/{run}/" in path and "finished" in path for path in cluster.files(host, HOST_ROOT))


def nodes_run(log: str) -> list[str]:
    """The nodes that Kedro says it ran to their end or began, in order."""
    return list(dict.fromkeys(re.findall(r"Running node: (\w+)", log)))


def assert_is_local_result(project: Project, workflow: Workflow, *, multiplier: int) -> None:
    *_, last = workflow.tasks().values()
    remote = project.cluster.read(last[-1]["hostNodeName"], RESULT)
    assert remote == project.local_result(multiplier)


def assert_ran_near_their_input(workflow: Workflow) -> None:
    """Each task ran on the host that held most of what it read."""
    hosts, held = workflow.hosts(), workflow.held()
    assert len(held) == len(hosts) - 1  # All but the first read from another.
    assert {task: hosts[task] for task in held} == {
        task: max(sizes, key=sizes.__getitem__) for task, sizes in held.items()
    }


def assert_nothing_is_left(workflow: Workflow) -> None:
    for host in workflow.cluster.hosts:
        if workflow.cluster.is_ready(host):
            assert in_memory(workflow, host) == [], f"{workflow.run} on {host}"
    assert in_bucket(workflow) == []


def in_memory(workflow: Workflow, host: str) -> list[str]:
    """What the tests' root has on a host: its own description and lock files stay; warm memory goes with the last run."""
    found = workflow.cluster.files(host, f"{HOST_ROOT}/{workflow.cluster.namespace}")
    return [path for path in found if re.search(r"\b(runs|tmp|pool)/", path)]


def in_bucket(workflow: Workflow) -> list[str]:
    """What the bucket has of the run of a workflow."""
    return [name for name in _storage.names(workflow.cluster, "e2e") if workflow.run in name]


def show(workflow: Workflow) -> None:
    print(workflow.report())
