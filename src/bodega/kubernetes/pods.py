"""What a pod with a store gets besides its command: volumes, mounts, environment, resources and rights.

Decided here and nowhere else, for a task, for what ends a run, and for whatever comes to run on a host later. The parts
are plain objects of the API of Kubernetes, whoever puts them together: a template of Argo, or a Job.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bodega.env import HOST_VARIABLE, ROOT_VARIABLE
from bodega.kubernetes.deployment import Deployment, Resources

HOST_VOLUME = "bodega"
COMMAND = ("python", "-m", "bodega.kedro.task")
"""Command of every pod, before the verb that says what it does."""

Object = dict[str, Any]
"""An object of the API of Kubernetes, as JSON has it."""


@dataclass(frozen=True)
class Pods:
    """The common parts of the pods of a deployment.

    Texts of a container are given as they stand in a manifest: `literal` makes one of any text.
    """

    deployment: Deployment
    image: str
    """Image of every container; has the project installed."""
    namespace: str
    """Namespace of the pods, or what becomes it when a pod is made."""

    @property
    def root(self) -> str:
        """The store's root in every pod. Users of two namespaces are two, even under one number."""
        return f"{self._shared}/{self.deployment.user}"

    @property
    def _shared(self) -> str:
        return f"{self.deployment.host_root}/{self.namespace}"

    def volumes(self) -> list[Object]:
        """Volumes of every pod."""
        shared = {"name": HOST_VOLUME, "hostPath": {"path": self._shared, "type": "DirectoryOrCreate"}}
        return [shared, *({"name": each.name, **each.source} for each in self.deployment.volumes)]

    def security(self) -> Object:
        """Everybody who shares the store is one user; group and volumes follow."""
        deployment = self.deployment
        return {
            "runAsUser": deployment.user,
            "runAsGroup": deployment.group,
            "fsGroup": deployment.group,
            "runAsNonRoot": deployment.user != 0,
            "seccompProfile": {"type": "RuntimeDefault"},
        }

    def container(
        self, verb: str, arguments: Sequence[str], *, resources: Resources, env: Mapping[str, str] | None = None
    ) -> Object:
        """The container that does a pod's work.

        Args:
            verb: what `bodega.kedro.task` is to do.
            arguments: of that command.
            resources: what the container needs.
            env: environment variables besides those of every pod.
        """
        return {
            **self._common(resources),
            "command": [*COMMAND, verb],
            "args": list(arguments) or None,
            "env": self._variables(env or {}),
            "envFrom": [{"secretRef": {"name": name}} for name in self.deployment.env_from] or None,
            "securityContext": _confined(),
            "volumeMounts": [self._host_mount(), *self._other_mounts()],
        }

    def make_root(self, resources: Resources) -> Object:
        """The container that runs first and makes the store's root, whose parent belongs to the host's root.

        It has no other right than to give the root away. It asks for what the task does, which costs nothing (a pod is given
        the larger of the two) and fits any quota.
        """
        owner = ["-o", str(self.deployment.user), "-g", str(self.deployment.group)]
        return {
            "name": "make-root",
            **self._common(replace(resources, gpu=None)),
            "command": ["install", "-d", "-m", "0700", *owner, literal(self.root)],
            "securityContext": {
                **_confined(added=["CHOWN", "FOWNER"]),
                "runAsUser": 0,
                "runAsGroup": 0,
                "runAsNonRoot": False,
            },
            "volumeMounts": [self._host_mount()],
        }

    def _common(self, resources: Resources) -> Object:
        return {
            "image": self.image,
            "imagePullPolicy": self.deployment.image_pull_policy,
            "resources": _requirements(resources),
        }

    def _variables(self, more: Mapping[str, str]) -> list[Object]:
        own = {name: literal(text) for name, text in self.deployment.env.items()}
        texts = {**own, ROOT_VARIABLE: literal(self.root), **more}
        sources: Object = {HOST_VARIABLE: {"fieldRef": {"fieldPath": "spec.nodeName"}}}
        for name, secret in self.deployment.secrets.items():
            sources[name] = {"secretKeyRef": {"name": secret.name, "key": secret.key}}
        return [
            *({"name": name, "value": text} for name, text in texts.items()),
            *({"name": name, "valueFrom": source} for name, source in sources.items()),
        ]

    def _other_mounts(self) -> list[Object]:
        return [
            {
                "name": each.name,
                "mountPath": each.mount_path,
                "subPath": each.sub_path,
                "readOnly": each.read_only or None,
            }
            for each in self.deployment.volumes
        ]

    def _host_mount(self) -> Object:
        return {"name": HOST_VOLUME, "mountPath": self._shared}


def literal(text: str) -> str:
    """A text of a container that Kubernetes leaves as it is: it would take ``$(NAME)`` for a variable, and ``$$`` for ``$``."""
    return text.replace("$", "$$")


def _requirements(resources: Resources) -> Object | None:
    """What is asked for is guaranteed; of memory and graphics cards it is the most that is given, too.

    A limit of cpu slows down what would do no harm, so there is one only where it is asked for.
    """
    cards = {resources.gpu_resource: str(resources.gpu)} if resources.gpu else {}
    shared = {**({"memory": resources.memory} if resources.memory else {}), **cards}
    limits = {**({"cpu": resources.cpu_limit} if resources.cpu_limit else {}), **shared}
    requests = {**({"cpu": resources.cpu} if resources.cpu else {}), **shared}
    if not requests and not limits:
        return None
    return {"requests": requests or None, "limits": limits or None}


def _confined(*, added: list[str] | None = None) -> Object:
    return {"allowPrivilegeEscalation": False, "capabilities": {"add": added, "drop": ["ALL"]}}
