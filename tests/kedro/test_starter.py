"""``kedro new --starter=bodega-house-prices``, from a wheel built and installed for the purpose and from this checkout."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
import yaml

import bodega
from bodega import example
from bodega.errors import InvalidName
from bodega.kedro.starter import STARTER, fill

CHECKOUT = Path(__file__).parents[2]
EXAMPLE = CHECKOUT / "examples" / "house-prices"
NAMES = {"project_name": "Ames Prices", "repo_name": "ames-prices", "package": "ames_prices"}
ALONE = ("unshare", "--map-root-user", "--net")
"""Runs a command where there is no network, not even a loopback."""


def run(*command: str | Path, cwd: Path, stdin: str = "", fails: bool = False, **environment: str) -> str:
    done = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env={**os.environ, "COLUMNS": "400", **environment},
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """A prefix for commands that takes the network away, where the machine lets it be taken."""
    if shutil.which(ALONE[0]) and subprocess.run([*ALONE, "true"], capture_output=True, check=False).returncode == 0:
        return ALONE
    return ()


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python that has bodega from a wheel of this checkout, and everything else from the environment of the tests."""
    folder = tmp_path_factory.mktemp("installed")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=CHECKOUT)
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "venv", symlinks=True, with_pip=True)
    python = folder / "venv" / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", wheel, cwd=folder)
    (packages,) = (folder / "venv").glob("lib/python3*/site-packages")
    # The folder alone, without what an editable installation has put into it.
    (packages / "others.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    assert str(packages) in run(python, "-c", "import bodega; print(bodega.__file__)", cwd=folder)
    return python


def files(project: Path) -> dict[str, bytes]:
    return {str(path.relative_to(project)): path.read_bytes() for path in project.rglob("*") if path.is_file()}


def test_a_project_made_from_the_wheel_without_a_network_runs_at_once(
    installed: Path, alone: tuple[str, ...], tmp_path: Path, root: Path
) -> None:
    assert STARTER in run(*alone, installed, "-m", "kedro", "starter", "list", cwd=tmp_path)
    output = run(*alone, installed, "-m", "kedro", "new", f"--starter={STARTER}", "--name", "Ames Prices", cwd=tmp_path)
    assert "cd ames-prices" in output
    project = tmp_path / "ames-prices"
    assert (project / "README.md").read_text(encoding="utf-8").startswith("# Ames Prices\n")
    assert 'name = "ames-prices"' in (project / "pyproject.toml").read_text(encoding="utf-8")
    run(installed, "-m", "kedro", "run", cwd=project)
    (name,) = bodega.open(root).runs()
    assert bodega.open(root, run=name).get("with_total_area").shape == (1457, 75)
    # Its other environments name the package in their catalogs.
    run(installed, "-m", "kedro", "run", "--env", "csv", "--to-nodes", "drop_outliers", cwd=project)


def test_the_checkout_makes_the_same_project_as_the_wheel(installed: Path, tmp_path: Path) -> None:
    for python, place in ((installed, tmp_path / "wheel"), (sys.executable, tmp_path / "checkout")):
        place.mkdir()
        run(python, "-m", "kedro", "new", f"--starter={STARTER}", "--name", "Ames Prices", cwd=place)
    made = files(tmp_path / "wheel" / "ames-prices")
    assert made == files(tmp_path / "checkout" / "ames-prices")
    assert {"src/ames_prices/nodes.py", "conf/local/.gitkeep", ".gitignore", "data/01_raw/house_prices.csv"} <= set(
        made
    )


def test_the_name_is_asked_for_and_an_unusable_answer_explained(tmp_path: Path) -> None:
    output = run(
        sys.executable, "-m", "kedro", "new", f"--starter={STARTER}", cwd=tmp_path, stdin="Prix élevés\n", fails=True
    )
    assert "no accents" in output
    assert not list(tmp_path.iterdir())
    run(sys.executable, "-m", "kedro", "new", f"--starter={STARTER}", cwd=tmp_path, stdin="\n")
    assert [path.name for path in tmp_path.iterdir()] == ["house-prices"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("1st prices", "no name for a Python package"),
        ("2fast", "no name for a Python package"),
        ("pandas", "hide the Python module"),
        ("prix-élevés", "no name"),
    ],
)
def test_a_name_that_makes_no_package_leaves_nothing_behind(tmp_path: Path, name: str, reason: str) -> None:
    output = run(sys.executable, "-m", "kedro", "new", f"--starter={STARTER}", "--name", name, cwd=tmp_path, fails=True)
    assert reason in output
    assert "Traceback" not in output
    assert "Failed" not in output
    assert not list(tmp_path.iterdir())


def test_a_package_of_a_configuration_file_is_looked_at_too(tmp_path: Path) -> None:
    names = {"project_name": "Ames", "repo_name": "ames", "python_package": "numpy"}
    (tmp_path / "names.yml").write_text(yaml.safe_dump(names), encoding="utf-8")
    output = run(
        sys.executable, "-m", "kedro", "new", f"--starter={STARTER}", "--config", "names.yml", cwd=tmp_path, fails=True
    )
    assert "A project cannot be called 'Ames': 'numpy' would hide the Python module" in output
    assert [path.name for path in tmp_path.iterdir()] == ["names.yml"]


@pytest.mark.parametrize("package", ["json", "class", "bodega"])
def test_a_package_that_hides_a_module_is_refused(tmp_path: Path, package: str) -> None:
    with pytest.raises(InvalidName, match=package):
        fill(tmp_path, project_name=package, repo_name=package, package=package)
    assert not list(tmp_path.iterdir())


def test_the_braces_of_argo_stay_and_the_names_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    used = Path(shutil.copytree(EXAMPLE, tmp_path / "used", ignore=shutil.ignore_patterns("argo", "__pycache__")))
    manifest = {"image": "house-prices:latest", "value": "{{workflow.uid}} {{=sprig.trim(' ')}}"}
    (used / "argo").mkdir()
    (used / "argo" / "house-prices.yaml").write_text(yaml.safe_dump(manifest), encoding="utf-8")
    monkeypatch.setattr(example, "_PLACES", (used,))
    fill(tmp_path / "new", **NAMES)
    written = yaml.safe_load((tmp_path / "new" / "argo" / "ames-prices.yaml").read_text(encoding="utf-8"))
    assert written == {**manifest, "image": "ames-prices:latest"}


def test_only_what_means_the_package_is_renamed(tmp_path: Path) -> None:
    fill(tmp_path, **NAMES)
    catalog = yaml.safe_load((tmp_path / "conf" / "base" / "catalog.yml").read_text(encoding="utf-8"))
    assert catalog["house_prices_raw"]["type"] == "ames_prices.datasets.CSVDataset"
    assert (tmp_path / catalog["house_prices_raw"]["filepath"]).is_file()
    assert 'outputs="house_prices"' in (tmp_path / "src" / "ames_prices" / "pipeline.py").read_text(encoding="utf-8")


def test_the_argo_file_of_a_new_project_is_what_generating_it_again_makes(tmp_path: Path) -> None:
    project = tmp_path / "ames-prices"
    fill(project, **NAMES)
    anew = tmp_path / "anew.yaml"
    run(
        *(sys.executable, "-m", "kedro", "bodega", "argo", "generate", "--env", "argo", "--output", anew),
        cwd=project,
    )
    copied = (project / "argo" / "ames-prices.yaml").read_text(encoding="utf-8")
    assert yaml.safe_load(copied) == yaml.safe_load(anew.read_text(encoding="utf-8"))
    assert "{{tasks." in copied
    assert copied.splitlines()[0] == anew.read_text(encoding="utf-8").splitlines()[0]
