"""A project's parameters as texts, which is all that Argo passes, and back.

A text says nothing of its type: ``007`` may be a number or a name. So the type is that of the project's own value, and a
text that does not fit it is an error rather than a surprise in the middle of a run.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from bodega.errors import SettingsError, did_you_mean

_WORDS = {bool: "true or false", int: "a whole number", float: "a number", list: "a list", dict: "keys and values"}


def used_parameters(datasets: Iterable[str], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Those top-level parameters that a pipeline reads.

    Args:
        datasets: of the pipeline.
        parameters: of the project.
    """
    names = list(datasets)
    if "parameters" in names:
        return dict(parameters)
    used = {name.removeprefix("params:").split(".")[0] for name in names if name.startswith("params:")}
    # The name itself may have dots in it.
    return {key: value for key, value in parameters.items() if key in used or f"params:{key}" in names}


def is_passable(value: object) -> bool:
    """Whether a parameter can go through Argo as a text and come back the same.

    Two opening braces are Argo's own, and what is neither text nor YAML has no text that it could be read from.
    """
    try:
        text = to_text(value)
        return "{{" not in text and from_text("", text, value) == value
    except (SettingsError, yaml.YAMLError):
        return False


def to_text(value: object) -> str:
    """A text as it is, anything else as JSON, or where keys are no texts as YAML in a line.

    Raises:
        yaml.YAMLError: the value is nothing that YAML has.
    """
    if isinstance(value, str):
        return value
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        if json.loads(text) == value:
            return text
    except (TypeError, ValueError):
        pass
    return yaml.safe_dump(value, default_flow_style=True, width=1 << 30, allow_unicode=True, sort_keys=False).strip()


def from_texts(texts: Mapping[str, str], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The values that texts stand for, nested as the project's own.

    Args:
        texts: by the names of parameters; ``model.depth`` is ``depth`` of ``model``.
        parameters: of the project.

    Raises:
        SettingsError: there is no such parameter, or its value is of another type.
    """
    values: dict[str, Any] = {}
    for name, text in texts.items():
        path = _path(name, parameters)
        known: Any = parameters
        for key in path:
            known = known[key]
        target = values
        for key in path[:-1]:
            target = target.setdefault(key, {})
        value = from_text(name, text, known)
        target[path[-1]] = value
    return values


def from_text(name: str, text: str, known: object) -> Any:
    """The value that a text stands for.

    Args:
        name: of the parameter, for messages.
        text: as it was given.
        known: the project's own value, whose type holds. Where that is None, the text is read as YAML.

    Raises:
        SettingsError: it is of another type.
    """
    if isinstance(known, str):
        return text
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        value = text
    if known is None:
        return value
    if isinstance(known, float) and isinstance(value, (int, str)) and not isinstance(value, bool):
        try:
            return float(text)
        except ValueError:
            pass
    kind = type(known)
    # What YAML reads as octal or with underscores is not what a person means by 007.
    if type(value) is not kind or (kind is int and str(value) != text.strip().removeprefix("+")):
        raise SettingsError(
            f"The parameter {name!r} is {_WORDS.get(kind, kind.__name__)} in the project, not {text!r}. Change its value in "
            f"parameters.yml if it is to be something else.",
            parameter=name,
        )
    return value


def merged(old: Any, new: Any) -> Any:
    """As Kedro merges parameters: keys of the old one stay where the new one has others."""
    if isinstance(old, dict) and isinstance(new, dict):
        return {**old, **{key: merged(old[key], value) if key in old else value for key, value in new.items()}}
    return new


def _path(name: str, parameters: Mapping[str, Any]) -> list[str]:
    """The keys that lead to a parameter; one of them may have dots in it.

    Raises:
        SettingsError: there is none of this name.
    """
    known: Any = parameters
    path, rest = [], name
    while rest:
        if not isinstance(known, Mapping):
            break
        key = next(
            (key for key in sorted(known, key=len, reverse=True) if rest == key or rest.startswith(f"{key}.")), None
        )
        if key is None:
            break
        path.append(key)
        known, rest = known[key], rest[len(key) + 1 :]
    if rest or not path:
        hint = did_you_mean(name, _names(parameters, ""), f"There are {', '.join(parameters)}.", most=3)
        raise SettingsError(f"The project has no parameter {name!r}. {hint}", parameter=name)
    return path


def _names(parameters: Mapping[str, Any], prefix: str) -> list[str]:
    names = []
    for key, value in parameters.items():
        names.append(f"{prefix}{key}")
        if isinstance(value, Mapping):
            names += _names(value, f"{prefix}{key}.")
    return names
