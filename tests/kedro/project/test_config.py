"""What ``bodega.yml`` may say."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator
from kedro.config import OmegaConfigLoader

from bodega.errors import SettingsError
from bodega.kedro.project.config import ProjectSettings, parse_settings, read_settings
from bodega.kubernetes.deployment import Deployment


def parse(values: object) -> ProjectSettings:
    return parse_settings(values, source="conf/base/bodega.yml", project_path=Path("/work/shop"))


def test_an_empty_file_takes_every_default() -> None:
    assert parse({}) == ProjectSettings(source="conf/base/bodega.yml")


def test_every_key() -> None:
    settings = parse(
        {
            "root": "stock",
            "capacity": "2GiB",
            "run": "nightly",
            "datasets": ["features.*", "model"],
            "exclude": "features.connection",
            "override": ["raw"],
            "memory_datasets": "refuse",
            "deployment": {"image": "shop:1", "grouping": "auto"},
        }
    )
    assert settings.root == "/work/shop/stock"
    assert settings.capacity == 2 * 2**30
    assert settings.run == "nightly"
    assert settings.memory_datasets == "refuse"
    assert settings.deployment == Deployment(image="shop:1", grouping="auto")
    assert [settings.covers(name) for name in ("features.a", "features.connection", "model", "other")] == [
        True,
        False,
        True,
        False,
    ]
    assert settings.overrides("raw")
    assert not settings.overrides("features.a")


def test_a_root_may_be_absolute() -> None:
    assert parse({"root": "/dev/shm/shop"}).root == "/dev/shm/shop"
    assert parse({"root": "~/shop"}).root == str(Path.home() / "shop")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"capcity": "1GiB"}, r"'capcity' in conf/base/bodega.yml.*did you mean 'capacity'"),
        ({"colour": "red"}, r"'colour' in conf/base/bodega.yml.*root, capacity, spill, persist, time_to_live, run"),
        ({"time_to_live": "soon"}, r"'time_to_live' in conf/base/bodega.yml: .*soon"),
        ({"persist": ["model"]}, r"'persist' in conf/base/bodega.yml needs a durable tier.*spill"),
        ({"spill": 5}, r"'spill' .* list of folders"),
        (
            {"deployment": {"imgae": "x"}},
            r"^The key 'deployment.imgae' in conf/base/bodega.yml .* did you mean 'image'",
        ),
        ({"source": "x"}, r"'source' in conf/base/bodega.yml is not known"),
        ({1: 2}, r"The key 1 in"),
        ({"capacity": "8 bananas"}, r"'capacity' in conf/base/bodega.yml: .*bananas"),
        ({"run": 5}, r"'run' in conf/base/bodega.yml is a text, not 5"),
        ({"root": ""}, r"'root' .* is a text"),
        ({"root": "~no-such-user/x"}, r"'root' in .*'~no-such-user/x' is not understood"),
        ({"spill": [""]}, r"'spill' in .* not empty"),
        ({"spill": ["~no-such-user/x"]}, r"'spill' in .*'~no-such-user/x' is not understood"),
        ({"datasets": {"a": 1}}, r"'datasets' .* list of patterns"),
        ({"exclude": [1]}, r"'exclude' .* list of patterns"),
        ({"memory_datasets": "melt"}, r"'memory_datasets' .* one of replace, refuse, keep, not 'melt'"),
        (["run"], r"conf/base/bodega.yml holds a list"),
    ],
)
def test_what_is_not_understood_is_refused_by_key_and_file(values: object, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        parse(values)


def test_environments_merge_and_the_message_names_both_files(tmp_path: Path) -> None:
    for env, text in (("base", "run: nightly\ncapacity: 1GiB\n"), ("bodega", "run: daily\n")):
        (tmp_path / env).mkdir()
        (tmp_path / env / "bodega.yml").write_text(text)
    settings = read_settings(OmegaConfigLoader(str(tmp_path), env="bodega", base_env="base"), tmp_path)
    assert settings is not None
    assert (settings.run, settings.capacity) == ("daily", 2**30)
    assert settings.source == f"{tmp_path}/base/bodega.yml and {tmp_path}/bodega/bodega.yml"


def test_without_the_file_there_are_no_settings(tmp_path: Path) -> None:
    for env in ("base", "local"):
        (tmp_path / env).mkdir()
    loader = OmegaConfigLoader(str(tmp_path), base_env="base", default_run_env="local")
    assert read_settings(loader, tmp_path) is None


FIVE = """
capcity: 8GiB
time_to_live: soon
persist: [model]
spill: [s3://bucket/shop]
deployment:
  resources: {memory: 5 gigs}
  tasks:
    - nodes: train_*
      retries: many
  namespace: My_Space
"""
SCHEMA = Draft202012Validator(json.loads(files("bodega").joinpath("bodega.schema.json").read_text(encoding="utf-8")))
EXAMPLES = Path(__file__).parents[3] / "examples/house-prices/conf"


def test_five_mistakes_are_five_lines() -> None:
    with pytest.raises(SettingsError) as caught:
        parse(yaml.safe_load(FIVE))
    assert str(caught.value).splitlines() == [
        "The key 'capcity' in conf/base/bodega.yml is not known: did you mean 'capacity'?",
        (
            "The key 'time_to_live' in conf/base/bodega.yml: The duration 'soon' is not understood: write a positive number and one "
            "of s, m, h, d, w, such as '7d'."
        ),
        (
            "The key 'deployment.resources.memory' in conf/base/bodega.yml: The unit 'gigs' of the quantity '5 gigs' is none for "
            "bytes in Kubernetes: write 5Gi."
        ),
        "The key 'deployment.tasks[0].retries' in conf/base/bodega.yml is a whole number from 0 up, not 'many'.",
        (
            "The key 'deployment.namespace' in conf/base/bodega.yml: 'My_Space' cannot be the name of a namespace in Kubernetes: "
            "use lower-case letters, digits and '-', such as 'my-space'."
        ),
    ]


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*/bodega.yml")), ids=lambda file: file.parent.name)
def test_an_editor_finds_the_example_right(file: Path) -> None:
    assert [error.message for error in SCHEMA.iter_errors(yaml.safe_load(file.read_text()))] == []


def test_an_editor_finds_each_of_the_five_mistakes() -> None:
    paths = {error.json_path for error in SCHEMA.iter_errors(yaml.safe_load(FIVE))}
    assert paths == {"$", "$.time_to_live", "$.deployment"}
    deployment = {"$ref": "#/$defs/Deployment", "$defs": SCHEMA.schema["$defs"]}
    found = Draft202012Validator(deployment).iter_errors(yaml.safe_load(FIVE)["deployment"])
    assert {error.json_path for error in found} == {"$.resources", "$.tasks", "$.namespace"}


@pytest.mark.parametrize(
    "values",
    [
        {"capacity": "${globals:capacity}", "run": None, "deployment": None},
        {"capacity": 1048576, "spill": "~/spill", "resume": True, "time_to_live": 60},
        {
            "deployment": {
                "resources": {"cpu": 0.5, "memory": "2Gi"},
                "env": {"A": 1, "B": True},
                "schedule": "@every 1h",
            }
        },
        {"deployment": {"volumes": [{"name": "a", "mount_path": "/a", "sub_path": "b/c", "source": {"emptyDir": {}}}]}},
        {
            "deployment": {
                "grouping": {"a": "b*"},
                "secrets": {"KEY": {"name": "a", "key": "b"}},
                "labels": {"a.b/c": ""},
            }
        },
    ],
)
def test_what_is_read_is_right_to_an_editor(values: dict[str, object]) -> None:
    assert [error.message for error in SCHEMA.iter_errors(values)] == []
    if "${" not in str(values):
        parse(values)


def test_a_run_reads_the_file_without_pydantic() -> None:
    program = f"""
import sys
from pathlib import Path
import yaml
from bodega.kedro.project.config import parse_settings
settings = parse_settings(yaml.safe_load(Path({str(EXAMPLES / "argo/bodega.yml")!r}).read_text()), source="f", project_path=Path("/p"))
assert settings.deployment.resources.memory == "1Gi"
print(sorted({{name.partition(".")[0] for name in sys.modules}} & {{"pydantic", "pydantic_core", "hera"}}))
"""
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "[]\n"
