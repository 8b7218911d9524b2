"""How a client of object storage gets in: keys and endpoint, and what of them must not be shown."""

from __future__ import annotations

import os
from collections.abc import Mapping
from configparser import Error as ParsingError
from configparser import RawConfigParser
from urllib.parse import quote

from bodega.errors import SettingsError
from bodega.texts import command, without_secrets

_FROM_PROFILE = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token", "region", "endpoint_url")
_KEYS = ("access_key", "skip_signature")
_VARIABLES_OF_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_SKIP_SIGNATURE")


def with_profile(options: Mapping[str, str]) -> dict[str, str]:
    """Options for S3 with what only a profile of the user says, which obstore does not read by itself.

    Options come first, then the environment, then the profile that ``AWS_PROFILE`` names (``default`` otherwise).

    Raises:
        SettingsError: the named profile is not there, or has no keys of its own (as with single sign-on).
    """
    if _has(options, *_KEYS) or any(os.environ.get(variable) for variable in _VARIABLES_OF_KEYS):
        return dict(options)
    named = os.environ.get("AWS_PROFILE") or os.environ.get("AWS_DEFAULT_PROFILE")
    profile = _profile(named or "default")
    if named and "aws_secret_access_key" not in profile:
        raise SettingsError(
            f"The profile {named!r} (AWS_PROFILE) has no keys in the AWS configuration of this user. Keys of a role or of "
            f"single sign-on come by: {command('aws', 'configure', 'export-credentials', '--profile', named, '--format', 'env')}"
        )
    more = {key: profile[key] for key in _FROM_PROFILE if key in profile}
    for key in ("region", "endpoint"):
        if _has(options, key) or any(key.upper() in name for name in os.environ if name.startswith("AWS_")):
            more = {name: value for name, value in more.items() if key not in name}
    return {**more, **options}


def is_without_tls(options: Mapping[str, str]) -> bool:
    """Whether an endpoint is plain HTTP; obstore has many names for it, among the options and in the environment."""
    settings = (*os.environ.items(), *options.items())
    return any("ENDPOINT" in name.upper() and str(value).startswith("http://") for name, value in settings)


def hide(text: str, options: Mapping[str, str]) -> str:
    """A text without what may be a secret, be it among the options or in the environment."""
    secrets = [*map(str, options.values()), *(value for name, value in os.environ.items() if _is_secret(name))]
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) > 3 and "://" not in secret:
            text = text.replace(secret, "***").replace(quote(secret, safe=""), "***")
    return without_secrets(text)  # An endpoint may have a password in it.


def _profile(name: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for variable, usual, section in (
        ("AWS_CONFIG_FILE", "~/.aws/config", name if name == "default" else f"profile {name}"),
        ("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials", name),
    ):
        path = os.path.expanduser(os.environ.get(variable) or usual)
        parser = RawConfigParser(strict=False)
        try:
            parser.read(path, encoding="utf-8")
        except (ParsingError, ValueError):
            # Without its cause, which may quote a line with a key.
            raise SettingsError(f"{path} is not an AWS configuration file: put it right, or remove it.") from None
        if parser.has_section(section):
            found.update(parser[section])
    return found


def _has(options: Mapping[str, str], *words: str) -> bool:
    return any(word in name.lower() for name in options for word in words)


def _is_secret(variable: str) -> bool:
    return variable.startswith(("AWS_", "AZURE_", "GOOGLE_")) and any(
        word in variable for word in ("KEY", "SECRET", "TOKEN", "PASSWORD")
    )
