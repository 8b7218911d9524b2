"""The example, with settings for the cluster of the tests, and its image.

Nothing of the example is changed. An environment of its own says where the store keeps what must last, and where the
result goes: to a file in the memory of the host, since a workflow that succeeds leaves nothing in the store.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from tests.e2e import _storage
from tests.e2e._cluster import Cluster
from tests.e2e._workflows import Workflow

EXAMPLE = Path(__file__).parents[2] / "examples" / "house-prices"
IMAGE = "house-prices:e2e"
ENVIRONMENT, GROUPED, LOCAL = "e2e", "grouped", "alone"
HOST_ROOT = "/dev/shm/bodega-e2e"
"""Of every host: all that the tests put there, and nothing of anybody else."""
RESULTS = f"{HOST_ROOT}/results"
RESULT = f"{RESULTS}/result.csv"
GROUPS = {
    "read": ["read_houses", "drop_outliers", "log_price"],
    "clean": ["drop_columns", "fill_missing", "add_total_area"],
}


@dataclass(frozen=True)
class Project:
    """A Kedro project whose image the hosts have."""

    path: Path
    cluster: Cluster

    def bodega(self, *arguments: str, timeout: float = 900) -> str:
        """What ``kedro bodega ...`` prints, run where the API server can be reached."""
        command = [sys.executable, "-m", "kedro", "bodega", *arguments]
        environment = {**os.environ, "COLUMNS": "200"}
        return self.cluster.do("exec", *command, cwd=self.path, timeout=timeout, env=environment)

    def submit(self, *arguments: str, env: str = ENVIRONMENT) -> Workflow:
        """Submit the workflow; it goes on meanwhile."""
        before = self._workflows()
        output = self.bodega("argo", "submit", "--env", env, *arguments)
        print(output)
        (name,) = self._workflows() - before
        return Workflow(self.cluster, name)

    def _workflows(self) -> set[str]:
        return {workflow["metadata"]["name"] for workflow in self.cluster.objects("workflows")}

    def local_result(self, multiplier: int) -> bytes:
        """The result of ``kedro run`` on this machine, without any store."""
        folder = self.path / "alone"
        subprocess.run(
            [sys.executable, "-m", "kedro", "run", "--env", LOCAL, "--params", f"multiplier={multiplier}"],
            cwd=self.path, check=True, capture_output=True, timeout=300,
        )  # fmt: skip
        return (folder / "result.csv").read_bytes()


def make_project(folder: Path, cluster: Cluster) -> Project:
    """Copy the example and write its environments."""
    path = folder / "house-prices"
    shutil.copytree(EXAMPLE, path, ignore=shutil.ignore_patterns("__pycache__", "02_intermediate"))
    deployment = {
        "image": IMAGE,
        "image_pull_policy": "Never",
        "namespace": cluster.namespace,
        "host_root": HOST_ROOT,
        "resources": {"cpu": "50m", "memory": "1Gi"},
        "env": {"AWS_ENDPOINT_URL": _storage.endpoint(cluster), "AWS_REGION": "us-east-1", "DO_NOT_TRACK": "1"},
        "env_from": [_storage.KEYS],
        "volumes": [{"name": "results", "mount_path": "/results", "source": {"hostPath": {"path": RESULTS}}}],
    }
    settings = {"capacity": "1GiB", "spill": _storage.URL, "persist": ["*"], "deployment": deployment}
    _write(path, ENVIRONMENT, settings, f"/results/{Path(RESULT).name}")
    _write(
        path, GROUPED, {**settings, "deployment": {**deployment, "grouping": GROUPS}}, f"/results/{Path(RESULT).name}"
    )
    _write(path, LOCAL, None, "alone/result.csv")
    return Project(path, cluster)


def _write(project: Path, env: str, settings: dict[str, Any] | None, result: str) -> None:
    folder = project / "conf" / env
    folder.mkdir()
    entry = {"type": "house_prices.datasets.CSVDataset", "filepath": result}
    (folder / "catalog.yml").write_text(yaml.safe_dump({"with_total_area": entry}))
    if settings is not None:
        (folder / "bodega.yml").write_text(yaml.safe_dump(settings, sort_keys=False))


def make_image(project: Project, base_image: str) -> Path:
    """Build the project's image; the archive of it.

    The project brings this version of bodega along as a wheel.
    """
    wheels = project.path / "wheels"
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(wheels)]
    subprocess.run(build, cwd=EXAMPLE.parents[1], check=True, capture_output=True)
    project.bodega("docker", "init", "--include", "data/01_raw")
    project.bodega(
        "docker", "build", "--env", ENVIRONMENT, "--base-image", base_image, "--docker-args", "--network=host"
    )
    archive = project.path / "image.tar"
    subprocess.run(["docker", "save", "-o", str(archive), IMAGE], check=True)
    return archive
