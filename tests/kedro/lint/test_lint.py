"""What lint finds: a project with one of each problem, and each of them by itself where it needs other settings."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from kedro.framework.startup import bootstrap_project

import bodega
from bodega.errors import LintError
from bodega.kedro import plan
from bodega.kedro.lint import data, deployment
from bodega.kedro.lint.checks import lint
from bodega.kedro.lint.findings import refuse_errors
from bodega.kedro.project import session
from bodega.kedro.project.session import open_project
from bodega.kubernetes.deployment import Deployment

NODES = """
import pickle
import sqlite3
from kedro.io import AbstractDataset

class FileDataset(AbstractDataset):
    def __init__(self, filepath):
        self._filepath = Path(filepath)
    def _load(self):
        return pickle.loads(self._filepath.read_bytes())
    def _save(self, data):
        self._filepath.write_bytes(pickle.dumps(data))
    def _describe(self):
        return {"filepath": str(self._filepath)}

def give(*_values):
    return 1

def connect() -> sqlite3.Connection:
    return sqlite3.connect(":memory:")

def connect_and_count() -> tuple[int, sqlite3.Connection]:
    return 1, sqlite3.connect(":memory:")

def stream() -> sqlite3.Connection:
    yield 1
"""

LONG = "x" * 300

PIPELINE = f"""
    node(give, "params:size", "numbers", name="make"),
    node(connect, None, "connection", name="connect"),
    node(connect, None, "session_handle", name="open"),
    node(give, "session_handle", "rows", name="read_rows"),
    node(give, "numbers", "kept", name="keep"),
    node(give, "kept", "local_table", name="tabulate"),
    node(give, "local_table", "report", name="report"),
    node(give, "numbers", "first", name="write_first"),
    node(give, "numbers", "second", name="write_second"),
    node(lambda each: 1, "numbers", "same_a", name="clean_a"),
    node(give, "numbers", "same_b", name="clean-a"),
    node(give, "orders", "sums", name="sum"),
    node(give, "params:sise", "sized", name="size"),
    node(give, "numbers", "cars@pandas", name="save_cars"),
    node(give, "cars@polars", "wheels", name="load_cars"),
    node(give, "numbers", "broken", name="break"),
    node(give, "numbers", "model", name="fit"),
    node(give, "params:template", "greeting", name="greet"),
    node(give, "lookup", "found", name="look_up"),
    node(give, "numbers", "{LONG}", name="long"),
"""

REGISTRY = """
from kedro.pipeline import node, pipeline
from {package}.nodes import *

def register_pipelines():
    return {{
        "__default__": pipeline([{pipeline}]),
        "other": pipeline([node(give, None, "lookup", name="make_lookup")]),
        "rival": pipeline([node(give, None, "numbers", name="make_numbers_too")]),
        "empty": pipeline([]),
    }}
"""

BODEGA = {
    "exclude": ["session_handle", "sesion_*"],
    "deployment": {"retries": 1, "tasks": [{"nodes": "trian", "resources": {"cpu": 1}}]},
}

FOUND = {
    ("error", "catalog-entry", "broken"),
    ("error", "ephemeral-crosses", "session_handle"),
    ("error", "local-file-crosses", "local_table"),
    ("error", "made-by-another-pipeline", "lookup"),
    ("error", "missing-input", "orders"),
    ("error", "missing-parameter", "params:sise"),
    ("error", "no-image", "deployment.image"),
    ("error", "not-shareable", "connection"),
    ("error", "persist-without-tier", "model"),
    ("error", "several-writers", "first and second"),
    ("error", "transcoded-apart", "cars"),
    ("error", "unusable-name", LONG),
    ("error", "local-file-crosses", "cars@pandas"),
    ("warning", "local-file-lost", "first"),
    ("warning", "local-file-lost", "report"),
    ("warning", "local-file-lost", "second"),
    ("warning", "memory-dataset-replaced", "kept"),
    ("warning", "names-alike", "'clean-a', 'clean_a'"),
    ("warning", "no-resources", "'connect', 'greet', 'look_up', 'make', 'open' and 15 more"),
    ("warning", "not-picklable", "clean_a"),
    ("warning", "one-host", "spill"),
    ("warning", "parameter-not-passable", "template"),
    ("warning", "pattern-matches-nothing", "deployment.tasks[0].nodes"),
    ("warning", "pattern-matches-nothing", "exclude"),
    ("warning", "result-dropped", "'connection', 'found', 'greeting', 'model', 'rows' and 6 more"),
}


def entry(project, filepath):
    return {"type": f"{project.package}.nodes.FileDataset", "filepath": filepath}


def settings(project, values) -> None:
    project.write("conf/base/bodega.yml", yaml.safe_dump(values))


def code(project, pipeline) -> None:
    project.code(NODES)
    project.write(
        f"src/{project.package}/pipeline_registry.py", REGISTRY.format(package=project.package, pipeline=pipeline)
    )


@pytest.fixture
def ill(project):
    """A project with one of each problem."""
    code(project, PIPELINE)
    catalog = {
        "kept": {"type": "MemoryDataset"},
        "local_table": entry(project, "data/table.bin"),
        "report": entry(project, "data/report.bin"),
        "first": entry(project, "data/same.bin"),
        "second": entry(project, "data/same.bin"),
        "cars@pandas": entry(project, "data/cars.bin"),
        "broken": {"type": "nowhere.NoDataset"},
        "model": {"type": "bodega.kedro.BodegaDataset", "persist": True},
    }
    project.write("conf/base/catalog.yml", yaml.safe_dump(catalog))
    project.write("conf/base/parameters.yml", "size: 3\ntemplate: 'Dear {{name}}'\n")
    settings(project, BODEGA)
    return project


@pytest.fixture
def well(project):
    """A project without a problem; tests add one."""
    code(project, 'node(give, "params:size", "a", name="make"), node(give, "a", "b", name="use"),')
    project.write("conf/base/catalog.yml", yaml.safe_dump({"b": {"type": "bodega.kedro.BodegaDataset", "run": "shop"}}))
    settings(project, {})
    return project


def opened(project, *pipelines):
    bootstrap_project(project.path)
    return open_project(project.path, pipelines=pipelines)


def found(project, *pipelines, deployment=None):
    return {(each.level, each.code, each.subject) for each in lint(opened(project, *pipelines), deployment)}


def message(project, code, *pipelines, deployment=None):
    (finding,) = (each for each in lint(opened(project, *pipelines), deployment) if each.code == code)
    return f"{finding.message} -> {finding.remedy}"


# All at once


def test_each_problem_is_found(ill) -> None:
    assert found(ill) == FOUND


def test_each_problem_has_its_remedy_and_errors_come_first(ill) -> None:
    findings = lint(opened(ill))
    assert all(each.remedy and each.message for each in findings)
    assert [each.level for each in findings] == sorted(each.level for each in findings)


def test_the_command_prints_them_by_kind_and_fails(ill) -> None:
    result = ill.command("lint", code=1)
    lines = result.stdout.splitlines()
    at = lines.index("error missing-parameter")
    assert lines[at + 1 : at + 4] == [
        "  params:sise",
        "    It is read by 'size', but the project has no such parameter.",
        "    -> Did you mean 'params:size'?",
    ]
    assert lines.count("warning local-file-lost") == 1, "a heading for each kind"
    assert result.stderr.splitlines()[-1] == "Found 13 errors and 12 warnings."


def test_the_command_prints_json(ill) -> None:
    facts = json.loads(ill.command("lint", "--json", code=1).stdout)
    assert (facts["errors"], facts["warnings"]) == (13, 12)
    assert {(each["level"], each["code"], each["subject"]) for each in facts["findings"]} == FOUND


def test_errors_are_refused_all_at_once(ill) -> None:
    with pytest.raises(LintError) as raised:
        refuse_errors(lint(opened(ill)))
    assert str(raised.value).startswith(
        "The project has 13 errors:\n- broken (catalog-entry): The catalog cannot make it:"
    )
    assert "- params:sise (missing-parameter): " in str(raised.value)
    assert "local-file-lost" not in str(raised.value)


# None at all


def test_a_sound_project_passes(well) -> None:
    assert found(well) == set()
    assert well.command("lint", "--strict").stdout == ""
    refuse_errors(lint(opened(well)))


def test_a_sound_project_can_be_deployed(well) -> None:
    settings(
        well,
        {
            "spill": ["s3://bucket/shop"],
            "deployment": {"image": "shop:1", "resources": {"cpu": 1, "memory": "1Gi"}},
        },
    )
    assert found(well) == set()


def test_lint_runs_and_reads_nothing(well) -> None:
    well.command("lint")
    assert bodega.open().runs() == []


# Levels and exit codes


def test_warnings_fail_only_where_that_is_asked_for(well) -> None:
    settings(well, {"exclude": ["c"]})
    well.command("lint")
    well.command("lint", "--strict", code=1)


def test_what_is_excluded_may_be_meant_so_until_it_is_deployed(well) -> None:
    settings(well, {"exclude": ["a"]})
    assert found(well) == {("warning", "ephemeral-crosses", "a")}
    assert ("error", "ephemeral-crosses", "a") in found(well, deployment=Deployment(image="shop:1"))
    text = message(well, "ephemeral-crosses")
    assert "node 'make' is done in one task and 'use' begins in another" in text
    assert "conf/base/bodega.yml" in text


def test_what_a_group_keeps_to_itself_may_be_excluded(well) -> None:
    settings(well, {"exclude": ["a"], "deployment": {"image": "shop:1", "grouping": "auto"}})
    assert "ephemeral-crosses" not in {code for _, code, _ in found(well)}


# Groups and pipelines


@pytest.mark.parametrize(
    ("grouping", "code", "subject"),
    [
        ({"ends": ["make", "last"], "middle": ["use"]}, "group-cycle", {"ends", "middle"}),
        ({"one": ["make"], "two": ["m*"]}, "node-in-two-groups", {"one", "two"}),
        ({"one": ["maek"]}, "pattern-matches-nothing", {"one"}),
    ],
)
def test_groups_that_cannot_be(well, grouping, code, subject) -> None:
    well.code(
        NODES,
        'node(give, None, "a", name="make"), node(give, "a", "b", name="use"), node(give, "b", "c", name="last"),',
    )
    settings(well, {"deployment": {"image": "shop:1", "grouping": grouping}})
    assert [set(each.split(" and ")) for level, kind, each in found(well) if (level, kind) == ("error", code)] == [
        subject
    ]
    assert "no-resources" in {kind for _, kind, _ in found(well)}, "the rest is looked at too"


@pytest.mark.parametrize(
    ("pipelines", "code", "text"),
    [
        (["empty"], "empty-pipeline", "has no nodes"),
        (["emtpy"], "unknown-pipeline", "did you mean 'empty'"),
        (["__default__", "rival"], "pipelines-clash", "'__default__' and 'rival' cannot run together"),
    ],
)
def test_pipelines_that_cannot_run(ill, pipelines, code, text) -> None:
    result = ill.command("lint", "--pipelines", ",".join(pipelines), "--json", code=1)
    (finding,) = json.loads(result.stdout)["findings"]
    assert (finding["level"], finding["code"]) == ("error", code)
    assert text in finding["message"]


def test_a_pipeline_that_is_added_makes_what_another_reads(ill) -> None:
    assert ("error", "made-by-another-pipeline", "lookup") not in found(ill, "__default__", "other")


# Each by itself


def test_a_catch_all_pattern_names_what_it_hides(well) -> None:
    well.write("conf/base/catalog.yml", yaml.safe_dump({"{anything}": entry(well, "data/{anything}.bin")}))
    assert found(well) == {("warning", "catch-all", "{anything}")}
    assert "such as 'a', 'b', as" in message(well, "catch-all")


@pytest.mark.parametrize("pattern", ["{name}_table", "{anything}"])
def test_a_pattern_that_hides_nothing_is_none_of_lints_business(well, pattern) -> None:
    well.write("conf/base/catalog.yml", yaml.safe_dump({pattern: {"type": "bodega.kedro.BodegaDataset"}}))
    assert found(well) == set()


def test_a_catch_all_pattern_does_not_make_up_parameters(well) -> None:
    code(well, 'node(give, "params:sise", "a", name="make"),')
    well.write("conf/base/catalog.yml", yaml.safe_dump({"{anything}": entry(well, "data/{anything}.bin")}))
    assert ("error", "missing-parameter", "params:sise") in found(well)


def test_memory_datasets_that_are_refused(ill) -> None:
    settings(ill, {"memory_datasets": "refuse"})
    assert ("error", "memory-dataset-refused", "kept") in found(ill)


def test_memory_datasets_that_are_kept_cross_no_boundary(ill) -> None:
    settings(ill, {"memory_datasets": "keep"})
    assert ("warning", "ephemeral-crosses", "kept") in found(ill)


def test_an_input_that_somebody_has_put_is_not_missing(well) -> None:
    code(well, 'node(give, "orders", "a", name="make"),')
    settings(well, {"run": "mine"})
    assert found(well) == {("error", "missing-input", "orders")}
    bodega.open(run="mine").put("orders", [1])
    assert found(well) == set()
    assert ("error", "missing-input", "orders") in found(well, deployment=Deployment(image="shop:1"))


def test_handles_are_told_by_their_place_among_the_outputs(well) -> None:
    code(
        well,
        'node(connect_and_count, None, ["number", "handle"], name="make"), node(stream, None, "chunks", name="stream"),',
    )
    assert found(well) == {("error", "not-shareable", "handle")}
    assert "'make' says that it returns a sqlite3.Connection, which is a database connection" in message(
        well, "not-shareable"
    )


def test_two_writers_in_one_task_are_in_order(ill) -> None:
    everything = Deployment(image="shop:1", grouping={"all": ["*"]})
    assert ("warning", "several-writers", "first and second") in found(ill, deployment=everything)


def test_entries_of_one_name_are_one_object(well) -> None:
    catalog = {each: {"type": "bodega.kedro.BodegaDataset", "name": "same"} for each in "ab"}
    well.write("conf/base/catalog.yml", yaml.safe_dump(catalog))
    assert found(well) == {("error", "several-writers", "a and b")}
    catalog["b"]["run"] = "another"
    well.write("conf/base/catalog.yml", yaml.safe_dump(catalog))
    assert found(well) == set()


def test_files_on_a_volume_stay(well) -> None:
    well.write(
        "conf/base/catalog.yml", yaml.safe_dump({"a": entry(well, "data/a.bin"), "b": entry(well, "/mnt/b.bin")})
    )
    deployment = {"image": "shop:1", "resources": {"cpu": 1, "memory": "1Gi"}}
    settings(well, {"deployment": deployment})
    assert found(well) == {("error", "local-file-crosses", "a"), ("warning", "local-file-lost", "b")}
    volumes = [
        {
            "name": "data",
            "mount_path": "/home/kedro/project/data",
            "source": {"persistentVolumeClaim": {"claimName": "a"}},
        },
        {"name": "mnt", "mount_path": "/mnt", "source": {"persistentVolumeClaim": {"claimName": "b"}}},
    ]
    settings(well, {"deployment": {**deployment, "volumes": volumes}})
    assert found(well) == set()


@pytest.mark.parametrize(
    ("entry", "stays"),
    [
        (None, False),
        ({"persist": True}, False),
        ({"versioned": True}, False),
        ({"versioned": True, "persist": True}, True),
        ({"run": "shop"}, True),
    ],
)
def test_results_outlive_the_run_of_the_workflow(well, entry, stays) -> None:
    catalog = {} if entry is None else {"b": {"type": "bodega.kedro.BodegaDataset", **entry}}
    well.write("conf/base/catalog.yml", yaml.safe_dump(catalog))
    settings(well, {"spill": ["s3://bucket/shop"], "deployment": {"image": "shop:1"}})
    assert (("warning", "result-dropped", "'b'") in found(well)) is not stays


def test_resources_that_cannot_be_had_together(well) -> None:
    rules = [{"nodes": each, "resources": {"node_selector": {"zone": each}}} for each in ("make", "use")]
    settings(well, {"deployment": {"image": "shop:1", "grouping": {"all": ["*"]}, "tasks": rules}})
    assert ("error", "resources-conflict", "all") in found(well)


def test_tasks_of_one_host_cannot_need_two(well) -> None:
    rules = [{"nodes": each, "resources": {"node_selector": {"zone": each}}} for each in ("make", "use")]
    deployment = {"image": "shop:1", "resources": {"cpu": 1, "memory": "1Gi"}, "tasks": rules}
    settings(well, {"deployment": deployment})
    assert found(well) == {("error", "one-host-conflict", "spill")}
    settings(well, {"deployment": deployment, "spill": ["s3://bucket/shop"]})
    assert found(well) == set()


def test_tasks_without_resources_are_named_by_what_they_lack(well) -> None:
    rules = [{"nodes": "make", "resources": {"cpu": 1}}]
    settings(well, {"deployment": {"image": "shop:1", "tasks": rules}})
    lacking = [each for each in lint(opened(well)) if each.code == "no-resources"]
    assert [(each.subject, each.message.partition(" is asked")[0]) for each in lacking] == [
        ("'use'", "No cpu and memory"),
        ("'make'", "No memory"),
    ]


def test_parameters_that_read_alike(well) -> None:
    well.write("conf/base/parameters.yml", "a b: 1\na.b: 2\n")
    code(well, 'node(give, ["params:a b", "params:a.b"], "a", name="make"),')
    assert ("warning", "names-alike", "'a b', 'a.b'") in found(well, deployment=Deployment(image="shop:1"))


def test_a_deployment_of_ones_own_wins_over_the_projects(ill) -> None:
    given = replace(opened(ill).deployment, image="shop:1")
    assert {code for _, code, _ in FOUND} - {code for _, code, _ in found(ill, deployment=given)} == {"no-image"}


DEPLOYED = {"image": "shop:1", "resources": {"cpu": 1, "memory": "1Gi"}}


def volume(path, source="persistentVolumeClaim", **more):
    value = {"claimName": "x"} if source == "persistentVolumeClaim" else {"path": "/x"} if source == "hostPath" else {}
    return {"name": "extra", "mount_path": path, "source": {source: value}, **more}


@pytest.mark.parametrize(
    ("spill", "mounted", "expected"),
    [
        ("s3://bucket/p", None, []),
        (["/var/spill", "s3://bucket/p"], None, ["tier-goes-with-pod"]),
        (["/var/spill?capacity=1TiB", "s3://bucket/p"], None, ["tier-goes-with-pod"]),
        (["data/spill", "s3://bucket/p"], None, ["tier-goes-with-pod"]),
        (["data/spill", "s3://bucket/p"], volume("/home/kedro/project/data"), []),
        (["/var/spill", "s3://bucket/p"], volume("/var/spill", "emptyDir"), ["tier-goes-with-pod"]),
        (["/var/spill", "s3://bucket/p"], volume("/var", "hostPath"), []),
        ("file:///mnt/store", None, ["one-host", "tier-goes-with-pod"]),
        ("file:///mnt/store", volume("/mnt", "hostPath"), ["one-host"]),
        ("file:///mnt/store", volume("/mnt"), []),
    ],
)
def test_tiers_outlive_pods_and_reach_other_hosts_only_on_volumes(well, spill, mounted, expected) -> None:
    settings(well, {"spill": spill, "deployment": {**DEPLOYED, "volumes": [mounted] if mounted else []}})
    assert sorted(code for _, code, _ in found(well)) == expected


def test_configuration_behind_links_is_not_seen(well) -> None:
    for mounted, hidden in (
        (volume("/home/kedro/project/conf/base", "configMap"), True),
        (volume("/home/kedro/project/conf/base/bodega.yml", "configMap", sub_path="bodega.yml"), False),
        (volume("/home/kedro/project/conf/base"), False),
        (volume("/etc/other", "configMap"), False),
    ):
        settings(well, {"spill": "s3://bucket/p", "deployment": {**DEPLOYED, "volumes": [mounted]}})
        assert found(well) == ({("warning", "configuration-hidden", "deployment.volumes.extra")} if hidden else set())


def test_what_argo_would_fill_in_passes_in_no_text(well) -> None:
    code(well, 'node(give, "params:size", "{{item}}", name="make"), node(give, "{{item}}", "b"),')
    deployment = {**DEPLOYED, "env": {"A": "{{workflow.uid}}", "B": "$(PATH) {}"}}
    settings(well, {"spill": "s3://bucket/p", "deployment": deployment})
    subjects = {subject for _, code, subject in found(well) if code == "argo-braces"}
    assert subjects == {"{{item}}", "deployment.env.A"}
    assert "argo-braces" in well.command("argo", "generate", code=1).stderr


def test_tries_on_two_hosts_may_be_mixed(well) -> None:
    code(well, 'node(give, "params:size", ["a", "c"], name="make"), node(give, ["a", "c"], "b", name="use"),')
    settings(well, {"spill": "s3://bucket/p", "deployment": DEPLOYED})
    assert found(well) == {("warning", "tries-mixed", "'make'")}
    settings(well, {"spill": "s3://bucket/p", "deployment": {**DEPLOYED, "retries": 0}})
    assert found(well) == set()
    settings(well, {"deployment": DEPLOYED})
    assert found(well) == {("warning", "one-host", "spill")}


@pytest.mark.parametrize("text", ["import nowhere_at_all", "1 / 0", "def f(:"])
def test_a_module_that_does_not_import_is_one_sentence(well, text) -> None:
    well.write(f"src/{well.package}/nodes.py", f"\n\n{text}\n")
    for command in (["lint"], ["argo", "generate"], ["catalog", "list"]):
        process = subprocess.run(
            [sys.executable, "-m", "kedro", "bodega", *command], cwd=well.path, capture_output=True, text=True, timeout=300,
            env={**os.environ, "COLUMNS": "1000"},
        )  # fmt: skip
        said = process.stdout + process.stderr
        assert process.returncode == 1 and "Traceback" not in said, said
        assert "pipelines cannot be loaded" in said and "nodes.py" in said and "line 3" in said, said


# Documentation


def test_every_code_is_in_the_documentation() -> None:
    sources = [Path(str(module.__file__)).read_text() for module in (data, deployment, plan, session)]
    codes = {
        code
        for text in sources
        for code in re.findall(r'"([a-z]+(?:-[a-z]+)+)",\s|code="([a-z-]+)"', text)
        for code in code
        if code
    }
    documented = set(re.findall(r"`([a-z-]+)`", (Path(__file__).parents[3] / "docs/kedro.md").read_text()))
    assert {code for _, code, _ in FOUND} <= codes, "they are found in the sources"
    assert codes - documented == {"unknown-grouping"}, "which bodega.yml refuses when it is read"
