"""What a project says in ``conf/<env>/bodega.yml``.

The file opts the project in; an empty one takes every default. It is read through Kedro's config loader, so that
``base`` and the environment merge and resolvers work as in any other file of ``conf``.
"""
# Annotations are not postponed here: they carry the rules of the keys, see `bodega.declared`.

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from kedro.config import AbstractConfigLoader, MissingConfigException

from bodega.declared import DURATION, FLAG, NOT_A_KEY, TEXT, At, Below, Declared, Parsed, Text, Texts, choice, read
from bodega.errors import SettingsError
from bodega.settings import expand, parse_capacity

if TYPE_CHECKING:
    from bodega.kubernetes.deployment import Deployment

FILE_NAMES = ("bodega.yml", "bodega.yaml", "bodega.json")

MemoryRule = Literal["replace", "refuse", "keep"]


def _check_place(path: str) -> str:
    """Refuse a folder that cannot be made absolute; of a URL the store will judge."""
    if not path:
        raise SettingsError(f"a folder or a URL is a text that is not empty, not {path!r}.")
    if path.startswith("~"):
        expand(path)
    return path


def _parse_capacity(value: Any) -> int | str:
    nbytes = parse_capacity(value, 1 << 40)
    return value if isinstance(value, str) and "%" in value else nbytes


def _deployment() -> "type[Deployment]":
    # Not needed by most of those who run a pipeline, each process of which reads its settings.
    from bodega.kubernetes.deployment import Deployment

    return Deployment


_CAPACITY = Parsed(
    _parse_capacity,
    {
        "type": ["string", "integer"],
        "pattern": r"^\s*[0-9]+(?:\.[0-9]+)?\s*(?:%|[KkMmGgTt][Ii]?[Bb]?|[Bb]?)\s*$",
        "exclusiveMinimum": 0,
    },
)
_PATTERNS = Texts("a list of patterns such as ['features.*']")


@dataclass(frozen=True)
class ProjectSettings(Declared):
    """What bodega does in a Kedro project. Each key is optional; patterns are those of a shell, over names of datasets."""

    root: Annotated[str | None, Text(check=_check_place).like("/dev/shm/shop")] = None  # noqa: S108
    """Folder of the store, relative to the project; by default the user's own. ``BODEGA_ROOT`` wins over it."""
    capacity: Annotated[int | str | None, _CAPACITY.like("8GiB", "50%")] = None
    """Bytes that objects may take in memory, or a share of it."""
    spill: Annotated[
        tuple[str, ...] | None,
        Texts("a list of folders and URLs", check=_check_place).like(["/var/tmp/shop", "s3://bucket/shop"]),  # noqa: S108
    ] = None
    """Tiers below memory, the fastest first: folders, relative to the project, and URLs; the last is the durable one."""
    persist: Annotated[tuple[str, ...], _PATTERNS.like(["model", "*.report"])] = ()
    """Datasets that are saved only when the durable tier has them too."""
    time_to_live: Annotated[float | None, DURATION.like("7d")] = None
    """Time after which a run that nothing was saved into may be dropped; a run that an entry of the catalog names by ``run:``
    has no such clock."""
    run: Annotated[str | None, TEXT.like("nightly")] = None
    """Name of the run; by default made from project and environment. ``BODEGA_RUN`` wins over it."""
    resume: Annotated[bool, FLAG] = False
    """Whether bodega's runners skip nodes that finished in the run. ``BODEGA_RESUME`` wins over it."""
    datasets: Annotated[tuple[str, ...], _PATTERNS.like(["features.*"])] = ("*",)
    """Datasets that go to the store, of those that the catalog leaves out."""
    exclude: Annotated[tuple[str, ...], _PATTERNS.like(["*_connection"])] = ()
    """Datasets that never go to the store unless the catalog itself says so: handles, such as connections."""
    override: Annotated[tuple[str, ...], _PATTERNS.like(["model_input"])] = ()
    """Datasets that go to the store although the catalog defines them as something else."""
    memory_datasets: Annotated[MemoryRule, choice(*get_args(MemoryRule))] = "replace"
    """What to do with a ``MemoryDataset`` of the catalog that a node writes, and another process could not read."""
    deployment: Annotated["Deployment | None", Below(_deployment)] = None
    """How the tasks run on Kubernetes."""
    source: Annotated[str, NOT_A_KEY] = "conf/<env>/bodega.yml"
    """The file or files these settings come from, for messages."""

    @classmethod
    def check(cls, given: Mapping[str, Any], at: At) -> None:
        """What persists needs a tier."""
        if given.get("persist") and not given.get("spill"):
            at.below("persist").say("needs a durable tier: name one under 'spill', such as s3://bucket/prefix.")

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
    settings = read(ProjectSettings, values, source=source)

    def absolute(path: str) -> str:
        # A relative one is relative to the project, whatever folder that is run from.
        return str(expand(path if path.startswith("~") else project_path / path))

    spill = (
        None if settings.spill is None else tuple(each if "://" in each else absolute(each) for each in settings.spill)
    )
    root = None if settings.root is None else absolute(settings.root)
    return replace(settings, root=root, spill=spill, source=source)


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _source(loader: AbstractConfigLoader) -> str:
    """The files that the loader found, as a person would name them."""
    from bodega.kedro import compat  # With it comes Kedro's framework, which the checks of a file do not need.

    base = compat.base_env(loader)
    env = loader.env or compat.default_env(loader)
    found = [
        path
        for folder in dict.fromkeys((base, env))
        for file_name in FILE_NAMES
        for path in (Path(str(loader.conf_source)) / folder / file_name,)
        if path.exists()
    ]
    return " and ".join(map(str, found)) or ProjectSettings.source
