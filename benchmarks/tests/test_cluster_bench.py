"""The benchmark on a cluster: manifests that a project's own command makes, and tables of what became of workflows."""

import json
import sys

import pytest
import yaml
from click.testing import CliRunner

from bodega_bench.cluster.manifests import argo_manifests
from bodega_bench.cluster.report import argo_report

NODES = ["read_houses", "drop_outliers"]


def pod(name, node_id, start, end, *, nodes=None, host="one", **more):
    return {
        "id": node_id, "name": name, "displayName": name.rpartition(".")[2], "type": "Pod", "phase": "Succeeded",
        "startedAt": f"2026-01-01T00:{start}Z", "finishedAt": f"2026-01-01T00:{end}Z", "hostNodeName": host,
        **({"inputs": {"parameters": [{"name": "nodes", "value": json.dumps(nodes)}]}} if nodes else {}), **more,
    }  # fmt: skip


def workflow(name, medium, scale, *, seconds=(20, 40), phase="Succeeded", **status):
    pods = [
        pod(f"{name}.choose-host", f"{name}-0", "00:00", "00:09"),
        *(
            pod(f"{name}.{node}", f"{name}-{number}", f"0{number}:00", f"0{number}:{last}", nodes=[node])
            for number, (node, last) in enumerate(zip(NODES, seconds, strict=True), 1)
        ),
        pod(f"{name}.onExit.drop", f"{name}-9", "09:00", "09:30"),
    ]
    dag = {"id": name, "name": name, "displayName": name, "type": "DAG", "phase": phase}
    return {
        "kind": "Workflow",
        "metadata": {"name": name, "labels": {"bodega-bench/medium": medium}},
        "spec": {"arguments": {"parameters": [{"name": "image"}, {"name": "multiplier", "value": str(scale)}]}},
        "status": {
            "phase": phase,
            "finishedAt": "2026-01-01T00:10:00Z",
            "nodes": {each["id"]: each for each in [dag, *pods]},
            **status,
        },
    }


def container(node_id, start, end):
    terminated = {"startedAt": f"2026-01-01T00:{start}Z", "finishedAt": f"2026-01-01T00:{end}Z"}
    sidecar = {"name": "wait", "state": {"terminated": {**terminated, "finishedAt": "2026-01-01T01:00:00Z"}}}
    return {
        "kind": "Pod",
        "metadata": {"name": node_id, "annotations": {"workflows.argoproj.io/node-id": node_id}},
        "status": {"containerStatuses": [sidecar, {"name": "main", "state": {"terminated": terminated}}]},
    }


def report_on(tmp_path, objects, *options):
    file = tmp_path / "workflows.json"
    file.write_text(json.dumps({"kind": "List", "items": objects}), encoding="utf-8")
    return CliRunner().invoke(argo_report, [str(file), *options])


def figures(result):
    return {(each["medium"], each["scale"]): each for each in json.loads(result.stdout)["figures"]}


def test_pods_of_tasks_are_summed_and_those_around_them_are_not(tmp_path):
    result = report_on(tmp_path, [workflow("a", "bodega", 10), workflow("b", "bodega", 10, seconds=(30, 50))], "--json")
    assert result.exit_code == 0, result.output
    assert figures(result)["bodega", 10]["total"] == {"median": 70, "lowest": 60, "highest": 80}
    assert list(figures(result)["bodega", 10]["nodes"]) == NODES


def test_run_times_of_containers_are_not_mixed_with_those_of_pods(tmp_path):
    objects = [workflow("a", "s3-csv", 1), container("a-1", "01:05", "01:08")]
    assert figures(report_on(tmp_path, objects, "--json"))["s3-csv", 1]["total"]["median"] == 60
    objects += [container("a-2", "02:01", "02:05"), workflow("b", "s3-csv", 1), workflow("c", "bodega", 1)]
    result = report_on(tmp_path, objects, "--json")
    assert {key: each["total"]["median"] for key, each in figures(result).items()} == {("s3-csv", 1): 3 + 4}
    assert [run["times"] for run in json.loads(result.stdout)["runs"]] == ["containers", "pods", "pods"]


def test_what_several_files_hold_counts_once(tmp_path):
    running = workflow("a", "s3-csv", 1)
    del running["status"]["finishedAt"]
    documents = [
        [running, container("a-1", "01:05", "01:08")],
        [workflow("a", "s3-csv", 1), container("a-2", "02:01", "02:05")],
        [workflow("a", "s3-csv", 1)],
    ]
    files = [tmp_path / f"{number}.json" for number in range(3)]
    for file, objects in zip(files, documents, strict=True):
        file.write_text(json.dumps({"kind": "List", "items": objects}), encoding="utf-8")
    result = CliRunner().invoke(argo_report, [*map(str, files), "--json"])
    assert figures(result)["s3-csv", 1]["total"] == {"median": 7, "lowest": 7, "highest": 7}
    assert figures(result)["s3-csv", 1]["repeats"] == 1


def test_the_table_is_the_one_of_the_benchmark(tmp_path):
    objects = [workflow("a", "bodega", 100), workflow("b", "s3-csv", 100, seconds=(50, 50))]
    result = report_on(tmp_path, objects, "--output", str(tmp_path / "argo.md"))
    assert result.exit_code == 0, result.output
    text = (tmp_path / "argo.md").read_text()
    assert "| bodega | 60.0 |" in text
    assert "| here: bodega / CSV on S3 | 0.60 |" in text
    assert "| published: Vineyard / MinIO | 0.65 |" in text
    assert "| b | CSV on S3 | x100 | Succeeded | 100 | pods | 2 | 1 |" in text


def test_what_failed_or_runs_or_is_none_of_these_does_not_count(tmp_path):
    running = workflow("r", "bodega", 1)
    del running["status"]["finishedAt"]
    stranger = workflow("s", "bodega", 1)
    del stranger["metadata"]["labels"]
    failed = workflow("f", "s3-csv", 10, phase="Failed")
    result = report_on(tmp_path, [running, stranger, failed, workflow("a", "bodega", 10)], "--json")
    assert result.exit_code == 0
    assert list(figures(result)) == [("bodega", 10)]
    assert [run["name"] for run in json.loads(result.stdout)["runs"]] == ["f", "a"]
    alone = report_on(tmp_path, [failed])
    assert alone.exit_code == 1
    assert "failed" in alone.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Name files with workflows, or a namespace"),
        (["{file}", "--namespace", "x"], "Name files with workflows, or a namespace"),
        (["{file}"], "is not JSON"),
        (["--namespace", "x"], "kubectl is not on the path"),
    ],
)
def test_bad_input(tmp_path, monkeypatch, arguments, words):
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "no.json").write_text("no", encoding="utf-8")
    arguments = [each.format(file=tmp_path / "no.json") for each in arguments]
    result = CliRunner().invoke(argo_report, arguments)
    assert result.exit_code != 0
    assert words in result.stderr


def test_no_workflow_of_the_benchmark_is_an_error_that_names_the_label(tmp_path):
    result = report_on(tmp_path, [{"kind": "Pod", "metadata": {"name": "x"}}])
    assert result.exit_code == 1
    assert "bodega-bench/medium" in result.stderr


def test_the_cluster_is_asked_by_kubectl(tmp_path, monkeypatch):
    kubectl = tmp_path / "kubectl"
    (tmp_path / "answer.json").write_text(json.dumps({"items": [workflow("a", "bodega", 1)]}), encoding="utf-8")
    kubectl.write_text(
        f"#!{sys.executable}\nimport sys\n"
        "assert sys.argv[1:] == ['get', 'workflows.argoproj.io,pods', '--namespace', 'bench', '--output', 'json']\n"
        f"print(open({str(tmp_path / 'answer.json')!r}).read())\n"
    )
    kubectl.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    result = CliRunner().invoke(argo_report, ["--namespace", "bench", "--json"])
    assert result.exit_code == 0, result.output
    assert list(figures(result)) == [("bodega", 1)]


def test_manifests_for_every_medium_that_reaches_other_pods(tmp_path):
    pytest.importorskip("hera")
    output = tmp_path / "argo"
    options = ["--image", "bench:1", "--namespace", "bench", "--memory", "1Gi", "--output", str(output), "--json"]
    result = CliRunner().invoke(argo_manifests, options)
    assert result.exit_code == 0, result.output
    files = json.loads(result.stdout)["files"]
    assert sorted(path.name for path in output.iterdir()) == [
        "bodega.yaml", "house-prices", "minio.yaml", "s3-cloudpickle-zstd.yaml", "s3-csv.yaml", "s3-parquet.yaml",
    ]  # fmt: skip
    assert len(files) == 5
    for name, env in (("bodega", "bodega"), ("s3-csv", "bench-s3-csv")):
        (found,) = yaml.safe_load_all((output / f"{name}.yaml").read_text())
        assert found["metadata"]["labels"]["bodega-bench/medium"] == name
        assert {"name": "multiplier", "value": "1"} in found["spec"]["arguments"]["parameters"]
        (task,) = [each for each in found["spec"]["templates"] if each["name"] == "task"]
        assert env in task["container"]["args"]
        variables = {each["name"]: each.get("value") for each in task["container"]["env"]}
        if name == "bodega":
            assert "BODEGA_BENCH_PREFIX" not in variables
        else:
            assert variables["BODEGA_BENCH_PREFIX"] == "s3://bucket/{{workflow.uid}}"
            assert variables["AWS_ENDPOINT_URL"] == "http://bench-minio:9000"
            assert {"secretRef": {"name": "bench-keys"}} in task["container"]["envFrom"]
    objects = {each["kind"]: each for each in yaml.safe_load_all((output / "minio.yaml").read_text())}
    assert set(objects) == {"Secret", "Deployment", "Service", "Job"}
    assert all(each["metadata"]["namespace"] == "bench" for each in objects.values())
    assert objects["Job"]["spec"]["template"]["spec"]["containers"][0]["image"] == "bench:1"
    assert "bodega-bench" in (output / "house-prices" / "requirements.txt").read_text()

    again = CliRunner().invoke(argo_manifests, ["--output", str(output)])
    assert again.exit_code == 1
    assert "is not empty: name another folder" in again.stderr
