"""Names, quantities, durations and volumes of a manifest, by the rules of Kubernetes, which Argo does not look at."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from bodega.errors import SettingsError, did_you_mean
from bodega.kubernetes.quantities import (
    amount,
    check_label_name,
    check_label_value,
    check_name,
    check_variable,
    parse_cpu,
    parse_memory,
)

Found = tuple[str, str]
"""A path and a message."""

_DURATION = re.compile(r"[0-9]+|(?:[0-9]+(?:\.[0-9]+)?(?:ns|us|µs|ms|s|m|h))+")
_DURATIONS = ("timeout", "pendingTimeout", "maxDuration", "deleteDelayDuration")
_PARSE: Mapping[str, Callable[[object], str]] = {
    "cpu": parse_cpu,
    "memory": parse_memory,
    "ephemeral-storage": parse_memory,
}


def check(manifest: Mapping[str, Any]) -> list[Found]:
    """What is wrong with single values, wherever they are, and which volumes are mounted that nobody has."""
    spec, path = manifest.get("spec"), "spec"
    found = [*_metadata(_mapping(manifest.get("metadata"))), *_walk(spec, path)]
    if manifest["kind"] == "CronWorkflow":
        spec, path = _mapping(spec).get("workflowSpec"), f"{path}.workflowSpec"
    return found + list(_mounts(_mapping(spec), path))


def _metadata(metadata: Mapping[str, Any]) -> Iterator[Found]:
    for key, ending in (("name", ""), ("generateName", "x")):
        if key in metadata:
            yield from _checked(
                f"metadata.{key}", lambda text: check_name(text, "a workflow"), f"{metadata[key]}{ending}"
            )
    if "name" not in metadata and "generateName" not in metadata:
        yield "metadata", "There is neither a name nor a generateName."
    yield from _labels(metadata, "metadata")


def _mounts(spec: Mapping[str, Any], path: str) -> Iterator[Found]:
    """Mounts of volumes that are not there."""
    everywhere = [
        *_names(spec.get("volumes")),
        *(str(_mapping(each.get("metadata")).get("name")) for each in _mappings(spec.get("volumeClaimTemplates"))),
    ]
    for number, template in enumerate(_mappings(spec.get("templates"))):
        volumes = [*everywhere, *_names(template.get("volumes"))]
        containers = [(part, _mapping(template.get(part))) for part in ("container", "script")]
        containers += [
            (f"initContainers[{n}]", each) for n, each in enumerate(_mappings(template.get("initContainers")))
        ]
        for part, container in containers:
            for name in _names(container.get("volumeMounts")):
                if name not in volumes and not _is_tagged(name):
                    hint = did_you_mean(name, volumes, f"There are {', '.join(volumes) or 'none'}.")
                    yield f"{path}.templates[{number}].{part}.volumeMounts", f"There is no volume {name!r}. {hint}"


def _walk(value: Any, path: str) -> Iterator[Found]:
    if isinstance(value, list):
        for number, each in enumerate(value):
            yield from _walk(each, f"{path}[{number}]")
    if not isinstance(value, Mapping):
        return
    for key, each in value.items():
        here = f"{path}.{key}"
        if key in _DURATIONS or (key in {"duration", "cap"} and path.endswith("backoff")):
            if not _is_tagged(each) and not _DURATION.fullmatch(str(each)):
                yield here, f"{each!r} is no duration: write one such as '90s', '5m' or '1h30m'."
        elif key == "resources" and isinstance(each, Mapping) and {"limits", "requests"} & set(each):
            yield from _resources(each, here)
        elif key == "env":
            for number, name in enumerate(_names(each)):
                yield from _checked(f"{here}[{number}].name", check_variable, name)
        elif key in {"metadata", "podMetadata", "workflowMetadata"}:
            yield from _labels(_mapping(each), here)
        yield from _walk(each, here)


def _resources(resources: Mapping[str, Any], path: str) -> Iterator[Found]:
    parsed: dict[str, dict[str, str]] = {"limits": {}, "requests": {}}
    for part, quantities in parsed.items():
        for name, value in _mapping(resources.get(part)).items():
            if _is_tagged(value):
                continue
            try:
                quantities[name] = _PARSE.get(name, _count)(value)
            except SettingsError as error:
                yield f"{path}.{part}.{name}", str(error)
    for name, limit in parsed["limits"].items():
        if name in parsed["requests"] and amount(parsed["requests"][name]) > amount(limit):
            yield f"{path}.requests.{name}", f"{parsed['requests'][name]} is more than the limit of {limit}."


def _count(value: object) -> str:
    if not re.fullmatch(r"[0-9]+", str(value)):
        raise SettingsError(f"The quantity {value!r} is no whole number.")
    return str(value)


def _labels(metadata: Mapping[str, Any], path: str) -> Iterator[Found]:
    for part in ("labels", "annotations"):
        for name, value in _mapping(metadata.get(part)).items():
            yield from _checked(f"{path}.{part}", check_label_name, str(name))
            if part == "labels" and not _is_tagged(value):
                yield from _checked(f"{path}.{part}.{name}", check_label_value, str(value))


def _checked(path: str, check_text: Callable[[str], object], text: str) -> Iterator[Found]:
    if not _is_tagged(text):
        try:
            check_text(text)
        except SettingsError as error:
            yield path, str(error)


def _is_tagged(value: object) -> bool:
    """Whether Argo fills something in first."""
    return "{{" in str(value)


def _mapping(value: object) -> Mapping[str, Any]:
    """The value, if it is what its place wants; that it is not, Argo's own program says."""
    return value if isinstance(value, Mapping) else {}


def _mappings(values: object) -> list[Mapping[str, Any]]:
    return [_mapping(each) for each in values] if isinstance(values, list) else []


def _names(entries: object) -> list[str]:
    return [str(each.get("name")) for each in _mappings(entries)]
