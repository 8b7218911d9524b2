"""What people read: no secrets, nothing that steers a terminal, commands to paste."""

from __future__ import annotations

import pickle
import shlex
from pathlib import Path

import pytest

import bodega
from bodega.errors import BodegaError, SettingsError
from bodega.texts import clean, command, format_duration, format_size, printable, without_secrets
from bodega.tiers.access import hide

SECRETS = {
    "s3://AKIA:hunter2@bucket/p": "a user or a password",
    "s3://AKIA:hunter2/with?all@bucket/p": "a user or a password",
    "s3://AKIA:123/hunter2@bucket": "a user or a password",
    "s3://AKIA:hunter2": "a user or a password",
    "s3://hunter2@bucket": "a user or a password",
    "S3://AKIA:hunter2@bucket": "a user or a password",
    "gs://AKIA:hunter'2@bucket": "a user or a password",
    "s3://bucket/p?secret_access_key=hunter2": "parameters",
    "s3://bucket/p?X-Amz-Security-Token=hunter2": "parameters",
    "az://container/p?sv=2024&sig=hunter2": "parameters",
    "abfss://container:hunter2@account.dfs.core.windows.net/p": "a user or a password",
    "gs://bucket/p#hunter2": "parameters",
}


@pytest.mark.parametrize("url", SECRETS)
@pytest.mark.parametrize("given", [lambda url: url, lambda url: [url, "/folder"], lambda url: [url, url]])
def test_a_url_with_a_secret_is_refused_and_shown_nowhere(tmp_path: Path, url: str, given) -> None:
    with pytest.raises(SettingsError, match=SECRETS[url]) as caught:
        bodega.open(tmp_path / "root", spill=given(url))
    assert "hunter" not in f"{caught.value} {caught.value!r} {vars(caught.value)}"
    kept = [path for path in (tmp_path / "root").rglob("*") if path.is_file() and b"hunter" in path.read_bytes()]
    assert kept == []


@pytest.mark.parametrize("spill", ["s3:/AKIA:hunter2@bucket/p", "az:AKIA:hunter2@bucket"])
def test_half_a_url_is_no_folder(tmp_path: Path, spill: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match="a URL has '://'") as caught:
        bodega.open(tmp_path / "root", spill=spill)
    assert "hunter" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["root"]


def test_places_without_secrets_are_taken_as_they_are(tmp_path: Path) -> None:
    pytest.importorskip("obstore")
    for url in ("s3://bucket/of@me/p", "abfss://container@account.dfs.core.windows.net/p", f"file://{tmp_path}/a@b:c"):
        (tier,) = bodega.open(tmp_path / "root", spill=url)._stack.lower
        assert tier.url == url


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "HEAD http://me:hunter2@host:9000/b/p?list-type=2&x-id=Get",
            "HEAD http://***@host:9000/b/p?list-type=2&x-id=Get",
        ),
        ("at https://host/p?X-Amz-Signature=ab&se=1, again", "at https://host/p?X-Amz-Signature=***&se=1, again"),
        ("'http://localhost:9000/me@here'", "'http://localhost:9000/me@here'"),
        ("no URL: a@b", "no URL: a@b"),
    ],
)
def test_urls_in_texts_lose_their_secrets(text: str, shown: str) -> None:
    assert without_secrets(text) == shown
    assert without_secrets(shown) == shown


def test_the_password_of_an_endpoint_is_hidden_wherever_it_comes_from() -> None:
    assert "hunter2" not in hide("error at http://me:hunter2@host/x", {"endpoint": "http://me:hunter2@host"})
    assert "hunter2" not in hide("error at http://me:hunter2@host/x", {})
    assert "a/b+c" not in hide("key a%2Fb%2Bc", {"secret_access_key": "a/b+c"})
    assert "a%2Fb%2Bc" not in hide("key a%2Fb%2Bc", {"secret_access_key": "a/b+c"})


def test_an_unreachable_endpoint_does_not_show_its_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("obstore")
    monkeypatch.setattr("bodega.tiers.object_storage._TRIES", 1)
    monkeypatch.setattr("bodega.tiers.object_storage._RETRIES", {"max_retries": 0})
    keys = {"access_key_id": "AKIA", "secret_access_key": "wordfish", "region": "x"}
    keys["endpoint"] = "http://me:hunter2@127.0.0.1:9"
    store = bodega.open(tmp_path / "root", spill="s3://b", storage_options=keys)
    with pytest.raises(BodegaError, match=r"127\.0\.0\.1:9") as caught:
        store.exists("x")
    shown = f"{caught.value} {caught.value!r} {vars(caught.value)} {store!r} {store._options!r} {store._stack.lower!r}"
    assert "hunter2" not in shown
    assert "wordfish" not in shown


def test_no_message_steers_a_terminal_or_shows_a_secret() -> None:
    error = SettingsError("see \x1b[31m \x9b2J \u202e s3://a:hunter2@b\nnext")
    error.add_hint("or \x07 http://a:hunter2@b")
    for each in (error, pickle.loads(pickle.dumps(error))):
        assert str(each) == (r"see \x1b[31m \x9b2J \u202e s3://***@b" + "\n" + r"next or \x07 http://***@b")


def test_printable_keeps_what_people_write() -> None:
    assert printable("Größe 価格 🙂 a b") == "Größe 価格 🙂 a b"
    assert printable("a\nb\ud800") == r"a\nb\ud800"
    assert clean("a\nb\r") == "a\nb\\r"


def test_a_command_is_read_by_a_shell_as_it_was_meant() -> None:
    words = ["bodega", "ls", "--run", "a b'; rm -rf ~ $(x)", "--root", Path("/tmp/a b")]
    assert shlex.split(command(*words)) == [str(word) for word in words]


@pytest.mark.parametrize(
    ("nbytes", "text"),
    [
        (0, "0 B"), (999, "999 B"), (1000, "0.977 KiB"), (1 << 20, "1 MiB"), (2_500_000, "2.38 MiB"),
        (1_569_000_000, "1.46 GiB"), (999 << 20, "999 MiB"), (7 * 10**15, "6,366 TiB"),
    ],
)  # fmt: skip
def test_sizes_for_people(nbytes: int, text: str) -> None:
    assert format_size(nbytes) == text


@pytest.mark.parametrize(
    ("seconds", "most", "text"),
    [
        (0, 2, "0 s"), (-5, 2, "0 s"), (59.9, 2, "59 s"), (65, 2, "1 min 5 s"), (3600, 2, "1 h 0 min"),
        (90_061, 2, "1 d 1 h"), (90_061, 1, "1 d"), (65, 1, "1 min"),
    ],
)  # fmt: skip
def test_durations_for_people(seconds: float, most: int, text: str) -> None:
    assert format_duration(seconds, most=most) == text
