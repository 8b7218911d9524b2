"""What a project says in ``conf/<env>/bodega.yml``.

The file opts the project in; an empty one takes every default. It is read through Kedro's config loader, so that
``base`` and the environment merge and resolvers work as in any other file of ``conf``.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from kedro.config import AbstractConfigLoader, MissingConfigException

from bodega.errors import SettingsError
from bodega.sections import Section
from bodega.settings import expand, parse_capacity, parse_duration

if TYPE_CHECKING:
    from bodega.kubernetes.deployment import Deployment

FILE_NAMES = ("bodega.yml", "bodega.yaml", "bodega.json")

MemoryRule = Literal["replace", "refuse", "keep"]


@dataclass(frozen=True)
class ProjectSettings:
    """The keys of ``bodega.yml``. Each is optional; patterns are globs over dataset names."""

    root: str | None = None
    """Folder of the store; relative to the project. ``BODEGA_ROOT`` wins over it."""
    capacity: int | str | None = None
    """Bytes the store may take in memory, written as ``8GiB``, or a share of it, as ``50%``."""
    spill: tuple[str, ...] | None = None
    """Lower tiers, the fastest first: folders (relative to the project) and last a URL such as ``s3://bucket/prefix``."""
    persist: tuple[str, ...] = ()
    """Datasets that are saved only when the last tier of ``spill`` has them too."""
    time_to_live: float | None = None
    """Seconds after which a run that nothing is saved into may be dropped, written as ``7d``."""
    run: str | None = None
    """Name of the run. ``BODEGA_RUN`` wins over it."""
    resume: bool = False
    """Whether bodega's runners skip nodes that finished in the run. ``BODEGA_RESUME`` wins over it."""
    datasets: tuple[str, ...] = ("*",)
    """Which of the datasets that the catalog does not define go to the store."""
    exclude: tuple[str, ...] = ()
    """Datasets that never go to the store unless the catalog itself says so: handles, such as connections."""
    override: tuple[str, ...] = ()
    """Datasets that go to the store although the catalog defines them as something else."""
    memory_datasets: MemoryRule = "replace"
    """What to do with a ``MemoryDataset`` of the catalog that a node writes, and another process could not read."""
    deployment: Deployment | None = None
    """How the tasks run on Kubernetes; None where nothing is said of it."""
    source: str = "conf/<env>/bodega.yml"
    """The file or files these settings come from, for messages; not a key."""

    def covers(self, name: str) -> bool:
        """Whether a dataset of this name that the catalog does not define belongs in the store."""
        return _matches(name, self.datasets) and not self.excludes(name)

    def excludes(self, name: str) -> bool:
        """Whether a dataset of this name is to stay out of the store."""
        return _matches(name, self.exclude)

    def persists(self, name: str) -> bool:
        """Whether a dataset of this name is to be in the durable tier before it is called saved."""
        return _matches(name, self.persist)

    @property
    def reaches_other_hosts(self) -> bool:
        """Whether the durable tier is one that other hosts can reach: not a folder of this one.

        Of a ``file://`` URL in pods the deployment decides: a volume that hosts share has to be mounted there.
        """
        scheme, mark, path = (self.spill[-1] if self.spill else "").partition("://")
        if scheme != "file" or self.deployment is None:
            return bool(mark)
        return any(volume.is_shared and volume.holds(path) for volume in self.deployment.volumes)

    def overrides(self, name: str) -> bool:
        """Whether a dataset of this name goes to the store whatever the catalog says."""
        return _matches(name, self.override) and not self.excludes(name)


KEYS = tuple(key.name for key in fields(ProjectSettings) if key.name != "source")


def read_settings(loader: AbstractConfigLoader, project_path: Path) -> ProjectSettings | None:
    """The settings of a project, or None where it has no ``bodega.yml``.

    Raises:
        SettingsError: a key or a value is not understood; the message names the key, the file and the remedy.
    """
    patterns = getattr(loader, "config_patterns", None)
    if patterns is None:  # A config loader of the project's own, without patterns: it cannot find the file.
        return None
    patterns.setdefault("bodega", list(FILE_NAMES))
    try:
        values = loader["bodega"]
    except MissingConfigException:
        return None
    return parse_settings(values, source=_source(loader), project_path=project_path)


def parse_settings(values: object, *, source: str, project_path: Path) -> ProjectSettings:
    """Check the keys and values of a ``bodega.yml``.

    Args:
        values: what the file holds, a mapping.
        source: the file, for messages.
        project_path: what a relative ``root`` is relative to.

    Raises:
        SettingsError: a key or a value is not understood.
    """
    section = Section(values, source=source)
    section.expect(KEYS)

    def folder(path: Any) -> str:
        if not path:
            raise SettingsError(f"a folder or a URL is a text that is not empty, not {path!r}.")
        # A relative one is relative to the project, whatever folder that is run from.
        return str(expand(path if path.startswith("~") else project_path / path))

    patterns = "a list of patterns such as ['features.*']"
    known: dict[str, Any] = {
        "root": section.text("root"),
        "capacity": section.parsed("capacity", _capacity),
        "spill": section.texts("spill", "a list of folders and URLs"),
        "time_to_live": section.parsed("time_to_live", parse_duration),
        "run": section.text("run"),
        "resume": section.flag("resume"),
        "memory_datasets": section.choice("memory_datasets", get_args(MemoryRule)),
        "deployment": _deployment(section.values["deployment"], source) if "deployment" in section.values else None,
        **{key: section.texts(key, patterns) for key in ("datasets", "exclude", "override", "persist")},
    }
    known = {key: value for key, value in known.items() if value is not None}
    if "spill" in known:
        known["spill"] = tuple(
            tier if "://" in tier else section.applied("spill", folder, tier) for tier in known["spill"]
        )
    if "root" in known:
        known["root"] = section.applied("root", folder, known["root"])
    if known.get("persist") and not known.get("spill"):
        raise SettingsError(
            f"The key 'persist' in {source} needs a durable tier: name one under 'spill', such as s3://bucket/prefix.",
            key="persist",
        )
    return ProjectSettings(**known, source=source)


def _deployment(values: object, source: str) -> Deployment:
    # Not needed by most of those who run a pipeline, each process of which reads its settings.
    from bodega.kubernetes.deployment import parse_deployment

    return parse_deployment(values, source=source)


def _capacity(value: Any) -> int | str:
    nbytes = parse_capacity(value, 1 << 40)
    return value if isinstance(value, str) and "%" in value else nbytes


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _source(loader: AbstractConfigLoader) -> str:
    """The files that the loader found, as a person would name them."""
    base = getattr(loader, "base_env", None) or "base"
    env = loader.env or getattr(loader, "default_run_env", None) or "local"
    found = [
        path
        for folder in dict.fromkeys((base, env))
        for file_name in FILE_NAMES
        for path in (Path(str(loader.conf_source)) / folder / file_name,)
        if path.exists()
    ]
    return " and ".join(map(str, found)) or ProjectSettings.source
