"""What is wrong with manifests. The right ones are those that are generated."""

import copy
import os
import shutil

import pytest
from tests.argo._schema import make_manifest, problems

from bodega.argo.lint import lint_file, lint_manifest, read_manifests
from bodega.argo.manifest import to_yaml
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
        image="shop:1", schedule="@daily", timeout=90.0, tasks=(ResourceRule(nodes=("add",), retries=0),)
    )
    assert lint_manifest(make_manifest(make(deployment, grouping=grouping, one_host=one_host), kind)) == []


SPEC_TASK = ["spec", "templates", TASK]
CONTAINER = [*SPEC_TASK, "container"]
DAG_TASK = ["spec", "templates", PIPELINE, "dag", "tasks", 1]


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (["kind"], "Deployment", ["kind", "'Deployment'", "Workflow"]),
        # Names.
        (["metadata", "generateName"], "Little_Shop-", ["metadata.generateName", "little-shop-x"]),
        (["metadata", "labels"], {"team": "a b"}, ["metadata.labels.team", "'a b'"]),
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
        ([*SPEC_TASK, "retryStrategy", "backoff", "cap"], "ten", ["backoff.cap", "'ten'", "90s"]),
        # Volumes.
        (["spec", "volumes"], ..., ["container.volumeMounts", "volume 'bodega'"]),
        ([*CONTAINER, "volumeMounts", 0, "name"], "bodage", ["volume 'bodage'", "Did you mean 'bodega'"]),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(manifest, path, value, words):
    found = messages(change(manifest, path, value))
    assert any(all(word in message for word in words) for message in found), found


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ([*CONTAINER, "imagePullPolice"], "Always", ["spec.templates[1].container", "imagePullPolice"]),
        (["spec", "ttl"], 5, ["$.spec:", "ttl"]),
        (["spec", "parallelism"], "many", ["$.spec.parallelism", "integer", "'many'"]),
        (["spec", "templates"], {"a": 1}, ["$.spec.templates", "array"]),
        ([*DAG_TASK, "name"], ..., ["dag.tasks[1]", "'name' is a required property"]),
    ],
)
def test_fields_and_types_are_the_schemas_and_need_no_linter(manifest, path, value, words):
    wrong = change(manifest, path, value)
    found = problems(wrong)
    assert any(all(word in message for word in words) for message in found), found
    lint_manifest(wrong)  # Takes no type for granted.


def test_manifests_of_a_file_are_counted(manifest, tmp_path):
    wrong = change(manifest, ["metadata", "generateName"], "Shop-")
    file = tmp_path / "two.yaml"
    file.write_text(to_yaml(manifest, heading="One") + "---\n" + to_yaml(wrong, heading="Two"))
    finding = lint_file(file)[0]
    assert finding.subject == "[1] metadata.generateName"


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
    (theirs,) = lint_file(file)
    assert "argo lint --offline" in theirs.message and "nothing" in theirs.message


def test_the_program_is_not_needed(manifest, tmp_path, monkeypatch):
    file = tmp_path / "shop.yaml"
    file.write_text(to_yaml(manifest, heading="Right."))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert lint_file(file) == []
