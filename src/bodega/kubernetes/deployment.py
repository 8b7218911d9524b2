"""How the tasks of a project run on Kubernetes: what stands below ``deployment:`` in ``bodega.yml``.

It knows neither Kedro's catalog nor Argo: whoever makes manifests, whoever checks a project and whoever submits one
read the same checked values.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Literal, get_args

from bodega.errors import SettingsError
from bodega.kubernetes.quantities import (
    amount,
    check_label_name,
    check_label_value,
    check_name,
    check_variable,
    parse_cpu,
    parse_memory,
)
from bodega.plan import Grouping, GroupingRule, matches
from bodega.sections import Section
from bodega.settings import parse_duration

if TYPE_CHECKING:
    from kedro.pipeline.node import Node

ManifestKind = Literal["Workflow", "WorkflowTemplate", "CronWorkflow"]
PullPolicy = Literal["IfNotPresent", "Always", "Never"]

_PATTERNS = "a list of patterns such as ['train_*']"
_TOLERATION_KEYS = ("key", "operator", "value", "effect", "tolerationSeconds")
_OF_A_POD = {"configMap", "downwardAPI", "emptyDir", "ephemeral", "image", "projected", "secret"}
"""Sources of volumes that come and go with a pod, or that nothing can be written to."""
_SCHEDULE = re.compile(r"@(yearly|annually|monthly|weekly|daily|midnight|hourly|every .+)|(\S+\s+){4}\S+")


@dataclass(frozen=True)
class Resources:
    """What a task asks of a machine."""

    cpu: str | None = None
    """Cores, such as ``2`` or ``500m``."""
    cpu_limit: str | None = None
    """Cores that it never gets more of; no limit by default."""
    memory: str | None = None
    """Bytes, such as ``4Gi``."""
    gpu: int | None = None
    """Graphics cards."""
    gpu_resource: str = "nvidia.com/gpu"
    """What the cluster calls them."""
    node_selector: Mapping[str, str] = field(default_factory=dict)
    """Labels that the machine must have."""
    tolerations: tuple[Mapping[str, Any], ...] = ()
    """Taints of machines that are no hindrance, as Kubernetes writes them."""


@dataclass(frozen=True)
class TaskSettings:
    """What holds for one task."""

    resources: Resources
    retries: int
    """How often it may be tried again."""
    timeout: float | None
    """Seconds that one try may take."""


@dataclass(frozen=True)
class ResourceRule:
    """Other settings for some nodes: those that match any of the patterns (as of a shell)."""

    nodes: tuple[str, ...] = ()
    """Patterns of names of nodes."""
    tags: tuple[str, ...] = ()
    """Patterns of tags."""
    namespaces: tuple[str, ...] = ()
    """Patterns of namespaces; what lies in a namespace below counts too."""
    resources: Resources = field(default_factory=Resources)
    """What is given here replaces what was said before; labels and tolerations are added."""
    retries: int | None = None
    """How often the task may be tried again."""
    timeout: float | None = None
    """Seconds that one try may take, written as ``1h``."""

    @property
    def patterns(self) -> tuple[str, ...]:
        """All patterns, in the words of `bodega.plan.matches`."""
        kinds = {"node": self.nodes, "tag": self.tags, "namespace": self.namespaces}
        return tuple(f"{kind}:{pattern}" for kind, patterns in kinds.items() for pattern in patterns)

    def applies_to(self, node: Node) -> bool:
        """Whether a node matches any of the patterns."""
        return any(matches(pattern, node) for pattern in self.patterns)


@dataclass(frozen=True)
class Secret:
    """A value that Kubernetes keeps."""

    name: str
    """Of the secret."""
    key: str
    """Within it."""


@dataclass(frozen=True)
class Volume:
    """A volume that every task mounts."""

    name: str
    """Unique in the workflow."""
    mount_path: str
    """Folder in the container."""
    sub_path: str | None = None
    """What of the volume is mounted, such as a file of a ConfigMap; all of it by default."""
    read_only: bool = False
    """Whether tasks may only read it."""
    source: Mapping[str, Any] = field(default_factory=dict)
    """A volume source of Kubernetes, such as ``{persistentVolumeClaim: {claimName: data}}``."""

    @property
    def survives_pods(self) -> bool:
        """Whether what a pod writes there is there for the next one of that host."""
        return not set(self.source) & _OF_A_POD

    @property
    def is_shared(self) -> bool:
        """Whether pods of other hosts see the same files."""
        return self.survives_pods and "hostPath" not in self.source

    def holds(self, path: str) -> bool:
        """Whether a path of the container is on it."""
        return PurePosixPath(path).is_relative_to(self.mount_path)


@dataclass(frozen=True)
class Deployment:
    """The keys below ``deployment:``. Each is optional."""

    image: str | None = None
    """Of every task; has the project installed."""
    image_pull_policy: PullPolicy = "IfNotPresent"
    """When a host fetches the image."""
    image_pull_secrets: tuple[str, ...] = ()
    """Secrets of the registry."""
    namespace: str | None = None
    """Of Kubernetes; that of the context by default."""
    grouping: Grouping = "node"
    """Which nodes share a task: ``node``, ``namespace``, ``tag``, ``auto``, or patterns by the name of a group."""
    resources: Resources = field(default_factory=Resources)
    """Of every task, unless a rule says otherwise."""
    rules: tuple[ResourceRule, ...] = ()
    """The key ``tasks``: other settings for some nodes. The later rule wins."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Environment variables of every task."""
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    """Environment variables from keys of secrets."""
    env_from: tuple[str, ...] = ()
    """Secrets all of whose keys become environment variables."""
    service_account: str | None = None
    """That tasks run as."""
    retries: int = 2
    """How often a task may be tried again."""
    timeout: float | None = None
    """Seconds that one try of a task may take, written as ``1h``."""
    workflow_timeout: float | None = None
    """Seconds that the whole workflow may take."""
    volumes: tuple[Volume, ...] = ()
    """That every task mounts."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Of the workflow and its pods."""
    annotations: Mapping[str, str] = field(default_factory=dict)
    """Of the workflow and its pods."""
    parallelism: int | None = None
    """How many pods may run at once."""
    host_root: str = "/dev/shm/bodega"  # noqa: S108
    """Folder of the host that every pod mounts, and in which the store is."""
    user: int = 1000
    """That tasks run as: all of them the same, since a store is one user's."""
    group: int = 1000
    """That tasks run as."""
    kind: ManifestKind = "Workflow"
    """What is generated."""
    schedule: str | None = None
    """Of a CronWorkflow, such as ``0 6 * * *``."""
    timezone: str | None = None
    """Of the schedule, such as ``Europe/Zurich``."""
    workflow_name: str | None = None
    """By default the project's."""
    time_to_live: float | None = None
    """Seconds after which a finished workflow is deleted, written as ``7d``."""
    keep_pods: float = 600.0
    """Seconds for which the pods of a workflow that succeeded stay, with their logs, written as ``10m``."""

    def for_task(self, nodes: Iterable[Node]) -> TaskSettings:
        """What holds for a task of some nodes: of each, the default and every rule that applies; then the largest.

        Raises:
            SettingsError: two nodes need machines with different labels, or different kinds of graphics cards.
        """
        chosen = list(nodes)
        settings = [self.for_node(node) for node in chosen]
        timeouts = [each.timeout for each in settings]
        return TaskSettings(
            resources=_largest([node.name for node in chosen], [each.resources for each in settings]),
            retries=max(each.retries for each in settings),
            timeout=None if None in timeouts else max(timeout for timeout in timeouts if timeout is not None),
        )

    def for_node(self, node: Node) -> TaskSettings:
        """What holds for one node: the default and every rule that applies, the later before the earlier."""
        resources, retries, timeout = self.resources, self.retries, self.timeout
        for rule in self.rules:
            if rule.applies_to(node):
                resources = _override(resources, rule.resources)
                retries = retries if rule.retries is None else rule.retries
                timeout = timeout if rule.timeout is None else rule.timeout
        return TaskSettings(resources, retries, timeout)


def _override(general: Resources, special: Resources) -> Resources:
    """What the special says, else the general; labels and tolerations of both."""
    has_gpu = special.gpu is not None
    return Resources(
        cpu=special.cpu or general.cpu,
        cpu_limit=special.cpu_limit or general.cpu_limit,
        memory=special.memory or general.memory,
        gpu=special.gpu if has_gpu else general.gpu,
        gpu_resource=special.gpu_resource if has_gpu else general.gpu_resource,
        node_selector={**general.node_selector, **special.node_selector},
        tolerations=_united([general.tolerations, special.tolerations]),
    )


def _largest(nodes: list[str], resources: list[Resources]) -> Resources:
    """What is enough for each of some nodes."""
    node_selector: dict[str, str] = {}
    cards: dict[str, str] = {}
    for node, each in zip(nodes, resources, strict=True):
        for label, value in each.node_selector.items():
            if node_selector.setdefault(label, value) != value:
                raise SettingsError(
                    f"The nodes {', '.join(map(repr, nodes))} are to share a task, but {node!r} needs a machine with "
                    f"{label}={value} and another one {label}={node_selector[label]}: put them into different groups.",
                    nodes=nodes,
                )
        if each.gpu:
            cards[each.gpu_resource] = node
    if len(cards) > 1:
        raise SettingsError(
            f"The nodes {', '.join(map(repr, cards.values()))} are to share a task, but need different graphics cards, "
            f"{' and '.join(cards)}: put them into different groups.",
            nodes=nodes,
        )
    cpu = max((each.cpu for each in resources if each.cpu), key=amount, default=None)
    limits = [each.cpu_limit for each in resources]
    cpu_limit = None if None in limits else max((limit for limit in limits if limit), key=amount)
    if cpu and cpu_limit and amount(cpu) > amount(cpu_limit):
        raise SettingsError(
            f"The nodes {', '.join(map(repr, nodes))} ask for {cpu} of cpu, which is more than their cpu_limit of "
            f"{cpu_limit}: raise the limit under 'resources', or leave it out.",
            nodes=nodes,
        )
    return Resources(
        cpu=cpu,
        cpu_limit=cpu_limit,
        memory=max((each.memory for each in resources if each.memory), key=amount, default=None),
        gpu=max((each.gpu for each in resources if each.gpu is not None), default=None),
        gpu_resource=next(iter(cards), resources[0].gpu_resource),
        node_selector=node_selector,
        tolerations=_united(each.tolerations for each in resources),
    )


def _united(tolerations: Iterable[tuple[Mapping[str, Any], ...]]) -> tuple[Mapping[str, Any], ...]:
    """Each toleration once, in order."""
    united: list[Mapping[str, Any]] = []
    for each in tolerations:
        united += [toleration for toleration in each if toleration not in united]
    return tuple(united)


def parse_deployment(values: object, *, source: str) -> Deployment:
    """Check what stands below ``deployment:``.

    Args:
        values: a mapping.
        source: the file, for messages.

    Raises:
        SettingsError: a key or a value is not understood; the message names both and what to write.
    """
    section = Section(values, source=source, path="deployment")
    section.expect(tuple("tasks" if key.name == "rules" else key.name for key in fields(Deployment)))
    resources = _resources(section.section("resources"), Resources())
    kind = section.choice("kind", get_args(ManifestKind))
    schedule = section.text("schedule")
    if schedule is not None and not _SCHEDULE.fullmatch(schedule.strip()):
        raise section.misfit("schedule", "five fields of cron such as '0 6 * * *', or '@daily'")
    if kind == "CronWorkflow" and schedule is None:
        raise SettingsError(
            f"The key 'deployment.kind' in {source} is CronWorkflow, but there is no 'schedule': add one such as "
            f"'0 6 * * *'.",
            key="schedule",
        )
    return Deployment(
        resources=resources,
        rules=tuple(_rule(each, resources) for each in section.sections("tasks")),
        volumes=_volumes(section),
        **_given(
            image=_image(section),
            image_pull_policy=section.choice("image_pull_policy", get_args(PullPolicy)),
            image_pull_secrets=_names(section, "image_pull_secrets"),
            namespace=_name(section, "namespace", "a namespace"),
            grouping=_grouping(section),
            env=_keyed(section, "env", check_variable),
            secrets=_secrets(section),
            env_from=_names(section, "env_from"),
            service_account=_name(section, "service_account", "a service account"),
            retries=section.count("retries"),
            timeout=section.parsed("timeout", parse_duration),
            workflow_timeout=section.parsed("workflow_timeout", parse_duration),
            labels=_keyed(section, "labels", check_label_name, check_label_value),
            annotations=_keyed(section, "annotations", check_label_name),
            parallelism=section.count("parallelism", 1),
            host_root=_folder(section, "host_root"),
            user=section.count("user"),
            group=section.count("group"),
            kind=kind,
            schedule=schedule,
            timezone=section.text("timezone"),
            workflow_name=_name(section, "workflow_name", "a workflow"),
            time_to_live=section.parsed("time_to_live", parse_duration),
            keep_pods=section.parsed("keep_pods", parse_duration),
        ),
    )


def _given(**values: Any) -> dict[str, Any]:
    """Those that are not None: the others have the default of their field."""
    return {key: value for key, value in values.items() if value is not None}


def _resources(section: Section, default: Resources) -> Resources:
    section.expect(tuple(key.name for key in fields(Resources)))
    tolerations = []
    for each in section.sections("tolerations"):
        each.expect(_TOLERATION_KEYS)
        tolerations.append(each.values)
    return Resources(
        cpu=section.parsed("cpu", parse_cpu),
        cpu_limit=section.parsed("cpu_limit", parse_cpu),
        memory=section.parsed("memory", parse_memory),
        gpu=section.count("gpu"),
        gpu_resource=section.text("gpu_resource") or default.gpu_resource,
        node_selector=_keyed(section, "node_selector", check_label_name, check_label_value) or {},
        tolerations=tuple(tolerations),
    )


def _rule(section: Section, default: Resources) -> ResourceRule:
    section.expect(tuple(key.name for key in fields(ResourceRule)))
    rule = ResourceRule(
        nodes=section.texts("nodes", _PATTERNS) or (),
        tags=section.texts("tags", _PATTERNS) or (),
        namespaces=section.texts("namespaces", _PATTERNS) or (),
        # Not the default's values: they hold already.
        resources=_resources(section.section("resources"), replace(Resources(), gpu_resource=default.gpu_resource)),
        retries=section.count("retries"),
        timeout=section.parsed("timeout", parse_duration),
    )
    if not rule.patterns:
        raise SettingsError(
            f"The entry {section.path!r} in {section.source} does not say which nodes it is about: add 'nodes', 'tags' "
            f"or 'namespaces'. What holds for all tasks stands directly below 'deployment'.",
            key=section.path,
        )
    return rule


def _volumes(section: Section) -> tuple[Volume, ...]:
    volumes: dict[str, Volume] = {}
    for each in section.sections("volumes"):
        each.expect(tuple(key.name for key in fields(Volume)))
        name, mount_path, source = _name(each, "name", "a volume"), _folder(each, "mount_path"), each.section("source")
        if name is None or mount_path is None or len(source.values) != 1:
            raise SettingsError(
                f"The entry {each.path!r} in {each.source} needs 'name', 'mount_path' and one 'source', such as "
                f"{{persistentVolumeClaim: {{claimName: data}}}}.",
                key=each.path,
            )
        if name in volumes:
            raise each.misfit("name", "unique among the volumes")
        sub_path = each.text("sub_path")
        if sub_path is not None and (sub_path.startswith("/") or ".." in sub_path.split("/")):
            raise each.misfit("sub_path", "a file or folder of the volume, such as 'bodega.yml'")
        read_only = each.flag("read_only") or False
        volumes[name] = Volume(name, mount_path, sub_path, read_only=read_only, source=source.values)
    return tuple(volumes.values())


def _secrets(section: Section) -> dict[str, Secret] | None:
    below = section.section("secrets")
    secrets = {}
    for variable in below.values:
        below.applied(variable, check_variable, variable)
        each = below.section(variable)
        each.expect(("name", "key"))
        name, key = _name(each, "name", "a secret"), each.text("key")
        if name is None or key is None:
            raise below.misfit(variable, "a 'name' and a 'key' of a secret")
        secrets[variable] = Secret(name, key)
    return secrets or None


def _grouping(section: Section) -> Grouping | None:
    value = section.values.get("grouping")
    rules = get_args(GroupingRule)
    if value is None or value in rules:
        return value
    if not isinstance(value, Mapping):
        raise section.misfit("grouping", f"one of {', '.join(rules)}, or patterns by the name of a group")
    below = section.section("grouping")
    return {str(name): below.texts(name, _PATTERNS) or () for name in below.values}


def _image(section: Section) -> str | None:
    image = section.text("image")
    if image is not None and re.search(r"\s", image):
        raise section.misfit("image", "the name of an image such as 'registry.example.com/shop:1.0'")
    return image


def _name(section: Section, key: str, what: str) -> str | None:
    section.text(key)
    return section.parsed(key, partial(check_name, what=what))


def _names(section: Section, key: str) -> tuple[str, ...] | None:
    names = section.texts(key, "a list of names of secrets")
    for name in names or ():
        section.applied(key, partial(check_name, what="a secret"), name)
    return names


def _folder(section: Section, key: str) -> str | None:
    folder = section.text(key)
    if folder is not None and (not folder.startswith("/") or folder.rstrip("/") == ""):
        raise section.misfit(key, "a folder, from the root of the file system, such as '/data'")
    return folder


def _keyed(
    section: Section, key: str, check: Callable[[str], str], check_value: Callable[[str], str] = str
) -> dict[str, str] | None:
    """Texts by name, both checked."""
    pairs = section.pairs(key)
    for name, value in (pairs or {}).items():
        section.applied(key, check, name)
        section.applied(key, check_value, value)
    return pairs
