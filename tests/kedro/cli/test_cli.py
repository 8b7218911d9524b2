"""``kedro bodega``: the objects of a project's own root and run, and how commands see a project."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from kedro.framework.project import settings
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

import bodega
from bodega.errors import PlanError, SettingsError
from bodega.kedro.project.session import open_project


@pytest.fixture
def run(opted_in):
    """A project that has run once."""
    opted_in.session().run()
    return opted_in


def kedro(project, *arguments):
    """A ``kedro`` command as a person types it."""
    return subprocess.run(
        [sys.executable, "-m", "kedro", *arguments], cwd=project.path, capture_output=True, text=True, timeout=300
    )


# ls, info, rm, usage


def test_ls_lists_what_the_projects_run_holds(run) -> None:
    bodega.open(run="another").put("other", 1)
    lines = run.command("ls").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["name", "doubled", "halved", "numbers", "total"]
    assert lines[1].split()[-1] == "double"
    facts = json.loads(run.command("ls", "*ed", "--json").stdout)
    assert [each["name"] for each in facts["objects"]] == ["doubled", "halved"]
    assert facts["runs"] == [facts["objects"][0]["run"]] != ["another"]


def test_ls_prints_what_bodega_ls_prints(run) -> None:
    name = run.run_name()
    theirs = subprocess.run(
        [sys.executable, "-m", "bodega", "ls", "--run", name, "--json"], capture_output=True, text=True, check=True
    )
    assert json.loads(run.command("ls", "--json").stdout) == json.loads(theirs.stdout)


def test_ls_of_other_runs(run) -> None:
    bodega.open(run="another").put("other", 1)
    assert "other" in run.command("ls", "--run", "another").stdout
    assert {line.split()[0] for line in run.command("ls", "--runs").stdout.splitlines()[1:]} == set(
        bodega.open().runs()
    )
    assert "contradict" in run.command("ls", "--run", "another", "--all-runs", code=2).stderr


def test_each_environment_has_its_own_run(run) -> None:
    run.write("conf/prod/bodega.yml", "run: nightly\n")
    result = run.command("ls", "--env", "prod")
    assert result.stdout == ""
    assert "no object in run 'nightly'" in result.stderr


def test_the_root_of_the_project_is_looked_at(opted_in, monkeypatch) -> None:
    monkeypatch.delenv("BODEGA_ROOT")
    opted_in.write("conf/base/bodega.yml", "root: stock\nrun: mine\ncapacity: 64MiB\n")
    opted_in.session().run()
    facts = json.loads(opted_in.command("usage", "--json").stdout)
    assert facts["root"] == str(opted_in.path / "stock")
    assert facts["capacity"] == 64 * 2**20
    assert facts["objects"] == 4


def test_objects_are_shown_even_where_the_pipeline_is_broken(opted_in) -> None:
    opted_in.write("conf/base/bodega.yml", "run: mine\n")
    bodega.open(run="mine").put("numbers", 1)
    opted_in.write(f"src/{opted_in.package}/pipeline_registry.py", "this is no Python")
    assert "numbers" in opted_in.command("ls").stdout


def test_info_names_who_makes_and_reads_a_dataset(run) -> None:
    lines = run.command("info", "numbers").stdout.splitlines()
    facts = {key.strip(): value.strip() for key, _, value in (line.partition("  ") for line in lines)}
    assert (facts["made by"], facts["readers"]) == ("make", "double, halve")
    assert facts["tier"] == str(bodega.open().root)
    assert facts["kind"] == "numpy.ndarray"
    document = json.loads(run.command("info", "total", "--json").stdout)
    assert (document["made_by"], document["readers"], document["tier"]) == ("add", [], str(bodega.open().root))


def test_info_of_what_is_not_there_yet_names_the_node_that_makes_it(opted_in) -> None:
    result = opted_in.command("info", "doubled", code=1)
    assert "There is no object 'doubled'" in result.stderr
    assert "Node 'double' makes it: kedro run --to-nodes double." in result.stderr


def test_rm_removes_by_name_and_leaves_the_rest(run) -> None:
    result = run.command("rm", "total", "doubled")
    assert result.stdout.splitlines()[0].startswith("Removed total (")
    assert run.stored().names() == ["halved", "numbers"]


def test_rm_removes_nothing_where_a_name_is_not_there(run) -> None:
    assert "Did you mean 'total'?" in run.command("rm", "numbers", "totl", code=1).stderr
    assert len(run.stored().names()) == 4


def test_rm_asks_before_patterns_and_runs(run) -> None:
    assert "pass --yes" in run.command("rm", "*", code=2).stderr
    assert "pass --yes" in run.command("rm", "--run", run.run_name(), code=2).stderr
    assert "Say what to remove" in run.command("rm", code=2).stderr
    assert len(run.stored().names()) == 4
    run.command("rm", "*ed", "--dry-run")
    assert len(run.stored().names()) == 4
    run.command("rm", "*ed", "--yes")
    assert run.stored().names() == ["numbers", "total"]
    run.command("rm", "--run", run.run_name(), "--yes")
    assert bodega.open().runs() == []


# Errors


def test_a_mistake_in_bodega_yml_is_one_line(opted_in) -> None:
    opted_in.write("conf/base/bodega.yml", "rum: nightly\n")
    result = opted_in.command("ls", code=1)
    assert result.stderr.startswith("Error: The key 'rum' in ")
    assert "did you mean 'run'" in result.stderr
    assert "Traceback" not in result.output


def test_credentials_that_there_are_none_of_are_one_line(opted_in) -> None:
    opted_in.write(
        "conf/base/catalog.yml", "total: {type: bodega.kedro.BodegaDataset, credentials: bucket, persist: true}\n"
    )
    assert "Unable to find credentials 'bucket'" in opted_in.command("catalog", "list", code=1).stderr


def test_an_environment_that_there_is_none_of_is_one_line(opted_in) -> None:
    assert opted_in.command("catalog", "list", "--env", "prdo", code=1).stderr.startswith("Error: ")


# As a person types it


def test_standard_output_has_the_facts_alone_but_for_kedros_first_line(run) -> None:
    result = kedro(run, "bodega", "ls", "--json")
    assert result.returncode == 0, result.stderr
    document = result.stdout[result.stdout.index("{\n") :]
    assert [each["name"] for each in json.loads(document)["objects"]] == ["doubled", "halved", "numbers", "total"]


def test_a_file_has_the_facts_alone(run) -> None:
    result = kedro(run, "bodega", "ls", "*ed", "--output", "facts.json")
    assert result.returncode == 0, result.stderr
    assert "objects" not in result.stdout
    document = json.loads((run.path / "facts.json").read_text())
    assert [each["name"] for each in document["objects"]] == ["doubled", "halved"]


def test_a_projects_own_logging_may_go_to_standard_error_altogether(run, monkeypatch) -> None:
    run.write(
        "logging.yml",
        """
        version: 1
        disable_existing_loggers: False
        handlers: {console: {class: logging.StreamHandler, stream: ext://sys.stderr}}
        loggers: {kedro: {level: INFO}}
        root: {handlers: [console]}
        """,
    )
    monkeypatch.setenv("KEDRO_LOGGING_CONFIG", str(run.path / "logging.yml"))
    result = kedro(run, "bodega", "usage", "--json")
    assert json.loads(result.stdout)["objects"] == 4


def test_help_names_every_command_and_each_has_examples(opted_in) -> None:
    commands = ["argo", "catalog", "docker", "info", "lint", "ls", "rm", "schema", "usage"]
    listed = kedro(opted_in, "bodega", "--help").stdout
    assert [line.split()[0] for line in listed.partition("Commands:")[2].splitlines() if line.strip()] == commands
    for command in (*map(lambda each: [each], commands), ["catalog", "list"], ["catalog", "create"]):
        text = opted_in.command(*command, "--help").stdout
        assert f"kedro bodega {' '.join(command)}" in text.partition("Examples:")[2]


def test_commands_are_imported_when_they_are_called() -> None:
    program = (
        "import sys, bodega.kedro.cli as cli\n"
        "assert not {name for name in sys.modules if name.startswith('bodega.')} - "
        "{'bodega.errors', 'bodega.kedro', 'bodega.kedro.cli', 'bodega.texts'}\n"
        # Kedro's telemetry looks at every command before each run.
        "for name in cli.bodega.list_commands(None): cli.bodega.get_command(None, name)\n"
        "assert not {'hera', 'kubernetes', 'kr8s', 'pandas', 'pyarrow'} & set(sys.modules)\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


# How commands see a project


def opened(project, **options):
    bootstrap_project(project.path)
    return open_project(project.path, **options)


def test_a_project_is_seen_as_kedro_run_sees_it(opted_in) -> None:
    project = opened(opted_in, params={"size": 3})
    assert (project.project_path, project.package_name, project.env) == (opted_in.path, opted_in.package, "local")
    assert project.parameters == {"size": 3}
    assert [node.name for node in project.pipeline.nodes] == ["make", "double", "halve", "add"]
    assert project.catalog.load("params:size") == 3
    opted_in.session().run()
    assert project.place.run == opted_in.run_name()


def test_a_project_of_service_sessions_gets_its_parameters_too(opted_in) -> None:
    module = pytest.importorskip("kedro.framework.session.service_session", reason="this Kedro has no service session")
    opted_in.write(
        f"src/{opted_in.package}/settings.py",
        """
        from kedro.framework.session.service_session import KedroServiceSession

        SESSION_CLASS = KedroServiceSession
        """,
    )
    try:
        assert opened(opted_in, params={"size": 3}).catalog.load("params:size") == 3
        assert settings.SESSION_CLASS is module.KedroServiceSession
    finally:  # Kedro keeps the settings of the project that it was told of last.
        settings.set("SESSION_CLASS", KedroSession)


def test_what_the_store_holds_is_not_taken_for_entries_of_the_catalog(run) -> None:
    assert "numbers" not in opened(run).catalog
    assert "numbers" in run.session().load_context().catalog, "as in a notebook"


def test_a_project_without_the_file_has_the_defaults(project) -> None:
    assert opened(project).project.settings is None
    assert opened(project).settings.datasets == ("*",)


def test_the_environment_may_come_from_outside(opted_in, monkeypatch) -> None:
    opted_in.write("conf/prod/bodega.yml", "run: nightly\n")
    monkeypatch.setenv("KEDRO_ENV", "prod")
    assert opened(opted_in).place.run == "nightly"


def test_several_pipelines_are_one(opted_in) -> None:
    opted_in.write(
        f"src/{opted_in.package}/pipeline_registry.py",
        f"""
        from kedro.pipeline import node, pipeline
        from {opted_in.package}.nodes import *

        def register_pipelines():
            return {{
                "first": pipeline([node(make, "params:size", "numbers", name="make")]),
                "second": pipeline([node(double, "numbers", "doubled", name="double")]),
                "rival": pipeline([node(halve, "size", "numbers", name="other")]),
            }}
        """,
    )
    both = opened(opted_in, pipelines=["second", "first"])
    assert [task.name for task in both.plan().tasks] == ["make", "double"]
    with pytest.raises(PlanError, match="'__default__' is not registered: there are first, rival, second"):
        opened(opted_in).pipeline  # noqa: B018
    with pytest.raises(PlanError, match="'secnod' is not registered: did you mean 'second'"):
        opened(opted_in, pipelines=["secnod"]).pipeline  # noqa: B018
    with pytest.raises(PlanError, match="'first' and 'rival' cannot run together"):
        opened(opted_in, pipelines=["first", "rival"]).pipeline  # noqa: B018


def test_the_plan_follows_bodega_yml_unless_told_otherwise(opted_in) -> None:
    opted_in.write(
        "conf/base/bodega.yml",
        """
        deployment:
          grouping: auto
          tasks: [{nodes: make, resources: {gpu: 1}}]
        """,
    )
    opted_in.code(
        pipeline="""
        node(make, "params:size", "numbers", name="make"),
        node(double, "numbers", "doubled", name="double"),
        node(halve, "doubled", "halved", name="halve"),
        """
    )
    assert [task.name for task in opened(opted_in).plan().tasks] == ["make", "double-to-halve"], "the card is make's"
    assert len(opened(opted_in).plan("node").tasks) == 3


def test_a_mistake_in_the_deployment_is_named_by_its_whole_key(opted_in) -> None:
    opted_in.write("conf/base/bodega.yml", "deployment: {resources: {memory: 4GB}}\n")
    with pytest.raises(SettingsError, match=r"^The key 'deployment.resources.memory' in .*bodega.yml: .* write 4G"):
        opened(opted_in)
