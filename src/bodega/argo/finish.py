"""What happens when a workflow ends: a run that succeeded gives its memory back, on every host that took part.

A run that failed keeps its objects, so that ``argo retry`` goes on from them; their time-to-live ends them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hera.workflows import models

from bodega.argo import placement
from bodega.argo.templates import retries, template
from bodega.kubernetes.deployment import Resources
from bodega.kubernetes.outputs import HOST
from bodega.kubernetes.pods import Pods

FINISH = "finish"
_DROP_RUN = "drop-run"
_DROP_ON_HOST = "drop-on-host"

_PATIENCE = "10m"
"""How long a try may take: what hangs must not keep the workflow."""
_TRIES = 4
_SMALL = Resources(cpu="50m", memory="512Mi")
_WHATEVER_HAPPENS = models.ContinueOn(error=True, failed=True)


def templates(pods: Pods, options: Sequence[str]) -> list[models.Template]:
    """The exit handler and what it needs: at once a pod for each host. Nothing in it makes a workflow fail.

    Each pod drops all that it can reach, so that one that gets through is enough for the durable tier. Where a host takes no
    pod, that one runs elsewhere, and what the host has in memory is dropped by the end of the next run there.

    Args:
        pods: what every pod gets.
        options: that lead a pod to the project's settings.
    """
    host = models.Parameter(name=HOST, value="{{item}}")
    on_hosts = _step(_DROP_ON_HOST, arguments=models.Arguments(parameters=[host]), with_param=placement.HOSTS)
    return [
        # Apart from the next, for Argo wants the hosts also where a step is skipped.
        _steps(FINISH, _step(_DROP_RUN, when="{{workflow.status}} == Succeeded")),
        _steps(_DROP_RUN, on_hosts),
        template(
            pods,
            _DROP_ON_HOST,
            "drop",
            options,
            resources=_SMALL,
            timeout=_PATIENCE,
            retry_strategy=retries(_TRIES),
            inputs=models.Inputs(parameters=[models.Parameter(name=HOST)]),
            pod_spec_patch=placement.preferred(f"{{{{inputs.parameters.{HOST}}}}}"),
        ),
    ]


def _step(name: str, **more: Any) -> models.WorkflowStep:
    return models.WorkflowStep(name=name, template=name, continue_on=_WHATEVER_HAPPENS, **more)


def _steps(name: str, step: models.WorkflowStep) -> models.Template:
    return models.Template(name=name, steps=[models.ParallelSteps(root=[step])])
