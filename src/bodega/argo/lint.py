"""Finds in a manifest what a cluster refuses late, or takes for something else, and Argo's own program lets pass.

``argo lint`` knows fields, types, and references to templates, tasks and parameters; it is asked where it is on the PATH. It
takes ``512m`` of memory for what it is, half a byte, and has no opinion on names of labels and variables, on durations
of retries, and on volumes that nobody has: those are looked at here.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from bodega.argo import values
from bodega.errors import SettingsError
from bodega.findings import Finding

PROGRAM = "argo"
_KINDS = ("Workflow", "WorkflowTemplate", "ClusterWorkflowTemplate", "CronWorkflow")
_ARGO_SECONDS = 120
_CODE = "manifest"


def has_program() -> bool:
    """Whether Argo's own program can be asked."""
    return shutil.which(PROGRAM) is not None


def lint_file(file: Path) -> list[Finding]:
    """All that is wrong with the manifests of a file; the subject of each is the path in it, where that is known.

    Raises:
        SettingsError: it is no YAML, or holds no manifest.
    """
    manifests = read_manifests(file)
    found = [
        Finding("error", _CODE, message, subject=path if len(manifests) == 1 else f"[{number}] {path}".rstrip())
        for number, manifest in enumerate(manifests)
        for path, message in lint_manifest(manifest)
    ]
    return found + [Finding("error", _CODE, message) for message in _asked_argo(file)]


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
    """What Argo's own program does not say of a manifest, as paths and messages."""
    kind = manifest.get("kind")
    if kind not in _KINDS:
        return [("kind", f"{kind!r} is none of {', '.join(_KINDS)}.")]
    return values.check(manifest)


def _asked_argo(file: Path) -> Iterator[str]:
    """What Argo's own program says."""
    if not has_program():
        return
    command = [PROGRAM, "lint", "--offline", "--no-color", "--output", "simple", str(file)]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=_ARGO_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        yield f"'argo lint --offline' did not run: {error}"
        return
    if result.returncode:
        lines = [line.strip() for line in (result.stdout + result.stderr).splitlines() if line.strip()]
        yield f"'argo lint --offline' says: {' '.join(lines) or f'exit code {result.returncode}'}"
