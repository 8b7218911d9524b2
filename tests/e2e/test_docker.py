"""The example's image, built by a real engine; two of its containers share a store that is a folder of the host."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e._docker import import_base_image, run_container, running_engine

from bodega.example import copy_example

BASE = "BODEGA_TEST_BASE_IMAGE"
CHECKOUT = Path(__file__).parents[2]
IMAGE = "bodega-test-house-prices"
USER, GROUP = 1234, 2345
REMEDY = f"as root: apt-get install docker.io debootstrap && make e2e; or name an image with Python in {BASE}"


def what_is_missing() -> str | None:
    """Why no image can be built here."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        return "one engine serves all tests, not one each worker"
    if not Path("/dev/shm").is_dir():
        return "there is no /dev/shm"
    if os.geteuid() != 0:
        return "the store's folder is given to the user of the image, which takes root"
    programs = ("docker", "dockerd") if os.environ.get(BASE) else ("docker", "dockerd", "debootstrap")
    return next((f"there is no program {program!r}" for program in programs if shutil.which(program) is None), None)


@pytest.fixture(scope="module")
def base_image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An image with Python, and an engine that has it."""
    missing = what_is_missing()
    if missing:
        pytest.skip(f"{missing}; {REMEDY}")
    with running_engine(tmp_path_factory.mktemp("engine")):
        name = os.environ.get(BASE)
        if not name:
            name = "bodega-test-python"
            import_base_image(name, tmp_path_factory.mktemp("base"))
        yield name


@pytest.fixture(scope="module")
def image(base_image: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The image of the example, with this version of bodega from a wheel beside its Dockerfile."""
    project = copy_example(tmp_path_factory.mktemp("image") / "house-prices")
    wheel = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(project / "wheels")]
    subprocess.run(wheel, cwd=CHECKOUT, check=True, capture_output=True)
    (project / "conf" / "local" / "credentials.yml").write_text("secret: 1\n")
    # How this machine reaches its index goes to the build, and nowhere else.
    passed = [f"PIP_{name}" for name in ("INDEX_URL", "EXTRA_INDEX_URL", "TRUSTED_HOST") if f"PIP_{name}" in os.environ]
    arguments = ["--network=host", *(f"--build-arg={name}={os.environ[name]}" for name in passed)]
    for command in (
        ("init", "--include", "data/01_raw"),
        (
            *("build", "--image", IMAGE, "--base-image", base_image, "--uid", str(USER), "--gid", str(GROUP)),
            *("--docker-args", shlex.join(arguments)),
        ),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "kedro", "bodega", "docker", *command],
            cwd=project,
            capture_output=True,
            text=True,
            check=False,
            timeout=900,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    return IMAGE


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder in the memory of the host that belongs to the user of the image."""
    folder = Path(tempfile.mkdtemp(prefix="bodega-e2e-", dir="/dev/shm"))
    os.chown(folder, USER, GROUP)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.timeout(1800)
def test_what_one_container_wrote_another_reads(image: str, shared: Path) -> None:
    options = (
        *("--network=none", f"--volume={shared}:{shared}", "--env=DO_NOT_TRACK=1"),
        *(f"--env=BODEGA_ROOT={shared}", "--env=BODEGA_RUN=shared"),
    )
    for host, node in (("first", "read_houses"), ("second", "drop_outliers")):
        run_container(image, "kedro", "run", "--nodes", node, options=(*options, f"--hostname={host}"))
    objects = json.loads(run_container(image, "bodega", "ls", "--json", options=options))["objects"]
    assert {each["name"]: (each["producer"]["host"], each["schema"]["shape"]) for each in objects} == {
        "house_prices": ("first", [1460, 81]),
        "without_outliers": ("second", [1457, 81]),
    }
    files = [path for path in shared.rglob("*") if path.is_file()]
    assert {(path.stat().st_uid, path.stat().st_gid) for path in files} == {(USER, GROUP)}


@pytest.mark.timeout(1800)
def test_the_image_runs_as_an_ordinary_user_and_holds_nothing_that_it_should_not(image: str) -> None:
    assert run_container(image, "id", "--user").strip() == str(USER)
    assert run_container(image, "id", "--group").strip() == str(GROUP)
    project = set(run_container(image, "find", ".", "-type", "f").split())
    assert {"./pyproject.toml", "./data/01_raw/house_prices.csv", "./conf/bodega/bodega.yml"} <= project
    assert not [name for name in project if "credentials" in name or name.endswith(".whl") or "Dockerfile" in name]
    caches = "find / -xdev ( -path */.cache/* -o -path /tmp/* -o -name bodega*.whl )"
    assert run_container(image, *caches.split(), options=("--user=0",)) == ""
    # Neither the index nor the package manager of the first stage.
    history = subprocess.run(["docker", "history", "--no-trunc", image], capture_output=True, text=True, check=True)
    assert "PIP_" not in history.stdout.replace("PIP_CERT", "")
    assert run_container(image, "sh", "-c", "ls /opt/venv/bin/pip || true") == ""


@pytest.mark.timeout(1800)
def test_the_image_runs_the_whole_pipeline_by_itself(image: str, shared: Path) -> None:
    options = (f"--volume={shared}:/store", "--env=BODEGA_ROOT=/store", "--env=DO_NOT_TRACK=1", "--network=none")
    assert "Completed 6 out of 6 tasks" in run_container(image, options=options)
