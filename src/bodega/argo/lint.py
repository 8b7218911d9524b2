"""Finds what is wrong with a manifest before a cluster does, or before a cluster takes it for something else.

hera's models know the types of all fields but ignore the fields that they do not know; neither they nor others mind
``5 gigs`` of memory, or a parameter that nobody has. So each of these is looked at here. Where Argo's own program is on the
PATH, it is asked too.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from hera.workflows import models
from pydantic import BaseModel, ValidationError

from bodega.argo import references, values
from bodega.argo.fields import lost_fields
from bodega.errors import SettingsError

_MODELS: dict[str, type[BaseModel]] = {
    "Workflow": models.Workflow,
    "WorkflowTemplate": models.WorkflowTemplate,
    "ClusterWorkflowTemplate": models.ClusterWorkflowTemplate,
    "CronWorkflow": models.CronWorkflow,
}
_ARGO_SECONDS = 120


class Finding(NamedTuple):
    """Something that is wrong with a manifest."""

    file: str
    path: str
    """Where in it, such as ``spec.templates[0].container.image``; empty where that is not known."""
    message: str


def lint_file(file: Path) -> list[Finding]:
    """All that is wrong with the manifests of a file.

    Raises:
        SettingsError: it is no YAML, or holds no manifest.
    """
    manifests = read_manifests(file)
    found = [
        Finding(str(file), path if len(manifests) == 1 else f"[{number}] {path}".rstrip(), message)
        for number, manifest in enumerate(manifests)
        for path, message in lint_manifest(manifest)
    ]
    return found + [Finding(str(file), "", message) for message in _asked_argo(file)]


def read_manifests(file: Path) -> list[dict[str, Any]]:
    """The manifests of a file.

    Raises:
        SettingsError: it is no YAML, or holds no manifest.
    """
    try:
        documents = [each for each in yaml.safe_load_all(file.read_text(encoding="utf-8")) if each is not None]
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file} is no YAML: {' '.join(str(error).split())}.") from None
    if not documents or not all(isinstance(each, dict) for each in documents):
        raise SettingsError(f"{file} holds no manifest: 'kedro bodega argo generate' writes one.")
    return documents


def lint_manifest(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """All that is wrong with a manifest, as paths and messages."""
    kind = manifest.get("kind")
    model = _MODELS.get(str(kind))
    if model is None:
        return [("kind", f"{kind!r} is none of {', '.join(_MODELS)}.")]
    try:
        lost = lost_fields(model, manifest)
    except ValidationError as error:
        # The other checks take the types for granted.
        return [(_path(each["loc"]), f"{each['msg']}, not {each['input']!r}.") for each in error.errors()]
    found = [(path, "This field is not known, and would be ignored.") for path in lost]
    found += values.check(manifest)
    spec, path = manifest["spec"], "spec"
    if kind == "CronWorkflow":
        spec, path = spec["workflowSpec"], "spec.workflowSpec"
    if "workflowTemplateRef" not in spec:  # Else what it refers to is elsewhere.
        found += references.check(spec, path)
    return found


def _path(location: tuple[int | str, ...]) -> str:
    path = ""
    for key in location:
        path += f"[{key}]" if isinstance(key, int) else f".{key}" if path else str(key)
    return path


def _asked_argo(file: Path) -> Iterator[str]:
    """What Argo's own program says."""
    program = shutil.which("argo")
    if program is None:
        return
    command = [program, "lint", "--offline", "--no-color", "--output", "simple", str(file)]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=_ARGO_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        yield f"'argo lint --offline' did not run: {error}"
        return
    if result.returncode:
        lines = [line.strip() for line in (result.stdout + result.stderr).splitlines() if line.strip()]
        yield f"'argo lint --offline' says: {' '.join(lines) or f'exit code {result.returncode}'}"
