"""``kedro bodega catalog``: entries for what the catalog leaves out, and where each dataset's data goes."""

from __future__ import annotations

import contextlib
import json

import pytest
import yaml
from kedro.io import DatasetError
from tests.kedro.conftest import NODES, PIPELINE

import bodega
from bodega.kedro import BodegaDataset

TYPE = {"type": "bodega.kedro.BodegaDataset"}
FILE = "conf/base/catalog_bodega.yml"

NAMESPACED = """
    node(make, "params:size", "numbers", name="make"),
    node(halve, "numbers", "shop.halved", name="halve", namespace="shop"),
    node(double, "numbers", "doubled@numpy", name="double"),
    node(add, ["doubled@chunks", "shop.halved"], "total", name="add"),
"""
PLAIN = ["doubled", "halved", "numbers", "total"]


def written(project, file=FILE):
    return yaml.safe_load((project.path / file).read_text())


def listed(project, *options):
    facts = json.loads(project.command("catalog", "list", "--json", *options).stdout)
    return {each["name"]: each for each in facts["datasets"]}


# create


def test_what_the_catalog_leaves_out_gets_entries(opted_in) -> None:
    result = opted_in.command("catalog", "create")
    assert result.stdout == f"Added 4 datasets to {opted_in.path / FILE}: doubled, halved, numbers, total\n"
    assert written(opted_in) == dict.fromkeys(PLAIN, TYPE)


def test_kedro_finds_the_entries_and_runs_with_them(opted_in) -> None:
    opted_in.command("catalog", "create")
    catalog = opted_in.session().load_context().catalog
    assert all(isinstance(catalog.get(name), BodegaDataset) for name in PLAIN)
    opted_in.run()
    assert opted_in.stored().names() == PLAIN
    assert opted_in.stored().get("total") == {"sum": 2.5 * sum(range(10))}


def test_a_second_time_there_is_nothing_to_add(opted_in) -> None:
    opted_in.command("catalog", "create")
    before = (opted_in.path / FILE).read_text()
    result = opted_in.command("catalog", "create")
    assert "nothing to add" in result.stderr
    assert (opted_in.path / FILE).read_text() == before


def test_what_a_person_has_written_into_the_file_stays(opted_in) -> None:
    mine = "# mine\nnumbers:\n  type: bodega.kedro.BodegaDataset\n  persist: false # for now"
    opted_in.write(FILE, mine)
    opted_in.command("catalog", "create")
    assert (opted_in.path / FILE).read_text().startswith(f"{mine}\n\ndoubled:\n")
    assert written(opted_in) == {
        "numbers": {**TYPE, "persist": False},
        **dict.fromkeys(["doubled", "halved", "total"], TYPE),
    }


@pytest.mark.parametrize(
    "text", ["{numbers: {type: bodega.kedro.BodegaDataset}}\n", "numbers: {type: MemoryDataset}\n...\n"]
)
def test_a_file_that_cannot_be_added_to_is_left_as_it_is(opted_in, text) -> None:
    opted_in.write(FILE, text)
    result = opted_in.command("catalog", "create", code=1)
    assert "Entries cannot be added at the end" in result.stderr
    assert (opted_in.path / FILE).read_text() == text
    files = {path.name for path in (opted_in.path / "conf/base").iterdir()}
    assert files == {"bodega.yml", "catalog.yml", "catalog_bodega.yml", "parameters.yml"}, "no draft is left"


def test_names_and_patterns_of_the_catalog_are_respected(opted_in) -> None:
    opted_in.write("conf/base/catalog.yml", "numbers: {type: MemoryDataset}\n'{name}ed': {type: MemoryDataset}\n")
    opted_in.command("catalog", "create")
    assert written(opted_in) == {"total": TYPE}


def test_what_bodega_yml_keeps_out_gets_no_entry(opted_in) -> None:
    opted_in.write("conf/base/bodega.yml", "exclude: [doubled]\n")
    opted_in.command("catalog", "create")
    assert set(written(opted_in)) == {"halved", "numbers", "total"}


@pytest.mark.filterwarnings("ignore:.*contains? '.' characters:UserWarning")
def test_namespaces_and_transcoding_keep_their_names(opted_in) -> None:
    opted_in.code(pipeline=NAMESPACED)
    opted_in.command("catalog", "create")
    assert set(written(opted_in)) == {"numbers", "shop.halved", "doubled@numpy", "doubled@chunks", "total"}


def test_names_that_yaml_takes_for_something_else_are_quoted(opted_in) -> None:
    opted_in.code(pipeline='node(make, "params:size", "on", name="make"), node(double, "on", "007", name="double"),')
    opted_in.command("catalog", "create")
    assert written(opted_in) == {"on": TYPE, "007": TYPE}


def test_an_environment_gets_a_file_of_its_own(opted_in) -> None:
    opted_in.command("catalog", "create", "--env", "local")
    assert set(written(opted_in, "conf/local/catalog_bodega.yml")) == set(PLAIN)
    assert not (opted_in.path / FILE).exists()


def test_another_configuration_is_written_to_where_it_is(opted_in, tmp_path) -> None:
    for name in ("parameters.yml", "catalog.yml", "bodega.yml"):
        (tmp_path / "other/base").mkdir(parents=True, exist_ok=True)
        (tmp_path / "other/base" / name).write_text((opted_in.path / "conf/base" / name).read_text())
    (tmp_path / "other/local").mkdir()
    opted_in.command("catalog", "create", "--conf-source", str(tmp_path / "other"))
    assert (tmp_path / "other/base/catalog_bodega.yml").exists()
    assert not (opted_in.path / FILE).exists()


def test_on_standard_output_nothing_is_written(opted_in) -> None:
    text = opted_in.command("catalog", "create", "--stdout").stdout
    assert yaml.safe_load(text) == dict.fromkeys(PLAIN, TYPE)
    assert not (opted_in.path / FILE).exists()


def test_json_says_what_was_added(opted_in) -> None:
    facts = json.loads(opted_in.command("catalog", "create", "--json").stdout)
    assert facts == {"file": str(opted_in.path / FILE), "added": PLAIN}


# list


def test_each_dataset_says_where_it_goes(opted_in) -> None:
    opted_in.write("conf/base/catalog.yml", "halved: {type: MemoryDataset}\n")
    opted_in.write("conf/base/bodega.yml", "exclude: [doubled, halved]\nspill: [tier]\npersist: [total]\n")
    entries = listed(opted_in)
    assert {name: each["home"] for name, each in entries.items()} == {
        "doubled": "memory",
        "halved": "memory",
        "numbers": "store",
        "params:size": "parameters",
        "total": "store",
    }
    assert {name for name, each in entries.items() if each["crosses"]} == {"numbers", "doubled", "halved"}
    assert {name for name, each in entries.items() if each["persists"]} == {"total"}
    assert entries["halved"]["type"] == "kedro.io.memory_dataset.MemoryDataset"
    assert (entries["numbers"]["made_by"], entries["numbers"]["read_by"]) == ("make", ["double", "halve"])


CACHE = "{type: MemoryDataset}"


@pytest.mark.parametrize(
    ("catalog", "rules"),
    [
        (f"table: {CACHE}\n", "override: [table]\n"),
        (f"numbers: {CACHE}\n", ""),
        (f"numbers: {CACHE}\n", "memory_datasets: keep\n"),
        (f"numbers: {CACHE}\n", "exclude: [numbers]\n"),
        (f"table: {CACHE}\nnumbers: {CACHE}\n", "override: [numbers]\nmemory_datasets: keep\n"),
        ("", "datasets: ['*ed']\n"),
        ("", "exclude: ['*ed', table]\n"),
        (f"'{{anything}}': {CACHE}\n", ""),
        (f"'{{anything}}': {CACHE}\n", "memory_datasets: keep\n"),
    ],
)
def test_the_list_says_what_a_run_does(opted_in, catalog: str, rules: str) -> None:
    opted_in.code(
        NODES + "\ndef show(table, total):\n    return len(table)\n",
        PIPELINE + "node(show, ['table', 'total'], 'length', name='show'),",
    )
    opted_in.write("conf/base/catalog.yml", catalog)
    opted_in.write("conf/base/bodega.yml", f"run: nightly\n{rules}")
    store = bodega.open(run="nightly")
    store.put("table", [1, 2, 3])
    homes = {name: each["home"] for name, each in listed(opted_in).items()}
    with contextlib.suppress(ValueError, DatasetError):  # Where the table is of no use to the run.
        opted_in.session().run()
        assert {name for name, home in homes.items() if home == "store"} - {"table"} == set(store) - {"table"}
        assert homes["table"] == "store"
        return
    assert homes["table"] != "store"


def test_what_crosses_follows_the_grouping(opted_in) -> None:
    opted_in.write("conf/base/bodega.yml", "deployment: {grouping: {most: [make, double, halve]}}\n")
    assert {name for name, each in listed(opted_in).items() if each["crosses"]} == {"doubled", "halved"}


def test_patterns_are_named(opted_in) -> None:
    opted_in.write("conf/base/catalog.yml", "'{name}ed': {type: bodega.kedro.BodegaDataset}\n")
    entries = listed(opted_in)
    assert entries["doubled"]["pattern"] == "{name}ed"
    assert entries["numbers"]["pattern"] is None


def test_an_entry_that_cannot_be_made_says_why(opted_in) -> None:
    opted_in.write("conf/base/catalog.yml", "doubled: {type: nowhere.NoDataset}\n")
    assert "nowhere.NoDataset" in listed(opted_in)["doubled"]["problem"]


def test_for_people_it_is_a_table(opted_in) -> None:
    lines = opted_in.command("catalog", "list").stdout.splitlines()
    assert lines[0].split() == ["dataset", "type", "goes", "to", "crosses", "persists", "made", "by"]
    assert [line.split() for line in lines[1:]] == [
        ["doubled", "-", "store", "yes", "-", "double"],
        ["halved", "-", "store", "yes", "-", "halve"],
        ["numbers", "-", "store", "yes", "-", "make"],
        ["total", "-", "store", "-", "-", "add"],
    ]
