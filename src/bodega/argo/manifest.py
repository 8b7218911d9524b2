"""Manifests: a workflow, a template for workflows, or workflows by the clock; and the YAML of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml
from hera.workflows import models

from bodega.argo.expansion import refuse_tags
from bodega.argo.workflow import Request, specification
from bodega.errors import SettingsError
from bodega.kubernetes.deployment import ManifestKind, Volume
from bodega.kubernetes.names import MAX_LABEL, unique_names

API_VERSION = "argoproj.io/v1alpha1"

_LABELS = {"app.kubernetes.io/managed-by": "bodega"}
_CLOCK = 11
"""Characters that Argo puts behind the name of a CronWorkflow."""


def make_manifest(request: Request, kind: ManifestKind = "Workflow") -> dict[str, Any]:
    """The manifest of a plan, as Kubernetes takes it.

    Raises:
        SettingsError: there is no image or no schedule, a volume is not understood, or Argo would take a text for its own.
    """
    deployment = request.deployment
    if not deployment.image:
        raise SettingsError(
            "There is no image for the tasks to run in: set 'deployment.image' in bodega.yml, or pass --image. "
            "'kedro bodega docker build' makes one."
        )
    refuse_tags(request)
    for volume in deployment.volumes:
        if unknown := list(_unknown_fields(volume)):
            raise SettingsError(
                f"The volume {volume.name!r} of the deployment has {unknown[0]!r}, which Kubernetes does not know: write a "
                "volume source such as {persistentVolumeClaim: {claimName: data}}."
            )
    (name,) = unique_names([request.name[: MAX_LABEL - _CLOCK]]).values()
    labels = {**_LABELS, **deployment.labels}
    annotations = dict(deployment.annotations) or None
    metadata = models.ObjectMeta(name=name, namespace=deployment.namespace, labels=labels, annotations=annotations)
    spec = specification(request)
    if kind == "Workflow":
        metadata.generate_name, metadata.name = f"{name}-", None
        return _dump(models.Workflow(api_version=API_VERSION, kind=kind, metadata=metadata, spec=spec))
    if kind == "WorkflowTemplate":
        spec.workflow_metadata = models.WorkflowMetadata(labels=labels, annotations=annotations)
        return _dump(models.WorkflowTemplate(api_version=API_VERSION, kind=kind, metadata=metadata, spec=spec))
    if deployment.schedule is None:
        raise SettingsError(
            "A CronWorkflow needs to know when: set 'deployment.schedule' in bodega.yml, such as '0 6 * * *'."
        )
    clock = models.CronWorkflowSpec(
        schedules=[deployment.schedule],
        timezone=deployment.timezone,
        workflow_metadata=models.ObjectMeta(labels=labels, annotations=annotations),
        workflow_spec=spec,
    )
    return _dump(models.CronWorkflow(api_version=API_VERSION, kind=kind, metadata=metadata, spec=clock))


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as they are, and lists set in below their keys."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002 # PyYAML's own
        super().increase_indent(flow, indentless=False)


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def to_yaml(manifest: dict[str, Any], *, heading: str) -> str:
    """The manifest as text, the same for the same manifest; names come first, the templates last.

    Args:
        manifest: as of `make_manifest`.
        heading: a line of comment before it.
    """
    return f"# {heading}\n" + yaml.dump(
        _readable(manifest), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1_000
    )


def _readable(value: Any) -> Any:
    if isinstance(value, list):
        return [_readable(each) for each in value]
    if isinstance(value, dict):
        ordered = sorted(value, key=lambda key: (key != "name", key == "templates"))
        return {key: _readable(value[key]) for key in ordered}
    return value


def _dump(manifest: models.Workflow | models.WorkflowTemplate | models.CronWorkflow) -> dict[str, Any]:
    return manifest.model_dump(by_alias=True, exclude_none=True)


def _unknown_fields(volume: Volume) -> Iterator[str]:
    """The paths of a volume source that hera's model does not know, and would leave out without a word."""
    model = models.Volume.model_validate({"name": volume.name, **volume.source})
    return _missing(volume.source, model.model_dump(by_alias=True, exclude_unset=True), "")


def _missing(given: Any, kept: Any, path: str) -> Iterator[str]:
    if isinstance(given, Mapping):
        for key, value in given.items():
            here = f"{path}.{key}" if path else str(key)
            if not isinstance(kept, Mapping) or (key not in kept and value is not None):
                yield here
            elif value is not None:
                yield from _missing(value, kept[key], here)
    elif isinstance(given, list):
        for number, (value, other) in enumerate(zip(given, kept, strict=True)):
            yield from _missing(value, other, f"{path}[{number}]")
