"""The benchmark of the store as a person runs it: real processes, the smallest objects, and peers that need no installation."""

import json
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import psutil
import pytest
from click.testing import CliRunner

from bodega.errors import SettingsError
from bodega_bench.environments import Unavailable
from bodega_bench.formats import duration
from bodega_bench.store import command as store_module
from bodega_bench.store.command import store
from bodega_bench.store.peer_process import environment, measuring
from bodega_bench.store.peer_reading import FixedSignpost, Gate, read_among_puts
from bodega_bench.store.peers import PEERS
from bodega_bench.store.plan import FRAME, LEGEND, MANY, STEPS, Item, allow, items
from bodega_bench.store.report import as_markdown
from bodega_bench.store.results import rows

COMMAND = [sys.executable, "-m", "bodega", "bench", "store"]
PNG = b"\x89PNG\r\n\x1a\n"
GIB = 1 << 30


def run(*arguments, output):
    return CliRunner().invoke(store, [*map(str, arguments), "--output", str(output)])


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    output = tmp_path_factory.mktemp("bench")
    arguments = ["--peers", "shared-memory,pickle", "--sizes", "128KiB", "--no-frames", "--rounds", "1", "--json"]
    return run(*arguments, output=output), output


def test_every_step_is_measured_with_every_system(whole):
    result, output = whole
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report == json.loads((output / "store.json").read_text(encoding="utf-8"))
    assert [row["step"] for row in report["rows"]] == [*list(STEPS)[-2:], *list(STEPS)[:-2]]
    for row in report["rows"]:
        assert row["results"].keys() == {"bodega", "shared-memory", "pickle"}
        for measured in row["results"].values():
            assert 0 < measured["lower quartile"] <= measured["median"] <= measured["upper quartile"]
        assert row["results"][row["first"]]["median"] == min(each["median"] for each in row["results"].values())
    assert not report["failures"]
    assert not report["skipped"]
    assert report["versions"]["pickle"]["numpy"] == np.__version__
    assert report["beside a writer"]["bodega"] == {"torn": 0, "missing": 0}


def test_the_report_says_what_it_measured(whole):
    _, output = whole
    text = (output / "store.md").read_text(encoding="utf-8")
    assert "| 1,000 objects of 1 KiB | put, small objects |" in text
    assert "| array 128 KiB | get and change |" in text
    assert all(f"| {PEERS[peer].title} | {PEERS[peer].copies} |" in text for peer in ("bodega", "pickle"))
    assert (output / "store.png").read_bytes().startswith(PNG)


def test_resume_measures_only_what_is_missing(tmp_path):
    arguments = ["--peers", "pickle", "--sizes", "", "--no-frames", "--rounds", "2"]
    log = tmp_path / "store.jsonl"
    log.write_text('{"peer": "pickle", "of": "an earlier run"}\n', encoding="utf-8")
    assert run(*arguments, output=tmp_path).exit_code == 0
    lines = log.read_text(encoding="utf-8").splitlines(keepends=True)
    order = [(record["round"], record["peer"]) for record in map(json.loads, lines)]
    assert order == [(0, "bodega"), (0, "pickle"), (1, "pickle"), (1, "bodega")]
    log.write_text("".join(lines[:2]) + lines[2][:40], encoding="utf-8")  # Killed in the middle of a line.
    assert run(*arguments, "--resume", output=tmp_path).exit_code == 0
    again = log.read_text(encoding="utf-8").splitlines(keepends=True)
    assert again[:2] == lines[:2]
    assert [(record["round"], record["peer"]) for record in map(json.loads, again)] == order
    assert again[2:] != lines[2:]


def test_a_system_that_fails_is_named_and_the_others_go_on(tmp_path, monkeypatch):
    real = environment
    monkeypatch.setattr(store_module, "environment", lambda name: "/bin/false" if name == "pickle" else real(name))
    result = run("--peers", "pickle", "--sizes", "", "--no-frames", "--rounds", "1", "--json", output=tmp_path)
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert "exit status 1" in report["failures"]["pickle file, 1,000 objects of 1 KiB"]
    assert {tuple(row["results"]) for row in report["rows"]} == {("bodega",)}
    assert "- pickle file, 1,000 objects of 1 KiB: stopped" in (tmp_path / "store.md").read_text(encoding="utf-8")


def test_an_environment_that_cannot_be_made_is_named(tmp_path, monkeypatch):
    def fail(name):
        if name == "pickle":
            raise Unavailable("there is no network")
        return sys.executable

    monkeypatch.setattr(store_module, "environment", fail)
    result = run("--peers", "pickle", "--sizes", "", "--no-frames", "--rounds", "1", output=tmp_path)
    assert result.exit_code == 1
    assert "pickle file: there is no network" in result.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--peers", "floppy"], ["floppy", "vineyard, ray"]),
        (["--sizes", "1 parsec"], ["parsec", "--sizes"]),
        (["--sizes", "4B"], ["8 bytes"]),
        (["--rounds", "0"], ["--rounds"]),
    ],
)
def test_what_cannot_be_measured_is_a_usage_error(tmp_path, arguments, words):
    result = run(*arguments, output=tmp_path / "out")
    assert result.exit_code == 2
    assert all(word in result.output for word in words)
    assert not (tmp_path / "out").exists()


def test_ctrl_c_stops_all_processes_and_keeps_what_has_ended(tmp_path):
    arguments = ["--peers", "pickle", "--sizes", "1KiB", "--rounds", "9", "--output", str(tmp_path)]
    process = subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    log, deadline = tmp_path / "store.jsonl", time.monotonic() + 300
    while not (log.exists() and log.read_text(encoding="utf-8")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    while not (children := psutil.Process(process.pid).children(recursive=True)):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 130
    assert "--resume" in errors
    assert not psutil.wait_procs(children, timeout=300)[1]
    assert all(json.loads(line)["steps"] for line in log.read_text(encoding="utf-8").splitlines())


def test_what_does_not_fit_in_memory_is_skipped_and_said():
    item = Item("array 4 GiB", "array", 4 * GIB)
    allowed = allow(item, PEERS["pickle"], 20 * GIB)
    assert {"new", "replace", "sum"} <= allowed.steps.keys()
    assert allowed.skipped.keys() == {"together", "among_readers", "beside_writer"}  # Each reader has a copy.
    assert allowed.skipped["together"].startswith("needs 24.2 GiB of memory, 20 GiB are left")
    assert allow(item, PEERS["bodega"], 20 * GIB).skipped.keys() == {"among_readers", "beside_writer"}
    assert "together" in allow(item, PEERS["bodega"], 20 * GIB).steps
    nothing = allow(item, PEERS["bodega"], 4 * GIB)
    assert not nothing.steps
    assert nothing.skipped.keys() == STEPS.keys() - {"put_many", "get_many"}


def test_items_and_their_steps():
    found = items("1KiB, 100MB", frames=True)
    assert [(item.kind, item.nbytes) for item in found] == [
        ("many", 1024), ("array", 1024), ("array", 100_000_000), ("frame", FRAME), ("strings", FRAME),
    ]  # fmt: skip
    assert found[0].steps(PEERS["pickle"]) == {"put_many": MANY, "get_many": MANY}
    assert found[1].steps(PEERS["pickle"])["new"] == 20
    assert found[2].steps(PEERS["pickle"])["new"] == 1
    assert not found[3].steps(PEERS["shared-memory"])  # It shares arrays only.
    assert "change" not in found[3].steps(PEERS["pickle"])
    with pytest.raises(SettingsError, match="8 bytes"):
        items("7", frames=False)
    assert all(any(step.endswith(key) for key in LEGEND) for step in STEPS.values())


def record(peer, turn, **steps):
    return {
        "peer": peer, "object": "array 1 MiB", "round": turn, "notes": {}, "skipped": {},
        "steps": {step: {"times": times} for step, times in steps.items()},
    }  # fmt: skip


def test_rows_are_medians_of_all_calls_and_say_where_bodega_is():
    item = Item("array 1 MiB", "array", 1 << 20)
    records = [
        record("bodega", 0, new=[1.0, 2.0], get=[5.0], sum=[1.04], change=[3.0]),
        record("bodega", 1, new=[3.0, 10.0], get=[5.0], sum=[1.04]),
        record("ray", 0, new=[4.0], get=[1.0], sum=[1.0]),
    ]
    new, get, total, change = rows(records, [item], ["bodega", "ray"])
    assert (new["first"], new["bodega"]) == ("bodega", "first")
    assert new["results"]["bodega"] == {
        "median": 2.5, "lower quartile": 1.75, "upper quartile": 4.75, "calls": 4,
        "lowest round": 1.5, "highest round": 6.5, "rounds": 2,
    }  # fmt: skip
    assert (get["first"], get["bodega"], get["bodega / first"]) == ("ray", "behind", 5.0)
    assert (total["first"], total["bodega"]) == ("ray", "level")
    assert change["results"].keys() == {"bodega"}


def test_a_table_marks_the_fastest():
    item = Item("array 1 MiB", "array", 1 << 20)
    records = [record("bodega", 0, sum=[2.0], elsewhere=[2.0]), record("ray", 0, sum=[1.0], elsewhere=[1.5])]
    report = {
        "date": "today", "command": "bodega bench store", "machine": {}, "versions": {}, "systems": ["bodega", "ray"],
        "rows": rows(records, [item], ["bodega", "ray"]), "failures": {}, "skipped": {"a": "too large"},
        "beside a writer": {"ray": {"torn": 3, "missing": 0}, "bodega": {"torn": 0, "missing": 0}},
    }  # fmt: skip
    text = as_markdown(report, None)
    assert "| array 1 MiB | get and sum | 2 s | **1 s (0.50x)** | behind |" in text
    assert "| array 1 MiB | first get and sum | 2 s | **1.5 s (0.75x)** | behind |" in text
    assert "readers of Ray saw 3 values that were partly of one put and partly of another" in text
    assert "readers of bodega" not in text
    assert "- a: too large" in text


@pytest.mark.parametrize(
    ("seconds", "text"), [(2.5e-7, "0.25 us"), (0.000123456, "123 us"), (0.0123, "12.3 ms"), (1234.0, "1,234 s")]
)
def test_times_for_people(seconds, text):
    assert duration(seconds) == text


def test_a_reader_beside_a_writer_counts_torn_values_and_missing_objects(tmp_path):
    answers = iter([np.ones(4), np.ones(4), FileNotFoundError(), 2 * np.ones(4), np.array([1.0, 1.0, 2.0, 2.0])])
    gate = Gate(str(tmp_path / "gate"))

    def get(_):
        answer = next(answers, None)
        if answer is None:
            gate.close()
            return np.ones(4)
        if isinstance(answer, Exception):
            raise answer
        return answer

    opener = threading.Thread(target=gate.open, args=[1])
    opener.start()
    seen = read_among_puts(lambda: get, FixedSignpost(), str(tmp_path / "gate"), 0)
    opener.join()
    assert (len(seen.times), seen.torn, seen.missing) == (4, 1, 1)


def test_an_error_of_a_step_is_reported_and_the_next_step_runs(tmp_path):
    # There is nothing yet to get.
    with measuring(
        "pickle", sys.executable, kind="array", nbytes=8000, capacity=GIB, steps={"get": 1, "new": 3, "sum": 2},
        log=tmp_path / "log",
    ) as answers:  # fmt: skip
        _, get, new, total, notes = list(answers)
    assert get == {"step": "get", "error": "IndexError: list index out of range"}
    assert (new["step"], len(new["times"])) == ("new", 3)
    assert (total["step"], len(total["times"])) == ("sum", 2)
    assert notes == {"notes": {}}
