"""References within a workflow: to templates, tasks, steps, parameters and volumes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bodega.argo.values import Found
from bodega.errors import did_you_mean

_NAME = re.compile(r"[A-Za-z0-9][-A-Za-z0-9]{0,127}")
_PARAMETER = re.compile(r"[-A-Za-z0-9_]+")
_TAG = re.compile(r"\{\{(=?)(.*?)\}\}", re.DOTALL)
_DEPENDENCY = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_]*)(?:\.[A-Z][A-Za-z]*)?")
_REFERENCE = re.compile(
    r"\b(?P<scope>workflow\.parameters|inputs\.parameters|(?P<kind>tasks|steps)\.(?P<who>[-\w]+)\.outputs\.parameters)"
    r"(?:\.|\[')(?P<name>[-\w]+)"
)


def check(spec: Mapping[str, Any], path: str) -> list[Found]:
    """What refers to something that is not there.

    Args:
        spec: of a workflow.
        path: that leads to it.
    """
    return list(_Workflow(spec, path).check())


class _Workflow:
    def __init__(self, spec: Mapping[str, Any], path: str) -> None:
        self.spec = spec
        self.path = path
        self.templates: dict[str, Mapping[str, Any]] = {
            str(template.get("name")): template for template in spec.get("templates") or []
        }
        self.parameters = _names((spec.get("arguments") or {}).get("parameters"))

    def check(self) -> Iterator[Found]:
        spec, path = self.spec, self.path
        yield from _bad_names(
            (spec.get("arguments") or {}).get("parameters"), f"{path}.arguments.parameters", _PARAMETER
        )
        yield from _bad_names(spec.get("templates"), f"{path}.templates", _NAME)
        if "entrypoint" not in spec:
            yield f"{path}.entrypoint", "There is no entrypoint: name the template to begin with."
        for key in ("entrypoint", "onExit"):
            if key in spec:
                yield from _unknown(f"{path}.{key}", "template", spec[key], self.templates)
        for number, template in enumerate(spec.get("templates") or []):
            yield from self._template(template, f"{path}.templates[{number}]")

    def _template(self, template: Mapping[str, Any], path: str) -> Iterator[Found]:
        tasks = (template.get("dag") or {}).get("tasks") or []
        yield from _bad_names(tasks, f"{path}.dag.tasks", _NAME)
        before = _ancestors(tasks)
        known = {str(task.get("name")): task for task in tasks}
        for number, task in enumerate(tasks):
            here = f"{path}.dag.tasks[{number}]"
            for dependency in _dependencies(task):
                yield from _unknown(f"{here}.depends", "task", dependency, known)
            if task.get("name") in before[str(task.get("name"))]:
                yield f"{here}.depends", f"The task {task.get('name')!r} waits for itself."
            reachable = {name: known[name] for name in before[str(task.get("name"))] if name in known}
            yield from self._call(task, here, template, reachable)
        done: dict[str, Mapping[str, Any]] = {}
        for row, steps in enumerate(template.get("steps") or []):
            yield from _bad_names(steps, f"{path}.steps[{row}]", _NAME)
            for number, step in enumerate(steps):
                yield from self._call(step, f"{path}.steps[{row}][{number}]", template, done)
            done |= {str(step.get("name")): step for step in steps}
        own = {key: value for key, value in template.items() if key not in {"dag", "steps"}}
        yield from self._tags(own, path, template, {})
        yield from self._mounts(template, path)

    def _call(
        self, call: Mapping[str, Any], path: str, template: Mapping[str, Any], done: Mapping[str, Mapping[str, Any]]
    ) -> Iterator[Found]:
        """A task or step: the template it names, what it gives to it, and what it takes from those that are done."""
        yield from self._tags(call, path, template, done)
        if "template" not in call:
            if not {"templateRef", "inline"} & set(call):
                yield path, f"{call.get('name')!r} names no template to run."
            return
        yield from _unknown(f"{path}.template", "template", call["template"], self.templates)
        called = self.templates.get(call["template"])
        if called is None:
            return
        inputs = (called.get("inputs") or {}).get("parameters") or []
        given = _names((call.get("arguments") or {}).get("parameters"))
        for name in given:
            yield from _unknown(f"{path}.arguments.parameters", "input parameter", name, _names(inputs))
        for each in inputs:
            if not {"value", "default", "valueFrom"} & set(each) and each["name"] not in given:
                yield (
                    f"{path}.arguments.parameters",
                    f"The template {call['template']!r} needs the parameter {each['name']!r}.",
                )

    def _tags(
        self, value: Mapping[str, Any], path: str, template: Mapping[str, Any], done: Mapping[str, Mapping[str, Any]]
    ) -> Iterator[Found]:
        """What stands between double braces."""
        inputs = _names((template.get("inputs") or {}).get("parameters"))
        seen = {
            found.group(): found
            for _, tag in _TAG.findall(json.dumps(value, ensure_ascii=False))
            for found in _REFERENCE.finditer(tag)
        }
        for found in seen.values():
            name, who, kind = found["name"], found["who"], found["kind"]
            if who is None:
                known, what = (
                    (self.parameters, "workflow parameter")
                    if found["scope"].startswith("workflow")
                    else (inputs, "input parameter")
                )
                yield from _unknown(path, what, name, known)
            elif who not in done:
                hint = did_you_mean(who, done, "")
                yield path, f"{found.group()!r}: no {kind[:-1]} {who!r} is done before this. {hint}".rstrip()
            else:
                called = self.templates.get(str(done[who].get("template")))
                if called is not None:
                    outputs = _names((called.get("outputs") or {}).get("parameters"))
                    yield from _unknown(path, f"output parameter of {who!r}", name, outputs)

    def _mounts(self, template: Mapping[str, Any], path: str) -> Iterator[Found]:
        volumes = [
            *_names(self.spec.get("volumes")),
            *_names(template.get("volumes")),
            *[each.get("metadata", {}).get("name") for each in self.spec.get("volumeClaimTemplates") or []],
        ]
        containers = [("container", template.get("container")), ("script", template.get("script"))]
        containers += [(f"initContainers[{n}]", each) for n, each in enumerate(template.get("initContainers") or [])]
        for where, container in containers:
            for mount in (container or {}).get("volumeMounts") or []:
                yield from _unknown(f"{path}.{where}.volumeMounts", "volume", mount["name"], volumes)


def _names(entries: Sequence[Mapping[str, Any]] | None) -> list[str]:
    return [str(each.get("name")) for each in entries or []]


def _bad_names(entries: Sequence[Mapping[str, Any]] | None, path: str, pattern: re.Pattern[str]) -> Iterator[Found]:
    """Names that Argo does not take, and those that there are two of."""
    seen: set[str] = set()
    for number, name in enumerate(_names(entries)):
        if not pattern.fullmatch(name):
            yield f"{path}[{number}].name", f"{name!r} cannot be a name here: use letters, digits and '-'."
        if name in seen:
            yield f"{path}[{number}].name", f"There are two of the name {name!r}."
        seen.add(name)


def _unknown(path: str, what: str, name: object, known: Mapping[str, Any] | Sequence[str]) -> Iterator[Found]:
    if "{{" in str(name) or name in known:
        return
    hint = did_you_mean(str(name), known, f"There are {', '.join(known) or 'none'}.")
    yield path, f"There is no {what} {name!r}. {hint}"


def _dependencies(task: Mapping[str, Any]) -> list[str]:
    return [*(task.get("dependencies") or []), *_DEPENDENCY.findall(task.get("depends") or "")]


def _ancestors(tasks: Sequence[Mapping[str, Any]]) -> dict[str, set[str]]:
    """Of each task, all that are done before it begins; itself too, where there is a cycle."""
    direct = {str(task.get("name")): set(_dependencies(task)) for task in tasks}
    found = {name: set(names) for name, names in direct.items()}
    changed = True
    while changed:
        changed = False
        for names in found.values():
            further = set().union(*(direct.get(name, set()) for name in names)) - names
            if further:
                names.update(further)
                changed = True
    return found
