"""What a project says in ``conf/<env>/bodega.yml``.

The file opts the project in; an empty one takes every default. It is read through Kedro's config loader, so that
``base`` and the environment merge and resolvers work as in any other file of ``conf``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal, get_args

from kedro.config import AbstractConfigLoader, MissingConfigException

from bodega.errors import SettingsError
from bodega.settings import parse_capacity, parse_duration

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
    datasets: tuple[str, ...] = ("*",)
    """Which of the datasets that the catalog does not define go to the store."""
    exclude: tuple[str, ...] = ()
    """Datasets that never go to the store unless the catalog itself says so: handles, such as connections."""
    override: tuple[str, ...] = ()
    """Datasets that go to the store although the catalog defines them as something else."""
    memory_datasets: MemoryRule = "replace"
    """What to do with a ``MemoryDataset`` of the catalog that a node writes, and another process could not read."""
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
    if not isinstance(values, Mapping):
        raise SettingsError(f"{source} holds a {type(values).__name__}, not keys and values: write 'run: nightly'.")
    for key in values:
        if key not in KEYS:
            near = get_close_matches(str(key), KEYS, n=1)
            remedy = f"did you mean {near[0]!r}?" if near else f"the keys are {', '.join(KEYS)}."
            raise SettingsError(f"The key {key!r} in {source} is not known: {remedy}", key=key)
    known: dict[str, Any] = {key: value for key, value in values.items() if value is not None}
    for key in ("root", "run"):
        if key in known and not (isinstance(known[key], str) and known[key]):
            raise _misfit(key, known[key], "a text", source)
    for key in ("datasets", "exclude", "override", "persist", "spill"):
        if key in known:
            known[key] = _patterns(key, known[key], source)
    rules = get_args(MemoryRule)
    if known.get("memory_datasets", rules[0]) not in rules:
        raise _misfit("memory_datasets", known["memory_datasets"], f"one of {', '.join(rules)}", source)
    for key, parse in (("capacity", _capacity), ("time_to_live", parse_duration)):
        if key in known:
            try:
                known[key] = parse(known[key])
            except SettingsError as error:
                raise SettingsError(f"The key {key!r} in {source}: {error}", key=key) from None
    if "spill" in known:
        known["spill"] = tuple(
            tier if "://" in tier else str(project_path / Path(tier).expanduser()) for tier in known["spill"]
        )
    if known.get("persist") and not known.get("spill"):
        raise SettingsError(
            f"The key 'persist' in {source} needs a durable tier: name one under 'spill', such as s3://bucket/prefix.",
            key="persist",
        )
    if "root" in known:
        known["root"] = str(project_path / Path(known["root"]).expanduser())
    return ProjectSettings(**known, source=source)


def _capacity(value: Any) -> int | str:
    nbytes = parse_capacity(value, 1 << 40)
    return value if isinstance(value, str) and "%" in value else nbytes


def _patterns(key: str, value: object, source: str) -> tuple[str, ...]:
    entries = [value] if isinstance(value, str) else value
    if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
        example = "a list of folders and URLs" if key == "spill" else "a list of patterns such as ['features.*']"
        raise _misfit(key, value, example, source)
    return tuple(entries)


def _misfit(key: str, value: object, expected: str, source: str) -> SettingsError:
    return SettingsError(f"The key {key!r} in {source} is {expected}, not {value!r}.", key=key)


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
