"""What is shown of a workflow while it runs."""

import io
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.console import Console

from bodega.argo import watch
from bodega.argo.submit import connect
from bodega.errors import ClusterError


def node(name, phase, kind="Pod", *, host=None, children=(), start="00:00:00", end=None, message=""):
    found = {
        "name": name, "displayName": name.rpartition(".")[2], "type": kind, "phase": phase, "children": list(children),
        "startedAt": f"2026-01-01T{start}Z", "message": message,
    }  # fmt: skip
    return found | ({"hostNodeName": host} if host else {}) | ({"finishedAt": f"2026-01-01T{end}Z"} if end else {})


RUNNING: dict[str, Any] = {
    "phase": "Running",
    "startedAt": "2026-01-01T00:00:00Z",
    "nodes": {
        "w": node("shop", "Running", "DAG"),
        "a": node("shop.make", "Succeeded", "Retry", children=["a0", "a1"], end="00:01:05"),
        "a0": node("shop.make(0)", "Failed", host="host-1", end="00:00:30", message="OOMKilled (exit code 137)"),
        "a1": node("shop.make(1)", "Succeeded", host="host-2", start="00:00:40", end="00:01:05"),
        "b": node("shop.double", "Running", host="host-2", start="00:01:10"),
        "c": node("shop.halve", "Pending", start="00:01:11", message="Unschedulable: 0/2 nodes are available"),
    },
}
DONE: dict[str, Any] = {
    "phase": "Succeeded",
    "startedAt": "2026-01-01T00:00:00Z",
    "finishedAt": "2026-01-01T01:02:00Z",
    "nodes": {
        **RUNNING["nodes"],
        "b": node("shop.double", "Succeeded", host="host-2", start="00:01:10", end="00:01:20"),
        "c": node("shop.halve", "Succeeded", host="host-1", start="00:01:11", end="00:01:20"),
        "x": node("shop.onExit[0].drop-run", "Failed", host="host-2", start="00:01:21", end="00:01:22"),
    },
}
WORKFLOW = {"metadata": {"name": "shop", "namespace": "ml"}}


def text(workflow):
    shown = io.StringIO()
    Console(file=shown, width=200).print(watch.tree(workflow))
    return shown.getvalue()


def test_tries_of_a_task_are_one():
    now = datetime(2026, 1, 1, 0, 2, tzinfo=UTC)
    states = {state.name: state for state in watch.tasks_of({"status": RUNNING}, now)}
    assert list(states) == ["make", "double", "halve"]
    assert (states["make"].tries, states["make"].host, states["make"].seconds) == (2, "host-2", 65.0)
    assert (states["double"].phase, states["double"].seconds) == ("Running", 50.0)
    assert states["halve"].host is None and "Unschedulable" in states["halve"].message


def test_the_tree_has_hosts_durations_tries_and_reasons():
    shown = text({**WORKFLOW, "status": RUNNING})
    assert "ml/shop  Running" in shown
    assert "make  Succeeded  1 min 5 s  on host-2  try 2" in shown and "OOMKilled" not in shown
    assert "Unschedulable: 0/2 nodes are available" in shown
    shown = text({**WORKFLOW, "status": DONE})
    assert "ml/shop  Succeeded  1 h 2 min" in shown
    assert shown.index("halve") < shown.index("when it ended") < shown.index("drop-run")


def test_a_workflow_that_no_controller_has_seen_is_pending():
    assert watch.phase_of(WORKFLOW) == "Pending" and watch.tasks_of(WORKFLOW) == []
    assert "Pending" in text(WORKFLOW)


def test_without_a_terminal_each_change_is_a_line(server, monkeypatch):
    monkeypatch.setattr(watch, "_INTERVAL", 0.0)
    server.workflows["shop"] = {**WORKFLOW}
    server.states = [{}, RUNNING, RUNNING, DONE]
    shown = io.StringIO()
    console = Console(file=shown, width=200)
    ended = watch.watch(connect(server=server.url, namespace="ml"), "shop", console)
    assert watch.phase_of(ended) == "Succeeded"
    lines = [line.split()[1:3] for line in shown.getvalue().splitlines()]
    assert lines == [
        ["make", "Succeeded"], ["double", "Running"], ["halve", "Pending"], ["double", "Succeeded"],
        ["halve", "Succeeded"], ["drop-run", "Failed"], ["shop", "Succeeded"],
    ]  # fmt: skip


@pytest.mark.parametrize("is_terminal", [False, True])
def test_what_a_failed_pod_wrote_last_is_shown(server, monkeypatch, is_terminal):
    monkeypatch.setattr(watch, "_INTERVAL", 0.0)
    killed = node("shop.fit(0)", "Failed", host="host-1", end="00:00:30", message="OOMKilled (exit code 137)")
    lost = node("shop.gone", "Error", end="00:00:31", message="pod deleted")
    server.workflows["shop"] = {**WORKFLOW}
    server.states = [{**DONE, "phase": "Failed", "nodes": {
        "a": node("shop.fit", "Failed", "Retry", children=["a0"]),
        "a0": {**killed, "id": "shop-123", "templateName": "task"},
        "b": {**lost, "id": "shop-124", "templateName": "task"},
    }}]  # fmt: skip
    server.logs["shop-task-123"] = ["Loading data", "[bold]Running node: fit"]
    shown = io.StringIO()
    console = Console(file=shown, width=400, force_terminal=is_terminal, color_system=None)
    watch.watch(connect(server=server.url, namespace="ml"), "shop", console)
    said = "fit (OOMKilled (exit code 137)) wrote last ('kubectl logs shop-task-123' has more):"
    assert said in shown.getvalue() and "  [bold]Running node: fit" in shown.getvalue().partition(said)[2]
    assert "The log of gone (shop-task-124) is not to be had" in shown.getvalue()


def test_a_workflow_that_no_controller_picks_up_is_said_to_be_so_once(server, monkeypatch):
    monkeypatch.setattr(watch, "_INTERVAL", 0.0)
    monkeypatch.setattr(watch, "_CONTROLLER_PATIENCE", -1.0)
    server.workflows["shop"] = {**WORKFLOW}
    for states, times in (([{}, {}, {}, RUNNING, DONE], 1), ([RUNNING, DONE], 0)):
        server.states = list(states)
        shown = io.StringIO()
        console = Console(file=shown, width=400)
        watch.watch(connect(server=server.url, namespace="ml"), "shop", console)
        assert shown.getvalue().count("No workflow controller has picked it up yet") == times


def test_on_a_terminal_it_is_one_tree(server, monkeypatch):
    monkeypatch.setattr(watch, "_INTERVAL", 0.0)
    server.workflows["shop"] = {**WORKFLOW}
    server.states = [RUNNING, DONE]
    shown = io.StringIO()
    console = Console(file=shown, width=200, force_terminal=True, color_system=None)
    watch.watch(connect(server=server.url, namespace="ml"), "shop", console)
    assert "when it ended" in shown.getvalue()


def test_it_goes_on_until_the_exit_handler_is_done(server, monkeypatch):
    monkeypatch.setattr(watch, "_INTERVAL", 0.0)
    server.workflows["shop"] = {**WORKFLOW}
    early = {key: value for key, value in DONE.items() if key != "finishedAt"}
    server.states = [early, DONE]
    ended = watch.watch(connect(server=server.url), "shop", Console(file=io.StringIO()))
    assert ended["status"] == DONE


def test_a_cluster_that_does_not_answer_for_a_while_ends_nothing(server, monkeypatch):
    monkeypatch.setattr(watch, "_INTERVAL", 0.01)
    server.workflows["shop"] = {**WORKFLOW}
    server.states = [RUNNING, DONE]
    cluster = connect(server=server.url)
    answer, answers = cluster.get, []

    def get(name):
        answers.append(name)
        server.refusal = (503, "later") if 1 < len(answers) < 5 else None
        return answer(name)

    monkeypatch.setattr(cluster, "get", get)
    assert watch.watch(cluster, "shop", Console(file=io.StringIO()))["status"] == DONE
    assert len(answers) == 5
    server.refusal = (503, "later")
    monkeypatch.setattr(watch, "_PATIENCE", 0.05)
    with pytest.raises(ClusterError, match="later"):
        watch.watch(connect(server=server.url), "shop", Console(file=io.StringIO()))


def test_a_workflow_that_is_gone_is_not_waited_for(server):
    with pytest.raises(ClusterError, match="not found"):
        watch.watch(connect(server=server.url), "shop", Console(file=io.StringIO()))
