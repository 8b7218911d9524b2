"""The benchmarks of single operations: small runs of each, and what they say."""

import json
import subprocess
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from rich.console import Console

import bodega
from bodega_bench import formats
from bodega_bench.command import bench
from bodega_bench.environments import Unavailable
from bodega_bench.micro.against import Item, Row, Side, as_table, both, compare
from bodega_bench.micro.arrays import as_tables, measure_size
from bodega_bench.tables import Table, print_tables
from bodega_bench.timing import Spread, in_turns, quartiles, ratio_of_pairs

CHECKOUT = Path(__file__).parents[2]


def run(*arguments, output):
    return CliRunner().invoke(bench, [*map(str, arguments), "--output", str(output)])


@pytest.mark.parametrize(
    ("arguments", "name", "words"),
    [
        (["values", "500 record batches"], "values", ["Arrow, 500 record batches", "put / dump", "ms"]),
        (["scale", "20", "40"], "scale", ["In a run of so many names", "Beside so many expired runs", "(1.00x)"]),
    ],
)
def test_a_benchmark_prints_tables_or_what_it_writes(tmp_path, arguments, name, words):
    result = run(*arguments, output=tmp_path)
    assert result.exit_code == 0, result.output
    assert all(word in result.stdout for word in words)
    assert "{'" not in result.stdout
    facts = json.loads((tmp_path / f"{name}.json").read_text())
    assert facts["machine"]["processors"] >= 1
    result = run(*arguments, "--json", output=tmp_path)
    assert json.loads(result.stdout).keys() == facts.keys()
    assert f"Written: {tmp_path / name}.json" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["values", "floppy"], "No value has floppy in its name: there are polars, 1,000 chunks"),
        (["tiers", "floppy"], "No part has floppy in its name: there are warm puts"),
        (["against", "HEAD", "--only", "floppy"], "No row has 'floppy' in its name: there are put 1 KiB"),
    ],
)
def test_what_is_not_there_is_a_usage_error(tmp_path, arguments, words):
    result = run(*arguments, output=tmp_path / "out")
    assert result.exit_code == 2
    assert words in " ".join(result.stderr.split())
    assert not (tmp_path / "out").exists()


def test_arrays_are_timed_beside_their_limits(tmp_path):
    row = measure_size(bodega.open(tmp_path / "root", run="bench"), 1024)
    assert all(value > 0 for value in row.values())
    sizes, besides = as_tables(
        [{"object": "1 KiB", **row}], {"frame": {"put": 0.02}, "private memory of 4 GB": {"get": 4096}}
    )
    assert list(sizes.header) == ["object", *row]
    assert besides.rows == [["frame: put", "20 ms"], ["private memory of 4 GB: get", "4 KiB"]]


def needs_git():
    done = subprocess.run(["git", "-C", str(CHECKOUT), "rev-parse", "HEAD"], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("the checkout is no repository of git")


def test_this_checkout_beside_a_commit(tmp_path):
    needs_git()
    only = "get 1 KiB,open a root,import bodega,--help"
    result = run("against", "HEAD", "--rounds", "3", "--only", only, "--json", output=tmp_path)
    assert result.exit_code == 0, result.output
    facts = json.loads(result.stdout)
    assert [row["what"] for row in facts["rows"]] == [
        "get 1 KiB", "open a root", "import bodega", "import bodega and get", "bodega --help",
    ]  # fmt: skip
    for row in facts["rows"]:
        assert not row["reason"]
        assert row["ratio"]["lowest"] <= row["ratio"]["median"] <= row["ratio"]["highest"]
        assert min(row[side]["median"] for side in ("base", "here")) > 0


def test_both_sides_run_their_own_files(tmp_path):
    needs_git()
    with both("HEAD") as (base, here):
        assert here.source == CHECKOUT / "src"
        assert base.source != here.source
        for side in (base, here):
            found = subprocess.run(
                ["python3", "-c", "import os; print(os.environ['PYTHONPATH'])"],
                env=side.variables, capture_output=True, text=True, check=True,
            ).stdout.strip()  # fmt: skip
            assert found == str(side.source)
        assert (base.source / "bodega" / "__init__.py").exists()
    assert not base.source.exists()


def test_a_commit_that_is_none_is_refused(tmp_path):
    needs_git()
    result = run("against", "no-such-commit", output=tmp_path)
    assert result.exit_code == 1
    assert "git rev-parse" in result.stderr


def side(folder, name):
    own = folder / name
    own.mkdir()
    return Side(name, Path(bodega.__file__).parents[1], "bodega.kedro.hooks", own)


def test_what_one_version_lacks_has_a_reason_and_the_rest_goes_on(tmp_path):
    items = [Item("fly", "fly"), Item("open a root", "open", 2)]
    old, new = side(tmp_path, "old"), side(tmp_path, "new")
    fly, opened = compare(old, new, items, 3, Console(quiet=True))
    assert fly.reason.startswith("not measured: old: AttributeError")
    assert opened.base is not None
    lines = as_table([fly, opened], "old", "new", 3).rows
    assert lines[0] == ["fly", "-", "-", "-", fly.reason]
    assert lines[1][4] in {"level", "slower", "faster"}


def test_a_process_of_another_bodega_is_refused(tmp_path):
    wrong = Side("old", tmp_path, "bodega.kedro.hooks", side(tmp_path, "old").folder)
    with pytest.raises(click.ClickException, match="A process of old imports"), wrong.operations():
        pass


def test_a_process_that_fails_says_why(tmp_path):
    with pytest.raises(Unavailable, match="No module named 'no_such_hook'"):
        Side("old", Path(bodega.__file__).parents[1], "no_such_hook", tmp_path).process(
            "import Kedro's hook after Kedro"
        )


@pytest.mark.parametrize(
    ("ratio", "standing"),
    [
        (Spread(1.0, 0.9, 1.1), "level"),
        (Spread(1.2, 1.1, 1.3), "slower"),
        (Spread(1.2, 0.9, 1.3), "level"),
        (Spread(1.03, 1.02, 1.04), "level"),
        (Spread(0.8, 0.7, 0.9), "faster"),
        (Spread(0.8, 0.7, 1.1), "level"),
    ],
)
def test_a_ratio_says_something_only_where_most_rounds_agree(ratio, standing):
    assert Row("x", ratio, ratio, ratio).standing == standing


def test_steps_take_turns():
    order = []

    def step(name):
        return lambda: order.append(name) or len(order)

    found = in_turns({name: step(name) for name in "abc"}, 2)
    assert order == list("abcbca")
    assert found == {"a": [1, 6], "b": [2, 4], "c": [3, 5]}
    assert ratio_of_pairs([2.0, 3.0, 8.0], [1.0, 1.0, 2.0]) == 3.0
    assert quartiles([3.0]) == Spread(3.0, 3.0, 3.0)


def test_numbers_for_people():
    assert [formats.ratio(each) for each in (None, 0.981, 12.345, 1234.5)] == ["-", "0.98", "12.35", "1,234"]
    assert [formats.seconds(each) for each in (None, 1234.56)] == ["-", "1,234.6"]
    assert formats.with_range("1", "0", "2") == "1 (0 to 2)"


def test_a_table_in_a_pipe_is_not_cut(capsys):
    table = Table(
        "Title", "A note.", ["object", "step", *(f"system {number}" for number in range(8))],
        [["a", "put", *["12.3 ms (1.00x)"] * 8], ["a", "get|[x]", *["1 ms"] * 8], ["b", "put", *["2 ms"] * 8]],
        words=2, best={1: 3},
    )  # fmt: skip
    print_tables([table], Console())
    shown = capsys.readouterr().out
    assert shown.count("12.3 ms (1.00x)") == 8
    assert "get|[x]" in shown
    assert table.as_markdown().splitlines()[7] == f"| a | get\\|[x] | 1 ms | **1 ms** |{' 1 ms |' * 6}"
