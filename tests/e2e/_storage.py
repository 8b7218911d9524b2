"""Object storage in the cluster: MinIO in a pod, with a bucket, and a secret with the keys to it."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.e2e._cluster import Cluster, wait_for

from bodega.testing.s3_server import BUCKET, KEY, SECRET

MINIO = "github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c"
IMAGE = "minio/minio:test"
PORT = 9000
KEYS = "bucket-keys"
"""The secret."""
URL = f"s3://{BUCKET}/e2e"


def start(cluster: Cluster, host: str) -> None:
    """Run it on a host, and make the bucket."""
    cluster.do("gopack", IMAGE, MINIO, timeout=900)
    cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": KEYS},
            "stringData": {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET},
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "minio"},
            "spec": {"selector": {"app": "minio"}, "ports": [{"port": PORT}]},
        },
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "minio", "labels": {"app": "minio"}},
            "spec": {
                "nodeName": host,
                "containers": [
                    {
                        "name": "minio",
                        "image": IMAGE,
                        "imagePullPolicy": "Never",
                        "args": ["server", "/data", "--address", f":{PORT}"],
                        "env": [
                            {"name": "HOME", "value": "/tmp"},
                            {"name": "MINIO_ROOT_USER", "value": KEY},
                            {"name": "MINIO_ROOT_PASSWORD", "value": SECRET},
                        ],
                        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                    }
                ],
                "volumes": [{"name": "data", "emptyDir": {}}],
            },
        },
    )
    wait_for("the bucket", lambda: _has_bucket(cluster), pause=1)


def endpoint(cluster: Cluster) -> str:
    """Where it is, for pods and for whoever looks from outside: the cluster's names are known to pods only."""
    (service,) = cluster.objects("service", "minio")
    return f"http://{service['spec']['clusterIP']}:{PORT}"


def options(cluster: Cluster) -> dict[str, str]:
    """How to get in, in obstore's words."""
    return {
        "endpoint": endpoint(cluster),
        "access_key_id": KEY,
        "secret_access_key": SECRET,
        "region": "us-east-1",
    }


def names(cluster: Cluster, prefix: str) -> list[str]:
    """The objects below a prefix of the bucket."""
    return _ask(
        cluster,
        "import obstore; from obstore.store import from_url\n"
        f"store = from_url('s3://{BUCKET}', config=options, client_options={{'allow_http': 'true'}})\n"
        f"print(*(each['path'] for batch in obstore.list(store, {prefix!r}) for each in batch), sep='\\n')",
    ).split()


def _has_bucket(cluster: Cluster) -> bool:
    return _ask(cluster, "from bodega.testing.s3_server import is_ready; print(is_ready(options))").strip() == "True"


def _ask(cluster: Cluster, program: str) -> str:
    """What a program prints that knows the options, run where the pods can be reached."""
    program = f"options = {options(cluster)!r}\n{program}"
    return cluster.do("exec", sys.executable, "-c", program, cwd=Path(__file__).parents[2])
