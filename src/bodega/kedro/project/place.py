"""Where a pipeline run keeps its data: which root, which run.

The choice is made once, when the datasets of a run are registered, and travels with them. Hooks are shared by runs
that go on at the same time in one process, so what one of them needs is kept in context variables, never on the hook.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import os
import re
import weakref
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from kedro.framework import project as kedro_project

import bodega
from bodega.env import RESUME_VARIABLE, ROOT_VARIABLE, RUN_VARIABLE, SHARED_VARIABLE, TIME_TO_LIVE_VARIABLE
from bodega.errors import SettingsError, StoreBusy
from bodega.kedro import compat
from bodega.kedro.project.config import ProjectSettings, read_settings
from bodega.names import stored_name
from bodega.settings import parse_duration

if TYPE_CHECKING:
    from kedro.framework.context import KedroContext

    from bodega.store import Store

_RESUME = re.compile(r"\(resume=(True|False)\)$")
"""How the text of a runner of ours ends that was told whether to skip what has finished."""
_KEDRO_TIMESTAMP = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}\.\d{2}\.\d{2}\.\d{3}Z")


@dataclass(frozen=True)
class Place:
    """Where the datasets of one pipeline run live, and by which rules they get there."""

    run: str
    root: str | None = None
    """None: the user's default root."""
    settings: ProjectSettings = field(default_factory=ProjectSettings)
    shared: frozenset[str] | None = None
    """What a task among others makes for them, by stored names; None where no task was cut out of the pipeline."""
    is_chosen: bool = False
    """Whether the run was named for this process, by ``BODEGA_RUN`` or a service session."""
    is_part: bool = False
    """Whether nodes were picked, so that other processes do the others of the same run."""
    goes_on: bool = False
    """Whether the run is to go on from what it left before."""
    is_apart: bool = False
    """Whether the run is one of its own, since another process was at work on the project's."""

    @property
    def is_task(self) -> bool:
        """Whether this is one task of a workflow among others."""
        return self.shared is not None

    def is_inner(self, name: str) -> bool:
        """Whether a dataset that the task makes is of no use to anybody once the task is done."""
        return self.is_task and stored_name(name) not in (self.shared or ()) and not self.settings.persists(name)

    def persists(self, name: str) -> bool:
        """Whether a dataset must be in the durable tier: what a task on another host may need, too."""
        is_handed_over = self.is_among_hosts and stored_name(name) in (self.shared or ())
        return self.settings.persists(name) or is_handed_over

    @property
    def is_among_hosts(self) -> bool:
        """Whether tasks on other hosts may go on from what this one puts into the durable tier."""
        return self.is_task and self.settings.reaches_other_hosts

    @property
    def versions_run(self) -> str:
        """Where the versions of datasets are that persist: all runs of the project share them."""
        package = kedro_project.PACKAGE_NAME
        return f"versions-{package}" if package else "versions"

    def open(self) -> Store:
        """The store, as seen from the run."""
        return bodega.open(
            self.root,
            run=self.run,
            capacity=self.settings.capacity,
            spill=self.settings.spill,
            time_to_live=self.settings.time_to_live,
        )


@dataclass(frozen=True)
class Project:
    """The Kedro project that a session works on."""

    path: Path
    env: str
    settings: ProjectSettings | None = None
    """None where the project has no ``bodega.yml``."""

    @classmethod
    def of(cls, context: KedroContext) -> Project:
        """The project of a Kedro context; reads its ``bodega.yml``.

        Raises:
            SettingsError: a key or a value there is not understood.
        """
        loader = context.config_loader
        env = context.env or compat.default_env(loader)
        return cls(context.project_path, env, read_settings(loader, context.project_path))

    def place(self, run_params: Mapping[str, Any] | None = None) -> Place:
        """The place of a run with these parameters (Kedro's ``run_params``)."""
        settings = self.settings or ProjectSettings()
        params = run_params or {}
        service_run = None if settings.run else _service_run(params)
        run = os.environ.get(RUN_VARIABLE) or settings.run or service_run or self.run_name
        if settings.time_to_live is None and TIME_TO_LIVE_VARIABLE in os.environ:
            settings = replace(settings, time_to_live=parse_duration(os.environ[TIME_TO_LIVE_VARIABLE]))
        root = os.environ.get(ROOT_VARIABLE) or settings.root
        shared = _shared()
        return Place(
            run=run,
            root=root,
            settings=settings,
            shared=shared,
            is_chosen=bool(os.environ.get(RUN_VARIABLE) or service_run),
            is_part=shared is not None or compat.is_part(params),
            goes_on=bool(params.get("only_missing_outputs")) or is_resumed(settings, params.get("runner")),
        )

    @property
    def run_name(self) -> str:
        """A readable name that no other project or environment has, such as ``house-prices-bodega-1a2b3c4d``."""
        digest = hashlib.sha256(f"{self.path}\0{self.env}".encode()).hexdigest()[:8]
        return "-".join((_readable(self.path.name), _readable(self.env), digest))


current_project: ContextVar[Project | None] = ContextVar("bodega_project", default=None)
"""The project whose context was created last in this thread."""

current_place: ContextVar[Place | None] = ContextVar("bodega_place", default=None)
"""The place of the pipeline run that is about to start in this thread, for a runner of ours to find."""


def place_apart() -> Place:
    """A place for a runner that is used without a Kedro session: no other run shares it, and it goes with the process.

    The objects are dropped as soon as no dataset refers to the place any more.
    """
    place = Place(
        run=os.environ.get(RUN_VARIABLE) or f"process-{os.getpid()}-{uuid4().hex[:8]}",
        root=os.environ.get(ROOT_VARIABLE),
        is_chosen=True,
    )
    if not os.environ.get(RUN_VARIABLE):
        weakref.finalize(place, _drop, place.root, place.run, os.getpid())
    return place


def _drop(root: str | None, run: str, process: int) -> None:
    if os.getpid() != process:  # A forked child lets go of the place too, while its parent still needs the objects.
        return
    try:
        bodega.open(root, run=run).drop_run()
    except StoreBusy:  # The last reference went in the middle of an operation of this thread: it goes with the process.
        atexit.register(_drop, root, run, process)


def is_resumed(settings: ProjectSettings, runner: object = None) -> bool:
    """Whether nodes that finished in the run are skipped: as the runner was told, else ``BODEGA_RESUME``, else ``bodega.yml``.

    Args:
        settings: the project's rules.
        runner: a runner, or its text: all that Kedro's ``run_params`` say of it when the run is picked.
    """
    told = _RESUME.search(str(runner))
    if told is not None:
        return told[1] == "True"
    text = os.environ.get(RESUME_VARIABLE, "")
    return settings.resume if text == "" else text != "0"


def _shared() -> frozenset[str] | None:
    """What the environment says of the task at work."""
    text = os.environ.get(SHARED_VARIABLE)
    if not text:
        return None
    try:
        return frozenset(map(stored_name, json.loads(text)))
    except (ValueError, TypeError, AttributeError):
        raise SettingsError(f"{SHARED_VARIABLE} is a JSON list of names such as '[\"model\"]', not {text!r}.") from None


def _service_run(run_params: Mapping[str, Any]) -> str | None:
    """The run of a session that serves many: only such a session has an id besides the run's.

    Kedro names runs by a clock of milliseconds, which two runs at once may share: those get a suffix of their own.
    """
    session, run = run_params.get("session_id"), run_params.get("run_id")
    if not session or not run:
        return None
    suffix = f"-{uuid4().hex[:8]}" if _KEDRO_TIMESTAMP.fullmatch(run) else ""
    return f"{session}-{run}{suffix}"


def _readable(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-")[:60].lower() or "kedro"
