"""A plan as the specification of a workflow: a task for each task, and as few templates as their resources allow."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from hera.workflows import models

from bodega.argo import finish, placement
from bodega.argo.arguments import IMAGE, RUN
from bodega.argo.expansion import as_literal, reference
from bodega.argo.placement import ANCHOR, Placement
from bodega.argo.templates import pods_of, retries, template
from bodega.env import RESUME_VARIABLE, SHARED_VARIABLE, TIME_TO_LIVE_VARIABLE
from bodega.kubernetes.deployment import Deployment, TaskSettings
from bodega.kubernetes.names import unique_names
from bodega.kubernetes.outputs import BYTES, HOST
from bodega.kubernetes.pods import Pods
from bodega.plan import Plan, Task

PIPELINE = "pipeline"
_TASK = "task"
_NODES = "nodes"
_SHARED = "shared"
_STORED = "stored"
_PARAMS = "params"
_PIPELINES = "pipelines"
_LABELS = ("task", "node", "pipeline")
_LABEL = "bodega/"
"""Before the names of labels and annotations of pods."""
_RESUME = {RESUME_VARIABLE: "1", TIME_TO_LIVE_VARIABLE: "7d"}
"""A task that is tried again skips what it has done; and what a failed run leaves goes after a week."""


@dataclass(frozen=True)
class Details:
    """What a task is told besides its nodes."""

    parameters: tuple[str, ...] = ()
    """Those of the workflow's that it needs."""
    pipelines: tuple[str, ...] = ()
    """The registered pipelines that hold its nodes; none means the default one."""
    stored: tuple[str, ...] = ()
    """Those of its outputs that have to be in the run's store when it is done."""


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
    details: Mapping[str, Details] = field(default_factory=dict)
    """What each task is told, by its name."""
    env: str | None = None
    conf_source: str | None = None

    @property
    def placement(self) -> Placement:
        """How its tasks are tied to hosts."""
        return Placement.NEAR if self.all_together is None else Placement.SAME

    @property
    def options(self) -> list[str]:
        """Of the command in every pod: which settings of the project hold."""
        given = {"--env": self.env, "--conf-source": self.conf_source}
        return [text for option, value in given.items() if value for text in (option, value)]


def specification(request: Request) -> models.WorkflowSpec:
    """All of the workflow but its name."""
    deployment = request.deployment
    pods = pods_of(deployment)
    names = unique_names((task.name for task in request.plan.tasks), taken=[ANCHOR])
    templates = _template_names(request, names)
    (workflow,) = unique_names([request.name]).values()
    metadata = models.Metadata(
        labels={f"{_LABEL}workflow": workflow, **deployment.labels}, annotations=dict(deployment.annotations) or None
    )
    return models.WorkflowSpec(
        entrypoint=PIPELINE,
        on_exit=finish.FINISH,
        arguments=_arguments(request),
        service_account_name=deployment.service_account,
        image_pull_secrets=[models.LocalObjectReference(name=name) for name in deployment.image_pull_secrets] or None,
        security_context=models.PodSecurityContext.model_validate(pods.security()),
        pod_metadata=metadata,
        parallelism=deployment.parallelism,
        active_deadline_seconds=_seconds(deployment.workflow_timeout) if deployment.workflow_timeout else None,
        ttl_strategy=models.TTLStrategy(seconds_after_completion=_seconds(deployment.time_to_live))
        if deployment.time_to_live
        else None,
        # Those of a workflow that failed stay.
        pod_gc=models.PodGC(strategy="OnWorkflowSuccess", delete_delay_duration=f"{_seconds(deployment.keep_pods)}s"),
        volumes=[models.Volume.model_validate(each) for each in pods.volumes()],
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
                    *(models.Parameter(name=name, value=text) for name, text in _told(request, task, names).items()),
                    placement.argument(request.placement, task, names),
                ]
            ),
        )
        for task in request.plan.tasks
    ]
    if request.placement is Placement.SAME:
        tasks.insert(0, models.DAGTask(name=ANCHOR, template=ANCHOR))
    return models.DAGTemplate(tasks=tasks)


def _told(request: Request, task: Task, names: Mapping[str, str]) -> dict[str, str]:
    """The inputs of the template of tasks, but for where its pod goes."""
    details = request.details.get(task.name, Details())
    parameters = parameter_names(request.parameters)
    params = ", ".join(f"{as_literal(name)}: {reference('workflow', parameters[name])}" for name in details.parameters)
    pipelines = ",".join(details.pipelines)
    labels = (names[task.name], _label(task.nodes[0]) if len(task.nodes) == 1 else "", _label(pipelines or "default"))
    return {
        _NODES: json.dumps(list(task.nodes)),
        _SHARED: json.dumps(list(task.outputs)),
        _STORED: json.dumps(list(details.stored)),
        # Put together by Argo, since only there it is known what was given at submission.
        _PARAMS: f"{{{{=toJson({{{params}}})}}}}" if params else "{}",
        _PIPELINES: pipelines,
        **dict(zip(_LABELS, labels, strict=True)),
    }


def _label(name: str) -> str:
    (label,) = unique_names([name]).values()
    return label


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
        anchor = template(
            pods,
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
    told = [text for each in (_NODES, _STORED, _PARAMS, _PIPELINES) for text in (f"--{each}", _input(each))]
    return template(
        pods,
        name,
        "run",
        [*told, *request.options],
        env={SHARED_VARIABLE: _input(_SHARED), **_RESUME},
        metadata=models.Metadata(
            labels={f"{_LABEL}{each}": _input(each) for each in _LABELS}, annotations={f"{_LABEL}nodes": _input(_NODES)}
        ),
        resources=settings.resources,
        inputs=models.Inputs(
            parameters=[
                *(models.Parameter(name=each) for each in (_NODES, _SHARED, _STORED, _PARAMS, _PIPELINES, *_LABELS)),
                placement.inputs(request.placement),
            ]
        ),
        outputs=placement.outputs(HOST, BYTES),
        retry_strategy=retries(settings.retries),
        active_deadline_seconds=models.IntOrString(root=_seconds(settings.timeout)) if settings.timeout else None,
        pod_spec_patch=placement.patch(request.placement),
    )


def _input(name: str) -> str:
    return f"{{{{inputs.parameters.{name}}}}}"


def _seconds(duration: float) -> int:
    return max(1, round(duration))
