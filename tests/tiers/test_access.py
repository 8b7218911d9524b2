"""Keys, endpoints and profiles, and that none of them is shown."""

import os

import pytest

from bodega.errors import SettingsError
from bodega.tiers.access import hide, is_without_tls, with_profile
from bodega.tiers.object_storage import ObjectStorageTier

KEYS = {"aws_access_key_id": "profile-id", "aws_secret_access_key": "profile%secret"}


@pytest.fixture(autouse=True)
def profiles(tmp_path, monkeypatch):
    """No configuration of whoever runs the tests, and a function that writes one."""
    for variable in os.environ:
        if variable.startswith("AWS_"):
            monkeypatch.delenv(variable)
    files = {"config": "AWS_CONFIG_FILE", "credentials": "AWS_SHARED_CREDENTIALS_FILE"}
    for file, variable in files.items():
        monkeypatch.setenv(variable, str(tmp_path / file))

    def write(file, section, settings):
        with (tmp_path / file).open("a") as stream:
            stream.write(f"[{section}]\n" + "".join(f"{key} = {value}\n" for key, value in settings.items()))

    return write


def test_the_default_profile_is_used(profiles):
    profiles("credentials", "default", KEYS)
    profiles("config", "default", {"region": "eu-west-1", "output": "json"})
    assert with_profile({"x": "y"}) == {**KEYS, "region": "eu-west-1", "x": "y"}


def test_a_named_profile_is_used(profiles, monkeypatch):
    profiles("credentials", "default", {"aws_access_key_id": "another"})
    profiles("credentials", "work", {**KEYS, "aws_session_token": "t"})
    profiles("config", "profile work", {"endpoint_url": "http://host", "s3": "\n  max_queue_size = 1"})
    monkeypatch.setenv("AWS_PROFILE", "work")
    assert with_profile({}) == {**KEYS, "aws_session_token": "t", "endpoint_url": "http://host"}


@pytest.mark.parametrize("options", [{"access_key_id": "x"}, {"AWS_ACCESS_KEY_ID": "x"}, {"skip_signature": "true"}])
def test_options_with_keys_come_before_a_profile(profiles, options):
    profiles("credentials", "default", KEYS)
    assert with_profile(options) == options


@pytest.mark.parametrize("variable", ["AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE"])
def test_keys_in_the_environment_come_before_a_profile(profiles, monkeypatch, variable):
    profiles("credentials", "default", KEYS)
    monkeypatch.setenv(variable, "x")
    assert with_profile({}) == {}


def test_region_and_endpoint_come_from_where_they_are_said_first(profiles, monkeypatch):
    profiles("credentials", "default", KEYS)
    profiles("config", "default", {"region": "eu-west-1", "endpoint_url": "http://host"})
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    assert with_profile({"aws_endpoint": "https://other"}) == {**KEYS, "aws_endpoint": "https://other"}


def test_without_any_file_nothing_is_added():
    assert with_profile({"region": "x"}) == {"region": "x"}


@pytest.mark.parametrize("settings", [None, {"sso_session": "x"}])
def test_a_named_profile_without_keys_is_an_error(profiles, monkeypatch, settings):
    if settings:
        profiles("config", "profile work", settings)
    monkeypatch.setenv("AWS_PROFILE", "work")
    with pytest.raises(SettingsError, match=r"'work'.*export-credentials"):
        with_profile({})


def test_a_file_that_is_none_of_aws_is_named_and_not_quoted(tmp_path):
    (tmp_path / "credentials").write_text("a-secret-in-the-wrong-place\n")
    with pytest.raises(SettingsError, match="credentials") as caught:
        with_profile({})
    assert "wrong-place" not in f"{caught.value}{caught.value.__cause__}"


@pytest.mark.parametrize("name", ["endpoint", "endpoint_url", "aws_endpoint", "AWS_ENDPOINT_URL"])
def test_an_endpoint_without_tls_is_known_by_all_its_names(name, monkeypatch):
    assert is_without_tls({name: "http://host"})
    assert not is_without_tls({name: "https://host"})
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://host")
    assert is_without_tls({})


def test_secrets_are_hidden(monkeypatch):
    monkeypatch.setenv("AWS_SESSION_TOKEN", "from-the-environment")
    text = "id-1234 and id-1234-longer and from-the-environment at http://host"
    options = {"a": "id-1234", "b": "id-1234-longer", "endpoint": "http://host", "short": "at"}
    assert hide(text, options) == "*** and *** and *** at http://host"


def test_keys_of_a_profile_open_the_storage_and_stay_out_of_pickles(profiles, s3_options):
    keys = {f"aws_{key}": value for key, value in s3_options.items() if "key" in key}
    profiles("credentials", "default", keys)
    tier = ObjectStorageTier(
        "s3://bucket/profile", {key: value for key, value in s3_options.items() if "key" not in key}
    )
    assert tier.names("run") == []
    assert all(secret not in str(tier.__reduce__()) for secret in keys.values())
