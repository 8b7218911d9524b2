"""The command line, called in this process and as a program."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import shlex
import shutil
import signal
import stat
import struct
import subprocess
import sys
import termios
from contextlib import suppress
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

import bodega
from bodega.cli import main
from bodega.texts import format_size

CLI = [sys.executable, "-m", "bodega"]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "root"
    monkeypatch.setenv("BODEGA_ROOT", str(path))
    monkeypatch.delenv("BODEGA_RUN", raising=False)
    return path


@pytest.fixture
def store(root: Path) -> bodega.Store:
    store = bodega.open(root)
    store.put("features/a", b"a" * 3000)
    store.put("features/b", b"b")
    store.put("model", {"depth": 3})
    store.with_run("nightly").put("other", b"other")
    return store


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def fails(result: Result, code: int, *parts: str) -> None:
    """One line on standard error that holds these parts, nothing on standard output."""
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("bodega: error: ")
    assert result.stderr.count("\n") == 1
    for part in parts:
        assert part in result.stderr


def damage(store: bodega.Store, name: str) -> None:
    (Path(store.root) / "runs" / store.run / name).write_bytes(b"not an object")


def test_ls_shows_the_objects_of_the_run(store: bodega.Store) -> None:
    result = run("ls")
    header, *rows = result.stdout.splitlines()
    assert header.split() == ["name", "kind", "shape", "size", "age", "producer"]
    assert [row.split()[0] for row in rows] == ["features/a", "features/b", "model"]
    assert rows[0].split()[1:5] == ["bytes", "3,000", "2.93", "KiB"]
    assert f"process {os.getpid()}" in rows[0]
    assert result.exit_code == 0


def test_ls_takes_a_pattern_a_run_and_all_runs(store: bodega.Store) -> None:
    assert [each["name"] for each in json.loads(run("ls", "feat*", "--json").stdout)["objects"]] == [
        "features/a",
        "features/b",
    ]
    assert [each["name"] for each in json.loads(run("ls", "--run", "nightly", "--json").stdout)["objects"]] == ["other"]
    everything = json.loads(run("ls", "--all-runs", "--json").stdout)
    assert [(each["run"], each["name"]) for each in everything["objects"]] == [
        ("default", "features/a"),
        ("default", "features/b"),
        ("default", "model"),
        ("nightly", "other"),
    ]
    assert everything["runs"] == ["default", "nightly"]


def test_ls_takes_the_run_from_the_environment(store: bodega.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BODEGA_RUN", "nightly")
    assert [each["name"] for each in json.loads(run("ls", "--json").stdout)["objects"]] == ["other"]
    # The environment says which run is meant, the option says all: no contradiction.
    assert len(json.loads(run("ls", "--all-runs", "--json").stdout)["objects"]) == 4


@pytest.mark.parametrize("arguments", [["ls"], ["info", "features/a"], ["usage"], ["sweep"], ["settings"], ["doctor"]])
def test_the_document_may_go_to_a_file(store: bodega.Store, tmp_path: Path, arguments: list[str]) -> None:
    file = tmp_path / "facts.json"
    assert run(*arguments, "--output", str(file)).stdout == ""
    assert json.loads(file.read_text())["root"] == str(store.root)


def test_a_file_that_cannot_be_written_is_named(store: bodega.Store, tmp_path: Path) -> None:
    file = tmp_path / "file" / "facts.json"
    file.parent.write_text("")
    fails(run("ls", "--output", str(file)), 1, f"{file} cannot be written")


def test_json_facts_are_exact(store: bodega.Store) -> None:
    document = json.loads(run("ls", "features/a", "--json").stdout)
    info = store.info("features/a")
    (facts,) = document["objects"]
    assert document["root"] == str(store.root)
    assert set(facts) == {"name", "run", "id", "nbytes", "kind", "created", "producer", "schema", "shape", "tier"}
    assert facts["nbytes"] == 3000
    assert facts["id"] == info.id
    assert facts["created"].endswith("Z")
    assert facts["created"] == info.created.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    assert facts["producer"] == {"process": os.getpid(), "host": info.producer.host, "task": None}


def test_ls_runs_counts_objects_and_bytes(store: bodega.Store) -> None:
    assert json.loads(run("ls", "--runs", "--json").stdout)["runs"][1] == {
        "run": "nightly",
        "objects": 1,
        "damaged": 0,
        "nbytes": 5,
    }
    assert run("ls", "--runs").stdout.splitlines()[2].split() == ["nightly", "1", "5", "B", "0"]


def test_ls_shows_a_damaged_object_and_the_others(store: bodega.Store) -> None:
    damage(store, "model")
    result = run("ls")
    assert result.exit_code == 1
    assert [row.split()[:2] for row in result.stdout.splitlines()[1:]] == [
        ["features/a", "bytes"],
        ["features/b", "bytes"],
        ["model", "damaged"],
    ]
    (damaged,) = json.loads(run("ls", "--json").stdout)["damaged"]
    assert (damaged["name"], damaged["run"]) == ("model", "default")
    assert "not a readable object" in damaged["reason"]


def test_ls_of_nothing_says_so_on_standard_error(store: bodega.Store) -> None:
    result = run("ls", "x*")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.startswith(f"There is no object that matches 'x*' in run 'default' of {store.root}.")


def test_ls_of_nothing_says_which_runs_have_objects_and_how_to_see_them(
    store: bodega.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = store.with_run("a b'; c")
    other.put("x", 1)
    store.with_run("records").put(".bodega/finished/a", b"1")
    document = json.loads(run("ls", "--run", "none", "--json").stdout)
    assert (document["objects"], document["damaged"]) == ([], [])
    assert "runs \"a b'; c\", 'default', 'nightly': bodega ls --all-runs shows" in run("ls", "--run", "none").stderr
    store.drop_run("nightly")
    store.drop_run()
    command = run("ls").stderr.partition('c": ')[2].removesuffix(" shows them.\n")
    assert shlex.split(command) == ["bodega", "ls", "--run", other.run]
    assert run(*shlex.split(command)[1:]).stdout.splitlines()[1].startswith("x ")
    monkeypatch.delenv("BODEGA_ROOT")
    assert f"--root {store.root} shows them." in run("ls", "--root", str(store.root)).stderr
    other.drop_run()
    assert run("ls", "--root", str(store.root)).stderr == f"There is no object in run 'default' of {store.root}.\n"


def test_runs_are_listed_one_below_the_other(store: bodega.Store) -> None:
    lines = run("ls", "--all-runs").stdout.splitlines()
    assert [line.split()[0] if line else "" for line in lines] == [
        "run", "name", "features/a", "features/b", "model", "", "run", "name", "other",
    ]  # fmt: skip
    assert [lines[0].rstrip(), lines[6].rstrip()] == ["run default", "run nightly"]


def on_a_terminal(columns: int, *arguments: str) -> list[str]:
    """The lines that a program prints on a terminal of so many columns."""
    here, there = pty.openpty()
    fcntl.ioctl(there, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {key: value for key, value in os.environ.items() if key not in {"COLUMNS", "LINES", "NO_COLOR"}}
    with subprocess.Popen(
        [*CLI, *arguments], stdin=there, stdout=there, stderr=subprocess.DEVNULL, env={**environment, "TERM": "xterm"}
    ) as program:
        os.close(there)
        shown = b""
        with suppress(OSError):  # The end of a terminal that nobody holds any more.
            while part := os.read(here, 65536):
                shown += part
        os.close(here)
        program.wait()
    return re.sub(r"\x1b\[[0-9;]*m", "", shown.decode()).splitlines()


@pytest.mark.parametrize("columns", [40, 80])
@pytest.mark.parametrize("arguments", [("ls", "--all-runs"), ("ls", "--runs"), ("ls", "--run", "a-run-" + "r" * 60)])
def test_a_narrow_terminal_folds_no_name(store: bodega.Store, columns: int, arguments: tuple[str, ...]) -> None:
    run_name, name = "a-run-" + "r" * 60, "a_name_" + "n" * 60
    store.with_run(run_name).put(name, b"1" * 5000)
    lines = on_a_terminal(columns, *arguments)
    wanted = run_name if arguments == ("ls", "--runs") else name
    (line,) = (line for line in lines if line.startswith(wanted))
    assert "4.88 KiB" in line


def test_usage_counts_what_ls_shows(store: bodega.Store, tmp_path: Path) -> None:
    store.put(".bodega/finished/a", b"1")
    below = bodega.open(store.root, spill=tmp_path / "below")
    below.put(".bodega/finished/b", b"1", persist=True)
    below.put("below", b"1", persist=True)
    document = json.loads(run("usage", "--json").stdout)
    assert document["objects"] == len(json.loads(run("ls", "--all-runs", "--json").stdout)["objects"]) == 5
    assert [tier["objects"] for tier in document["tiers"]] == [1]
    assert "5 in memory" in run("usage").stdout


def test_settings_are_shown_changed_and_forgotten(store: bodega.Store, tmp_path: Path) -> None:
    below = tmp_path / "below"
    assert json.loads(run("settings", "--json").stdout) == {
        "root": str(store.root), "capacity": None, "spill": [], "holds": False,
    }  # fmt: skip
    document = json.loads(run("settings", "--capacity", "8MiB", "--spill", str(below), "--json").stdout)
    assert (document["capacity"], document["spill"]) == ("8MiB", [str(below)])
    assert bodega.open(store.root).usage().capacity == 8 << 20
    assert f"spill 1   {below}" in run("settings").stdout
    fails(run("settings", "--capacity", "eight"), 1, "'eight' is not understood")
    fails(run("settings", "--spill", "s3://key:secret@bucket"), 1, "s3://... has a user or a password")
    fails(run("settings", "--forget", "--capacity", "8MiB"), 2, "--forget takes no")
    result = run("settings", "--forget")
    again = result.stderr.partition("this finds it: bodega ")[2]
    assert json.loads(run("settings", "--json").stdout)["spill"] == []
    assert run(*shlex.split(again)).exit_code == 0
    assert json.loads(run("settings", "--json").stdout)["spill"] == [str(below)]


def test_a_lower_folder_that_is_gone_is_got_over_on_the_command_line(store: bodega.Store, tmp_path: Path) -> None:
    bodega.open(store.root, spill=tmp_path / "my tier").put("below", b"1", persist=True)
    shutil.rmtree(tmp_path / "my tier")
    for command in (("ls",), ("usage",), ("rm", "model"), ("info", "model"), ("sweep",), ("ls", "--json")):
        result = run(*command)
        fails(result, 1, "my tier is gone", f"bodega settings --root {store.root} shows that, with --forget")
    assert run("doctor").exit_code == 1
    assert json.loads(run("settings", "--forget", "--json").stdout)["spill"] == []
    assert run("ls").exit_code == 0
    assert run("doctor").exit_code == 0


def test_names_cannot_steer_the_terminal(store: bodega.Store) -> None:
    store.put("red \x1b[31m", b"")
    assert "red \\x1b[31m" in run("ls").stdout
    assert "\x1b" not in run("rm", "red \x1b[31m").stdout


def test_names_are_not_markup(store: bodega.Store) -> None:
    store.put("[bold]x[/bold] :smile:", b"")
    assert "[bold]x[/bold] :smile:" in run("ls").stdout


def test_options_that_contradict_are_refused(store: bodega.Store) -> None:
    fails(run("ls", "--all-runs", "--run", "x"), 2, "--run and --all-runs contradict", "See 'main ls --help'")
    fails(run("ls", "--runs", "x*"), 2, "takes no pattern")


def test_info_shows_everything(store: bodega.Store) -> None:
    numpy = pytest.importorskip("numpy")
    store.put("matrix", numpy.zeros((3, 4)))
    facts = dict(line.split(None, 1) for line in run("info", "matrix").stdout.splitlines())
    info = store.info("matrix")
    assert facts["id"].strip() == info.id
    assert facts["kind"].strip() == "numpy.ndarray"
    assert facts["shape"].strip() == "3 x 4"
    assert facts["dtype"].strip() == "float64"
    assert facts["size"].strip() == "96 B (96 bytes)"
    assert f"{info.created.astimezone():%Y-%m-%d %H:%M:%S}" in facts["created"]
    document = json.loads(run("info", "matrix", "--json").stdout)
    assert (document["id"], document["shape"], document["root"]) == (info.id, [3, 4], str(store.root))


def test_info_lists_columns_with_dtypes(store: bodega.Store) -> None:
    pandas = pytest.importorskip("pandas")
    store.put("frame", pandas.DataFrame({"price": [1.0], "rooms": [2]}))
    lines = [line.split() for line in run("info", "frame").stdout.splitlines()]
    assert ["price", "float64"] in lines
    assert ["rooms", "int64"] in lines


def test_info_of_a_missing_name_shows_near_ones(store: bodega.Store) -> None:
    fails(run("info", "modle"), 1, "'modle'", "Did you mean 'model'?")


def test_the_command_of_a_message_works_as_it_stands(store: bodega.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    other = store.with_run("a b'; $(c)")
    other.put("xyz", 1)
    monkeypatch.delenv("BODEGA_ROOT")
    said = run("info", "nothing", "--run", other.run, "--root", str(store.root)).stderr
    words = shlex.split(said.partition("one other: ")[2].removesuffix(" shows it.\n"))
    assert words == ["bodega", "ls", "--run", other.run, "--root", str(store.root)]
    assert "xyz" in run(*words[1:]).stdout


def test_info_of_a_damaged_object_names_file_and_remedy(store: bodega.Store) -> None:
    damage(store, "model")
    fails(run("info", "model"), 1, f"{store.root}/runs/default/model", "bodega rm")


def test_rm_removes_names_and_says_how_much(store: bodega.Store) -> None:
    result = run("rm", "features/a", "model", "features/a")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0] == "Removed features/a (2.93 KiB)"
    assert result.stderr.startswith("Removed 2 objects, ")
    assert store.names() == ["features/b"]


def test_rm_removes_nothing_if_one_name_is_missing(store: bodega.Store) -> None:
    fails(run("rm", "model", "features/c"), 1, "'features/c'", "Did you mean 'features/")
    fails(run("rm", "--yes", "model", "x*"), 1, "'x*'")
    assert len(store) == 3


def test_rm_dry_run_changes_nothing(store: bodega.Store) -> None:
    document = json.loads(run("rm", "features/*", "--dry-run", "--json").stdout)
    assert document["dry_run"] is True
    assert document["removed"] == [{"name": "features/a", "nbytes": 3000}, {"name": "features/b", "nbytes": 1}]
    assert document["nbytes"] == 3001
    assert len(store) == 3


def test_rm_does_not_guess_without_a_terminal(store: bodega.Store) -> None:
    fails(run("rm", "features/*"), 2, "pass --yes")
    fails(run("rm", "--run", "nightly"), 2, "pass --yes")
    assert (len(store), store.runs()) == (3, ["default", "nightly"])


def test_rm_yes_removes_what_matches(store: bodega.Store) -> None:
    assert run("rm", "features/*", "--yes").exit_code == 0
    assert store.names() == ["model"]


def test_rm_removes_a_whole_run(store: bodega.Store) -> None:
    assert run("rm", "--run", "nightly", "--yes").exit_code == 0
    assert store.runs() == ["default"]
    fails(run("rm", "--run", "nightly", "--yes"), 1, "no run 'nightly'", "default")


def test_rm_of_a_whole_run_leaves_no_record_of_it(store: bodega.Store) -> None:
    store.with_run("last").put("x", 1)
    store.with_run("last").put(".bodega/finished/a", b"1")
    assert "Removed 1 object," in run("rm", "--run", "last", "--yes").stderr
    assert "last" not in store.runs()


def test_rm_never_takes_a_whole_run_from_the_environment(store: bodega.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BODEGA_RUN", "nightly")
    fails(run("rm", "--yes"), 2, "--run RUN")
    assert "nightly" in store.runs()


def test_rm_takes_a_name_that_looks_like_a_pattern_for_the_name(store: bodega.Store) -> None:
    store.put("*", b"")
    assert run("rm", "*").exit_code == 0
    assert len(store) == 3


def test_rm_removes_a_damaged_object(store: bodega.Store) -> None:
    damage(store, "model")
    assert run("rm", "model").stdout == "Removed model (damaged)\n"
    assert "model" not in store


def test_usage_shows_sizes_and_exact_bytes(store: bodega.Store) -> None:
    document = json.loads(run("usage", "--json").stdout)
    assert set(document) == {
        "root", "filesystem", "capacity", "used", "pool", "free", "objects", "runs", "leftovers",
        "tiers",
    }  # fmt: skip
    assert (document["objects"], document["runs"]) == (4, 2)
    lines = dict(line.split(None, 1) for line in run("usage").stdout.splitlines())
    assert lines["used"].strip() == f"{document['used'] // 1024} KiB"
    assert lines["capacity"].strip() == format_size(document["capacity"])


def test_sweep_frees_what_a_crash_left(store: bodega.Store) -> None:
    (Path(store.root) / "tmp" / "left").write_bytes(bytes(5000))
    document = json.loads(run("sweep", "--json").stdout)
    assert document == {"root": str(store.root), "files": 1, "nbytes": 8192, "runs": 0}
    assert run("sweep").stdout == "Swept 0 left-overs, 0 B.\n"


def test_doctor_of_a_good_root_exits_with_0(store: bodega.Store) -> None:
    result = run("doctor", "--json")
    document = json.loads(result.stdout)
    assert result.exit_code == 0
    assert document["root"] == str(store.root)
    assert all(set(finding) == {"check", "level", "finding", "remedy"} for finding in document["findings"])


def test_doctor_of_a_bad_root_exits_with_1_and_prints_the_remedy_whole(store: bodega.Store) -> None:
    Path(store.root).chmod(0o755)
    result = run("doctor")
    assert result.exit_code == 1
    assert f"\n# root\nchmod 0700 {store.root}\n" in result.stdout


def test_a_misspelt_root_is_not_made(root: Path) -> None:
    fails(run("ls"), 1, f"no store at {root}", "--root")
    assert not root.exists()


def test_a_root_that_will_not_do_is_explained(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()
    tmp_path.chmod(0o700)
    fails(run("ls", "--root", str(tmp_path)), 1, str(tmp_path), "mine.txt")


def test_unknown_commands_and_options_are_usage_errors(root: Path) -> None:
    fails(run("lss"), 2, "lss", "See 'main --help'")
    fails(run("ls", "--al"), 2, "--al", "See 'main ls --help'")
    fails(run("info"), 2, "NAME")


@pytest.mark.parametrize("command", ["ls", "info", "rm", "usage", "sweep", "settings", "doctor", "demo"])
def test_every_command_shows_examples(command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert "Examples:" in result.stdout
    assert f"\n    bodega {command}" in result.stdout


def test_no_arguments_show_the_help() -> None:
    result = run()
    assert result.exit_code == 0
    for command in ("ls", "info", "rm", "usage", "sweep", "settings", "doctor", "demo"):
        assert f"\n  {command} " in result.stdout


def test_the_program_is_called_bodega_as_a_module_too(store: bodega.Store) -> None:
    done = subprocess.run([*CLI, "info", "no"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("bodega: error: There is no object 'no' in run 'default'")
    done = subprocess.run([*CLI, "ls", "--nope"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "See 'bodega ls --help'." in done.stderr


def test_a_pipe_gets_whole_lines_without_colours(store: bodega.Store) -> None:
    long = "n" * 250
    store.put(long, b"")
    done = subprocess.run(
        [*CLI, "ls"], capture_output=True, text=True, check=True, env={**os.environ, "COLUMNS": "40", "TERM": "xterm"}
    )
    assert "\x1b" not in done.stdout
    assert sum(line.startswith(long + " ") for line in done.stdout.splitlines()) == 1


def test_a_reader_that_leaves_is_no_traceback(store: bodega.Store) -> None:
    for number in range(2000):
        store.put(f"object-{number:04}", b"")
    program = subprocess.Popen([*CLI, "ls", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert program.stdout is not None
    assert program.stderr is not None
    program.stdout.read(1)
    program.stdout.close()
    assert b"Traceback" not in program.stderr.read()
    program.stderr.close()
    program.wait()


@pytest.mark.parametrize(("answer", "code", "left"), [("y\n", 0, 1), ("n\n", 1, 3), (None, 130, 3)])
def test_rm_asks_on_a_terminal(store: bodega.Store, answer: str | None, code: int, left: int) -> None:
    here, there = pty.openpty()
    try:
        program = subprocess.Popen([*CLI, "rm", "features/*"], stdin=there, stderr=subprocess.PIPE, text=True)
        assert program.stderr is not None
        shown = ""
        while not shown.endswith("[y/N]: "):
            character = program.stderr.read(1)
            assert character, shown
            shown += character
        assert "features/a\n" in shown
        assert "Remove 2 objects of run 'default'?" in shown
        if answer is None:
            # One that comes between the prompt and the wait for an answer shows only at the next: press again.
            while program.poll() is None:
                program.send_signal(signal.SIGINT)
                with suppress(subprocess.TimeoutExpired):
                    program.wait(2)  # Long enough for it to end: a signal while it does would be its end.
        else:
            os.write(here, answer.encode())
        rest = program.stderr.read()
        program.stderr.close()
        assert program.wait() == code
    finally:
        os.close(here)
        os.close(there)
    assert len(store) == left
    assert "Traceback" not in rest
    if answer is None:
        assert "bodega: error: interrupted." in rest


def test_a_shell_completes_names(store: bodega.Store) -> None:
    environment = {
        **os.environ,
        "_BODEGA_COMPLETE": "bash_complete",
        "COMP_WORDS": "bodega info feat",
        "COMP_CWORD": "2",
    }
    done = subprocess.run(CLI, capture_output=True, text=True, check=False, env=environment)
    assert done.stdout.splitlines() == ["plain,features/a", "plain,features/b"]


def test_help_imports_no_library_of_data() -> None:
    code = "import sys, bodega.cli; print([name for name in ('rich', 'numpy', 'pandas') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_doctor_explains_a_root_of_another_user(store: bodega.Store) -> None:
    os.chown(store.root, 65534, 65534)
    result = run("doctor")
    assert result.exit_code == 1
    assert "belongs to another user (uid 65534" in result.stdout
    fails(run("ls"), 1, "belongs to another user")


def test_a_root_that_may_not_be_read_is_the_commands_business(root: Path) -> None:
    (option,) = (each for each in main.commands["doctor"].params if each.name == "root")
    # Click's own check would keep the doctor from saying why.
    assert isinstance(option.type, click.Path) and option.type.readable is False


def test_an_empty_run_is_no_run(store: bodega.Store) -> None:
    """A variable of a shell script that is not set must not remove the run ``default``."""
    result = run("rm", "--run", "", "--yes")
    assert result.exit_code != 0
    assert "name of a run is empty" in result.output
    assert len(store) == 3


def test_another_distribution_adds_a_command(tmp_path: Path) -> None:
    information = tmp_path / "shelf-1.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: shelf\nVersion: 1\n")
    (information / "entry_points.txt").write_text("[bodega.commands]\nshelf = shelf:shelf\n")
    (tmp_path / "shelf.py").write_text(
        "import click\n\n\n@click.command()\ndef shelf():\n    '''Say hello.'''\n    click.echo('hello')\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run([*CLI, "shelf"], capture_output=True, text=True, check=False, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, "hello\n", "")
    done = subprocess.run([*CLI, "--help"], capture_output=True, text=True, check=False, env=environment)
    assert "\n  shelf " in done.stdout


def test_what_is_no_file_is_written_to_and_stays_what_it_is(store: bodega.Store, tmp_path: Path) -> None:
    """Nobody's ``/dev/stdout`` becomes a file."""
    link, target, pipe = tmp_path / "link", tmp_path / "target", tmp_path / "pipe"
    link.symlink_to(target)
    assert run("ls", "--output", str(link)).exit_code == 0
    assert link.is_symlink() and json.loads(target.read_text())["objects"]
    os.mkfifo(pipe)
    descriptor = os.open(pipe, os.O_RDWR)
    assert run("ls", "--output", str(pipe)).exit_code == 0
    assert json.loads(os.read(descriptor, 1 << 16))["objects"] and stat.S_ISFIFO(pipe.stat().st_mode)
    os.close(descriptor)


COMMANDS = [
    "ls",
    "ls --json",
    "info model",
    "usage",
    "sweep",
    "settings",
    "rm features/a",
    "rm --run default",
    "--help",
    "info nothing",
]


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
def test_closed_streams_lead_nowhere(store: bodega.Store, closed: str) -> None:
    for command in COMMANDS:
        usual = subprocess.run([*CLI, *command.split()], stdin=subprocess.DEVNULL, capture_output=True, check=False)
        store.put("features/a", b"a")
        # A shell, for nothing else starts a program with a stream closed.
        line = f"{shlex.join([*CLI, *command.split()])} {closed}"
        done = subprocess.run(["/bin/sh", "-c", line], stdin=subprocess.DEVNULL, capture_output=True, check=False)
        store.put("features/a", b"a")
        assert done.returncode == usual.returncode, (command, done.stderr)
        assert b"Traceback" not in done.stderr


def test_output_that_cannot_be_written_is_named(store: bodega.Store) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run([*CLI, "ls"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "bodega: error: standard output cannot be written: No space left on device.\n"


def test_a_name_that_looks_like_a_pattern_is_a_name(store: bodega.Store) -> None:
    store.put("[x]", 1)
    store.put("x", 2)
    assert [row.split()[0] for row in run("ls", "[x]").stdout.splitlines()[1:]] == ["[x]"]
    assert run("rm", "[x]").stdout.startswith("Removed [x] ")
    assert [row.split()[0] for row in run("ls", "[x]").stdout.splitlines()[1:]] == ["x"]


def test_a_run_with_one_object_has_one_other(store: bodega.Store) -> None:
    fails(run("info", "zzz", "--run", "nightly"), 1, "has one other: ", " shows it.")


def test_a_missing_root_is_blamed_on_who_named_it(root: Path) -> None:
    fails(run("ls"), 1, f"no store at {root}", "check BODEGA_ROOT")
    fails(run("ls", "--root", f"{root}-2"), 1, f"no store at {root}-2", "check --root.")


def test_output_makes_no_folder(store: bodega.Store, tmp_path: Path) -> None:
    file = tmp_path / "no" / "such" / "facts.json"
    fails(run("ls", "--output", str(file)), 1, f"no folder {file.parent}")
    assert not (tmp_path / "no").exists()
