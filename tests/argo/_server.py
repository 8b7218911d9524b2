"""A server that speaks as much of Argo's API and of Kubernetes' as submitting needs, on a real port."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs


class Server:
    """Keeps workflows. Each look at one shows the next of the states it is to go through, and the last from then on."""

    def __init__(self) -> None:
        self.workflows: dict[str, dict[str, Any]] = {}
        self.states: list[dict[str, Any]] = [{"phase": "Succeeded", "finishedAt": "2026-01-01T00:00:00Z"}]
        self.logs: dict[str, list[str]] = {}
        self.refusal: tuple[int, str] | None = None
        self.tokens: list[str | None] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.tokens.append(self.headers["Authorization"])
                if self.path.strip("/") == "version":
                    return self.answer(200, {"major": "1", "minor": "34", "gitVersion": "v1.34.1"})
                if server.refusal:
                    return self.refuse(*server.refusal)
                path, _, query = self.path.partition("?")
                if path.endswith("/log"):
                    asked = parse_qs(query)
                    pod = (asked.get("podName") or [path.split("/")[-2]])[0]
                    if pod not in server.logs:
                        return self.refuse(404, f'pods "{pod}" not found')
                    last = (asked.get("tailLines") or asked["logOptions.tailLines"])[0]
                    lines = server.logs[pod][-int(last) :]
                    if path.startswith("/api/v1/workflows/"):
                        lines = [json.dumps({"result": {"content": line, "podName": pod}}) for line in lines]
                    return self.send(200, "text/plain", "\n".join(lines).encode())
                name = path.rpartition("/")[2]
                if name not in server.workflows:
                    return self.refuse(404, f'workflows.argoproj.io "{name}" not found')
                state = server.states.pop(0) if len(server.states) > 1 else server.states[0]
                return self.answer(200, {**server.workflows[name], "status": state})

            def do_POST(self) -> None:
                server.tokens.append(self.headers["Authorization"])
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if server.refusal:
                    return self.refuse(*server.refusal)
                workflow = body["workflow"] if self.path.startswith("/api/v1/") else body
                name = workflow["metadata"].get("name") or workflow["metadata"]["generateName"] + "x7k2p"
                namespace = self.path.split("/")[-2 if self.path.startswith("/apis/") else -1]
                workflow["metadata"] |= {"name": name, "namespace": namespace, "uid": "u-1"}
                server.workflows[name] = workflow
                return self.answer(200, workflow)

            def refuse(self, status: int, message: str) -> None:
                self.answer(status, {"code": status, "message": message})

            def answer(self, status: int, document: dict[str, Any]) -> None:
                self.send(status, "application/json", json.dumps(document).encode())

            def send(self, status: int, kind: str, content: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def kubeconfig(self, namespace: str = "ml") -> str:
        """A configuration that leads here, with contexts ``here`` and ``there``."""
        contexts = [
            {"name": name, "context": {"cluster": "local", "user": "me", "namespace": place}}
            for name, place in (("here", namespace), ("there", "elsewhere"))
        ]
        return json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "here", "contexts": contexts,
            "clusters": [{"name": "local", "cluster": {"server": self.url}}],
            "users": [{"name": "me", "user": {"token": "secret"}}],
        })  # fmt: skip

    def close(self) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()
