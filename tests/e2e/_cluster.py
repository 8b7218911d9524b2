"""A cluster of several hosts on this machine, driven by a tool outside the project.

The tool is a folder with a program ``cluster.py`` that has the commands ``up``, ``down``, ``kubectl``, ``exec``,
``load``, ``gopack``, ``argo``, ``kill``, ``start``, ``fail`` and ``heal``. It keeps its state in ``$BODEGA_CLUSTER``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Cluster:
    """The cluster, as its administrator sees it."""

    tool: Path
    """The folder with ``cluster.py``."""
    namespace: str
    """Of Kubernetes, in which everything here is."""

    @property
    def state(self) -> Path:
        """Where the tool keeps its state."""
        return Path(os.environ.get("BODEGA_CLUSTER", Path.home() / ".cache" / "bodega-cluster"))

    @property
    def is_up(self) -> bool:
        """Whether somebody started it."""
        pids = self.state / "pids"
        return pids.is_dir() and any(pids.iterdir())

    def command(self, *arguments: object) -> list[str]:
        """The command line that makes the tool do something."""
        return [sys.executable, str(self.tool / "cluster.py"), *map(str, arguments)]

    def do(self, *arguments: object, timeout: float = 120, **options: Any) -> str:
        """Let the tool do something; what it printed."""
        done = subprocess.run(self.command(*arguments), capture_output=True, text=True, timeout=timeout, **options)
        assert done.returncode == 0, f"{' '.join(map(str, arguments))}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def kubectl(self, *arguments: object, **options: Any) -> str:
        """What ``kubectl`` prints, in the namespace."""
        return self.do("kubectl", "--namespace", self.namespace, *arguments, **options)

    def objects(self, kind: str, *arguments: object) -> list[dict[str, Any]]:
        """Objects of a kind, or the one whose name follows."""
        answer = json.loads(self.kubectl("get", kind, *arguments, "-o", "json"))
        return answer["items"] if "items" in answer else [answer]

    def apply(self, *objects: Mapping[str, Any]) -> None:
        """Make or change objects."""
        self.kubectl("apply", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}))

    def load(self, archive: Path) -> None:
        """Bring an image to every host."""
        self.do("load", archive, timeout=300)

    def files(self, host: str, folder: str) -> set[str]:
        """The files below a folder of a host, relative to it; none where it is not there."""
        top = self._inside(host) / folder.strip("/")
        return {str(path.relative_to(top)) for path in top.rglob("*") if path.is_file()}

    def read(self, host: str, file: str) -> bytes:
        """What a file of a host holds."""
        return (self._inside(host) / file.lstrip("/")).read_bytes()

    def make_folder(self, host: str, path: str) -> None:
        """Make a folder of a host, with what leads to it, that everybody may write to."""
        folder = self._inside(host) / path.strip("/")
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o1777)

    def remove(self, host: str, path: str) -> None:
        """Remove a file or a folder of a host."""
        subprocess.run(["rm", "-rf", str(self._inside(host) / path.strip("/"))], check=True)

    def _inside(self, host: str) -> Path:
        """The root of a host's file system, as its own processes see it."""
        return Path("/proc") / (self.state / "pids" / f"{host}-mounts").read_text() / "root"

    @property
    def hosts(self) -> list[str]:
        """The names of the hosts."""
        return [host["metadata"]["name"] for host in self.objects("nodes")]

    def is_ready(self, host: str) -> bool:
        """Whether Kubernetes believes that a host works."""
        (found,) = self.objects("nodes", host)
        return any(each["type"] == "Ready" and each["status"] == "True" for each in found["status"]["conditions"])


def processes(pod: str) -> list[int]:
    """The processes of the containers of a pod, by its uid: namespaces hide nothing from whoever is outside."""
    return [int(each.name) for each in Path("/proc").iterdir() if each.name.isdigit() and _is_in(each, pod)]


def _is_in(process: Path, pod: str) -> bool:
    try:
        return pod in (process / "cgroup").read_text()
    except OSError:  # It has ended.
        return False


def wait_for(what: str, look: Callable[[], _Result], *, seconds: float = 120, pause: float = 0.2) -> _Result:
    """The first answer that is true; an error that says what was waited for, after a while."""
    end = time.monotonic() + seconds
    while not (answer := look()):
        assert time.monotonic() < end, f"{what}: not within {seconds:.0f} seconds"
        time.sleep(pause)
    return answer
