"""A plan as the specification of a workflow: a task for each task, and as few templates as their resources allow."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hera.workflows import models

from bodega.deployment import Deployment, TaskSettings
from bodega.k8s.argo import finish, placement
from bodega.k8s.argo.arguments import IMAGE, RUN
from bodega.k8s.argo.placement import ANCHOR, Placement
from bodega.k8s.argo.pods import Pods, retries
from bodega.k8s.names import unique_names
from bodega.k8s.outputs import BYTES, HOST
from bodega.plan import Plan
from bodega.settings import RESUME_VARIABLE, SHARED_VARIABLE, TIME_TO_LIVE_VARIABLE

PIPELINE = "pipeline"
_TASK = "task"
_NODES = "nodes"
_SHARED = "shared"
_RESUME = {RESUME_VARIABLE: "1", TIME_TO_LIVE_VARIABLE: "7d"}
"""A task that is tried again skips what it has done; and what a failed run leaves goes after a week."""


@dataclass(frozen=True)
class Request:
    """What a workflow is made of."""

    name: str
    """Of the project or the workflow."""
    plan: Plan
    settings: Mapping[str, TaskSettings]
    """What holds for each task, by its name."""
    all_together: TaskSettings | None
    """What holds for a host that all tasks share; None where a durable tier lets them be on many."""
    deployment: Deployment
    parameters: Mapping[str, str]
    """Kedro's parameters that may be given anew, as texts."""
    env: str | None = None
    pipelines: Sequence[str] = ()
    conf_source: str | None = None

    @property
    def placement(self) -> Placement:
        """How its tasks are tied to hosts."""
        return Placement.NEAR if self.all_together is None else Placement.SAME

    @property
    def options(self) -> list[str]:
        """Of the command in every pod: which settings of the project hold."""
        given = {"--env": self.env, "--conf-source": self.conf_source, "--pipelines": ",".join(self.pipelines)}
        return [text for option, value in given.items() if value for text in (option, value)]


def specification(request: Request) -> models.WorkflowSpec:
    """All of the workflow but its name."""
    deployment = request.deployment
    pods = Pods(deployment)
    names = unique_names((task.name for task in request.plan.tasks), taken=[ANCHOR])
    templates = _template_names(request, names)
    metadata = models.Metadata(labels=dict(deployment.labels) or None, annotations=dict(deployment.annotations) or None)
    return models.WorkflowSpec(
        entrypoint=PIPELINE,
        on_exit=finish.FINISH,
        arguments=_arguments(request),
        service_account_name=deployment.service_account,
        image_pull_secrets=[models.LocalObjectReference(name=name) for name in deployment.image_pull_secrets] or None,
        security_context=pods.security(),
        pod_metadata=metadata if metadata.labels or metadata.annotations else None,
        parallelism=deployment.parallelism,
        active_deadline_seconds=_seconds(deployment.workflow_timeout) if deployment.workflow_timeout else None,
        ttl_strategy=models.TTLStrategy(seconds_after_completion=_seconds(deployment.time_to_live))
        if deployment.time_to_live
        else None,
        # Those of a workflow that failed stay.
        pod_gc=models.PodGC(strategy="OnWorkflowSuccess", delete_delay_duration=f"{_seconds(deployment.keep_pods)}s"),
        volumes=pods.volumes(),
        templates=[
            models.Template(name=PIPELINE, dag=_dag(request, names, templates)),
            *_task_templates(request, pods, templates),
            *finish.templates(pods, request.options),
        ],
    )


def _arguments(request: Request) -> models.Arguments:
    own = [
        models.Parameter(
            name=IMAGE, value=request.deployment.image, description="Of every pod; has the project in it."
        ),
        models.Parameter(name=RUN, value="", description="Name of the run in the store; the workflow's uid if empty."),
    ]
    names = parameter_names(request.parameters)
    return models.Arguments(
        parameters=[
            *own,
            *(models.Parameter(name=names[name], value=text) for name, text in request.parameters.items()),
        ]
    )


def parameter_names(names: Iterable[str]) -> dict[str, str]:
    """The workflow's parameter for each of Kedro's."""
    return unique_names(names, taken=[IMAGE, RUN], parameters=True)


def _dag(request: Request, names: Mapping[str, str], templates: Mapping[str, str]) -> models.DAGTemplate:
    tasks = [
        models.DAGTask(
            name=names[task.name],
            template=templates[task.name],
            depends=" && ".join(names[need.task] for need in task.needs) or _first(request.placement),
            arguments=models.Arguments(
                parameters=[
                    models.Parameter(name=_NODES, value=json.dumps(list(task.nodes))),
                    models.Parameter(name=_SHARED, value=json.dumps(list(task.outputs))),
                    placement.argument(request.placement, task, names),
                ]
            ),
        )
        for task in request.plan.tasks
    ]
    if request.placement is Placement.SAME:
        tasks.insert(0, models.DAGTask(name=ANCHOR, template=ANCHOR))
    return models.DAGTemplate(tasks=tasks)


def _first(where: Placement) -> str | None:
    return ANCHOR if where is Placement.SAME else None


def _template_names(request: Request, names: Mapping[str, str]) -> dict[str, str]:
    """The template of each task; tasks for which the same holds share one.

    The one of most tasks is called ``task``; the others are called after the first task that needs them.
    """
    keys = {task.name: repr(request.settings[task.name]) for task in request.plan.tasks}
    ((common, _),) = Counter(keys.values()).most_common(1)
    called: dict[str, str] = {common: _TASK}
    for task, key in keys.items():
        called.setdefault(key, f"{_TASK}-{names[task]}")
    return {task: called[key] for task, key in keys.items()}


def _task_templates(request: Request, pods: Pods, templates: Mapping[str, str]) -> list[models.Template]:
    made = {templates[task]: settings for task, settings in request.settings.items()}
    found = [
        _task_template(request, pods, name, made[name]) for name in sorted(made, key=lambda name: (name != _TASK, name))
    ]
    if request.all_together is not None:
        anchor = pods.template(
            ANCHOR,
            "host",
            [],
            resources=request.all_together.resources,
            outputs=placement.outputs(HOST),
            retry_strategy=retries(request.all_together.retries),
        )
        found.insert(0, anchor)
    return found


def _task_template(request: Request, pods: Pods, name: str, settings: TaskSettings) -> models.Template:
    names = parameter_names(request.parameters)
    parameters = [
        text
        for given, parameter in names.items()
        for text in ("--param", f"{given}={{{{workflow.parameters.{parameter}}}}}")
    ]
    return pods.template(
        name,
        "run",
        ["--nodes", f"{{{{inputs.parameters.{_NODES}}}}}", *request.options, *parameters],
        env={SHARED_VARIABLE: f"{{{{inputs.parameters.{_SHARED}}}}}", **_RESUME},
        resources=settings.resources,
        inputs=models.Inputs(
            parameters=[
                models.Parameter(name=_NODES),
                models.Parameter(name=_SHARED),
                placement.inputs(request.placement),
            ]
        ),
        outputs=placement.outputs(HOST, BYTES),
        retry_strategy=retries(settings.retries),
        active_deadline_seconds=models.IntOrString(root=_seconds(settings.timeout)) if settings.timeout else None,
        pod_spec_patch=placement.patch(request.placement),
    )


def _seconds(duration: float) -> int:
    return max(1, round(duration))
