"""How the tasks of a project run on Kubernetes: what stands below ``deployment:`` in ``bodega.yml``.

It knows neither Kedro's catalog nor Argo: whoever makes manifests, whoever checks a project and whoever submits one
read the same checked values.
"""
# Annotations are not postponed here: they carry the rules of the keys, see `bodega.declared`.

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from bodega.declared import (
    DURATION,
    FLAG,
    TEXT,
    At,
    Below,
    Declared,
    Entries,
    Keyed,
    Pairs,
    Rule,
    Text,
    Texts,
    choice,
    count,
    quantity,
)
from bodega.errors import SettingsError
from bodega.kubernetes.quantities import (
    CPU_UNITS,
    LABEL_NAME,
    MEMORY_UNITS,
    NAME,
    VARIABLE,
    amount,
    check_label_name,
    check_label_value,
    check_name,
    check_variable,
    parse_cpu,
    parse_memory,
)
from bodega.plan import Grouping, GroupingRule, matches

if TYPE_CHECKING:
    from kedro.pipeline.node import Node

ManifestKind = Literal["Workflow", "WorkflowTemplate", "CronWorkflow"]
PullPolicy = Literal["IfNotPresent", "Always", "Never"]

_OF_A_POD = {"configMap", "downwardAPI", "emptyDir", "ephemeral", "image", "projected", "secret"}
"""Sources of volumes that come and go with a pod, or that nothing can be written to."""


def _name(what: str) -> Text:
    return Text(pattern=NAME, check=partial(check_name, what=what))


class _Grouping(Rule):
    """One of the rules, or patterns by the name of a group."""

    patterns = Texts("a list of patterns such as ['train_*']")
    schema = {  # noqa: RUF012 # as of every rule
        "anyOf": [{"enum": list(get_args(GroupingRule))}, {"type": "object", "additionalProperties": patterns.schema}]
    }

    def read(self, value: Any, at: At) -> Grouping:
        """The grouping."""
        rules: tuple[GroupingRule, ...] = get_args(GroupingRule)
        if isinstance(value, Mapping):
            read = {str(name): self.patterns.read(each, at.below(str(name))) for name, each in value.items()}
            return read
        if value not in rules:
            at.misfit(f"one of {', '.join(rules)}, or patterns by the name of a group", value)
        return value  # type: ignore[no-any-return]


_TOLERATION = {
    **{key: {"type": "string"} for key in ("key", "operator", "value", "effect")},
    "tolerationSeconds": {"type": "integer"},
}


class _Tolerations(Rule):
    """Taints that are no hindrance, as Kubernetes writes them."""

    schema = {  # noqa: RUF012 # as of every rule
        "type": "array",
        "items": {"type": "object", "properties": _TOLERATION, "additionalProperties": False},
    }

    def read(self, value: Any, at: At) -> tuple[Mapping[str, Any], ...]:
        """The tolerations."""
        if not isinstance(value, list):
            at.misfit("a list", value)
            return ()
        found = []
        for number, each in enumerate(value):
            keys = at.entry(number).mapping(each)
            at.entry(number).expect(keys, _TOLERATION)
            found.append({key: value for key, value in keys.items() if value is not None})
        return tuple(found)


class _Source(Rule):
    """A volume source of Kubernetes, by its kind."""

    schema = {"type": "object", "minProperties": 1, "maxProperties": 1}  # noqa: RUF012 # as of every rule

    def read(self, value: Any, at: At) -> dict[str, Any]:
        """The source."""
        return {key: each for key, each in at.mapping(value).items() if each is not None}


_PATTERNS = _Grouping.patterns
_FOLDER = Text("a folder, from the root of the file system, such as '/data'", r"/+[^/].*")
_LABELS = Pairs(check_label_name, check_label_value, pattern=LABEL_NAME)
_SECRETS = Texts("a list of names of secrets", check=partial(check_name, what="a secret"), pattern=NAME)


@dataclass(frozen=True)
class Resources(Declared):
    """What a task asks of a machine."""

    cpu: Annotated[str | None, quantity(parse_cpu, CPU_UNITS).like(2, "500m")] = None
    """Cores that are guaranteed."""
    cpu_limit: Annotated[str | None, quantity(parse_cpu, CPU_UNITS).like(4)] = None
    """Cores that the task never gets more of."""
    memory: Annotated[str | None, quantity(parse_memory, MEMORY_UNITS).like("4Gi")] = None
    """Bytes that are guaranteed, and the most that the task gets."""
    gpu: Annotated[int | None, count().like(1)] = None
    """Number of graphics cards."""
    gpu_resource: Annotated[str, TEXT.like("amd.com/gpu")] = "nvidia.com/gpu"
    """Name of the graphics cards in the cluster."""
    node_selector: Annotated[Mapping[str, str], _LABELS.like({"disk": "ssd"})] = field(default_factory=dict)
    """Labels that the machine must have."""
    tolerations: Annotated[
        tuple[Mapping[str, Any], ...], _Tolerations().like([{"key": "gpu", "operator": "Exists"}])
    ] = ()
    """Taints of machines that are no hindrance, as Kubernetes writes them."""


@dataclass(frozen=True)
class TaskSettings:
    """What holds for one task."""

    resources: Resources
    retries: int
    """How often the task may be tried again."""
    timeout: float | None
    """Seconds that one try may take."""


@dataclass(frozen=True)
class ResourceRule(Declared):
    """Other settings for some nodes: those that match any of the patterns (as of a shell)."""

    nodes: Annotated[tuple[str, ...], _PATTERNS.like("train_*")] = ()
    """Patterns of names of nodes."""
    tags: Annotated[tuple[str, ...], _PATTERNS.like(["heavy"])] = ()
    """Patterns of tags."""
    namespaces: Annotated[tuple[str, ...], _PATTERNS.like("model")] = ()
    """Patterns of namespaces; what lies in a namespace below counts too."""
    # A rule says nothing of the name of graphics cards unless it does so itself.
    resources: Annotated[Resources, Below(Resources, gpu_resource="")] = field(default_factory=Resources)
    """Resources that replace what was said before; labels and tolerations are added."""
    retries: Annotated[int | None, count().like(0)] = None
    """How often the task may be tried again."""
    timeout: Annotated[float | None, DURATION.like("2h")] = None
    """Time that one try may take."""

    @classmethod
    def check(cls, given: Mapping[str, Any], at: At) -> None:
        """A rule is about some nodes."""
        if not any(given.get(key) for key in ("nodes", "tags", "namespaces")):
            at.say(
                "does not say which nodes it is about: add 'nodes', 'tags' or 'namespaces'. What holds for all tasks stands "
                "directly below 'deployment'.",
                kind="entry",
            )

    @property
    def patterns(self) -> tuple[str, ...]:
        """All patterns, in the words of `bodega.plan.matches`."""
        kinds = {"node": self.nodes, "tag": self.tags, "namespace": self.namespaces}
        return tuple(f"{kind}:{pattern}" for kind, patterns in kinds.items() for pattern in patterns)

    def applies_to(self, node: "Node") -> bool:
        """Whether a node matches any of the patterns."""
        return any(matches(pattern, node) for pattern in self.patterns)


@dataclass(frozen=True)
class Secret(Declared):
    """A value that Kubernetes keeps."""

    name: Annotated[str, _name("a secret").like("bucket")]
    """Name of the secret."""
    key: Annotated[str, TEXT.like("password")]
    """Key within the secret."""

    @classmethod
    def check(cls, given: Mapping[str, Any], at: At) -> None:
        """Both are needed."""
        if len(given) < len(("name", "key")):
            at.misfit("a 'name' and a 'key' of a secret", dict(given))


@dataclass(frozen=True)
class Volume(Declared):
    """A volume that every task mounts."""

    name: Annotated[str, _name("a volume").like("data")]
    """Name of the volume, unique in the workflow."""
    mount_path: Annotated[str, _FOLDER.like("/data")]
    """Folder in the container."""
    sub_path: Annotated[
        str | None,
        Text("a file or folder of the volume, such as 'bodega.yml'", r"(?!/)(?!(?:.*/)?\.\.(?:/|$)).+").like(
            "bodega.yml"
        ),
    ] = None
    """Part of the volume that is mounted, such as a file of a ConfigMap; all of it by default."""
    read_only: Annotated[bool, FLAG] = False
    """Whether tasks may only read the volume."""
    source: Annotated[Mapping[str, Any], _Source().like({"persistentVolumeClaim": {"claimName": "data"}})] = field(
        default_factory=dict
    )
    """Volume source, as Kubernetes writes it."""

    @classmethod
    def check(cls, given: Mapping[str, Any], at: At) -> None:
        """Three of the keys are needed."""
        if not {"name", "mount_path"} <= set(given) or len(given.get("source", ())) != 1:
            at.say(
                "needs 'name', 'mount_path' and one 'source', such as {persistentVolumeClaim: {claimName: data}}.",
                kind="entry",
            )

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
class Deployment(Declared):
    """How the tasks run on Kubernetes. Each key is optional."""

    image: Annotated[
        str | None,
        Text("the name of an image such as 'registry.example.com/shop:1.0'", r"\S+").like(
            "registry.example.com/shop:1.0"
        ),
    ] = None
    """Image of every task; has the project installed."""
    image_pull_policy: Annotated[PullPolicy, choice(*get_args(PullPolicy))] = "IfNotPresent"
    """When a host fetches the image."""
    image_pull_secrets: Annotated[tuple[str, ...], _SECRETS.like("registry")] = ()
    """Secrets of the registry."""
    namespace: Annotated[str | None, _name("a namespace").like("ml")] = None
    """Namespace of Kubernetes; that of the context by default."""
    grouping: Annotated[Grouping, _Grouping().like("auto", {"features": ["clean_*", "tag:light"]})] = "node"
    """Which nodes share a task: a rule, or patterns by the name of a group."""
    resources: Annotated[Resources, Below(Resources)] = field(default_factory=Resources)
    """Resources of every task, unless ``tasks`` says otherwise."""
    tasks: Annotated[tuple[ResourceRule, ...], Entries(ResourceRule)] = ()
    """Other settings for some nodes. Every entry that matches counts, and the later wins."""
    env: Annotated[Mapping[str, str], Pairs(check_variable, pattern=VARIABLE).like({"LEVEL": "info"})] = field(
        default_factory=dict
    )
    """Environment variables of every task."""
    secrets: Annotated[Mapping[str, Secret], Keyed(Secret, check_variable, pattern=VARIABLE)] = field(
        default_factory=dict
    )
    """Environment variables from keys of secrets."""
    env_from: Annotated[tuple[str, ...], _SECRETS.like("bucket-keys")] = ()
    """Secrets all of whose keys become environment variables."""
    service_account: Annotated[str | None, _name("a service account").like("runner")] = None
    """Service account that tasks run as."""
    retries: Annotated[int, count()] = 2
    """How often a task may be tried again."""
    timeout: Annotated[float | None, DURATION.like("1h")] = None
    """Time that one try of a task may take."""
    workflow_timeout: Annotated[float | None, DURATION.like("1d")] = None
    """Time that the whole workflow may take."""
    volumes: Annotated[tuple[Volume, ...], Entries(Volume)] = ()
    """Volumes that every task mounts."""
    labels: Annotated[Mapping[str, str], _LABELS.like({"team": "pricing"})] = field(default_factory=dict)
    """Labels of the workflow and its pods."""
    annotations: Annotated[
        Mapping[str, str], Pairs(check_label_name, pattern=LABEL_NAME).like({"note": "any text"})
    ] = field(default_factory=dict)
    """Annotations of the workflow and its pods."""
    parallelism: Annotated[int | None, count(1).like(4)] = None
    """Number of pods that may run at once."""
    host_root: Annotated[str, _FOLDER] = "/dev/shm/bodega"  # noqa: S108
    """Folder of the host that every pod mounts, and in which the store is."""
    user: Annotated[int, count()] = 1000
    """User id of all tasks: the same, since a store is one user's."""
    group: Annotated[int, count()] = 1000
    """Group id of all tasks."""
    kind: Annotated[ManifestKind, choice(*get_args(ManifestKind))] = "Workflow"
    """Kind of the manifest that is generated."""
    schedule: Annotated[
        str | None,
        Text(
            "five fields of cron such as '0 6 * * *', or '@daily'",
            r"\s*(?:@(?:yearly|annually|monthly|weekly|daily|midnight|hourly|every .+)|(?:\S+\s+){4}\S+)\s*",
        ).like("0 6 * * *", "@daily"),
    ] = None
    """Schedule of a CronWorkflow."""
    timezone: Annotated[str | None, TEXT.like("Europe/Zurich")] = None
    """Time zone of the schedule."""
    workflow_name: Annotated[str | None, _name("a workflow").like("shop")] = None
    """Name of the workflow; the project's by default."""
    time_to_live: Annotated[float | None, DURATION.like("7d")] = None
    """Time after which a finished workflow is deleted."""
    keep_pods: Annotated[float, DURATION.like("10m")] = 600.0
    """Time for which the pods of a workflow that succeeded stay, with their logs."""

    @classmethod
    def check(cls, given: Mapping[str, Any], at: At) -> None:
        """A clock needs a schedule, and a volume a name of its own."""
        if given.get("kind") == "CronWorkflow" and "schedule" not in given:
            at.below("kind").say("is CronWorkflow, but there is no 'schedule': add one such as '0 6 * * *'.")
        names: set[str] = set()
        for number, volume in enumerate(given.get("volumes", ())):
            if volume.name in names:
                at.below("volumes").entry(number).below("name").misfit("unique among the volumes", volume.name)
            names.add(volume.name)

    def for_task(self, nodes: "Iterable[Node]") -> TaskSettings:
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

    def for_node(self, node: "Node") -> TaskSettings:
        """What holds for one node: the default and every rule that applies, the later before the earlier."""
        resources, retries, timeout = self.resources, self.retries, self.timeout
        for rule in self.tasks:
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
        gpu_resource=(has_gpu and special.gpu_resource) or general.gpu_resource,
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
