"""``bodega bench argo-manifests``: the pipeline's benchmark as workflows for a cluster, one for each medium.

The workflows are made by ``kedro bodega argo generate`` from a working copy of the example, as any project's would be;
what is added are the environments of the media and a throw-away MinIO with a bucket.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import yaml

from bodega.commands import print_json
from bodega.testing.s3_server import BUCKET, KEY, SECRET
from bodega_bench.cluster.report import MEDIUM_LABEL
from bodega_bench.pipeline.media import MEDIA, PREFIX_VARIABLE, Medium
from bodega_bench.pipeline.projects import make_project

_ON_A_CLUSTER = tuple(
    medium for medium in MEDIA.values() if medium.place in {"store", "bucket"} and not medium.is_one_run
)
"""Media that carry tables between pods without a volume of the cluster's."""
_CHECKOUT = Path(__file__).parents[4]
"""The benchmarks run from a checkout, of which the image gets wheels."""
_MINIO = "bench-minio"
_KEYS = "bench-keys"
_OF_WORKFLOW = "uid-of-the-workflow"
_PORT = 9000
_REGION = "us-east-1"


@click.command()
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("bench-results") / "argo",
    show_default=True,
    help="A new folder for the project and the manifests.",
)
@click.option(
    "--image", default="bodega-bench:latest", show_default=True, help="What the project's image is to be called."
)
@click.option("--minio-image", default="minio/minio:latest", show_default=True, help="Of the S3 server.")
@click.option("--namespace", default="default", show_default=True, help="Of all objects.")
@click.option("--cpu", help="That each task asks for, such as 500m.")
@click.option("--memory", help="The same, such as 4Gi.")
@click.option("--json", "as_json", is_flag=True, help="Print which files there are as JSON.")
def argo_manifests(
    *,
    output: Path,
    image: str,
    minio_image: str,
    namespace: str,
    cpu: str | None,
    memory: str | None,
    as_json: bool,
) -> None:
    """Write the benchmark as Argo workflows, with an S3 server.

    A workflow for each medium that reaches other pods, with the scale as its parameter multiplier, the project they run,
    and MinIO with a bucket. The output says what to do with them.

    \b
    Examples:
      bodega bench argo-manifests --image registry.example.com/bench:1
      bodega bench argo-manifests --namespace bench --cpu 1 --memory 8Gi --output /tmp/argo
    """
    if output.exists() and any(output.iterdir()):
        raise click.ClickException(f"{output} is not empty: name another folder with --output.")
    output.mkdir(parents=True, exist_ok=True)
    deployment: dict[str, Any] = {
        "image": image,
        "namespace": namespace,
        "retries": 0,  # A task that is tried again would be counted once and take twice.
        "keep_pods": "30d",  # They know how long their containers ran.
        "resources": {key: value for key, value in (("cpu", cpu), ("memory", memory)) if value},
    }
    project, _ = make_project(output / "house-prices", _ON_A_CLUSTER)
    shutil.rmtree(output / "bytecode", ignore_errors=True)
    (project / "report.jsonl").unlink(missing_ok=True)
    requirements = project / "requirements.txt"
    text = requirements.read_text(encoding="utf-8")
    requirements.write_text(re.sub(r"(?m)^bodega\b.*$", "bodega-bench", text), encoding="utf-8")
    files = [_write(output / "minio.yaml", minio_objects(minio_image, image, namespace))]
    for medium in _ON_A_CLUSTER:
        write_settings(project, medium, deployment)
        files.append(_generate(project, medium, output.absolute() / f"{medium.name}.yaml"))
    if as_json:
        print_json({"project": str(project), "files": [str(file) for file in files]})
        return
    click.echo(_next_steps(project, files, image, namespace))


def write_settings(project: Path, medium: Medium, deployment: dict[str, Any]) -> None:
    """Say in the environment of a medium how its tasks are deployed."""
    deployment = {**deployment, "workflow_name": f"bench-{medium.name}", "labels": {MEDIUM_LABEL: medium.name}}
    if medium.place == "bucket":
        deployment["env_from"] = [_KEYS]
        deployment["env"] = {
            "AWS_ENDPOINT_URL": f"http://{_MINIO}:{_PORT}",
            "AWS_DEFAULT_REGION": _REGION,
            # Argo writes the workflow's uid into it, so that runs do not meet.
            PREFIX_VARIABLE: f"s3://{BUCKET}/{_OF_WORKFLOW}",
        }
    settings = project / "conf" / medium.environment / "bodega.yml"
    settings.write_text(yaml.safe_dump({"deployment": deployment}, sort_keys=False), encoding="utf-8")


def _generate(project: Path, medium: Medium, file: Path) -> Path:
    command = [
        sys.executable,
        "-m",
        "kedro",
        "bodega",
        "argo",
        "generate",
        "--env",
        medium.environment,
        "-o",
        str(file),
    ]
    # The catalog is read, but nothing of it is opened.
    variables = {**os.environ, "DO_NOT_TRACK": "1", PREFIX_VARIABLE: f"s3://{BUCKET}/none"}
    done = subprocess.run(command, cwd=project, env=variables, capture_output=True, text=True, check=False)
    if done.returncode:
        raise click.ClickException(f"The workflow of {medium.title} cannot be generated:\n{done.stdout}{done.stderr}")
    # Settings go to pods as they are; this one is for Argo to fill in.
    file.write_text(file.read_text(encoding="utf-8").replace(_OF_WORKFLOW, "{{workflow.uid}}"), encoding="utf-8")
    return file


def minio_objects(minio_image: str, image: str, namespace: str) -> list[dict[str, Any]]:
    """MinIO in a pod, with keys that are no secret, and a job that makes its bucket.

    Args:
        minio_image: of the server.
        image: of the benchmark, which has a client.
        namespace: of all objects.
    """

    def named(name: str) -> dict[str, Any]:
        return {"name": name, "namespace": namespace, "labels": {"app": _MINIO}}

    keys = {"envFrom": [{"secretRef": {"name": _KEYS}}]}
    program = f"import s3fs; s3fs.S3FileSystem().makedirs({BUCKET!r}, exist_ok=True)"
    server = {
        "name": "minio",
        "image": minio_image,
        "imagePullPolicy": "IfNotPresent",
        "args": ["server", "/data", "--address", f":{_PORT}"],
        "ports": [{"containerPort": _PORT}],
        "readinessProbe": {"httpGet": {"path": "/minio/health/ready", "port": _PORT}, "periodSeconds": 2},
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
        "env": [
            {"name": "HOME", "value": "/data"},
            _from_keys("MINIO_ROOT_USER", "AWS_ACCESS_KEY_ID"),
            _from_keys("MINIO_ROOT_PASSWORD", "AWS_SECRET_ACCESS_KEY"),
        ],
    }
    client = {
        "name": "bucket",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", "-c", program],
        "env": [
            {"name": "AWS_ENDPOINT_URL", "value": f"http://{_MINIO}:{_PORT}"},
            {"name": "AWS_DEFAULT_REGION", "value": _REGION},
        ],
        **keys,
    }
    pod = {"containers": [server], "volumes": [{"name": "data", "emptyDir": {}}]}
    return [
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": named(_KEYS),
            "stringData": {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET},
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": named(_MINIO),
            "spec": {
                "selector": {"matchLabels": {"app": _MINIO}},
                "template": {"metadata": {"labels": {"app": _MINIO}}, "spec": pod},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": named(_MINIO),
            "spec": {"selector": {"app": _MINIO}, "ports": [{"port": _PORT}]},
        },
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": named("bench-bucket"),
            "spec": {"backoffLimit": 20, "template": {"spec": {"containers": [client], "restartPolicy": "OnFailure"}}},
        },
    ]


def _from_keys(variable: str, key: str) -> dict[str, Any]:
    return {"name": variable, "valueFrom": {"secretKeyRef": {"name": _KEYS, "key": key}}}


def _write(file: Path, objects: Sequence[dict[str, Any]]) -> Path:
    file.write_text(yaml.safe_dump_all(objects, sort_keys=False), encoding="utf-8")
    return file


def _next_steps(project: Path, files: Sequence[Path], image: str, namespace: str) -> str:
    minio, *workflows = files
    submits = "\n".join(f"  argo submit -n {namespace} --wait -p multiplier=100 {file}" for file in workflows)
    return (
        f"Written to {project.parent}. Next:\n"
        f"  cd {project} && pip wheel --no-deps --wheel-dir wheels {_CHECKOUT} {_CHECKOUT / 'benchmarks'}\n"
        f"  kedro bodega docker init --include data && docker build -t {image} .   # then push it\n"
        f"  kubectl apply -f {minio} && kubectl wait -n {namespace} --for=condition=complete job/bench-bucket\n"
        f"{submits}\n"
        f"  bodega bench argo-report --namespace {namespace}"
    )
