"""The demo as a person runs it: real processes, a real store, the smallest data."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner

import bodega
from bodega import example
from bodega.cli import main
from bodega.demo import command, requirements
from bodega.demo.command import demo
from bodega.demo.measure import DEMO_RUN, Medium
from bodega.demo.project import Step
from bodega.demo.report import Comparison
from bodega.example import copy_example
from bodega.texts import install

NODES = ["read_houses", "drop_outliers", "log_price", "drop_columns", "fill_missing", "add_total_area"]
COMMAND = [sys.executable, "-c", "from bodega.demo.command import demo; demo()"]
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BODEGA_ROOT", str(tmp_path / "store"))
    monkeypatch.setenv("COLUMNS", "100")
    return tmp_path / "store"


def example_whose_second_node_does(statement: str, target: Path) -> Path:
    project = copy_example(target)
    code = project / "src" / "house_prices" / "nodes.py"
    text = code.read_text(encoding="utf-8")
    first = '    return houses[houses["GrLivArea"]'
    assert first in text
    code.write_text(text.replace(first, f"    {statement}\n{first}"), encoding="utf-8")
    return project


def test_demo_from_start_to_end(tmp_path: Path, root: Path) -> None:
    store = bodega.open(root, run=DEMO_RUN)
    store.put("of_an_earlier_demo", 1)
    store.with_run("other").put("kept", 1)
    output = tmp_path / "out"
    done = subprocess.run(
        [*COMMAND, "--multiplier", "1", "--output", str(output)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    # One plain line a step, in order, since stderr is no terminal.
    steps = [line.split()[-4:-2] if "CSV" in line else line.split()[:2] for line in done.stderr.splitlines()]
    assert [step[-1] for step in steps[1:]] == NODES * 2
    assert all(node in done.stdout for node in NODES)
    assert re.search(r"ratio .*\dx", done.stdout)
    assert str(output / "chart.png") in done.stdout
    assert (output / "chart.png").read_bytes().startswith(PNG)
    timings = json.loads((output / "timings.json").read_text(encoding="utf-8"))
    assert (timings["rows"], timings["columns"]) == (1460, 81)
    for medium in timings["media"].values():
        for step in medium["steps"]:
            parts = [step[part] for part in ("start_up", "load", "compute", "save")]
            assert min(parts) >= 0
            assert sum(parts) == pytest.approx(step["process"])
        assert medium["total"]["process"] == pytest.approx(sum(step["process"] for step in medium["steps"]))
    # What it leaves: its own six objects, and what was not its own.
    assert len(store.names()) == len(NODES)
    assert "with_total_area" in store.names()
    assert store.get("with_total_area").shape == (1457, 75)
    assert store.with_run("other").names() == ["kept"]
    assert timings["media"]["bodega"]["bytes"] == sum(info.nbytes for info in store.list())


@pytest.fixture
def known_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line without the minute of processes behind it."""
    step = Step("one", load=1.0, compute=0.5, save=2.0, process=5.0, shape=(20, 3))
    comparison = Comparison(1, Medium("CSV files", [step], 10), Medium("bodega", [step], 20))
    monkeypatch.setattr(command, "_compare", lambda _: comparison)


@pytest.mark.usefixtures("known_times")
def test_json_is_all_that_is_printed(tmp_path: Path) -> None:
    result = CliRunner().invoke(demo, ["--output", str(tmp_path), "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == json.loads((tmp_path / "timings.json").read_text(encoding="utf-8"))
    assert str(tmp_path / "chart.png") in result.stderr


@pytest.mark.usefixtures("known_times")
def test_without_matplotlib_there_is_no_chart_but_a_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "find_spec", lambda _: None)
    result = CliRunner().invoke(demo, ["--output", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert f"matplotlib is not installed: {install('bodega[demo]')}" in result.stdout
    assert [path.name for path in tmp_path.glob("*.*")] == ["timings.json"]


def test_a_failing_node_is_named_with_its_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = example_whose_second_node_does('raise RuntimeError("no such house")', tmp_path / "broken")
    monkeypatch.setattr(example, "_PLACES", (broken,))
    result = CliRunner().invoke(demo, ["--multiplier", "1", "--output", str(tmp_path / "out")])
    assert result.exit_code == 1
    assert "node 'drop_outliers' in environment 'csv' (exit status 1)" in result.stderr
    assert "RuntimeError: no such house" in result.stderr
    assert not (tmp_path / "out" / "timings.json").exists()


def test_ctrl_c_stops_the_child_and_exits_130(tmp_path: Path) -> None:
    reached = tmp_path / "reached"
    statement = f'open({str(reached)!r}, "x").close(); __import__("time").sleep(600)'
    project = example_whose_second_node_does(statement, tmp_path / "slow")
    code = f"from pathlib import Path; from bodega import example; from bodega.demo.command import demo; example._PLACES = (Path({str(project)!r}),)"
    process = subprocess.Popen(
        [sys.executable, "-c", f"{code}; demo()", "--multiplier", "1", "--output", str(tmp_path / "out")],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    with process:
        deadline = time.monotonic() + 300
        while not reached.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        children = psutil.Process(process.pid).children()
        assert children
        process.send_signal(signal.SIGINT)  # To the demo alone; a terminal would signal the child too.
        _, errors = process.communicate(timeout=300)
    assert process.returncode == 130
    assert "Stopped" in errors
    assert "Traceback" not in errors
    assert not any(child.is_running() for child in children)
    assert not list(tmp_path.glob("bodega-demo-*"))


def test_missing_libraries_are_named_with_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(requirements, "find_spec", lambda module: None if module == "kedro" else object())
    result = CliRunner().invoke(demo, ["--output", str(tmp_path)])
    assert result.exit_code == 1
    assert f"needs kedro, which is not installed: {install('bodega[demo]')}" in result.stderr


def test_a_missing_example_is_an_error_that_says_where_it_looked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(example, "_PLACES", (tmp_path / "nowhere",))
    result = CliRunner().invoke(main, ["demo", "--output", str(tmp_path)])
    assert result.exit_code == 1
    assert str(tmp_path / "nowhere") in result.stderr


@pytest.mark.parametrize("multiplier", ["0", "-1", "many"])
def test_a_multiplier_that_is_no_positive_number_is_refused(multiplier: str) -> None:
    result = CliRunner().invoke(demo, ["--multiplier", multiplier])
    assert result.exit_code == 2
    assert "--multiplier" in result.stderr


def test_the_copy_leaves_out_what_runs_have_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    used = Path(shutil.copytree(copy_example(tmp_path / "first"), tmp_path / "used"))
    (used / "data" / "02_intermediate").mkdir()
    (used / "src" / "house_prices" / "__pycache__").mkdir(exist_ok=True)
    (used / "conf" / "local" / "credentials.yml").write_text("secret: 1", encoding="utf-8")
    monkeypatch.setattr(example, "_PLACES", (used,))
    copied = {path.name for path in copy_example(tmp_path / "second").rglob("*")}
    assert {"house_prices.csv", "pyproject.toml", "bodega.yml", ".gitkeep"} <= copied
    assert not copied & {"02_intermediate", "__pycache__", "credentials.yml"}


def test_help_keeps_each_example_on_a_line_of_its_own() -> None:
    lines = CliRunner().invoke(demo, ["--help"]).stdout.splitlines()
    assert "    bodega demo" in lines
    assert "    bodega demo --json | jq .ratio" in lines
