"""What is wrong with manifests. The right ones are those that are generated."""

import copy
import os
import shutil

import pytest

from bodega.argo.lint import lint_file, lint_manifest, read_manifests
from bodega.argo.manifest import make_manifest, to_yaml
from bodega.errors import SettingsError
from bodega.kubernetes.deployment import Deployment, ResourceRule, Resources

TASK, PIPELINE = 1, 0
"""Where the templates of the tasks and of the pipeline are."""


@pytest.fixture
def manifest(make):
    return make_manifest(make(Deployment(image="shop:1", resources=Resources(cpu="1", memory="1Gi"))))


def change(manifest, path, value):
    """A manifest with another value at a path; ``...`` takes it away."""
    changed = copy.deepcopy(manifest)
    target = changed
    for key in path[:-1]:
        target = target[key]
    if value is ...:
        del target[path[-1]]
    else:
        target[path[-1]] = value
    return changed


def messages(manifest):
    return [f"{path}: {message}" for path, message in lint_manifest(manifest)]


@pytest.mark.parametrize("kind", ["Workflow", "WorkflowTemplate", "CronWorkflow"])
@pytest.mark.parametrize("one_host", [False, True])
@pytest.mark.parametrize("grouping", ["node", "auto"])
def test_what_is_generated_is_right(make, kind, one_host, grouping):
    deployment = Deployment(
        image="shop:1", schedule="@daily", timeout=90.0, rules=(ResourceRule(nodes=("add",), retries=0),)
    )
    assert lint_manifest(make_manifest(make(deployment, grouping=grouping, one_host=one_host), kind)) == []


SPEC_TASK = ["spec", "templates", TASK]
CONTAINER = [*SPEC_TASK, "container"]
DAG_TASK = ["spec", "templates", PIPELINE, "dag", "tasks", 1]


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        # Fields that hera ignores.
        ([*CONTAINER, "imagePullPolice"], "Always", ["spec.templates[1].container.imagePullPolice", "not known"]),
        (["spec", "ttl"], 5, ["spec.ttl:", "not known"]),
        # Types.
        (["spec", "parallelism"], "many", ["spec.parallelism", "integer", "'many'"]),
        (["kind"], "Deployment", ["kind", "'Deployment'", "Workflow"]),
        ([*DAG_TASK, "template"], ..., ["dag.tasks[1]:", "names no template"]),
        # Names.
        (["metadata", "generateName"], "Little_Shop-", ["metadata.generateName", "little-shop-x"]),
        (["metadata", "labels"], {"team": "a b"}, ["metadata.labels.team", "'a b'"]),
        ([*SPEC_TASK, "name"], "the task", ["templates[1].name", "'the task'"]),
        ([*CONTAINER, "env", 0, "name"], "MY-ROOT", ["container.env[0].name", "'MY-ROOT'"]),
        # Quantities and durations.
        (
            [*CONTAINER, "resources", "limits", "memory"],
            "5 gigs",
            ["resources.limits.memory", "'gigs'", "5Gi"],
        ),
        ([*CONTAINER, "resources", "requests", "memory"], "2Gi", ["requests.memory", "2Gi is more", "1Gi"]),
        ([*CONTAINER, "resources", "limits", "nvidia.com/gpu"], "a", ["nvidia.com/gpu", "whole number"]),
        ([*SPEC_TASK, "retryStrategy", "backoff", "duration"], "ten", ["backoff.duration", "'ten'", "90s"]),
        # References.
        (["spec", "entrypoint"], "pipelin", ["spec.entrypoint", "'pipelin'", "Did you mean 'pipeline'"]),
        (["spec", "entrypoint"], ..., ["spec.entrypoint", "no entrypoint"]),
        (["spec", "onExit"], "nothing", ["spec.onExit", "'nothing'"]),
        ([*DAG_TASK, "template"], "tusk", ["tasks[1].template", "Did you mean 'task'"]),
        ([*DAG_TASK, "depends"], "maker.Succeeded", ["tasks[1].depends", "'maker'", "Did you mean 'make'"]),
        ([*DAG_TASK, "depends"], ..., ["tasks.make.outputs", "no task 'make' is done before"]),
        ([*DAG_TASK, "depends"], "make && double", ["waits for itself"]),
        ([*DAG_TASK, "name"], "make", ["two of the name 'make'"]),
        ([*DAG_TASK, "arguments", "parameters", 0, "name"], "noodes", ["'noodes'", "'nodes'"]),
        ([*DAG_TASK, "arguments", "parameters", 0], {"name": "shared"}, ["needs the parameter 'nodes'"]),
        (
            [*CONTAINER, "args"],
            ["{{workflow.parameters.sise}}"],
            ["templates[1]", "workflow parameter 'sise'", "'size'"],
        ),
        ([*CONTAINER, "args"], ["{{=inputs.parameters.noodes + 'x'}}"], ["input parameter 'noodes'", "'nodes'"]),
        ([*SPEC_TASK, "outputs", "parameters", 1, "name"], "size", ["output parameter of 'make' 'bytes'"]),
        (["spec", "volumes"], ..., ["container.volumeMounts", "volume 'bodega'"]),
        (["spec", "arguments", "parameters", 2, "name"], "the size", ["'the size'"]),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(manifest, path, value, words):
    found = messages(change(manifest, path, value))
    assert any(all(word in message for word in words) for message in found), found


def test_a_schedule_that_is_none(make):
    manifest = make_manifest(make(Deployment(image="shop:1", schedule="0 6 * * *")), "CronWorkflow")
    (message,) = messages(change(manifest, ["spec", "schedules", 0], "at six"))
    assert "spec.schedules[0]" in message and "'at six'" in message


def test_manifests_of_a_file_are_counted(manifest, tmp_path):
    wrong = change(manifest, ["spec", "onExit"], "nothing")
    file = tmp_path / "two.yaml"
    file.write_text(to_yaml(manifest, heading="One") + "---\n" + to_yaml(wrong, heading="Two"))
    finding = lint_file(file)[0]
    assert finding.file == str(file) and finding.path == "[1] spec.onExit"


@pytest.mark.parametrize(("text", "word"), [("a: [", "no YAML"), ("", "no manifest"), ("just words", "no manifest")])
def test_a_file_without_a_manifest(tmp_path, text, word):
    file = tmp_path / "shop.yaml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=word):
        read_manifests(file)


def test_argos_own_program_agrees(make, manifest, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{os.environ.get('BODEGA_TEST_ARGO', '')}:{os.environ['PATH']}")
    if shutil.which("argo") is None:
        pytest.skip("Argo's program is missing: put 'argo' on the PATH or into the folder BODEGA_TEST_ARGO.")
    for number, each in enumerate(
        [manifest, make_manifest(make(one_host=True)), make_manifest(make(), "WorkflowTemplate")]
    ):
        file = tmp_path / f"{number}.yaml"
        file.write_text(to_yaml(each, heading="Right."))
        assert lint_file(file) == []
    file.write_text(to_yaml(change(manifest, ["spec", "entrypoint"], "nothing"), heading="Wrong."))
    ours, theirs = lint_file(file)
    assert "nothing" in ours.message and "argo lint --offline" in theirs.message and "nothing" in theirs.message


def test_the_program_is_not_needed(manifest, tmp_path, monkeypatch):
    file = tmp_path / "shop.yaml"
    file.write_text(to_yaml(manifest, heading="Right."))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert lint_file(file) == []
