"""Templates whose pod does one thing and ends: what any pod with a store gets, in Argo's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hera.workflows import models

from bodega.argo.expansion import unexpanded
from bodega.env import RUN_VARIABLE
from bodega.kubernetes.deployment import Deployment, Resources
from bodega.kubernetes.outputs import MISTAKE
from bodega.kubernetes.pods import Pods

IMAGE = "{{workflow.parameters.image}}"
NAMESPACE = "{{workflow.namespace}}"
RUN = "{{=workflow.parameters.run == '' ? workflow.uid : workflow.parameters.run}}"
"""The run is the workflow's uid unless somebody names another one."""

_BACKOFF = models.Backoff(duration="10s", factor=models.IntOrString(root=2), cap="10m")
"""A limit of the wait, and none of Argo's `maxDuration`, which would end all tries so long after the first began."""
_NO_MISTAKE = f"lastRetry.exitCode != '{MISTAKE}'"


def pods_of(deployment: Deployment) -> Pods:
    """What the pods of a workflow have in common; Argo fills in what is known only in the cluster."""
    return Pods(deployment, image=IMAGE, namespace=NAMESPACE)


def template(
    pods: Pods,
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
        pods: what every pod gets.
        name: of the template.
        verb: what `bodega.kedro.task` is to do.
        options: of that command.
        resources: what the pod needs.
        env: environment variables besides those of every pod.
        more: other fields of the template.
    """
    container = pods.container(
        verb,
        [unexpanded(each) for each in options],
        resources=resources,
        env={each: unexpanded(text) for each, text in {RUN_VARIABLE: RUN, **(env or {})}.items()},
    )
    return models.Template(
        name=name,
        init_containers=[models.UserContainer.model_validate(pods.make_root(resources))],
        container=models.Container.model_validate(container),
        node_selector=dict(resources.node_selector) or None,
        tolerations=[models.Toleration.model_validate(each) for each in resources.tolerations] or None,
        **more,
    )


def retries(most: int) -> models.RetryStrategy | None:
    """Also after what is nobody's fault: an eviction, a host that went away. A mistake in the command stays one."""
    if not most:
        return None
    limit = models.IntOrString(root=most)
    return models.RetryStrategy(limit=limit, retry_policy="Always", expression=_NO_MISTAKE, backoff=_BACKOFF)
