"""The JSON schema that Argo Workflows publishes, and manifests that were found right by it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from bodega.argo import manifest

FILE = Path(__file__).parents[1] / "data" / "argo-workflows.schema.json"
_PREFIX = "io.argoproj.workflow.v1alpha1."
_INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"


@cache
def _definitions() -> dict[str, Any]:
    definitions: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))["definitions"]
    for each in definitions.values():
        if "properties" in each:
            # As published it lets pass what it does not know; Argo does not, where it is asked to be strict.
            each.setdefault("additionalProperties", False)
    # Published as a text alone, although Argo and its own examples take numbers too.
    definitions[_INT_OR_STRING]["type"] = ["string", "integer"]
    return definitions


def problems(document: Mapping[str, Any]) -> list[str]:
    """What the schema says of a manifest, each with its path."""
    schema = {"$ref": f"#/definitions/{_PREFIX}{document['kind']}", "definitions": _definitions()}
    return [f"{error.json_path}: {error.message}" for error in Draft202012Validator(schema).iter_errors(document)]


def make_manifest(*args: Any, **options: Any) -> dict[str, Any]:
    """What is generated; right by the schema."""
    made = manifest.make_manifest(*args, **options)
    assert problems(made) == []
    return made
