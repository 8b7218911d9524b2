"""A small Kedro project, written file by file, and ways to run it: as a person would, or in this process."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from click.testing import CliRunner, Result
from kedro.framework import project as kedro_project
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

import bodega
import kedro
from bodega.kedro.cli import bodega as bodega_command

NODES = """
def make(size):
    return np.arange(float(size))

def double(numbers):
    numbers *= 2  # In place: nobody else may see it.
    return numbers

def halve(numbers):
    numbers /= 2
    return numbers

def add(doubled, halved):
    return {"sum": float(doubled.sum() + halved.sum())}
"""

PIPELINE = """
    node(make, "params:size", "numbers", name="make"),
    node(double, "numbers", "doubled", name="double"),
    node(halve, "numbers", "halved", name="halve"),
    node(add, ["doubled", "halved"], "total", name="add"),
"""
"""The diamond: ``make`` -> ``double`` and ``halve`` -> ``add``."""

BIKESHARE = Path(__file__).parent.parent / "projects" / "bikeshare"
"""A project that was not made for bodega, and runs through files or, with the environment ``bodega``, the store."""


@dataclass
class KedroProject:
    """A project on disk."""

    path: Path
    package: str

    def write(self, name: str, text: str) -> None:
        """Write a file of the project."""
        target = self.path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(dedent(text))

    def code(self, nodes: str = NODES, pipeline: str = PIPELINE) -> None:
        """Write the nodes and the pipeline."""
        imports = (
            "import os, signal, sys, threading, time\nfrom pathlib import Path\nimport numpy as np\nimport bodega\n"
        )
        self.write(f"src/{self.package}/nodes.py", imports + dedent(nodes))
        self.write(
            f"src/{self.package}/pipeline_registry.py",
            f"from kedro.pipeline import node, pipeline\nfrom {self.package}.nodes import *\n\n"
            f"def register_pipelines():\n    return {{'__default__': pipeline([{pipeline}])}}\n",
        )

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Start ``kedro run`` in a process group of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "kedro", "run", *arguments],
            cwd=self.path,
            env={**os.environ, "COLUMNS": "400", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str, fails: bool = False, **environment: str) -> str:
        """What ``kedro run`` prints; its exit status must be as expected."""
        process = self.start(*arguments, **environment)
        try:
            output, _ = process.communicate(timeout=300)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        assert (process.returncode != 0) == fails, output
        return output

    def session(self, **options: Any) -> KedroSession:
        """A session in this process."""
        bootstrap_project(self.path)
        return KedroSession.create(project_path=self.path, **options)

    def command(self, *arguments: str, code: int = 0) -> Result:
        """What ``kedro bodega`` prints, in this process."""
        # The click that Kedro 1.0 allows mixes both streams unless it is told otherwise.
        apart: dict[str, Any] = {"mix_stderr": False} if "mix_stderr" in signature(CliRunner).parameters else {}
        runner = CliRunner(**apart)
        result = runner.invoke(bodega_command, list(arguments), obj=bootstrap_project(self.path))
        assert result.exit_code == code, (result.output, result.exception)
        return result

    def run_name(self) -> str:
        """The one run there is."""
        (name,) = bodega.open().runs()
        return name

    def stored(self, run: str | None = None) -> bodega.Store:
        """The store, as seen from a run; by default from the only one."""
        return bodega.open(run=run or self.run_name())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Kedro's own warnings are not ours to mend."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("ignore:register_new_resolver:UserWarning"))


@pytest.fixture(autouse=True)
def environment(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A root of the test's own, and nothing from outside."""
    for name in ("KEDRO_ENV", "KEDRO_MP_CONTEXT", "KEDRO_LOGGING_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    assert os.environ["BODEGA_ROOT"] == str(root)


@pytest.fixture
def make_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Callable[[str], KedroProject]]:
    """Write projects; whatever this process learns of them is forgotten after the test."""
    before = set(sys.modules)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", ""))

    def make(name: str) -> KedroProject:
        # Packages of one name would be one module in this process.
        package = f"shop_{abs(hash((request.node.nodeid, name))):x}"
        project = KedroProject(tmp_path / name, package)
        project.write(
            "pyproject.toml",
            f"""
            [tool.kedro]
            package_name = "{package}"
            project_name = "{name}"
            kedro_init_version = "{kedro.__version__}"
            """,
        )
        project.write(f"src/{package}/__init__.py", "")
        project.write(f"src/{package}/settings.py", "")
        project.write("conf/base/parameters.yml", "size: 10\n")
        project.write("conf/base/catalog.yml", "")
        project.write("conf/local/.gitkeep", "")
        project.code()
        return project

    yield make
    for name in set(sys.modules) - before:
        if name.startswith(("shop_", BIKESHARE.name)):
            del sys.modules[name]
    kedro_project.PACKAGE_NAME = None
    kedro_project.pipelines.configure(None)


@pytest.fixture
def project(make_project: Callable[[str], KedroProject]) -> KedroProject:
    """A project that has not opted in."""
    return make_project("little-shop")


@pytest.fixture
def bikeshare(make_project: object, tmp_path: Path) -> KedroProject:
    """A copy of the other project."""
    return KedroProject(Path(shutil.copytree(BIKESHARE, tmp_path / BIKESHARE.name)), BIKESHARE.name)


@pytest.fixture
def opted_in(project: KedroProject) -> KedroProject:
    """A project with an empty ``bodega.yml``."""
    project.write("conf/base/bodega.yml", "")
    return project
