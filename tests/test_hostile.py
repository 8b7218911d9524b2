"""Objects with right checksums and wrong descriptions: shown as damaged beside the others, whatever they say."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import bodega
from bodega import format as layout
from bodega.cli import main
from bodega.errors import LayoutError
from bodega.memory import presence

HUGE = 10**400
DEEP: list[Any] = []
for _ in range(200):
    DEEP = [DEEP]
WRONG: dict[str, dict[str, Any]] = {
    "a size that no float holds": {"nbytes": HUGE},
    "a size below nothing": {"nbytes": -1},
    "a size that is a text": {"nbytes": "1"},
    "a size that is yes": {"nbytes": True},
    "a shape that is a number": {"schema": {"shape": 5}},
    "a shape of texts": {"schema": {"shape": ["\x1b[31m"]}},
    "a shape that no float holds": {"schema": {"shape": [HUGE]}},
    "a shape with fractions": {"schema": {"shape": [1.5]}},
    "a length that is a list": {"schema": {"length": []}},
    "a length that is nothing": {"schema": {"length": None}},
    "columns that are a number": {"schema": {"columns": 5}},
    "columns without dtypes": {"schema": {"columns": [["a"]]}},
    "columns of columns": {"schema": {"columns": [[["a"], {}]]}},
    "an index of texts": {"schema": {"index": ["ab", "abc"]}},
    "a number that JSON does not have": {"schema": {"x": float("nan")}},
    "an endless one": {"schema": {"x": [float("inf")]}},
    "a schema that is a list": {"schema": [["shape", 5]]},
    "a deep schema": {"schema": {"x": DEEP}},
    "a kind that is a list": {"kind": ["x"]},
    "a time beyond the calendar": {"created": HUGE},
    "a time at its end": {"created": 253402300799.0},
    "a time that is none": {"created": float("nan")},
    "a process that is a list": {"producer": [[], "host", None]},
    "a host that is a number": {"producer": [1, 5, None]},
    "a task that is a mapping": {"producer": [1, "host", {}]},
    "a producer too many": {"producer": [1, "host", None, 4]},
}


def forge(
    store: bodega.Store, name: str, *, recipe: dict[str, Any] | None = None, data: bytes = b"x", **facts: Any
) -> None:
    """Put a file with right checksums where an object should be, saying what no put would say."""
    said = {
        "kind": "bytes", "nbytes": len(data), "created": 1.7e9, "producer": [1, "host", None], "schema": {}, **facts,
    }  # fmt: skip
    texts = ([store.run, name, recipe or {"codec": "bytes"}], said)
    text = "".join(json.dumps(each, ensure_ascii=False) for each in texts).encode("utf-8", "surrogatepass")
    plan = layout.plan("1" * 32, text, [len(data)], segment="2" * 32)
    folder = Path(store.root) / "runs" / store.run
    folder.mkdir(exist_ok=True)
    with (folder / name).open("wb") as file:
        for offset, parts in plan.writes([memoryview(data)]):
            file.seek(offset)
            file.writelines(part for part in parts if isinstance(part, memoryview))


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bodega.Store:
    monkeypatch.setenv("BODEGA_ROOT", str(tmp_path / "root"))
    monkeypatch.delenv("BODEGA_RUN", raising=False)
    store = bodega.open()
    store.put("good", b"good")
    return store


def run(*arguments: str) -> Any:
    result = CliRunner().invoke(main, arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "\x1b" not in result.output
    return result


def test_what_is_forged_well_is_taken(store: bodega.Store) -> None:
    forge(store, "forged", schema={"shape": [1], "columns": [[None, "int8"]], "x": 1.5, "y": ["a"]})
    assert store["forged"] == b"x"
    assert run("ls").exit_code == 0
    assert run("info", "forged").exit_code == 0


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_description_is_shown_as_damaged_beside_the_others(store: bodega.Store, what: str) -> None:
    forge(store, "forged", **WRONG[what])
    with pytest.raises(LayoutError, match="description"):
        store.info("forged")
    result = run("ls")
    assert result.exit_code == 1
    assert [row.split()[:2] for row in result.stdout.splitlines()[1:]] == [["forged", "damaged"], ["good", "bytes"]]
    document = json.loads(run("ls", "--json").stdout)
    assert [each["name"] for each in document["objects"]] == ["good"]
    assert [each["name"] for each in document["damaged"]] == ["forged"]
    assert json.loads(run("ls", "--runs", "--json").stdout)["runs"][0]["damaged"] == 1
    assert run("info", "forged").exit_code == 1
    assert json.loads(run("usage", "--json").stdout)["objects"] == 2
    assert run("rm", "forged").exit_code == 0
    assert store.names() == ["good"]


def _some(choice: random.Random, depth: int = 3) -> Any:
    """Some JSON, of the values that readers stumble over."""
    if depth and choice.random() < 0.5:
        size = choice.randrange(3)
        if choice.random() < 0.5:
            return [_some(choice, depth - 1) for _ in range(size)]
        keys = ["shape", "length", "columns", "index", "dtype", "\x1b[2J", "\udc80", ""]
        return {choice.choice(keys): _some(choice, depth - 1) for _ in range(size)}
    return choice.choice([
        None, True, 0, -1, 1, 2**63, HUGE, 0.5, 1e308, float("nan"), float("-inf"), "", "a", "\x1b]0;x\x07", "\x9b2J", "\ud800", "[red]",
    ])  # fmt: skip


def test_whatever_descriptions_say_everything_is_listed(store: bodega.Store) -> None:
    choice = random.Random(13)
    for number in range(300):
        part = choice.choice(["nbytes", "kind", "created", "producer", "schema", "schema"])
        value = _some(choice)
        if part == "schema" and choice.random() < 0.7:
            value = {
                key: _some(choice)
                for key in choice.sample(["shape", "length", "columns", "index", "dtype", "a\x1b[1m"], 2)
            }
        forge(store, f"forged-{number:03}", **{part: value})
    document = json.loads(run("ls", "--json").stdout, parse_constant=lambda text: pytest.fail(f"{text} is no JSON"))
    found = sorted(each["name"] for part in ("objects", "damaged") for each in document[part])
    assert found == store.names()
    assert len(document["damaged"]) > 50
    assert len(run("ls").stdout.splitlines()) == 1 + len(found)
    for each in document["objects"]:
        assert run("info", each["name"]).exit_code == 0
        assert json.loads(run("info", each["name"], "--json").stdout)["name"] == each["name"]
    assert run("rm", "forged-*", "--yes").exit_code == 0
    assert store.names() == ["good"]


def test_nothing_of_a_description_steers_the_terminal(store: bodega.Store) -> None:
    evil = "\x1b]0;gotcha\x07\x9b2J\u202e\r"
    forge(store, "forged", kind=evil, schema={evil: evil, "columns": [[evil, evil]]}, producer=[1, evil, evil])
    other = store.with_run(f"run {evil}")
    other.put(f"name {evil}", {evil: 1})
    other.put("b", 2)
    (Path(store.root) / "runs" / store.run / "damaged \x9b2J\u202e").write_bytes(b"")
    for arguments in (
        ("ls",), ("ls", "--all-runs"), ("ls", "--runs"), ("ls", "--run", other.run), ("info", "forged"), ("info", "nothing"),
        ("info", "damaged \x9b2J\u202e"), ("info", "nothing", "--run", other.run), ("ls", "nothing", "--run", other.run),
        ("info", f"name {evil}", "--run", other.run), ("rm", "--run", f"no {evil}", "--yes"), ("rm", "--run", other.run),
        ("rm", "--run", other.run, "--yes"), ("ls", "--root", f"/nowhere {evil}"),
    ):  # fmt: skip
        output = CliRunner().invoke(main, arguments).output
        assert output
        assert [character for character in output if not character.isprintable() and character != "\n"] == []


RECIPES: dict[str, dict[str, Any]] = {
    "a text that is multiplied": {"shape": ["A" * 1000, 10**9]},
    "a list that is multiplied": {"shape": [[0] * 1000, 10**9]},
    "a length below nothing": {"shape": [-1, -8]},
    "a length that no index holds": {"shape": [2**64, 0]},
    "yes and no": {"shape": [0.5, 16]},
    "an order of texts": {"shape": [1, 1], "order": ["A" * 1000, 10**9]},
    "a long element": {"shape": [1], "dtype": "V2000000000"},
}


@pytest.mark.parametrize("what", RECIPES)
@pytest.mark.parametrize("wrap", [lambda recipe: recipe, lambda recipe: {
    "codec": "chunks", "of": "x", "chunks": [[recipe, 0, 1]]}], ids=["whole", "chunk"])  # fmt: skip
def test_the_bounds_of_a_recipe_are_checked_before_anything_is_allocated(
    store: bodega.Store, what: str, wrap: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    recipe = wrap({"codec": "array", "dtype": "|u1", "order": None, **RECIPES[what]})
    data = bytes(8)
    forge(store, "forged", recipe=recipe, data=data)
    program = (
        "import resource, bodega, numpy\n"
        "store = bodega.open(trust='data')\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20),) * 2)\n"
        "try:\n"
        "    list(store.get('forged'))\n"
        "except bodega.LayoutError as error:\n"
        "    assert len(str(error)) < 2000\n"
        "    print('refused')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("refused\n", "")


def test_an_array_of_a_large_shape_without_elements_is_kept(store: bodega.Store) -> None:
    store.put("empty", np.empty((0, 10**9)))
    assert store["empty"].shape == (0, 10**9)


NO_SETTINGS = ["", "[]", "null", '{"spill": 5}', '{"spill": [5]}', '{"spill": [null]}', "[" * 100_000, "\ud800"]


@pytest.mark.parametrize("text", NO_SETTINGS)
def test_damaged_settings_are_named_with_the_command_that_forgets_them(root, text):
    bodega.open(root).put("x", 1)
    (root / "store.json").write_text(text, errors="surrogatepass")
    with pytest.raises(LayoutError, match=f"settings --forget --root {root}"):
        bodega.open(root)
    subprocess.run([sys.executable, "-m", "bodega", "settings", "--forget", "--root", root], check=True)
    assert bodega.open(root)["x"] == 1


@pytest.mark.parametrize("text", ["[]", "{}", '{"root": 5}', "[" * 100_000])
def test_a_damaged_word_of_whose_a_lower_folder_is_is_named(root, text):
    bodega.open(root / "one", spill=root / "below")
    said = root / "below" / "belongs-to.json"
    said.write_text(text)
    with pytest.raises(LayoutError, match=f"{said} is damaged .* Remove it"):
        bodega.open(root / "one")
    said.unlink()
    bodega.open(root / "one")


def test_what_another_process_says_of_its_work_stops_nobody(store):
    with presence.board(store._root) as board:
        work = board.add(presence.Work("r"))
    (said,) = (store.root / "locks").glob("work-*")
    said.write_text("[" * 100_000)
    with presence.board(store._root) as board:
        assert board.others == []
    work.end()
