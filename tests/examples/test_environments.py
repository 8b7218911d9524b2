"""The example's environments: what they share the data through changes no result."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

import bodega

PROJECT = Path(__file__).parents[2] / "examples" / "house-prices"
NODES = ("read_houses", "drop_outliers", "log_price", "drop_columns", "fill_missing", "add_total_area")
LAST = "with_total_area"
# What `kedro run` does, and keeps the last dataset, which the memory of the process would lose.
IN_MEMORY = f"""
from pathlib import Path
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
bootstrap_project(Path.cwd())
session = KedroSession.create(env="memory")
with session:
    session.run()["{LAST}"].load().to_pickle("memory.pickle")
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    ignored = shutil.ignore_patterns("__pycache__", "02_intermediate")
    return Path(shutil.copytree(PROJECT, tmp_path / "project", ignore=ignored))


def python(project: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=project,
        env={**os.environ, "DO_NOT_TRACK": "1", "MULTIPLIER": "2", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


def kedro_run(project: Path, *arguments: str, **environment: str) -> None:
    done = python(project, "-m", "kedro", "run", *arguments, **environment)
    assert done.returncode == 0, done.stdout + done.stderr


def in_memory(project: Path) -> pd.DataFrame:
    done = python(project, "-c", IN_MEMORY)
    assert done.returncode == 0, done.stdout + done.stderr
    return pd.read_pickle(project / "memory.pickle")


@pytest.mark.timeout(200)
def test_node_by_node_through_bodega_equals_memory_exactly(project: Path, tmp_path: Path) -> None:
    root = str(tmp_path / "store")
    for node in NODES:
        kedro_run(project, "--env", "bodega", "--nodes", node, BODEGA_ROOT=root, BODEGA_RUN="r")
    assert_frame_equal(bodega.open(root, run="r").get(LAST), in_memory(project), check_exact=True)
    assert not (project / "data" / "02_intermediate").exists()


def test_csv_equals_memory_within_float_tolerance(project: Path) -> None:
    kedro_run(project, "--env", "csv")
    file = project / "data" / "02_intermediate" / f"{LAST}.csv"
    result = pd.read_csv(file, keep_default_na=False, na_values=[""])
    # A CSV file keeps no dtypes.
    assert_frame_equal(result, in_memory(project), check_dtype=False, rtol=1e-12)


def test_the_environment_variable_sets_the_multiplier_and_a_parameter_wins(project: Path) -> None:
    first = project / "data" / "02_intermediate" / "house_prices.csv"
    kedro_run(project, "--env", "csv", "--nodes", "read_houses", MULTIPLIER="3")
    assert len(pd.read_csv(first)) == 3 * 1460
    kedro_run(project, "--env", "csv", "--nodes", "read_houses", "--params", "multiplier=4", MULTIPLIER="3")
    assert len(pd.read_csv(first)) == 4 * 1460
