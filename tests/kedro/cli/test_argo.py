"""``kedro bodega argo``, in a generated project."""

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from tests.argo._server import Server

EXAMPLE = Path(__file__).parents[3] / "examples" / "house-prices"

SETTINGS = """
spill: s3://bucket/prefix
deployment:
  image: shop:1
  resources: {cpu: 1, memory: 1Gi}
"""


@pytest.fixture
def shop(opted_in):
    opted_in.write("conf/base/bodega.yml", SETTINGS)
    opted_in.write("conf/base/parameters.yml", 'size: 10\nname: "007"\nmodel: {depth: 3, kind: tree}\n')
    opted_in.code(
        "def make(size, name, model):\n    return [size, name, model]\n\ndef use(made):\n    return made\n",
        'node(make, ["params:size", "params:name", "params:model"], "made", name="make"),\n'
        'node(use, "made", "used", name="use"),',
    )
    return opted_in


@pytest.fixture
def server(monkeypatch):
    """An Argo server that the environment leads to."""
    for name in ("ARGO_TOKEN", "KUBECONFIG"):
        monkeypatch.delenv(name, raising=False)
    running = Server()
    monkeypatch.setenv("ARGO_SERVER", running.url)
    yield running
    running.close()


def parameters(workflow):
    return {each["name"]: each["value"] for each in workflow["spec"]["arguments"]["parameters"]}


# generate


def test_generate_writes_a_workflow_that_lint_finds_right(shop):
    output = shop.command("argo", "generate", "--env", "base").stdout
    file = shop.path / "argo" / f"{shop.package.replace('_', '-')}.yaml"
    assert output == f"Wrote {file}: a Workflow of 2 tasks.\n"
    manifest = yaml.safe_load(file.read_text())
    assert parameters(manifest) == {
        "image": "shop:1", "run": "", "size": "10", "name": "007", "model": '{"depth": 3, "kind": "tree"}',
    }  # fmt: skip
    assert [path.name for path in file.parent.iterdir()] == [file.name]
    shop.command("argo", "lint", str(file))
    first = file.read_bytes()
    shop.command("argo", "generate", "--env", "base")
    assert file.read_bytes() == first


def test_generate_takes_other_settings(shop):
    shop.write("conf/prod/bodega.yml", SETTINGS.replace("shop:1", "shop:prod"))
    options = ["--env", "prod", "--params", "size=20", "--kind", "WorkflowTemplate", "--name", "Nightly"]
    options += ["--grouping", "auto", "--image", "shop:2", "--pipelines", "__default__", "-o", "out/nightly.yaml"]
    previous = Path.cwd()
    os.chdir(shop.path)
    try:
        facts = json.loads(shop.command("argo", "generate", *options, "--json").stdout)
    finally:
        os.chdir(previous)
    assert facts["kind"] == "WorkflowTemplate" and len(facts["tasks"]) == 1
    manifest = yaml.safe_load((shop.path / "out/nightly.yaml").read_text())
    assert manifest["kind"] == "WorkflowTemplate" and manifest["metadata"]["name"] == "nightly"
    assert parameters(manifest)["size"] == "20" and parameters(manifest)["image"] == "shop:2"
    args = manifest["spec"]["templates"][1]["container"]["args"]
    assert args[-2:] == ["--env", "prod"]
    (task,) = manifest["spec"]["templates"][0]["dag"]["tasks"]
    assert {"name": "pipelines", "value": "__default__"} in task["arguments"]["parameters"]


def test_generate_prints(shop):
    manifest = yaml.safe_load(shop.command("argo", "generate", "--output", "-").stdout)
    assert manifest["kind"] == "Workflow" and not (shop.path / "argo").exists()


@pytest.mark.parametrize(
    ("settings", "options", "words"),
    [
        ("spill: s3://bucket/prefix\n", ["--image", ""], ["no image"]),
        (SETTINGS, ["--pipelines", "another"], ["'another'", "not registered"]),
        (SETTINGS + "  grouping: {all: [makes]}\n", [], ["'makes'", "'make'"]),
        (SETTINGS + "  kind: CronWorkflow\n", [], ["schedule"]),
        (SETTINGS.replace("1Gi", "5 gigs"), [], ["'gigs'", "5Gi"]),
    ],
)
def test_generate_refuses_and_writes_nothing(shop, settings, options, words):
    shop.write("conf/base/bodega.yml", settings)
    error = shop.command("argo", "generate", *options, code=1).stderr
    assert all(word in error for word in words), error
    assert not (shop.path / "argo").exists()


def test_generate_says_what_lint_warns_of(shop):
    warned = json.loads(shop.command("lint", "--json").stdout)["findings"]
    assert warned, "the project is to have a warning"
    result = shop.command("argo", "generate", "--output", "-")
    assert yaml.safe_load(result.stdout)["kind"] == "Workflow"
    for finding in warned:
        assert f"{finding['subject']} ({finding['code']}): {finding['message']}" in result.stderr


def test_generate_leaves_what_was_there_when_it_cannot_write(shop):
    (shop.path / "argo").write_text("a file in the place of the folder")
    shop.command("argo", "generate", code=1)
    assert (shop.path / "argo").read_text() == "a file in the place of the folder"


def test_the_examples_workflow_is_what_is_generated_today(tmp_path):

    project = tmp_path / "house-prices"
    shutil.copytree(EXAMPLE, project, ignore=shutil.ignore_patterns("__pycache__", "argo", "02_intermediate"))
    shutil.copytree(EXAMPLE / "conf" / "argo", project / "conf" / "argo", dirs_exist_ok=True)
    subprocess.run(
        [sys.executable, "-m", "kedro", "bodega", "argo", "generate", "--env", "argo"],
        cwd=project, check=True, capture_output=True, timeout=300,
    )  # fmt: skip
    made, kept = (yaml.safe_load((folder / "argo" / "house-prices.yaml").read_text()) for folder in (project, EXAMPLE))
    assert made == kept


# lint


def test_lint_names_file_path_and_message(shop):
    shop.command("argo", "generate", "-o", str(shop.path / "w.yaml"))
    text = (shop.path / "w.yaml").read_text()
    (shop.path / "w.yaml").write_text(
        text.replace("memory: 1Gi", "memory: 5 gigs").replace("generateName: ", "generateName: A")
    )
    result = shop.command("argo", "lint", str(shop.path / "w.yaml"), "--json", code=1)
    findings = json.loads(result.stdout)["findings"]
    assert {finding["path"] for finding in findings} == {
        "metadata.generateName",
        "spec.templates[1].container.resources.limits.memory",
        "spec.templates[1].container.resources.requests.memory",
        "spec.templates[1].initContainers[0].resources.limits.memory",
        "spec.templates[1].initContainers[0].resources.requests.memory",
    }
    result = shop.command("argo", "lint", str(shop.path / "w.yaml"), code=1)
    assert f"{shop.path}/w.yaml: metadata.generateName: 'A" in result.stdout
    assert "Checked 1 file: found 5 problems." in result.stderr


# submit and watch


def test_submit_sends_the_pipelines_workflow_with_parameters(shop, server):
    options = ["-p", "size=7", "-p", "name=0,8", "-p", "model.depth=5", "-p", "run=nightly", "--namespace", "ml"]
    assert shop.command("argo", "submit", *options).stdout.startswith("Submitted ml/")
    (workflow,) = server.workflows.values()
    assert parameters(workflow) == {
        "image": "shop:1", "run": "nightly", "size": "7", "name": "0,8", "model": '{"depth": 5, "kind": "tree"}',
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("size=many", ["'size' is a whole number", "'many'"]),
        ("sise=1", ["no parameter 'sise'", "'size'"]),
        ("model.dept=1", ["'model.dept'", "'model.depth'"]),
        ("image=", ["no image"]),
        ("name={{workflow.uid}}", ["{{workflow.uid}}", "Argo would put something else"]),
        ("run={{workflow.name}}", ["{{workflow.name}}", "Argo would put something else"]),
    ],
)
def test_submit_refuses_parameters_before_anything_is_sent(shop, server, given, words):
    error = shop.command("argo", "submit", "-p", given, code=1).stderr
    assert all(word in error for word in words), error
    assert server.workflows == {} and server.tokens == []


def test_submit_wants_a_value(shop, server):
    assert "NAME=VALUE" in shop.command("argo", "submit", "-p", "size", code=2).stderr


@pytest.mark.parametrize("kind", ["Workflow", "WorkflowTemplate", "CronWorkflow"])
def test_submit_runs_what_a_file_describes(shop, server, kind):
    shop.write("conf/base/bodega.yml", f"{SETTINGS}  schedule: '0 6 * * *'\n  namespace: ml\n")
    file = str(shop.path / "w.yaml")
    shop.command("argo", "generate", "--kind", kind, "-o", file)
    facts = json.loads(shop.command("argo", "submit", file, "-p", "size=7", "--json").stdout)
    (workflow,) = server.workflows.values()
    assert workflow["kind"] == "Workflow" and workflow["spec"]["entrypoint"] == "pipeline"
    assert parameters(workflow)["size"] == "7"
    assert facts["name"] == workflow["metadata"]["name"] and facts["namespace"] == "ml"
    assert "no parameter 'sise'" in shop.command("argo", "submit", file, "-p", "sise=7", code=1).stderr


def test_submit_can_show_what_it_would_send(shop, server):
    workflow = yaml.safe_load(shop.command("argo", "submit", "--dry-run", "-p", "size=7").stdout)
    assert parameters(workflow)["size"] == "7" and server.workflows == {}


def test_submit_without_a_cluster(shop, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("ARGO_SERVER", "KUBECONFIG"):
        monkeypatch.delenv(name, raising=False)
    assert "KUBECONFIG" in shop.command("argo", "submit", code=1).stderr


def test_submit_says_why_a_cluster_refuses(shop, server):
    server.refusal = 403, "workflows.argoproj.io is forbidden"
    error = shop.command("argo", "submit", code=1).stderr
    assert "is forbidden" in error and "--namespace" in error


@pytest.mark.parametrize(("phase", "code"), [("Succeeded", 0), ("Failed", 1), ("Error", 1)])
def test_the_exit_code_of_watching_is_the_outcome(shop, server, phase, code):
    server.states = [{"phase": phase, "startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:01:00Z"}]
    result = shop.command("argo", "submit", "--watch", "--json", code=code)
    facts = json.loads(result.stdout)
    assert facts["phase"] == phase and facts["uid"] == "u-1"
    result = shop.command("argo", "watch", facts["name"], "--server", server.url, code=code)
    assert f"{phase}  1 min 0 s" in result.stdout


def test_ctrl_c_leaves_the_workflow_running_and_says_how_to_watch_it_again(shop, server):
    server.states = [{"phase": "Running", "startedAt": "2026-01-01T00:00:00Z"}]
    main, other = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "kedro", "bodega", "argo", "submit", "--watch", "--namespace", "ml"],
        cwd=shop.path, stdout=other, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    os.close(other)
    deadline = time.monotonic() + 300
    while not server.workflows and time.monotonic() < deadline:
        time.sleep(0.1)
    looked = len(server.tokens)
    while len(server.tokens) <= looked + 1 and time.monotonic() < deadline:
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    _, error = process.communicate(timeout=300)
    os.close(main)
    (name,) = server.workflows
    assert process.returncode == 130
    assert f"kedro bodega argo watch {name} --namespace ml" in error


@pytest.mark.parametrize("command", [[], ["generate"], ["lint"], ["submit"], ["watch"]])
def test_help_has_examples(shop, command):
    assert "kedro bodega argo" in shop.command("argo", *command, "--help").stdout.partition("Examples:")[2]
