"""Sends workflows to a cluster and reads what became of them: through an Argo server, or the API of Kubernetes.

Both clients do two things only, so that a caller need not know which one it has. The clients' libraries are imported
when there is something to send.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from bodega.env import ARGO_INSECURE_VARIABLE, ARGO_SERVER_VARIABLE, ARGO_TOKEN_VARIABLE, KUBECONFIG_VARIABLE
from bodega.errors import ClusterError

if TYPE_CHECKING:
    import httpx

_API_VERSION = "argoproj.io/v1alpha1"
_TIMEOUT = 30.0
_MAIN = "main"
"""Argo's name of the container that does a task's work."""
_LINES = 5
"""Lines of a log that say what went wrong."""
_NO_CLUSTER = (
    "Set KUBECONFIG or pass --context for the API of Kubernetes, or ARGO_SERVER and ARGO_TOKEN (or --server) for an Argo "
    "server."
)


class Cluster(Protocol):
    """Somewhere workflows run."""

    namespace: str
    """Where they are, unless they say so themselves."""

    def create(self, workflow: Mapping[str, Any]) -> dict[str, Any]:
        """Submit a workflow; as the cluster knows it now.

        Raises:
            ClusterError: it cannot be reached, or refuses.
        """

    def get(self, name: str) -> dict[str, Any]:
        """A workflow of the namespace, with its status.

        Raises:
            ClusterError: it cannot be reached, or has no such workflow.
        """

    def log(self, workflow: str, pod: str) -> list[str]:
        """The last lines that the main container of a pod has written.

        Raises:
            ClusterError: it cannot be reached, or shows none.
        """


def connect(*, server: str | None = None, context: str | None = None, namespace: str | None = None) -> Cluster:
    """The cluster that the arguments and the environment mean.

    Args:
        server: URL of an Argo server, else ``ARGO_SERVER`` unless a context is named; ``ARGO_TOKEN`` goes with it.
        context: of the kubeconfig, else its current one, else what a pod of the cluster is given.
        namespace: of the workflows.

    Raises:
        ClusterError: there is none, or it cannot be reached.
    """
    url = server or (None if context else os.environ.get(ARGO_SERVER_VARIABLE))
    if url:
        return ArgoServer(url, namespace or "default", token=os.environ.get(ARGO_TOKEN_VARIABLE))
    return Kubernetes(context, namespace)


class ArgoServer:
    """The server of Argo, by its REST API."""

    def __init__(self, url: str, namespace: str, *, token: str | None = None) -> None:
        import httpx

        self.namespace = namespace
        self._url = url if "://" in url else f"https://{url}"
        self._client = httpx.Client(
            base_url=self._url,
            headers={"Authorization": token if " " in token else f"Bearer {token}"} if token else {},
            verify=os.environ.get(ARGO_INSECURE_VARIABLE, "").lower() != "true",
            timeout=_TIMEOUT,
        )

    def create(self, workflow: Mapping[str, Any]) -> dict[str, Any]:
        """Submit a workflow."""
        return self._request("POST", json={"workflow": workflow})

    def get(self, name: str) -> dict[str, Any]:
        """A workflow, with its status."""
        return self._request("GET", name)

    def log(self, workflow: str, pod: str) -> list[str]:
        """The last lines of a pod."""
        options = {"logOptions.container": _MAIN, "logOptions.tailLines": _LINES, "podName": pod}
        answer = self._answer("GET", workflow, "log", params=options).text
        # A JSON object for each line.
        entries = (json.loads(line).get("result") or {} for line in answer.splitlines() if line.startswith("{"))
        return [str(entry["content"]) for entry in entries if entry.get("content")]

    def _request(self, method: str, *names: str, **options: Any) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = self._answer(method, *names, **options).json()
        except ValueError as error:
            raise ClusterError(
                f"What answers at {self._url} is no Argo server: check --server and {ARGO_SERVER_VARIABLE}."
            ) from error
        return answer

    def _answer(self, method: str, *names: str, **options: Any) -> httpx.Response:
        import httpx

        path = "/".join(["api/v1/workflows", *map(quote, (self.namespace, *names))])
        try:
            response = self._client.request(method, path, **options)
        except httpx.HTTPError as error:
            raise ClusterError(
                f"The Argo server {self._url} cannot be reached: {_reason(error)}. Check --server and {ARGO_SERVER_VARIABLE}, and that "
                "the port is forwarded."
            ) from error
        if response.is_error:
            raise _refusal(f"The Argo server {self._url}", response.status_code, _message(response.text))
        return response


class Kubernetes:
    """The API of Kubernetes, with the credentials that kubectl would use."""

    def __init__(self, context: str | None, namespace: str | None) -> None:
        import kr8s
        from kr8s.objects import new_class

        with _kubernetes_errors("The API of Kubernetes"):
            # Named here, since the client takes what it found before for anything that is not named.
            config = os.environ.get(KUBECONFIG_VARIABLE) or os.path.expanduser("~/.kube/config")
            self._api = kr8s.api(kubeconfig=config, context=context, namespace=namespace)
            self._api.timeout = _TIMEOUT
            if context and not namespace:
                # The client takes the current context's.
                namespace = self._api.auth.kubeconfig.get_context(context).get("namespace", "default")
        self.namespace = str(namespace or self._api.namespace)
        self._class = new_class("Workflow", _API_VERSION, namespaced=True, asyncio=False)

    def create(self, workflow: Mapping[str, Any]) -> dict[str, Any]:
        """Submit a workflow."""
        with _kubernetes_errors(f"The API of Kubernetes at {self._api.auth.server}"):
            created = self._class(dict(workflow), namespace=self.namespace, api=self._api)
            created.create()
            return _plain(created)

    def get(self, name: str) -> dict[str, Any]:
        """A workflow, with its status."""
        with _kubernetes_errors(f"The API of Kubernetes at {self._api.auth.server}"):
            found = self._class({"metadata": {"name": name}}, namespace=self.namespace, api=self._api)
            found.refresh()
            return _plain(found)

    def log(self, workflow: str, pod: str) -> list[str]:  # noqa: ARG002 # an Argo server asks for the workflow
        """The last lines of a pod."""
        from kr8s.objects import Pod

        with _kubernetes_errors(f"The API of Kubernetes at {self._api.auth.server}"):
            found = Pod({"metadata": {"name": pod}}, namespace=self.namespace, api=self._api)
            return list(found.logs(container=_MAIN, tail_lines=_LINES))


@contextmanager
def _kubernetes_errors(who: str) -> Iterator[None]:
    """What the client raises, as errors of ours."""
    import httpx
    import kr8s

    try:
        yield
    except kr8s.NotFoundError as error:
        raise _refusal(who, 404, str(error)) from error
    except kr8s.ServerError as error:
        status = error.response.status_code if error.response is not None else 500
        raise _refusal(who, status, str(error)) from error
    except (httpx.HTTPError, kr8s.APITimeoutError, kr8s.ConnectionClosedError, OSError) as error:
        raise ClusterError(f"{who} cannot be reached: {_reason(error)}. {_NO_CLUSTER}") from error
    except (ValueError, KeyError) as error:  # What the client says of a kubeconfig that is not there, or does not fit.
        raise ClusterError(f"There is no cluster to talk to: {_reason(error)}. {_NO_CLUSTER}") from error


def _reason(error: Exception) -> str:
    return str(error).rstrip(".") or type(error).__name__


def _refusal(who: str, status: int, reason: str) -> ClusterError:
    """What to do about an answer that is none."""
    remedies = {
        401: f"Log in again, or set a new {ARGO_TOKEN_VARIABLE}.",
        403: "Ask for the right to create and get workflows in this namespace, or name another one (--namespace).",
        404: "Check the name and --namespace, and that Argo Workflows is installed there.",
        400: "'kedro bodega argo lint' may say more.",
        422: "'kedro bodega argo lint' may say more.",
    }
    return ClusterError(
        f"{who} refuses ({status}): {reason.rstrip('.')}. {remedies.get(status, '')}".rstrip(), status=status
    )


def _message(text: str) -> str:
    """The sentence in an answer of Argo or Kubernetes."""
    try:
        found = json.loads(text)
        return str(found["message"])
    except (ValueError, KeyError, TypeError):
        return text.strip()[:300] or "no reason given"


def _plain(found: Any) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(json.dumps(found.to_dict()))
    return document
