"""What ``bodega.yml`` may say."""

from __future__ import annotations

from pathlib import Path

import pytest
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
