"""A real Kubernetes of two hosts on this machine, with Argo Workflows, object storage and the example's image.

What it needs lies outside the project and is named by environment variables; without them, these tests skip and say
what to run. Everything that is started here ends with the tests.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e import _storage
from tests.e2e._cluster import Cluster
from tests.e2e._docker import import_base_image, running_engine
from tests.e2e._project import HOST_ROOT, Project, make_image, make_project

TOOL = "BODEGA_TEST_CLUSTER"
ARGO = "BODEGA_TEST_ARGO"
NAMESPACE = "bodega-e2e"
BASE_IMAGE = "bodega-test-python"
REMEDY = f"run `make e2e {TOOL}=FOLDER {ARGO}=FOLDER` as root, see CONTRIBUTING.md"


def _what_is_missing() -> str | None:
    for variable, program in ((TOOL, "cluster.py"), (ARGO, "workflow-controller"), (ARGO, "argoexec")):
        if not (Path(os.environ.get(variable, "")) / program).is_file():
            return f"{variable} is not a folder with {program}"
    if os.geteuid() != 0:
        return "hosts are namespaces, which takes root"
    if "PYTEST_XDIST_WORKER" in os.environ:
        return "a machine has one cluster, not one for each worker"
    for program in ("go", "docker", "dockerd", "debootstrap"):
        if shutil.which(program) is None:
            return f"there is no program {program!r}"
    return None


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two hosts, Argo Workflows and a bucket."""
    missing = _what_is_missing()
    if missing:
        pytest.skip(f"{missing}: {REMEDY}")
    cluster = Cluster(Path(os.environ[TOOL]), NAMESPACE)
    was_up = cluster.is_up
    if not was_up:
        cluster.do("up", timeout=1500)
    try:
        cluster.do("argo", os.environ[ARGO], NAMESPACE)
        # Where the tests need a host to die, it is the other one.
        _storage.start(cluster, cluster.hosts[-1])
        yield cluster
    finally:
        if was_up:
            cluster.do("kubectl", "delete", "namespace", NAMESPACE)
            for host in cluster.hosts:
                cluster.remove(host, HOST_ROOT)
        else:
            cluster.do("down")


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory, cluster: Cluster) -> Iterator[None]:
    """A Docker engine: the machine's, or one for these tests."""
    with running_engine(tmp_path_factory.mktemp("docker")):
        yield


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory, cluster: Cluster, engine: None) -> Project:
    """The example, with settings for this cluster, and its image on every host."""
    import_base_image(BASE_IMAGE, tmp_path_factory.mktemp("base"))
    project = make_project(tmp_path_factory.mktemp("e2e"), cluster)
    cluster.load(make_image(project, BASE_IMAGE))
    return project
