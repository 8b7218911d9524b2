"""What a pod runs, as it runs it: a process in the project's folder."""

import json
import os
import subprocess
import sys

import pytest
import yaml

import bodega

NODES = """
def show(name, threshold, columns, model):
    return repr([name, threshold, columns, model])

def read(shown):
    return shown.upper()
"""
PIPELINE = """
    node(show, ["params:name", "params:threshold", "params:columns", "params:model"], "shown", name="show"),
    node(read, "shown", "read", name="read"),
"""
TEXT = """
from kedro.io import AbstractDataset

class Text(AbstractDataset):
    def __init__(self, filepath):
        self._filepath = Path(filepath)
    def _load(self):
        return self._filepath.read_text()
    def _save(self, data):
        self._filepath.write_text(data)
    def _describe(self):
        return {"filepath": str(self._filepath)}
"""
PARAMETERS = """
name: plain
threshold: 1
columns: [a]
model: {depth: 3, "kind": tree, 0: zero}
"""


@pytest.fixture
def shop(opted_in, tmp_path):
    opted_in.code(NODES, PIPELINE)
    opted_in.write("conf/base/parameters.yml", PARAMETERS)
    opted_in.outputs = tmp_path / "outputs"
    return opted_in


def task(project, *arguments, code=0, **environment):
    process = subprocess.run(
        [sys.executable, "-m", "bodega.kedro.task", *arguments],
        cwd=project.path,
        env={
            **os.environ,
            "BODEGA_RUN": "w-1",
            "BODEGA_HOST": "node-7",
            "BODEGA_OUTPUTS": str(project.outputs),
            "BODEGA_RESUME": "1",
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert process.returncode == code, process.stdout + process.stderr
    return process


def output(project, name):
    return (project.outputs / name).read_text()


def test_a_task_runs_its_nodes_and_says_where_and_how_much(shop):
    task(shop, "run", "--nodes", '["show"]', BODEGA_SHARED='["shown"]')
    assert output(shop, "host") == "node-7"
    store = shop.stored("w-1")
    assert json.loads(output(shop, "bytes")) == {"shown": store.info("shown").nbytes}
    assert list(store) == ["shown"]
    task(shop, "run", "--nodes", '["read"]', BODEGA_SHARED='["read"]')
    assert store["read"] == store["shown"].upper()


def test_sizes_of_a_task_that_was_done_before_are_said_again(shop):
    task(shop, "run", "--nodes", '["show"]', BODEGA_SHARED='["shown"]')
    before = output(shop, "bytes")
    (shop.outputs / "bytes").unlink()
    assert "Running node" not in task(shop, "run", "--nodes", '["show"]', BODEGA_SHARED='["shown"]').stdout
    assert output(shop, "bytes") == before


@pytest.mark.parametrize(
    ("params", "shown"),
    [
        (["name=007"], ["007", 1, ["a"], {"depth": 3, "kind": "tree", 0: "zero"}]),
        (['name=a,b="c": [d] {e} #f'], ['a,b="c": [d] {e} #f', 1, ["a"], {"depth": 3, "kind": "tree", 0: "zero"}]),
        (["name=1e3", "threshold=7"], ["1e3", 7, ["a"], {"depth": 3, "kind": "tree", 0: "zero"}]),
        (['columns=["x,y", "007", "é"]'], ["plain", 1, ["x,y", "007", "é"], {"depth": 3, "kind": "tree", 0: "zero"}]),
        (["model={depth: 7, 0: one}"], ["plain", 1, ["a"], {"depth": 7, "kind": "tree", 0: "one"}]),
    ],
)
def test_parameters_arrive_exactly(shop, params, shown):
    task(shop, "run", "--nodes", '["show"]', "--params", json.dumps(dict(each.split("=", 1) for each in params)))
    found = eval(shop.stored("w-1")["shown"])
    assert found == shown and [type(value) for value in found] == [type(value) for value in shown]


def test_a_parameter_of_another_type_is_a_mistake_that_no_retry_mends(shop):
    process = task(shop, "run", "--nodes", '["show"]', "--params", '{"threshold": "007"}', code=2)
    assert "'threshold' is a whole number in the project, not '007'" in process.stderr
    assert shop.stored("w-1").names() == []


def test_an_error_of_a_node_ends_the_task_as_it_ends_kedro_run(shop):
    shop.code(NODES + "def broken():\n    raise RuntimeError('broken')\n", "node(broken, None, 'x', name='broken'),")
    task(shop, "run", "--nodes", '["broken"]', code=1)
    assert not (shop.outputs / "bytes").exists()


def test_env_pipelines_and_configuration_are_passed(shop):
    shop.write("conf/prod/parameters.yml", "name: of prod\n")
    shop.write(
        f"src/{shop.package}/pipeline_registry.py",
        f"from kedro.pipeline import node, pipeline\nfrom {shop.package}.nodes import *\n\n"
        f"def register_pipelines():\n    return {{'__default__': pipeline([]), 'other': pipeline([{PIPELINE}])}}\n",
    )
    task(shop, "run", "--nodes", '["show"]', "--env", "prod", "--pipelines", "other")
    assert "of prod" in shop.stored("w-1")["shown"]
    elsewhere = shop.path / "elsewhere"
    (shop.path / "conf").rename(elsewhere)
    task(shop, "run", "--nodes", '["show"]', "--pipelines", "other", "--conf-source", str(elsewhere), BODEGA_RUN="w-2")
    assert "plain" in shop.stored("w-2")["shown"]


def test_the_run_is_dropped(shop):
    task(shop, "run", "--nodes", '["show"]', BODEGA_SHARED='["shown"]')
    task(shop, "run", "--nodes", '["read"]', BODEGA_SHARED='["read"]')
    assert "Dropped 2 objects of run 'w-1'" in task(shop, "drop").stdout
    assert bodega.open().runs() == [] and bodega.open().usage().used == 0


def test_the_warm_memory_of_a_host_goes_though_a_run_is_kept_there(shop):
    other = bodega.open(run="other")
    other.put("big", b"x" * (4 << 20))
    other.put("kept", 1)
    del other["big"]
    assert other.usage().pool
    task(shop, "drop")
    assert other.usage().pool == 0 and other["kept"] == 1


@pytest.fixture
def hosts(shop, tmp_path):
    """Two hosts, each with a memory of its own, that share a durable tier."""
    shop.write("conf/base/bodega.yml", f"spill: file://{tmp_path}/durable")
    return [{"BODEGA_ROOT": str(tmp_path / name), "BODEGA_HOST": name} for name in ("node-7", "node-8")]


def run_on(shop, host, node, run):
    task(shop, "run", "--nodes", f'["{node}"]', BODEGA_SHARED=json.dumps(["shown", "read"]), BODEGA_RUN=run, **host)


def in_memory(host):
    return bodega.open(host["BODEGA_ROOT"]).runs_in_memory()


def durable_runs(tmp_path):
    return sorted(path.name for path in (tmp_path / "durable").iterdir() if any(path.iterdir()))


def test_what_an_end_elsewhere_left_on_a_host_goes_with_the_next_end_there(shop, hosts, tmp_path):
    first, second = hosts
    run_on(shop, first, "show", "w-1")
    run_on(shop, second, "read", "w-1")
    # The first host takes no pod: its own ends elsewhere. A run that goes on, and one that no workflow made, stay.
    task(shop, "drop", BODEGA_RUN="w-1", **second)
    assert in_memory(first) == ["w-1"] and in_memory(second) == [] and durable_runs(tmp_path) == []
    run_on(shop, first, "show", "w-2")
    run_on(shop, first, "show", "w-3")
    bodega.open(first["BODEGA_ROOT"], run="mine")["a"] = 1
    printed = task(shop, "drop", BODEGA_RUN="w-2", **first).stdout
    assert "of run 'w-2'" in printed and "Dropped 1 objects of run 'w-1'" in printed
    assert in_memory(first) == ["mine", "w-3"] and durable_runs(tmp_path) == ["w-3"]


def test_a_run_of_another_durable_tier_is_not_taken_for_ended(shop, hosts, tmp_path):
    first, _ = hosts
    run_on(shop, first, "show", "w-1")
    shop.write("conf/base/bodega.yml", f"spill: file://{tmp_path}/other")
    run_on(shop, first, "show", "w-2")
    task(shop, "drop", BODEGA_RUN="w-2", **first)
    assert in_memory(first) == ["w-1"] and durable_runs(tmp_path) == ["w-1"]


def test_what_a_failing_durable_tier_kept_goes_with_the_next_end(shop, hosts, tmp_path):
    first, _ = hosts
    run_on(shop, first, "show", "w-1")
    kept, away = tmp_path / "durable" / "w-1", tmp_path / "away"
    kept.rename(away)
    kept.symlink_to(kept)  # Neither there nor not there.
    assert "could not be listed" in task(shop, "drop", code=1, BODEGA_RUN="w-1", **first).stderr
    kept.unlink()
    away.rename(kept)
    assert durable_runs(tmp_path) == ["w-1"]
    run_on(shop, first, "show", "w-2")
    task(shop, "drop", BODEGA_RUN="w-2", **first)
    assert in_memory(first) == [] and durable_runs(tmp_path) == []


def test_a_host_can_be_asked_for_its_name_anywhere(shop, tmp_path):
    task(shop, "host")
    assert output(shop, "host") == "node-7"


def test_outside_of_a_project(shop, tmp_path):
    process = subprocess.run(
        [sys.executable, "-m", "bodega.kedro.task", "drop"], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert process.returncode == 2 and "WORKDIR" in process.stderr


def test_what_was_to_be_shared_and_is_not_in_the_store_is_a_mistake(shop):
    # As in an image whose configuration keeps the dataset in a file, made before the manifest's.
    shop.write("conf/base/catalog.yml", f"shown: {{type: {shop.package}.nodes.Text, filepath: shown.txt}}\n")
    shop.code(NODES + TEXT, PIPELINE)
    arguments = ["run", "--nodes", '["show"]']
    task(shop, *arguments, BODEGA_SHARED='["shown"]')
    process = task(shop, *arguments, "--stored", '["shown"]', BODEGA_SHARED='["shown"]', code=2)
    assert "'shown'" in process.stderr and "image and the manifest" in process.stderr
    shop.write("conf/base/bodega.yml", "override: [shown]\n")
    task(shop, *arguments, "--stored", '["shown"]', BODEGA_SHARED='["shown"]', BODEGA_RUN="w-2")


def test_a_task_loads_no_other_pipeline_than_it_is_told(shop):
    shop.write(f"src/{shop.package}/pipelines/__init__.py", "")
    for name, text in {"one": PIPELINE, "two": "node(len, 'read', 'length', name='measure'),"}.items():
        shop.write(
            f"src/{shop.package}/pipelines/{name}/__init__.py",
            f"from kedro.pipeline import node, pipeline\nfrom {shop.package}.nodes import *\n"
            f"print('imports pipeline {name}', file=sys.stderr)\n\ndef create_pipeline(**_):\n    return pipeline([{text}])\n",
        )
    shop.write(
        f"src/{shop.package}/pipeline_registry.py",
        "from kedro.framework.project import find_pipelines\n\n"
        "def register_pipelines():\n"
        "    pipelines = find_pipelines(raise_errors=True)\n"
        "    pipelines['__default__'] = sum(pipelines.values())\n"
        "    return pipelines\n",
    )
    shop.write("conf/base/bodega.yml", "deployment: {image: shop:1}\nspill: s3://bucket/p\n")
    manifest = yaml.safe_load(shop.command("argo", "generate", "-o", "-").stdout)
    shop.write("conf/base/bodega.yml", "")
    (dag,) = (each["dag"]["tasks"] for each in manifest["spec"]["templates"] if "dag" in each)
    told = {each["name"]: {given["name"]: given["value"] for given in each["arguments"]["parameters"]} for each in dag}
    assert {name: each["pipelines"] for name, each in told.items()} == {"show": "one", "read": "one", "measure": "two"}
    assert told["read"]["params"] == "{}" and "'model'" in told["show"]["params"]
    for name, other in (("show", "two"), ("read", "two"), ("measure", "one")):
        given = told[name]
        process = task(
            shop, "run", "--nodes", given["nodes"], "--pipelines", given["pipelines"], "--stored", given["stored"],
            BODEGA_SHARED=given["shared"],
        )  # fmt: skip
        assert f"imports pipeline {other}" not in process.stderr
    assert shop.stored("w-1")["length"] == len(shop.stored("w-1")["read"])


def test_a_task_that_is_done_imports_no_pipeline(shop):
    registry = shop.path / f"src/{shop.package}/pipeline_registry.py"
    registry.write_text("import sys\nprint('imports the registry', file=sys.stderr)\n" + registry.read_text())
    arguments = ["run", "--nodes", '["show"]', "--params", '{"name": "a", "model": "{depth: 7}"}']
    assert "imports the registry" in task(shop, *arguments, BODEGA_SHARED='["shown"]').stderr
    before = output(shop, "bytes")
    (shop.outputs / "bytes").unlink()
    assert "imports the registry" not in task(shop, *arguments, BODEGA_SHARED='["shown"]').stderr
    assert output(shop, "bytes") == before
    # Another parameter, and what was shared is gone: the node runs again.
    arguments[-1] = '{"name": "b", "model": "{depth: 7}"}'
    assert "imports the registry" in task(shop, *arguments, BODEGA_SHARED='["shown"]').stderr
    assert eval(shop.stored("w-1")["shown"])[0] == "b"
    del shop.stored("w-1")["shown"]
    task(shop, *arguments, BODEGA_SHARED='["shown"]')
    assert "shown" in shop.stored("w-1")


def test_a_registry_that_needs_all_pipelines_gets_them(shop):
    shop.write(f"src/{shop.package}/pipelines/__init__.py", "")
    shop.write(
        f"src/{shop.package}/pipelines/one/__init__.py",
        f"from kedro.pipeline import node, pipeline\nfrom {shop.package}.nodes import *\n\n"
        f"def create_pipeline(**_):\n    return pipeline([{PIPELINE}])\n",
    )
    shop.write(
        f"src/{shop.package}/pipeline_registry.py",
        "from kedro.framework.project import find_pipelines\n\n"
        "def register_pipelines():\n"
        "    pipelines = find_pipelines()\n"
        "    return {'__default__': pipelines['one'], 'renamed': pipelines['one']}\n",
    )
    shop.write("conf/base/bodega.yml", "deployment: {image: shop:1}\nspill: s3://bucket/p\n")
    manifest = yaml.safe_load(shop.command("argo", "generate", "-o", "-").stdout)
    (dag,) = (each["dag"]["tasks"] for each in manifest["spec"]["templates"] if "dag" in each)
    assert [given["value"] for each in dag for given in each["arguments"]["parameters"] if given["name"] == "pipelines"] == [
        "", "",
    ]  # fmt: skip
