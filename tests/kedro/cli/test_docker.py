"""``kedro bodega docker`` in a project: what is written, what docker is told, and what is said when it cannot be."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import pytest
from tests.kedro.conftest import KedroProject

from bodega.errors import ImageError
from bodega.kubernetes.image import Installer, dockerfile, dockerignore, find_requirements

RECORDER = """\
#!{python}
import json, os, pathlib, sys
with open({calls!r}, "a") as calls:
    print(json.dumps(sys.argv[1:]), file=calls)
print("docker speaks")
if sys.argv[1] == os.environ.get("FAILS"):
    sys.exit("no space left on device")
"""


@dataclass
class Answer:
    status: int
    stdout: str
    stderr: str

    @property
    def facts(self) -> dict[str, object]:
        """What was printed as JSON; Kedro logs to standard output, too."""
        return json.loads(self.stdout[self.stdout.index("{\n") :])


@pytest.fixture
def ready(project: KedroProject) -> KedroProject:
    """A project that says what it needs."""
    project.write("requirements.txt", "bodega\nkedro>=1.0\n")
    return project


@pytest.fixture
def initialised(ready: KedroProject) -> KedroProject:
    """A project with the files that ``init`` writes."""
    ready.write("Dockerfile", dockerfile(find_requirements(ready.path)))
    ready.write(".dockerignore", dockerignore())
    return ready


@pytest.fixture
def docker(ready: KedroProject) -> Callable[..., Answer]:
    def run(*arguments: str, **environment: str) -> Answer:
        done = subprocess.run(
            [sys.executable, "-m", "kedro", "bodega", "docker", *arguments],
            cwd=ready.path,
            env={**os.environ, "COLUMNS": "400", **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert "Traceback" not in done.stderr
        return Answer(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[list[str]]]:
    """A docker that notes what it is told; what it was told so far."""
    notes = tmp_path / "calls"
    program = tmp_path / "programs" / "docker"
    program.parent.mkdir()
    program.write_text(RECORDER.format(python=sys.executable, calls=str(notes)))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return lambda: [json.loads(line) for line in notes.read_text().splitlines()]


def test_init_writes_both_files_and_never_again(docker: Callable[..., Answer], ready: KedroProject) -> None:
    assert docker("init", "--json").facts["written"] == ["Dockerfile", ".dockerignore"]
    written = (ready.path / "Dockerfile").read_text()
    assert "USER ${USER_ID}:${GROUP_ID}\n" in written
    assert "conf/local/*" in (ready.path / ".dockerignore").read_text().splitlines()
    ready.write("Dockerfile", "FROM mine\n")
    again = docker("init")
    assert again.status == 1
    assert "never overwritten" in again.stderr
    assert (ready.path / "Dockerfile").read_text() == "FROM mine\n"


def test_init_keeps_a_file_and_writes_the_other(docker: Callable[..., Answer], ready: KedroProject) -> None:
    ready.write(".dockerignore", "mine\n")
    ready.write("data/01_raw/prices.csv", "1\n")
    answer = docker("init", "--include", "data/01_raw")
    assert answer.status == 0
    assert "Kept .dockerignore" in answer.stderr
    assert "'!data/01_raw'" in answer.stderr
    assert (ready.path / ".dockerignore").read_text() == "mine\n"
    assert (ready.path / "Dockerfile").is_file()


def test_init_into_another_folder_leaves_the_project_alone(docker: Callable[..., Answer], ready: KedroProject) -> None:
    assert docker("init", "--output", str(ready.path / "new" / "files")).status == 0
    assert sorted(path.name for path in (ready.path / "new" / "files").iterdir()) == [".dockerignore", "Dockerfile"]
    assert not (ready.path / "Dockerfile").exists()


@pytest.mark.parametrize("path", ["nowhere", "..", "../other", "/etc/passwd"])
def test_what_is_not_in_the_project_cannot_be_included(
    docker: Callable[..., Answer], ready: KedroProject, path: str
) -> None:
    answer = docker("init", "--include", path)
    assert answer.status == 2
    assert path in answer.stderr
    assert not (ready.path / "Dockerfile").exists()


def test_init_says_that_data_is_left_out_and_where_bodega_comes_from(
    docker: Callable[..., Answer], ready: KedroProject
) -> None:
    ready.write("data/01_raw/prices.csv", "1\n")
    ready.write("requirements.txt", "bodega-like\nkedro\n")
    answer = docker("init")
    assert "--include" in answer.stderr
    assert "requirements.txt does not name bodega" in answer.stderr


def test_init_without_requirements_writes_nothing(docker: Callable[..., Answer], ready: KedroProject) -> None:
    (ready.path / "requirements.txt").unlink()
    answer = docker("init")
    assert answer.status == 1
    assert "write requirements.txt" in answer.stderr
    assert not (ready.path / ".dockerignore").exists()


def test_build_tells_docker_what_the_project_and_the_options_say(
    docker: Callable[..., Answer], initialised: KedroProject, calls: Callable[[], list[list[str]]]
) -> None:
    initialised.write("conf/base/bodega.yml", "deployment: {image: 'team/shop:1', user: 2000, group: 3000}\n")
    answer = docker("build", "--json")
    assert answer.status == 0, answer.stderr
    assert answer.facts["image"] == "team/shop:1"
    # What docker prints is no fact.
    assert "docker speaks" in answer.stderr
    assert "docker speaks" not in answer.stdout.split("{\n")[0]
    (first,) = [call for call in calls() if call[0] == "build"]
    assert first == [
        *("build", "--tag", "team/shop:1", "--build-arg", "USER_ID=2000", "--build-arg", "GROUP_ID=3000"),
        str(initialised.path),
    ]
    docker(
        *("build", "--image", "mine", "--base-image", "python:3.13", "--uid", "7", "--gid", "0"),
        *("--platform", "linux/arm64", "--docker-args", "--network=host --build-arg 'PIP_INDEX_URL=a b'"),
    )
    assert [call for call in calls() if call[0] == "build"][1] == [
        *("build", "--tag", "mine", "--build-arg", "BASE_IMAGE=python:3.13", "--build-arg", "USER_ID=7"),
        *("--build-arg", "GROUP_ID=0", "--platform", "linux/arm64"),
        *("--network=host", "--build-arg", "PIP_INDEX_URL=a b", str(initialised.path)),
    ]


def test_an_image_without_a_name_is_called_as_the_project(
    docker: Callable[..., Answer], initialised: KedroProject, calls: Callable[[], list[list[str]]]
) -> None:
    assert docker("build").status == 0
    assert [call for call in calls() if call[0] == "build"][0][1:3] == ["--tag", "little-shop"]


def test_a_build_that_fails_and_an_engine_that_is_silent_are_told_apart(
    docker: Callable[..., Answer], initialised: KedroProject, calls: Callable[[], list[list[str]]]
) -> None:
    failed = docker("build", FAILS="build")
    assert failed.status == 1
    assert "no space left on device" in failed.stderr
    assert "exit status 1" in failed.stderr
    silent = docker("build", FAILS="version")
    assert silent.status == 1
    assert "engine does not answer: no space left on device" in silent.stderr
    assert len([call for call in calls() if call[0] == "build"]) == 1


def test_no_docker_program_is_an_error_with_a_remedy(docker: Callable[..., Answer], initialised: KedroProject) -> None:
    answer = docker("build", PATH="/nowhere")
    assert answer.status == 1
    assert "apt-get install docker.io" in answer.stderr


@pytest.mark.skipif(shutil.which("docker") is None, reason="needs a docker program: apt-get install docker.io")
def test_no_engine_is_an_error_with_a_remedy(docker: Callable[..., Answer], initialised: KedroProject) -> None:
    answer = docker("build", DOCKER_HOST="unix:///nowhere/docker.sock")
    assert answer.status == 1
    assert "DOCKER_HOST" in answer.stderr


@pytest.mark.parametrize("missing", ["Dockerfile", ".dockerignore"])
def test_build_without_a_file_names_the_command_that_writes_it(
    docker: Callable[..., Answer], initialised: KedroProject, calls: Callable[[], list[list[str]]], missing: str
) -> None:
    (initialised.path / missing).unlink()
    answer = docker("build")
    assert answer.status == 1
    assert f"has no {missing}" in answer.stderr
    assert "kedro bodega docker init" in answer.stderr


@pytest.mark.parametrize("arguments", [("--docker-args", "'"), ("--uid", "0"), ("--uid", "me")])
def test_arguments_that_make_no_sense_are_refused(docker: Callable[..., Answer], arguments: tuple[str, str]) -> None:
    answer = docker("build", *arguments)
    assert answer.status == 2
    assert arguments[0] in answer.stderr


LOCK = "version = 1\n\n[[package]]\nname = 'bodega'\n"
TABLE = "[project]\nname = 'shop'\ndependencies = ['kedro']\n"


@pytest.mark.parametrize(
    ("files", "asked", "file", "installer"),
    [
        ({"requirements.txt": "bodega[s3]\n"}, None, "requirements.txt", "pip"),
        ({"requirements.txt": "bodega\n"}, "uv", "requirements.txt", "uv"),
        ({"requirements.txt": "bodega\n", "uv.lock": LOCK, "pyproject.toml": TABLE}, None, "uv.lock", "uv"),
        ({"requirements.txt": "bodega\n", "uv.lock": LOCK}, "pip", "requirements.txt", "pip"),
        ({"pyproject.toml": TABLE}, None, "pyproject.toml", "uv"),
    ],
)
def test_requirements_are_found_where_a_project_keeps_them(
    tmp_path: Path, files: dict[str, str], asked: Installer | None, file: str, installer: str
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    found = find_requirements(tmp_path, asked)
    assert (found.file, found.installer) == (file, installer)
    assert found.names_bodega == ("bodega" in files[file])
    text = dockerfile(found, "python:3.12-slim")
    assert text.startswith("ARG BASE_IMAGE=python:3.12-slim\n")
    assert ("uv pip install" in text) == (installer == "uv")
    assert ("uv export" in text) == (file == "uv.lock")


def test_what_pip_cannot_read_is_an_error_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(TABLE)
    with pytest.raises(ImageError, match="--installer uv"):
        find_requirements(tmp_path, "pip")
    (tmp_path / "pyproject.toml").write_text(dedent(TABLE).replace("dependencies", "dynamic"))
    with pytest.raises(ImageError, match="lists none"):
        find_requirements(tmp_path)
    (tmp_path / "pyproject.toml").write_text("[tool.setuptools.dynamic]\ndependencies = { file = 'elsewhere.txt' }\n")
    with pytest.raises(ImageError, match="lists none"):
        find_requirements(tmp_path)
    (tmp_path / "pyproject.toml").write_text("[project")
    with pytest.raises(ImageError, match="not TOML"):
        find_requirements(tmp_path)


def test_exceptions_come_last_in_a_dockerignore() -> None:
    lines = dockerignore(["data/01_raw", "tests/x"]).splitlines()
    assert lines[-2:] == ["!data/01_raw", "!tests/x"]
    assert {"data", ".git", "logs", "conf/local/*", ".venv*"} <= set(lines)
