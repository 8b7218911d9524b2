"""What happens when a workflow ends: a run that succeeded gives its memory back, on every host that took part.

A run that failed keeps its objects, so that ``argo retry`` goes on from them; their time-to-live ends them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hera.workflows import models

from bodega.deployment import Resources
from bodega.k8s.argo import placement
from bodega.k8s.argo.placement import Placement
from bodega.k8s.argo.pods import Pods
from bodega.k8s.outputs import HOST, HOSTS

FINISH = "finish"
_DROP_RUN = "drop-run"
_DROP_ON_HOST = "drop-on-host"
_DROP_REST = "drop-rest"
_FIND_HOSTS = "find-hosts"

_PATIENCE = "3m"
"""How long a pod may wait for its host and do its work: a host that is gone must not keep the workflow."""
_SMALL = Resources(cpu="50m", memory="512Mi")
_WHATEVER_HAPPENS = models.ContinueOn(error=True, failed=True)


def templates(pods: Pods, where: Placement, options: Sequence[str]) -> list[models.Template]:
    """The exit handler and what it needs. Nothing in it makes a workflow fail.

    Args:
        pods: what every pod gets.
        where: with a single host, that is known; otherwise the run's own record names the hosts.
        options: that lead a pod to the project's settings.
    """
    if where is Placement.SAME:
        drop_run = [[_drop_on(f"{{{{workflow.outputs.parameters.{HOST}}}}}")]]
        others = []
    else:
        hosts = f"{{{{steps.{_FIND_HOSTS}.outputs.parameters.{HOSTS}}}}}"
        # The hosts last: Argo ends a list of steps at one that times out, as on a host that is gone, whatever is said of
        # going on.
        drop_run = [[_step(_FIND_HOSTS)], [_step(_DROP_REST)], [_drop_on("{{item}}", with_param=hosts)]]
        others = [
            _pod(pods, _FIND_HOSTS, "hosts", options, outputs=placement.outputs(HOSTS)),
            _pod(pods, _DROP_REST, "drop", options),
        ]
    return [
        _steps(FINISH, [[_step(_DROP_RUN, when="{{workflow.status}} == Succeeded")]]),
        _steps(_DROP_RUN, drop_run),
        _pod(
            pods,
            _DROP_ON_HOST,
            "drop",
            options,
            inputs=models.Inputs(parameters=[models.Parameter(name=HOST)]),
            pod_spec_patch=placement.patch(Placement.SAME),
        ),
        *others,
    ]


def _drop_on(host: str, **more: Any) -> models.WorkflowStep:
    return _step(
        _DROP_ON_HOST, arguments=models.Arguments(parameters=[models.Parameter(name=HOST, value=host)]), **more
    )


def _step(name: str, **more: Any) -> models.WorkflowStep:
    return models.WorkflowStep(name=name, template=name, continue_on=_WHATEVER_HAPPENS, **more)


def _steps(name: str, steps: Sequence[list[models.WorkflowStep]]) -> models.Template:
    return models.Template(name=name, steps=[models.ParallelSteps(root=each) for each in steps])


def _pod(pods: Pods, name: str, verb: str, options: Sequence[str], **more: Any) -> models.Template:
    return pods.template(name, verb, options, resources=_SMALL, timeout=_PATIENCE, **more)
