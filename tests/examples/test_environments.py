"""The example's environments: what they share the data through changes no result."""

import os
import pickle
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

import bodega

PROJECT = Path(__file__).parents[2] / "examples" / "house-prices"
NODES = ("read_houses", "drop_outliers", "log_price", "drop_columns", "fill_missing", "add_total_area")
TABLES = (
    "house_prices",
    "without_outliers",
    "with_log_price",
    "without_sparse_columns",
    "without_gaps",
    "with_total_area",
)
"""What the nodes make, in their order."""
# What `kedro run` does, and keeps every table, which the memory of the process would lose.
IN_MEMORY = """
import pickle
from pathlib import Path
from kedro.framework.hooks import hook_impl
from kedro.framework.project import settings
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

class Keeper:
    def __init__(self):
        self.tables = {}
    @hook_impl
    def after_node_run(self, outputs):
        self.tables.update(outputs)

bootstrap_project(Path.cwd())
keeper = Keeper()
settings.set("HOOKS", (keeper,))
with KedroSession.create(env="memory") as session:
    session.run()
Path("memory.pickle").write_bytes(pickle.dumps(keeper.tables))
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
        timeout=300,
    )


def kedro_run(project: Path, *arguments: str, **environment: str) -> None:
    done = python(project, "-m", "kedro", "run", *arguments, **environment)
    assert done.returncode == 0, done.stdout + done.stderr


def in_memory(project: Path, **environment: str) -> dict[str, pd.DataFrame]:
    done = python(project, "-c", IN_MEMORY, **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return pickle.loads((project / "memory.pickle").read_bytes())


def assert_holds(store: bodega.Store, tables: dict[str, pd.DataFrame]) -> None:
    """Whether a run has these tables, exactly, and no others."""
    assert store.names() == sorted(tables) == sorted(TABLES)
    for name, table in tables.items():
        assert_frame_equal(store.get(name), table, check_exact=True, check_freq=True, obj=name)


def test_node_by_node_through_bodega_equals_memory_exactly(project: Path, root: Path) -> None:
    for node in NODES:
        kedro_run(project, "--env", "bodega", "--nodes", node, MULTIPLIER="1")
    (run,) = bodega.open(root).runs()
    assert_holds(bodega.open(root, run=run), in_memory(project, MULTIPLIER="1"))
    assert not (project / "data" / "02_intermediate").exists()


def test_two_runs_at_once_never_mix(project: Path, root: Path) -> None:
    multipliers = {"one": "1", "two": "2"}
    for node in NODES:
        with ThreadPoolExecutor() as threads:
            done = [
                threads.submit(
                    kedro_run, project, "--env", "bodega", "--nodes", node, BODEGA_RUN=run, MULTIPLIER=multiplier
                )
                for run, multiplier in multipliers.items()
            ]
        for each in done:
            each.result()
    assert bodega.open(root).runs() == ["one", "two"]
    for run, multiplier in multipliers.items():
        tables = in_memory(project, MULTIPLIER=multiplier)
        assert len(tables["house_prices"]) == 1460 * int(multiplier)
        assert_holds(bodega.open(root, run=run), tables)


def test_csv_equals_memory_within_float_tolerance(project: Path) -> None:
    kedro_run(project, "--env", "csv")
    file = project / "data" / "02_intermediate" / f"{TABLES[-1]}.csv"
    result = pd.read_csv(file, keep_default_na=False, na_values=[""])
    # A CSV file keeps no dtypes.
    assert_frame_equal(result, in_memory(project)[TABLES[-1]], check_dtype=False, rtol=1e-12)


def test_the_environment_variable_sets_the_multiplier_and_a_parameter_wins(project: Path) -> None:
    first = project / "data" / "02_intermediate" / "house_prices.csv"
    kedro_run(project, "--env", "csv", "--nodes", "read_houses", MULTIPLIER="3")
    assert len(pd.read_csv(first)) == 3 * 1460
    kedro_run(project, "--env", "csv", "--nodes", "read_houses", "--params", "multiplier=4", MULTIPLIER="3")
    assert len(pd.read_csv(first)) == 4 * 1460
