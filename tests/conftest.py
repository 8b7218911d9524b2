"""A store of its own for each test, on the file system that roots are made for."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

import bodega

os.environ["DO_NOT_TRACK"] = "1"
# How fast a machine is says nothing about what is right; and the stores that examples share are made for that.
settings.register_profile(
    "bodega", deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
settings.load_profile("bodega")


def pytest_collection_modifyitems(items):
    """The long forms take hours, whoever runs them."""
    if os.environ.get("BODEGA_STRESS"):
        for item in items:
            item.add_marker(pytest.mark.timeout(7200), append=False)


@pytest.fixture
def root(monkeypatch):
    """A path for a root on tmpfs, where there is one; removed afterwards."""
    parent = "/dev/shm" if os.path.isdir("/dev/shm") else None
    folder = tempfile.mkdtemp(prefix="bodega-test-", dir=parent)
    monkeypatch.setenv("BODEGA_ROOT", folder)
    monkeypatch.delenv("BODEGA_RUN", raising=False)
    yield Path(folder)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def store(root):
    return bodega.open(root)
