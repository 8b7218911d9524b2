"""``store`` in a notebook, by either way; in a real IPython."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import bodega

pytest.importorskip("IPython")
PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


def cells(project, *lines: str, folder: Path | None = None) -> str:
    """What a session of IPython prints for these lines."""
    script = "\n".join(
        [
            "from IPython.core.interactiveshell import InteractiveShell",
            "shell = InteractiveShell.instance()",
            *(f"shell.run_cell({line!r}).raise_error()" for line in lines),
        ]
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=folder or project.path,
        env={**os.environ, "IPYTHONDIR": str(project.path / ".ipython"), "COLUMNS": "400"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_extension_defines_the_store_of_the_project(opted_in) -> None:
    opted_in.session().run()
    printed = cells(opted_in, "%load_ext bodega.kedro", "print(store.run, store['total'])")
    assert f"Defined 'store': run '{opted_in.run_name()}'" in printed
    assert f"{opted_in.run_name()} {{'sum': 112.5}}" in printed


def test_the_extension_follows_kedros(opted_in, tmp_path) -> None:
    opted_in.write("conf/other/bodega.yml", "run: elsewhere\n")
    reload = f"%reload_kedro {opted_in.path} --env other"
    printed = cells(
        opted_in, "%load_ext kedro.ipython", reload, "%load_ext bodega.kedro", "print(store.run)", folder=tmp_path
    )
    assert printed.splitlines()[-1] == "elsewhere"


def test_the_store_is_that_of_the_environment_that_kedro_was_loaded_with_last(opted_in) -> None:
    for name in ("one", "two"):
        opted_in.write(f"conf/{name}/bodega.yml", f"run: {name}\n")
    loads = [f"%reload_kedro {opted_in.path} --env {name}" for name in ("one", "two")]
    printed = cells(
        opted_in, "%load_ext kedro.ipython", loads[0], "%load_ext bodega.kedro", loads[1], "print(store.run)",
        "store = 'mine'", loads[0], "print(store)",
    )  # fmt: skip
    lines = printed.splitlines()
    assert lines[-1] == "mine" and "two" in lines and sum("Defined 'store'" in line for line in lines) == 2


def test_the_magic_defines_it_anew_and_of_any_run(opted_in) -> None:
    bodega.open(run="nightly").put("x", [1])
    printed = cells(
        opted_in, "%load_ext bodega.kedro", "%bodega nightly", "print(store['x'])", "%bodega", "print(store)"
    )
    assert "Defined 'store': run 'nightly'" in printed
    assert "[1]" in printed
    assert "run='little-shop-local-" in printed.splitlines()[-1]


def test_kedros_extension_finds_the_magic(opted_in) -> None:
    entry = tomllib.loads(PYPROJECT.read_text())["project"]["entry-points"]["kedro.line_magic"]["bodega"]
    opted_in.write("src/magic-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: magic\nVersion: 1.0\n")
    opted_in.write("src/magic-1.0.dist-info/entry_points.txt", f"[kedro.line_magic]\nbodega = {entry}\n")
    path = f"import sys; sys.path.insert(0, {str(opted_in.path / 'src')!r})"
    printed = cells(opted_in, path, "%load_ext kedro.ipython", "%bodega", "print(store)")
    assert "run='little-shop-local-" in printed.splitlines()[-1]


def test_without_a_project_it_is_the_users_store(opted_in, tmp_path) -> None:
    printed = cells(opted_in, "%load_ext bodega.kedro", folder=tmp_path)
    assert "Defined 'store': run 'default'" in printed
