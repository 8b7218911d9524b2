"""A project as the commands of ``kedro bodega`` see it, and the options that choose what they see.

It is read as ``kedro run`` reads it, with every hook, but nothing runs. Its parts are read when they are asked for: to
list objects, no pipeline need be in order.
"""

from __future__ import annotations

import os
import re
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from kedro.config import MissingConfigException
from kedro.framework import project as kedro_project
from kedro.framework.cli.utils import _split_params, env_option, split_string, validate_conf_source
from kedro.framework.context import KedroContext
from kedro.framework.project import pipelines, settings
from kedro.framework.session import KedroSession
from kedro.io import CatalogProtocol
from kedro.io.core import generate_timestamp
from kedro.pipeline import Pipeline
from kedro.pipeline.pipeline import CircularDependencyError, OutputNotUniqueError

from bodega.errors import PlanError, SettingsError, did_you_mean
from bodega.kedro.plan import make_plan
from bodega.kedro.project.place import Place, Project
from bodega.kubernetes.deployment import Deployment
from bodega.plan import Grouping, Plan

if TYPE_CHECKING:
    from kedro.framework.startup import ProjectMetadata

    from bodega.kedro.project.config import ProjectSettings

DEFAULT_PIPELINE = "__default__"

_Command = TypeVar("_Command", bound=Callable[..., object])

pipelines_option = click.option(
    "--pipelines",
    default="",
    callback=split_string,
    metavar="NAME,...",
    help="Names of registered pipelines; by default __default__.",
)
params_option = click.option(
    "--params",
    default="",
    type=click.UNPROCESSED,
    callback=_split_params,
    metavar="KEY=VALUE,...",
    help="Parameters other than those in the configuration, as for kedro run.",
)
conf_source_option = click.option(
    "--conf-source",
    callback=validate_conf_source,
    metavar="PATH",
    help="Where the configuration is; by default the project's conf.",
)


def project_options(command: _Command) -> _Command:
    """The options ``env``, ``pipelines``, ``params`` and ``conf_source``, which `open_project` takes."""
    for option in (conf_source_option, params_option, pipelines_option, env_option):
        command = option(command)
    return command


@dataclass(frozen=True)
class OpenedProject:
    """A Kedro project in one of its environments."""

    context: KedroContext
    project: Project
    pipeline_names: tuple[str, ...] = ()
    """Those that were asked for; none means the default one."""

    @property
    def project_path(self) -> Path:
        """The folder of the project."""
        return self.project.path

    @property
    def package_name(self) -> str:
        """The project's Python package."""
        return str(kedro_project.PACKAGE_NAME)

    @property
    def env(self) -> str:
        """The configuration environment."""
        return self.project.env

    @property
    def settings(self) -> ProjectSettings:
        """What ``bodega.yml`` says; the defaults where there is none."""
        return self.place.settings

    @property
    def deployment(self) -> Deployment:
        """How the tasks run on Kubernetes; the defaults where ``bodega.yml`` says nothing of it."""
        return self.settings.deployment or Deployment()

    @cached_property
    def place(self) -> Place:
        """Where the data of ``kedro run`` goes."""
        return self.project.place()

    @cached_property
    def catalog(self) -> CatalogProtocol[Any, Any]:
        """The catalog as ``kedro run`` gets it, with parameters; what the store holds is not put in.

        Raises:
            SettingsError: it names credentials that there are none of.
        """
        try:
            return self.context._get_catalog(  # noqa: SLF001 # as Kedro's sessions do; its public catalog is another one
                catalog_class=settings.DATA_CATALOG_CLASS, save_version=generate_timestamp()
            )
        except KeyError as error:
            raise SettingsError(str(error.args[0])) from error

    @property
    def own_parameters(self) -> dict[str, Any]:
        """The project's parameters as its configuration has them: no pipeline is loaded to check them."""
        try:
            return dict(self.context.config_loader["parameters"])
        except MissingConfigException:
            return {}

    @cached_property
    def parameters(self) -> dict[str, Any]:
        """The project's parameters, and those of the command line."""
        return dict(self.context.params)

    @property
    def pipelines(self) -> Mapping[str, Pipeline]:
        """All registered pipelines.

        Raises:
            PlanError: a module of theirs does not import; the message names its line.
        """
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                loaded = dict(pipelines)
            except Exception as error:  # Whatever the project's own code raises.
                raise PlanError(_why_not_loaded(error), code="pipelines-broken") from error
        for warning in caught:
            # Kedro goes on without a pipeline that does not import, and prints the traceback: its ends say it all.
            lines = [line for line in str(warning.message).splitlines() if line.strip()]
            text = f"{lines[0]} {lines[-1].strip()}" if "Traceback" in str(warning.message) else str(warning.message)
            warnings.warn(text, warning.category, stacklevel=2)
        return loaded

    @cached_property
    def pipeline(self) -> Pipeline:
        """The pipelines that were asked for, as one.

        Raises:
            PlanError: one of them is not registered, or they do not go together.
        """
        combined, registered = Pipeline([]), self.pipelines
        for name in self.pipeline_names or (DEFAULT_PIPELINE,):
            if name not in registered:
                hint = did_you_mean(name, registered, f"there are {', '.join(sorted(registered))}.", most=3)
                raise PlanError(f"The pipeline {name!r} is not registered: {hint}", code="unknown-pipeline")
            try:
                combined += registered[name]
            except (OutputNotUniqueError, CircularDependencyError, ValueError) as error:
                names = " and ".join(map(repr, self.pipeline_names))
                message = f"The pipelines {names} cannot run together: {error}"
                raise PlanError(message, code="pipelines-clash") from error
        return combined

    def plan(self, grouping: Grouping | None = None) -> Plan:
        """The tasks of the pipeline.

        Args:
            grouping: see `bodega.kedro.plan.make_plan`; by default as ``bodega.yml`` says.

        Raises:
            PlanError: the pipeline cannot be cut like that.
        """
        deployment = self.deployment
        return make_plan(
            self.pipeline,
            deployment.grouping if grouping is None else grouping,
            # What needs other resources stays a task of its own.
            kind=lambda node: repr(deployment.for_task([node])),
        )


def _why_not_loaded(error: BaseException) -> str:
    """An error of the project's own code in a sentence: what was raised first, and by which line."""
    while error.__cause__ is not None:  # Kedro's own says only that there was one.
        error = error.__cause__
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not {"importlib", "<frozen", "site-packages"} & set(re.split(r"[/\\ ]", frame.filename))
    ]
    where = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
    reason = " ".join(str(error).split()) or "no reason given"
    return f"The project's pipelines cannot be loaded: {type(error).__name__}: {reason}{where}."


def open_project(
    project: ProjectMetadata | str | os.PathLike[str],
    *,
    env: str | None = None,
    pipelines: Sequence[str] = (),
    params: Mapping[str, Any] | None = None,
    conf_source: str | None = None,
) -> OpenedProject:
    """Read a project that Kedro has been told of (``bootstrap_project``, which every ``kedro`` command does).

    Args:
        project: its metadata, which commands get from Kedro, or its folder.
        env: of the configuration; else ``KEDRO_ENV``, else the project's default.
        pipelines: names of registered pipelines.
        params: parameters that win over those of the configuration.
        conf_source: where the configuration is.

    Raises:
        SettingsError: ``bodega.yml`` is not understood.
    """
    path = Path(project if isinstance(project, (str, os.PathLike)) else project.project_path)
    options: dict[str, Any] = {"project_path": path, "env": env, "conf_source": conf_source}
    # Kedro 1.0 has no other class, and no such setting.
    session_class: Any = getattr(settings, "SESSION_CLASS", KedroSession)
    if issubclass(session_class, KedroSession):
        session = session_class.create(**options, runtime_params=dict(params or {}), save_on_close=False)
        context = session.load_context()
    else:  # A service session, which is given parameters with each run.
        context = session_class.create(**options).load_context(dict(params or {}))
    return OpenedProject(context, Project.of(context), tuple(pipelines))
