"""A manifest as the workflow to be submitted now, with other values of its parameters."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from bodega.argo.expansion import refuse_tags
from bodega.errors import SettingsError, did_you_mean

IMAGE = "image"
RUN = "run"


def as_workflow(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The workflow that a manifest means: of a WorkflowTemplate or a CronWorkflow, one of its workflows.

    Raises:
        SettingsError: it is none of the three.
    """
    kind, metadata, spec = manifest.get("kind"), manifest.get("metadata") or {}, manifest.get("spec") or {}
    if kind == "Workflow":
        return copy.deepcopy(dict(manifest))
    if kind == "CronWorkflow":
        spec = spec.get("workflowSpec") or {}
    elif kind != "WorkflowTemplate":
        raise SettingsError(f"A {kind!r} is nothing to submit: name a Workflow, a WorkflowTemplate or a CronWorkflow.")
    kept = {key: metadata[key] for key in ("namespace", "labels", "annotations") if key in metadata}
    return {
        "apiVersion": manifest["apiVersion"],
        "kind": "Workflow",
        "metadata": {"generateName": f"{metadata.get('name', 'workflow')}-", **kept},
        "spec": copy.deepcopy(dict(spec)),
    }


def with_parameters(workflow: Mapping[str, Any], texts: Mapping[str, str]) -> dict[str, Any]:
    """The workflow with some parameters given anew.

    Raises:
        SettingsError: it has no such parameter, Argo would take a value for its own, or there would be no image.
    """
    changed = copy.deepcopy(dict(workflow))
    parameters = {each["name"]: each for each in (changed["spec"].get("arguments") or {}).get("parameters") or []}
    for name, text in texts.items():
        if name not in parameters:
            hint = did_you_mean(name, parameters, f"It has {', '.join(parameters) or 'none'}.", most=3)
            raise SettingsError(f"The workflow has no parameter {name!r}. {hint}", parameter=name)
        refuse_tags({name: text})
        parameters[name]["value"] = text
    if IMAGE in parameters and not parameters[IMAGE].get("value"):
        raise SettingsError("The workflow has no image to run in: pass -p image=NAME, or set deployment.image.")
    return changed
