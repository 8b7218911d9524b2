"""Writes what is made from declarations: the JSON schema of ``bodega.yml``, and the tables of keys and variables of the docs.

``python scripts/generated.py`` after a change of a key or a variable; a test says when that was forgotten.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from bodega import env
from bodega.kedro.project.config import ProjectSettings
from bodega.kubernetes.deployment import Deployment

PROJECT = Path(__file__).parents[1]
SCHEMA = PROJECT / "src/bodega/bodega.schema.json"
_ABOUT = ("description", "default", "examples")
"""What is said about a key besides what may be written there."""
_UNSET = {
    "description": "Nothing: the default holds. Or a value that Kedro's loader fills in, such as ${globals:bucket}.",
    "anyOf": [{"type": "null"}, {"type": "string", "pattern": "^\\$\\{.*\\}$"}],
}


def schema() -> dict[str, Any]:
    """The JSON schema of ``bodega.yml``."""
    settings = TypeAdapter(ProjectSettings)
    # A run that deploys nothing does not import what the last key needs, so its class is named here.
    settings.rebuild(force=True, _types_namespace={"Deployment": Deployment})
    made = _finished(settings.json_schema())
    made["title"] = "bodega.yml"
    made["$defs"]["unset"] = _UNSET
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made}


def _finished(value: Any) -> Any:
    """What pydantic makes, in the words of people, and with keys that may be left empty."""
    if isinstance(value, list):
        return [_finished(each) for each in value]
    if not isinstance(value, Mapping):
        return value
    finished = {key: _finished(each) for key, each in value.items() if not (key == "title" and isinstance(each, str))}
    if isinstance(finished.get("description"), str):
        finished["description"] = " ".join(finished["description"].replace("``", "`").split())
    if finished.get("default", ...) is None:
        del finished["default"]
    if "properties" in finished and finished.get("additionalProperties") is False:
        finished["properties"] = {key: _optional(each) for key, each in finished["properties"].items()}
    return finished


def _optional(of_key: Mapping[str, Any]) -> dict[str, Any]:
    about = {key: of_key[key] for key in _ABOUT if key in of_key}
    rule = {key: each for key, each in of_key.items() if key not in about}
    choices = [each for each in rule["anyOf"] if each != {"type": "null"}] if set(rule) == {"anyOf"} else [rule]
    return {**about, "anyOf": [*choices, {"$ref": "#/$defs/unset"}]}


def _keys(of: Mapping[str, Any]) -> str:
    """The table of the keys of a class."""
    rows = [
        (
            f"`{key}`",
            _code(each.get("default")),
            ", ".join(map(_code, each.get("examples") or _choices(each))),
            each["description"].removesuffix("."),
        )
        for key, each in of["properties"].items()
    ]
    return _table(("key", "default", "for example", "meaning"), rows)


def _choices(of_key: Mapping[str, Any]) -> list[Any]:
    return [choice for each in of_key["anyOf"] for choice in each.get("enum", [])]


def _code(value: Any) -> str:
    if value is None or value == []:
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = value if isinstance(value, str) else json.dumps(value)
    return f"`{text}`".replace("|", "\\|")


def _variables(of: Iterable[env.Variable]) -> str:
    return _table(("variable", "meaning", "set by"), [(f"`{each.name}`", each.meaning, each.set_by) for each in of])


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |".replace("|  |", "| |").replace("|  |", "| |") for line in lines)


def files() -> dict[Path, str]:
    """What every file holds when it is current."""
    made = schema()
    tables = {
        "docs/kedro.md": {
            "the keys of bodega.yml": _keys(made),
            "the keys of deployment": _keys(made["$defs"]["Deployment"]),
            "the keys of resources": _keys(made["$defs"]["Resources"]),
            "the keys of tasks": _keys(made["$defs"]["ResourceRule"]),
            "the keys of volumes": _keys(made["$defs"]["Volume"]),
        },
        "docs/environment.md": {
            "the variables of bodega": _variables(env.OWN),
            "the variables of others": _variables(env.OTHERS),
            "the variables of development": _variables(env.DEVELOPMENT),
        },
    }
    found = {PROJECT / name: _with_tables(PROJECT / name, each) for name, each in tables.items()}
    return {SCHEMA: json.dumps(made, indent=2, ensure_ascii=False) + "\n", **found}


def _with_tables(file: Path, tables: Mapping[str, str]) -> str:
    text = file.read_text(encoding="utf-8")
    for name, table in tables.items():
        begin, end = f"<!-- scripts/generated.py makes {name} -->\n", "\n<!-- until here -->"
        pattern = re.compile(rf"({re.escape(begin)}).*?({re.escape(end)})", re.DOTALL)
        text, count = pattern.subn(lambda found, table=table: f"{found[1]}\n{table}\n{found[2]}", text)
        assert count == 1, f"{file} has no place for {name}"
    return text


if __name__ == "__main__":
    for file, text in files().items():
        file.write_text(text, encoding="utf-8")
