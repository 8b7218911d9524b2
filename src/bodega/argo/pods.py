"""What the pods of a workflow get besides their command: volumes, mounts, environment and rights.

Decided here and nowhere else, for a task, for what ends a run, and for whatever comes to run on a host later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hera.workflows import models

from bodega.argo.expansion import unexpanded
from bodega.kubernetes.deployment import Deployment, Resources
from bodega.kubernetes.outputs import MISTAKE
from bodega.settings import HOST_VARIABLE, ROOT_VARIABLE, RUN_VARIABLE

HOST_VOLUME = "bodega"
COMMAND = ("python", "-m", "bodega.kedro.task")
IMAGE = "{{workflow.parameters.image}}"
RUN = "{{=workflow.parameters.run == '' ? workflow.uid : workflow.parameters.run}}"
"""The run is the workflow's uid unless somebody names another one."""

_NAMESPACE = "{{workflow.namespace}}"
_BACKOFF = models.Backoff(duration="10s", factor=models.IntOrString(root=2), max_duration="10m")
_NO_MISTAKE = f"lastRetry.exitCode != '{MISTAKE}'"


@dataclass(frozen=True)
class Pods:
    """The common parts of the pods of a workflow."""

    deployment: Deployment

    @property
    def root(self) -> str:
        """The store's root in every pod. Users of two namespaces are two, even under one number."""
        return f"{self._shared}/{self.deployment.user}"

    @property
    def _shared(self) -> str:
        return f"{self.deployment.host_root}/{_NAMESPACE}"

    def volumes(self) -> list[models.Volume]:
        """Those of the workflow."""
        shared = models.HostPathVolumeSource(path=self._shared, type="DirectoryOrCreate")
        named = [models.Volume.model_validate({"name": each.name, **each.source}) for each in self.deployment.volumes]
        return [models.Volume(name=HOST_VOLUME, host_path=shared), *named]

    def security(self) -> models.PodSecurityContext:
        """Everybody who shares the store is one user; group and volumes follow."""
        deployment = self.deployment
        return models.PodSecurityContext(
            run_as_user=deployment.user,
            run_as_group=deployment.group,
            fs_group=deployment.group,
            run_as_non_root=deployment.user != 0,
            seccomp_profile=models.SeccompProfile(type="RuntimeDefault"),
        )

    def template(
        self,
        name: str,
        verb: str,
        options: Sequence[str],
        *,
        resources: Resources,
        env: Mapping[str, str] | None = None,
        **more: Any,
    ) -> models.Template:
        """A template whose pod does one thing and ends.

        Args:
            name: of the template.
            verb: what `bodega.kedro.task` is to do.
            options: of that command.
            resources: what the pod needs.
            env: environment variables besides those of every pod.
            more: other fields of the template.
        """
        return models.Template(
            name=name,
            init_containers=[self._make_root(resources)],
            container=models.Container(
                image=IMAGE,
                image_pull_policy=self.deployment.image_pull_policy,
                command=[*COMMAND, verb],
                args=[unexpanded(each) for each in options] or None,
                env=self._variables(env or {}),
                env_from=[_all_of_a_secret(secret) for secret in self.deployment.env_from] or None,
                resources=_requirements(resources),
                security_context=_confined(),
                volume_mounts=[self._host_mount(), *self._other_mounts()],
            ),
            node_selector=dict(resources.node_selector) or None,
            tolerations=[models.Toleration.model_validate(each) for each in resources.tolerations] or None,
            **more,
        )

    def _make_root(self, resources: Resources) -> models.UserContainer:
        """Makes the store's root, whose parent belongs to the host's root: with no other right than to give it away.

        It asks for what the task does, which costs nothing (a pod is given the larger of the two) and fits any quota.
        """
        owner = ["-o", str(self.deployment.user), "-g", str(self.deployment.group)]
        return models.UserContainer(
            name="make-root",
            image=IMAGE,
            image_pull_policy=self.deployment.image_pull_policy,
            command=["install", "-d", "-m", "0700", *owner, unexpanded(self.root)],
            resources=_requirements(replace(resources, gpu=None)),
            security_context=_confined(run_as_user=0, run_as_group=0, run_as_non_root=False, added=["CHOWN", "FOWNER"]),
            volume_mounts=[self._host_mount()],
        )

    def _variables(self, more: Mapping[str, str]) -> list[models.EnvVar]:
        texts = {**self.deployment.env, ROOT_VARIABLE: self.root, RUN_VARIABLE: RUN, **more}
        host = models.EnvVarSource(field_ref=models.ObjectFieldSelector(field_path="spec.nodeName"))
        secrets = {
            name: models.EnvVarSource(secret_key_ref=models.SecretKeySelector(name=secret.name, key=secret.key))
            for name, secret in self.deployment.secrets.items()
        }
        return [
            *(models.EnvVar(name=name, value=unexpanded(text)) for name, text in texts.items()),
            *(models.EnvVar(name=name, value_from=source) for name, source in {HOST_VARIABLE: host, **secrets}.items()),
        ]

    def _other_mounts(self) -> list[models.VolumeMount]:
        return [
            models.VolumeMount(
                name=each.name, mount_path=each.mount_path, sub_path=each.sub_path, read_only=each.read_only or None
            )
            for each in self.deployment.volumes
        ]

    def _host_mount(self) -> models.VolumeMount:
        return models.VolumeMount(name=HOST_VOLUME, mount_path=self._shared)


def retries(most: int) -> models.RetryStrategy | None:
    """Also after what is nobody's fault: an eviction, a host that went away. A mistake in the command stays one."""
    if not most:
        return None
    limit = models.IntOrString(root=most)
    return models.RetryStrategy(limit=limit, retry_policy="Always", expression=_NO_MISTAKE, backoff=_BACKOFF)


def _requirements(resources: Resources) -> models.ResourceRequirements | None:
    """What is asked for is guaranteed; of memory and graphics cards it is the most that is given, too.

    A limit of cpu slows down what would do no harm, so there is one only where it is asked for.
    """
    cards = {resources.gpu_resource: str(resources.gpu)} if resources.gpu else {}
    shared = {**({"memory": resources.memory} if resources.memory else {}), **cards}
    limits = {**({"cpu": resources.cpu_limit} if resources.cpu_limit else {}), **shared}
    requests = {**({"cpu": resources.cpu} if resources.cpu else {}), **shared}
    if not requests and not limits:
        return None
    return models.ResourceRequirements(requests=_quantities(requests) or None, limits=_quantities(limits) or None)


def _quantities(texts: Mapping[str, str]) -> dict[str, models.Quantity]:
    return {name: models.Quantity(root=text) for name, text in texts.items()}


def _confined(*, added: list[str] | None = None, **user: Any) -> models.SecurityContext:
    capabilities = models.Capabilities(add=added, drop=["ALL"])
    return models.SecurityContext(allow_privilege_escalation=False, capabilities=capabilities, **user)


def _all_of_a_secret(name: str) -> models.EnvFromSource:
    return models.EnvFromSource(secret_ref=models.SecretEnvSource(name=name))
