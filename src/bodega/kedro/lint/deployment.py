"""What lint finds in how a project is deployed: each task in a pod of its own, with files that go with it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from bodega.argo.expansion import BRACES, tagged
from bodega.errors import SettingsError
from bodega.findings import Finding
from bodega.kedro.dataset import BodegaDataset
from bodega.kedro.lint.data import file_of
from bodega.kedro.lint.findings import Examined
from bodega.kedro.project.parameters import is_passable, used_parameters
from bodega.kubernetes.image import PROJECT_FOLDER
from bodega.kubernetes.names import unique_names
from bodega.names import stored_name
from bodega.plan import matches
from bodega.texts import listed

if TYPE_CHECKING:
    from bodega.kedro.project.inventory import Entry


def image(examined: Examined) -> Iterator[Finding]:
    """Nothing that pods could run."""
    if examined.deployment.image is None:
        yield Finding(
            "error",
            "no-image",
            "There is no image that the tasks could run in.",
            "Build one (kedro bodega docker build), and name it under 'deployment' in bodega.yml or with --image.",
            "deployment.image",
        )


def resources(examined: Examined) -> Iterator[Finding]:
    """Tasks that ask for nothing, or for what cannot be had together."""
    nodes = {node.name: node for node in examined.project.pipeline.nodes}
    lacking: dict[str, list[str]] = defaultdict(list)
    for task in examined.plan.tasks:
        try:
            asked = examined.deployment.for_task(nodes[node] for node in task.nodes).resources
        except SettingsError as error:
            yield Finding("error", "resources-conflict", str(error), "Change the grouping or the rules.", task.name)
            continue
        for kind, value in (("cpu", asked.cpu), ("memory", asked.memory)):
            if value is None:
                lacking[task.name].append(kind)
    for kinds in ("cpu and memory", "cpu", "memory"):
        tasks = [name for name, lacks in lacking.items() if " and ".join(lacks) == kinds]
        if tasks:
            yield Finding(
                "warning",
                "no-resources",
                f"No {kinds} is asked for, so the cluster may put too many of them on one host, or end them.",
                "Set deployment.resources for all, and deployment.tasks for some, such as {cpu: 1, memory: 2Gi}.",
                listed(tasks),
            )


def idle_rules(examined: Examined) -> Iterator[Finding]:
    """Rules about nodes that the project does not have."""
    nodes = [node for pipeline in examined.project.pipelines.values() for node in pipeline.nodes]
    for number, rule in enumerate(examined.deployment.tasks):
        for pattern in rule.patterns:
            if not any(matches(pattern, node) for node in nodes):
                kind, _, glob = pattern.partition(":")
                yield Finding(
                    "warning",
                    "pattern-matches-nothing",
                    f"The pattern {glob!r} matches no {kind} of the project.",
                    f"Correct or remove it in {examined.project.settings.source}.",
                    f"deployment.tasks[{number}].{kind}s",
                )


def alike_names(examined: Examined) -> Iterator[Finding]:
    """Names that read the same once they are fit for Kubernetes."""
    parameters = used_parameters(examined.project.pipeline.datasets(), examined.project.parameters)
    for what, names, are_parameters in (
        ("tasks", [task.name for task in examined.plan.tasks], False),
        ("parameters", list(parameters), True),
    ):
        alike: dict[str, list[str]] = defaultdict(list)
        for name in names:
            # By itself, so that nothing is added to tell it from others.
            alike[unique_names([name], parameters=are_parameters)[name]].append(name)
        for clean, same in alike.items():
            if len(same) > 1:
                yield Finding(
                    "warning",
                    "names-alike",
                    f"As names of {what} in Kubernetes they are all {clean!r}, and get digests to tell them apart.",
                    "Rename all but one, so that people can tell them apart too.",
                    listed(same),
                )


def local_files(examined: Examined) -> Iterator[Finding]:
    """Files that go with the pod that writes them."""
    for entry in examined.datasets:
        if not entry.is_made_here or entry.home != "elsewhere" or not _goes_with_pod(examined, entry):
            continue
        path = (file_of(entry) or ("", ""))[1]
        if entry.crosses:
            yield Finding(
                "error",
                "local-file-crosses",
                f"Node {entry.made_by!r} writes the file {path} in its pod, where the tasks that read it do not see it.",
                "List it under 'override' in bodega.yml, so that it goes to the store; or put it into object storage, onto "
                "a volume of the deployment, or the nodes into one group.",
                entry.name,
            )
        else:
            yield Finding(
                "warning",
                "local-file-lost",
                f"Node {entry.made_by!r} writes the file {path} in its pod, with which it goes.",
                "Put it into object storage or onto a volume of the deployment, or let it persist in the store.",
                entry.name,
            )


def tiers_of_pods(examined: Examined) -> Iterator[Finding]:
    """Lower tiers that lie in a pod's own file system, where the next pod of the host does not find them."""
    for tier in examined.project.settings.spill or ():
        scheme, mark, path = tier.partition("://") if "://" in tier else ("file", "", tier.partition("?")[0])
        volumes = [volume for volume in examined.deployment.volumes if volume.holds(_in_pod(examined, path))]
        if scheme == "file" and not any(volume.survives_pods for volume in volumes):
            what = "URL" if mark else "folder"
            yield Finding(
                "error",
                "tier-goes-with-pod",
                f"The {what} {tier} is in each pod's own file system: the next pod finds it gone, and what was moved there "
                "with it.",
                "Mount a volume there that outlives pods (a hostPath for one host, a persistentVolumeClaim for all) under "
                "deployment.volumes, or leave it out of 'spill'.",
                "spill",
            )


def hidden_configuration(examined: Examined) -> Iterator[Finding]:
    """Volumes of files behind links to a hidden folder, which Kedro's loader passes over."""
    source = _in_pod(examined, str(examined.project.context.config_loader.conf_source))
    for volume in examined.deployment.volumes:
        is_configuration = PurePosixPath(volume.mount_path).is_relative_to(source)
        if is_configuration and volume.sub_path is None and {"configMap", "secret", "projected"} & set(volume.source):
            yield Finding(
                "warning",
                "configuration-hidden",
                f"Kedro does not see the files that are mounted at {volume.mount_path}: Kubernetes puts them into a hidden "
                "folder behind links, which Kedro's loader passes over.",
                f"Mount each file by itself, such as mount_path: {volume.mount_path.rstrip('/')}/bodega.yml with "
                "sub_path: bodega.yml.",
                f"deployment.volumes.{volume.name}",
            )


def argos_braces(examined: Examined) -> Iterator[Finding]:
    """Names and texts that Argo would take for its own."""
    parameters = used_parameters(examined.project.pipeline.datasets(), examined.project.parameters)
    names = {
        "dataset": [entry.name for entry in examined.datasets],
        "node": [node.name for node in examined.project.pipeline.nodes],
        "parameter": list(parameters),
        "pipeline": examined.project.pipeline_names,
    }
    found = [(name, f"The name of the {what}") for what in names for name in names[what] if BRACES in name]
    found += [(path, f"The text {text!r}") for path, text in tagged(examined.deployment, "deployment")]
    for subject, what in found:
        yield Finding(
            "error",
            "argo-braces",
            f"{what} holds {BRACES!r}, and Argo would put something else in its place.",
            "Write it without: there is no way to tell Argo to leave it alone.",
            subject,
        )


def mixed_tries(examined: Examined) -> Iterator[Finding]:
    """Tasks whose tries on two hosts could be read as one."""
    if not examined.project.settings.reaches_other_hosts:
        return
    crossing = {stored_name(entry.name) for entry in examined.datasets if entry.home == "store" and entry.crosses}
    tasks = [task for task in examined.plan.tasks if len(crossing.intersection(task.outputs)) > 1]
    nodes = {node.name: node for node in examined.project.pipeline.nodes}
    names = [
        task.name for task in tasks if any(examined.deployment.for_node(nodes[node]).retries for node in task.nodes)
    ]
    if names:
        yield Finding(
            "warning",
            "tries-mixed",
            "Others read several outputs of it. Where a try ends half-way and the next one is on another host, a task on "
            "the first host may read what the first try made together with what the second one made.",
            "Let its nodes make the same of the same inputs (fixed seeds), hand over one dataset, or set 'retries: 0' for it "
            "under deployment.tasks.",
            listed(names),
        )


def dropped_results(examined: Examined) -> Iterator[Finding]:
    """Results that go with the run of the workflow."""
    names = [
        entry.name
        for entry in examined.datasets
        if entry.home == "store"
        and entry.is_made_here
        and entry.problem is None
        and not entry.read_by
        and not _outlives_run(examined, entry)
    ]
    if names:
        yield Finding(
            "warning",
            "result-dropped",
            "No node reads what is made there, so it is a result, but it lies in the run of the workflow, which is dropped "
            "when the workflow has succeeded.",
            "Define it as a file in object storage, or let it stay in the store: 'type: bodega.kedro.BodegaDataset' with a "
            "'run' of its own and 'persist: true'.",
            listed(names),
        )


def made_by_others(examined: Examined) -> Iterator[Finding]:
    """Data of pipelines that are not part of the workflow, whose run begins empty."""
    for entry in examined.datasets:
        if entry.home in {"store", "memory"} and not entry.is_made_here and entry.made_by and entry.read_by:
            yield Finding(
                "error",
                "made-by-another-pipeline",
                f"It is read by {listed(entry.read_by)}, but node {entry.made_by!r}, which makes it, is in another pipeline, "
                f"and the run of a workflow begins with nothing.",
                "Add that pipeline with --pipelines, or define the dataset as a file in object storage.",
                entry.name,
            )


def one_host(examined: Examined) -> Iterator[Finding]:
    """Tasks that share data but have no tier that all hosts reach."""
    is_shared = any(entry.home == "store" and entry.crosses for entry in examined.datasets)
    if is_shared and not examined.project.settings.reaches_other_hosts:
        try:
            examined.deployment.for_task(examined.project.pipeline.nodes)
        except SettingsError:
            yield Finding(
                "error",
                "one-host-conflict",
                "There is no durable tier that other hosts can reach, so all tasks have to be on one host, but they need "
                "hosts with different labels or graphics cards.",
                "Name one as the last of 'spill' in bodega.yml, such as s3://bucket/prefix, or change the rules under "
                "deployment.tasks.",
                "spill",
            )
            return
        yield Finding(
            "warning",
            "one-host",
            "There is no durable tier that other hosts can reach, so all tasks are tied to one host, and a retry cannot go "
            "on anywhere else.",
            "Name one as the last of 'spill' in bodega.yml, such as s3://bucket/prefix.",
            "spill",
        )


def unpassable_parameters(examined: Examined) -> Iterator[Finding]:
    """Parameters that have no text that Argo could pass."""
    parameters = used_parameters(examined.project.pipeline.datasets(), examined.project.parameters)
    for name, value in parameters.items():
        if not is_passable(value):
            yield Finding(
                "warning",
                "parameter-not-passable",
                f"Its value, a {type(value).__name__}, cannot go through Argo as a text, so it cannot be given at submission.",
                "Use texts without '{{', numbers, lists and keys with values, or leave it to the configuration.",
                name,
            )


CHECKS = (
    image,
    resources,
    idle_rules,
    alike_names,
    local_files,
    tiers_of_pods,
    hidden_configuration,
    argos_braces,
    mixed_tries,
    dropped_results,
    made_by_others,
    one_host,
    unpassable_parameters,
)


def _outlives_run(examined: Examined, entry: Entry) -> bool:
    """Whether an object lies in another run than the workflow's."""
    if not isinstance(entry.dataset, BodegaDataset):
        return False
    described = entry.dataset._describe()  # noqa: SLF001
    return described["run"] not in {None, examined.project.place.run} or ("version" in described and entry.persists)


def _goes_with_pod(examined: Examined, entry: Entry) -> bool:
    """Whether a dataset is a file that lies on no volume of the deployment."""
    file = file_of(entry)
    if file is None or file[0] not in {"file", "local"}:
        return False
    path = _in_pod(examined, file[1])
    return not any(volume.holds(path) for volume in examined.deployment.volumes)


def _in_pod(examined: Examined, path: str) -> str:
    """What a path of this machine is in a pod, whose project lies elsewhere."""
    here = PurePosixPath(examined.project.project_path)
    inside = PurePosixPath(path).relative_to(here) if PurePosixPath(path).is_relative_to(here) else path
    return str(PurePosixPath(PROJECT_FOLDER) / inside)
