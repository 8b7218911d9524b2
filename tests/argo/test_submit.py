"""Both ways to a cluster, against a server that speaks their languages."""

import pytest

from bodega.argo.submit import ArgoServer, Kubernetes, connect
from bodega.errors import ClusterError

WORKFLOW = {
    "apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": {"generateName": "shop-"},
    "spec": {"entrypoint": "pipeline"},
}  # fmt: skip


@pytest.fixture(params=["argo", "kubernetes"])
def cluster(request, server, monkeypatch, tmp_path):
    """A cluster by each of the ways."""
    if request.param == "argo":
        monkeypatch.setenv("ARGO_SERVER", server.url)
        monkeypatch.setenv("ARGO_TOKEN", "Bearer secret")
        return connect(namespace="ml")
    file = tmp_path / "kubeconfig"
    file.write_text(server.kubeconfig())
    monkeypatch.setenv("KUBECONFIG", str(file))
    return connect()


def test_a_workflow_is_sent_and_looked_at(cluster, server):
    created = cluster.create(WORKFLOW)
    assert created["metadata"] == {"generateName": "shop-", "name": "shop-x7k2p", "namespace": "ml", "uid": "u-1"}
    assert server.workflows["shop-x7k2p"]["spec"] == WORKFLOW["spec"]
    found = cluster.get("shop-x7k2p")
    assert found["status"]["phase"] == "Succeeded" and found["spec"] == WORKFLOW["spec"]
    assert set(server.tokens) == {"Bearer secret"}


def test_the_last_lines_of_a_pod_are_read(cluster, server):
    server.workflows["shop"] = dict(WORKFLOW)
    server.logs["shop-task-1"] = [f"line {number}" for number in range(9)]
    assert cluster.log("shop", "shop-task-1") == [f"line {number}" for number in range(4, 9)]
    with pytest.raises(ClusterError, match="not found"):
        cluster.log("shop", "shop-task-2")


@pytest.mark.parametrize(
    ("status", "reason", "remedy"),
    [
        (403, "workflows is forbidden", "Ask for the right"),
        (401, "Unauthorized", "Log in again"),
        (404, "the server could not find the requested resource", "that Argo Workflows is installed"),
        (400, "templates.main is wrong", "argo lint"),
    ],
)
def test_a_refusal_says_why_and_what_to_do(cluster, server, status, reason, remedy):
    server.refusal = status, reason
    with pytest.raises(ClusterError, match=remedy) as error:
        cluster.create(WORKFLOW)
    assert reason in str(error.value) and error.value.status == status


def test_a_workflow_that_is_not_there(cluster):
    with pytest.raises(ClusterError, match="shop-gone"):
        cluster.get("shop-gone")


def test_a_cluster_that_has_gone(cluster, server):
    server.close()
    with pytest.raises(ClusterError, match="cannot be reached"):
        cluster.create(WORKFLOW)


def test_without_any_cluster(server):
    with pytest.raises(ClusterError, match="no cluster to talk to.*KUBECONFIG.*ARGO_SERVER"):
        connect()


def test_a_kubeconfig_that_is_not_there(server, monkeypatch, tmp_path):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "missing"))
    with pytest.raises(ClusterError):
        connect()


def test_a_context_wins_over_the_argo_server_of_the_environment(server, monkeypatch, tmp_path):
    file = tmp_path / "kubeconfig"
    file.write_text(server.kubeconfig())
    monkeypatch.setenv("KUBECONFIG", str(file))
    monkeypatch.setenv("ARGO_SERVER", "https://argo.invalid")
    assert isinstance(connect(), ArgoServer)
    there = connect(context="there")
    assert isinstance(there, Kubernetes) and there.namespace == "elsewhere"
    with pytest.raises(ClusterError, match="nowhere"):
        connect(context="nowhere")


def test_what_is_no_argo_server_is_called_that(server):
    # As of a proxy's log-in page: an answer, but no JSON.
    assert connect(server=server.url).namespace == "default"
    import threading
    from http.server import BaseHTTPRequestHandler, HTTPServer

    class Page(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>log in</html>")

        def log_message(self, *_):
            pass

    page = HTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=page.handle_request)
    thread.start()
    with pytest.raises(ClusterError, match="no Argo server"):
        connect(server=f"http://127.0.0.1:{page.server_address[1]}").get("shop")
    thread.join()
    page.server_close()
