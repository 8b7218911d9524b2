"""Plans to make workflows of."""

import pytest
from kedro.pipeline import node, pipeline
from tests.argo._server import Server

from bodega.argo.workflow import Details, Request
from bodega.kedro.plan import make_plan
from bodega.kubernetes.deployment import Deployment


def identity(*values):
    return values[0] if values else 1


@pytest.fixture
def diamond():
    return pipeline([
        node(identity, "params:size", "numbers", name="make"),
        node(identity, "numbers", "doubled", name="double", tags="heavy"),
        node(identity, "numbers", "halved", name="halve"),
        node(identity, ["doubled", "halved"], "total", name="add"),
    ])  # fmt: skip


@pytest.fixture
def make(diamond):
    """Make a request; without `one_host` there is a durable tier."""

    def make(deployment=None, *, grouping="node", one_host=False, pipe=diamond, **options):
        deployment = deployment or Deployment(image="shop:1")
        plan = make_plan(pipe, grouping)
        nodes = {each.name: each for each in pipe.nodes}
        return Request(**{
            "name": "little_shop",
            "plan": plan,
            "settings": {task.name: deployment.for_task(nodes[name] for name in task.nodes) for task in plan.tasks},
            "all_together": deployment.for_task(pipe.nodes) if one_host else None,
            "deployment": deployment,
            "parameters": {"size": "10"},
            "details": {
                task.name: Details(tuple(options.get("parameters", ["size"])), stored=task.outputs) for task in plan.tasks
            },
            **options,
        })  # fmt: skip

    return make


@pytest.fixture
def server(monkeypatch, tmp_path):
    """A server for workflows; nothing leads to it or to another one yet."""
    for name in ("ARGO_SERVER", "ARGO_TOKEN", "KUBECONFIG", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    running = Server()
    yield running
    running.close()
