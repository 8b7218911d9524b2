"""Every environment variable that bodega knows: its name, what it means, and who sets it.

The documentation's page is made from these tables (`scripts/generated.py`), and a test finds names that are in none.
"""

from __future__ import annotations

from typing import NamedTuple

ROOT_VARIABLE = "BODEGA_ROOT"
RUN_VARIABLE = "BODEGA_RUN"
RESUME_VARIABLE = "BODEGA_RESUME"
TIME_TO_LIVE_VARIABLE = "BODEGA_TIME_TO_LIVE"
SHARED_VARIABLE = "BODEGA_SHARED"
HOST_VARIABLE = "BODEGA_HOST"
OUTPUTS_VARIABLE = "BODEGA_OUTPUTS"
WITHOUT_VARIABLE = "BODEGA_WITHOUT"
MINIO_VARIABLE = "BODEGA_MINIO"

ARGO_SERVER_VARIABLE = "ARGO_SERVER"
ARGO_TOKEN_VARIABLE = "ARGO_TOKEN"  # noqa: S105 # the name of one
ARGO_INSECURE_VARIABLE = "ARGO_INSECURE_SKIP_VERIFY"
KUBECONFIG_VARIABLE = "KUBECONFIG"
KEDRO_METHOD_VARIABLE = "KEDRO_MP_CONTEXT"


class Variable(NamedTuple):
    """An environment variable."""

    name: str
    meaning: str
    set_by: str
    """Who sets it."""


OWN = (
    Variable(
        ROOT_VARIABLE,
        "Folder of the store; wins over `root:` in `bodega.yml`.",
        "you; the manifest of a workflow, as `<host_root>/<namespace>/<user>`",
    ),
    Variable(
        RUN_VARIABLE,
        "Run that names belong to; wins over `run:` in `bodega.yml`.",
        "you; the manifest, as the workflow's uid or its parameter `run`",
    ),
    Variable(
        RESUME_VARIABLE,
        "Whether nodes that finished in the run are skipped: `1`, or `0` against `resume: true` in `bodega.yml`.",
        "you; the manifest, so that a retry skips what is done",
    ),
    Variable(
        TIME_TO_LIVE_VARIABLE,
        "Time after which a run may be dropped, such as `7d`, if `bodega.yml` has no `time_to_live`.",
        "you; the manifest, so that what a failed run leaves has an end",
    ),
    Variable(
        SHARED_VARIABLE,
        "Names of what a task makes for others, as a JSON list: that goes to the durable tier too, the rest goes when the "
        "task is done.",
        "the manifest, for each task",
    ),
    Variable(HOST_VARIABLE, "Name of the host, by which tasks are placed.", "the manifest: the Kubernetes node"),
    Variable(
        OUTPUTS_VARIABLE,
        "Folder in which a task leaves its output parameters; by default `/tmp/bodega-outputs`.",
        "nobody, but tests",
    ),
    Variable(
        WITHOUT_VARIABLE,
        "Capabilities of the kernel that are not to be used, joined by commas, or `all`: their portable paths are taken.",
        "you, to look for a cause; `make test-portable`",
    ),
    Variable(
        MINIO_VARIABLE,
        "Path of MinIO's program, if it is not on the `PATH`, for `bodega.testing` and the benchmarks; where "
        "there is none, SeaweedFS is used.",
        "you",
    ),
)
"""Variables of bodega."""

OTHERS = (
    Variable(ARGO_SERVER_VARIABLE, "Argo server that workflows are sent to; see `--server`.", "you, as for `argo`"),
    Variable(ARGO_TOKEN_VARIABLE, "Token for that server.", "you, as for `argo`"),
    Variable(ARGO_INSECURE_VARIABLE, "`true`: its certificate is not checked.", "you, as for `argo`"),
    Variable(KUBECONFIG_VARIABLE, "Configuration of the API of Kubernetes.", "you, as for `kubectl`"),
    Variable(
        KEDRO_METHOD_VARIABLE,
        "How `ParallelRunner` starts processes: `fork`, `spawn`, `forkserver`.",
        "you, as for Kedro",
    ),
    Variable(
        "AWS_*",
        "Keys, region and endpoint of S3, unless `storage_options` say them; in obstore's words, and likewise those of other "
        "clouds.",
        "you; a secret that `env_from` names",
    ),
)
"""Variables of other programs that bodega reads as they do."""

DEVELOPMENT = (
    Variable("BODEGA_STRESS", "The stress tests run as long as they should.", "`make stress`"),
    Variable("BODEGA_FUZZ", "Number of forged objects that a stress test tries.", "you"),
    Variable("BODEGA_SEED", "Seed of a stress test, which prints it, to have the same again.", "you"),
    Variable("BODEGA_TEST_ARGO", "Folder with Argo's programs, for `make e2e`.", "you"),
    Variable("BODEGA_TEST_CLUSTER", "Folder of the tool that starts a cluster, for `make e2e`.", "you"),
    Variable("BODEGA_CLUSTER", "Folder in which that tool keeps its state.", "the tool"),
    Variable("BODEGA_TEST_BASE_IMAGE", "Image that test images are built upon.", "you"),
    Variable("BODEGA_BENCH_PREFIX", "Prefix of the benchmark's objects in S3.", "the benchmark, for its processes"),
    Variable("BODEGA_BENCH_REPORT", "File that a benchmark's process reports to.", "the benchmark"),
    Variable("BODEGA_BENCH_SOCKET", "Socket of Vineyard's server.", "the benchmark"),
)
"""Variables of bodega's own tests and benchmarks."""
