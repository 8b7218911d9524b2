"""Texts for people: nothing in them steers a terminal, no URL in them shows a secret, and their commands can be pasted.

Names, paths and columns may hold any character, and URLs may hold keys. What every error says comes through `clean`,
what a table shows through `printable`, so that nobody has to think of it where a message is written.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterable

_URL = re.compile(r"\b([A-Za-z][A-Za-z0-9+.\-]*)://([^\s'\"<>]*)")
_PARAMETER = re.compile(r"([?&;#])([^=&;#]+)=([^&;#]*)")
_SECRET = re.compile(r"key|secret|token|sig|pass|pwd|cred|auth|sas", re.IGNORECASE)
"""What the names of parameters have in them whose values are secrets, in the words of every storage and signature."""
_WITH_PORTS = ("http", "https", "socks5", "socks5h")
_WITH_CONTAINERS = ("abfs", "abfss")
"""Schemes of ``container@account``, where what stands before the ``@`` is no user."""
_HIDDEN = "***"


def printable(text: str, *, keep: str = "") -> str:
    """The text with what would steer a terminal written as an escape: names may hold any character.

    Args:
        text: from anywhere.
        keep: characters that stay as they are.
    """
    if text.isprintable():
        return text
    return "".join(
        character
        if character.isprintable() or character in keep
        else character.encode("unicode_escape", "surrogatepass").decode()
        for character in text
    )


def without_secrets(text: str) -> str:
    """The text with users, passwords, and the values of parameters that are secrets left out of the URLs in it."""
    return _URL.sub(_harmless, text) if "://" in text else text


def secret_part(url: str) -> str | None:
    """What of the URL of a place in object storage is, or may be, a secret: a word for it, or nothing.

    Nothing but the place belongs there, so that each user, password and parameter counts as one whatever it is called.
    """
    scheme, _, rest = url.partition("://")
    if _user(scheme.lower(), rest) is not None:
        return "a user or a password"
    return "parameters" if any(each in rest for each in "?#;") else None


def clean(text: str) -> str:
    """What a message may show of a text: no secrets, and nothing but line breaks that steers a terminal."""
    return printable(without_secrets(text), keep="\n")


def command(*words: object) -> str:
    """A command to paste: each word quoted where a shell would read it otherwise."""
    return shlex.join(map(str, words))


def three_figures(number: float) -> str:
    """A number with as many figures as mean something: ``0.123``, ``12.3``, ``1,234``."""
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.3g}"


def format_size(nbytes: float) -> str:
    """Bytes for people, in binary units and three figures, such as ``1.46 GiB``."""
    size, unit = float(nbytes), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if size < 999.5:
            break
        size, unit = size / 1024, larger
    return f"{size:.0f} B" if unit == "B" else f"{three_figures(size)} {unit}"


def format_duration(seconds: float, *, most: int = 2) -> str:
    """A time for people, in whole units, the largest first, such as ``1 h 5 min``.

    Args:
        seconds: the time; below none it counts as none.
        most: units that are shown.
    """
    left, shown = max(0, int(seconds)), list[str]()
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        count, left = divmod(left, length)
        if count or shown or unit == "s":
            shown.append(f"{count} {unit}")
    return " ".join(shown[:most])


def install(requirement: str) -> str:
    """The command that installs something beside this Python: with pip, or where there is none, with uv."""
    from importlib.util import find_spec  # Both are slow to import, and seldom needed.
    from shutil import which

    pip = command(sys.executable, "-m", "pip", "install", requirement)
    if find_spec("pip") is not None:
        return pip
    if which("uv") is not None:
        return command("uv", "pip", "install", "--python", sys.executable, requirement)
    return f"{command(sys.executable, '-m', 'ensurepip')} && {pip}"


def listed(names: Iterable[str], most: int = 5) -> str:
    """Names for a sentence, not too many of them."""
    every = list(names)
    shown = ", ".join(map(repr, every[:most]))
    return shown if len(every) <= most else f"{shown} and {len(every) - most} more"


def _harmless(match: re.Match[str]) -> str:
    scheme, rest = match[1], match[2]
    user = _user(scheme.lower(), rest)
    rest = f"{_HIDDEN}@{rest[len(user) + 1 :]}" if user is not None else rest
    return f"{scheme}://{_PARAMETER.sub(_without_value, rest)}"


def _without_value(parameter: re.Match[str]) -> str:
    return f"{parameter[1]}{parameter[2]}={_HIDDEN if _SECRET.search(parameter[2]) else parameter[3]}"


def _user(scheme: str, rest: str) -> str | None:
    """The user and password of what follows ``://``, where there are any; a password may hold ``/``, ``?`` and ``@``."""
    host = re.split(r"[/?#]", rest, maxsplit=1)[0]
    name, colon, after = host.partition(":")
    if colon and "@" not in name and not (after.isdecimal() and (scheme in _WITH_PORTS or "@" not in rest)):
        return rest.rpartition("@")[0] if "@" in rest else host
    if "@" in host and scheme not in _WITH_CONTAINERS:
        return host.rpartition("@")[0]
    return None
