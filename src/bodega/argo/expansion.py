"""What Argo and Kubernetes put in place of parts of a text, and how a text of a person stays what it is.

Argo fills in what stands between two braces, in all of a template. Kubernetes then puts variables in place of ``$(NAME)``
in the command, the arguments and the environment of a container, and ``$`` in place of ``$$``. What is given at submission
becomes part of such a text only in the cluster, so Argo itself escapes it there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from bodega.errors import SettingsError
from bodega.kubernetes.pods import literal

BRACES = "{{"
"""Argo's: there is no way to write them that Argo would leave alone."""
_TAG = re.compile(r"\{\{(=?)(.*?)\}\}", re.DOTALL)
_PARAMETER = re.compile(r"\b(workflow|inputs)\.parameters\.([-\w]+)")


def unexpanded(text: str) -> str:
    """A text of a container, with tags of our own in it, that Kubernetes leaves as it is.

    Dollars are doubled here, and by Argo in what it fills in from parameters: ``{{workflow.parameters.size}}`` becomes an
    expression that does so.
    """
    made, end = "", 0
    for tag in _TAG.finditer(text):
        made += literal(text[end : tag.start()]) + _escaping(tag)
        end = tag.end()
    return made + literal(text[end:])


def as_literal(text: str) -> str:
    """A text as a literal of Argo's expressions; no two braces end them."""
    plain = (
        character if re.match(r"[-\w. ]", character, re.ASCII) else f"\\U{ord(character):08x}" for character in text
    )
    return f"'{''.join(plain)}'"


def reference(scope: str, name: str) -> str:
    """A parameter in an expression, where a ``-`` of its name would be a minus."""
    return f"{scope}.parameters['{name}']"


def tagged(value: object, path: str = "") -> Iterator[tuple[str, str]]:
    """The texts within a value that hold Argo's braces, each after the path that leads to it.

    Args:
        value: texts, mappings, sequences and dataclasses of such.
        path: that leads to the value.
    """
    if isinstance(value, str):
        if BRACES in value:
            yield path, value
    elif is_dataclass(value):
        for field in fields(value):
            yield from tagged(getattr(value, field.name), f"{path}.{field.name}" if path else field.name)
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from tagged(key, path)
            yield from tagged(each, f"{path}.{key}")
    elif isinstance(value, Sequence):
        for number, each in enumerate(value):
            yield from tagged(each, f"{path}[{number}]")


def refuse_tags(value: Any) -> None:
    """Refuse what Argo would take for its own.

    Raises:
        SettingsError: a text holds two opening braces; the message names it and where it is.
    """
    for path, text in tagged(value):
        raise SettingsError(
            f"{text!r} ({path}) holds {BRACES!r}, and Argo would put something else in its place: write it without.",
            key=path,
        )


def _escaping(tag: re.Match[str]) -> str:
    kind, inner = tag.groups()
    if "parameters" not in inner:  # Argo's own words, such as the namespace, hold no dollars.
        return tag.group()
    expression = _PARAMETER.sub(lambda found: reference(found[1], found[2]), inner)
    return f"{{{{=replace({f'({expression})' if kind else expression}, '$', '$$')}}}}"
