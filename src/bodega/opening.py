"""From what is said to the tiers of a store: arguments, the environment and the settings of a root.

What an argument says goes before what the root is set to (see `bodega.tiers.kept`). The root itself comes from the
argument, else from the environment (`bodega.memory.root.open_root`).
"""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, Literal, NamedTuple, ParamSpec, TypeVar, get_args

from bodega.errors import RootError, SettingsError, did_you_mean
from bodega.memory.root import Root, open_root
from bodega.settings import check_flag, check_place, expand, parse_capacity, parse_duration
from bodega.texts import command
from bodega.tiers.base import Folder, Tier
from bodega.tiers.directory import DirectoryTier
from bodega.tiers.eviction import Eviction
from bodega.tiers.kept import claim, holds_below, recall
from bodega.tiers.stack import TierStack
from bodega.tiers.transfer import Transfers

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")
Trust = Literal["code", "data"]

_CAPACITY = "?capacity="
"""Behind the folder of a lower tier: what it may take."""
_HALF_A_URL = re.compile(r"(s3a?|gs|az(ure)?|abfss?|adl|https?):")
"""What no folder should begin with: it would be made, with the keys that belong to the URL in its name."""


class Options(NamedTuple):
    """How a store was opened, so that a pickled one opens alike elsewhere; see `bodega.open`."""

    capacity: int | str | None = None
    spill: tuple[str, ...] = ()
    storage_options: Mapping[str, str] | None = None
    time_to_live: float | None = None
    verify: bool = False
    trust: Trust = "code"
    group: bool = False

    def __repr__(self) -> str:
        """Without what gets into object storage."""
        hidden = None if self.storage_options is None else dict.fromkeys(self.storage_options, "***")
        facts = (f"{key}={value!r}" for key, value in {**self._asdict(), "storage_options": hidden}.items())
        return f"{type(self).__name__}({', '.join(facts)})"


def parse_tiers(
    capacity: int | str | None, spill: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None
) -> dict[str, Any]:
    """What is said of the tiers, in the words of a root's settings; what is not said is left out.

    Raises:
        SettingsError: it is not understood.
    """
    given = {"capacity": capacity, "spill": None if spill is None else list(_parse_spill(spill))}
    return {key: value for key, value in given.items() if value is not None}


def make_options(
    root: Root,
    given: Mapping[str, Any],
    *,
    storage_options: Mapping[str, str] | None,
    time_to_live: float | str | None,
    verify: bool,
    trust: Trust,
    group: bool,
) -> Options:
    """The options of a store: what is said, and for its tiers what the root is set to where nothing is.

    Args:
        root: what is opened.
        given: what is said of the tiers; see `parse_tiers`.
        storage_options: see `bodega.open`, as for the others.
        time_to_live: likewise.
        verify: likewise.
        trust: likewise.
        group: likewise.

    Raises:
        SettingsError: one is not understood.
    """
    if trust not in get_args(Trust):
        raise SettingsError(f"The trust of a store is 'code' or 'data', not {trust!r}.")
    check_flag("verify", verify)
    _check_storage_options(storage_options)
    tiers = {**recall(root), **given}
    return Options(
        capacity=tiers.get("capacity"),
        spill=tuple(tiers.get("spill", ())),
        storage_options=storage_options,
        time_to_live=None if time_to_live is None else parse_duration(time_to_live),
        verify=verify,
        trust=trust,
        group=group,
    )


def open_tiers(root: Root, options: Options) -> TierStack:
    """Make the tiers of a store, from the lowest to memory: each is told of the one that its objects are evicted to.

    Raises:
        RootError: a folder cannot be used, or is gone with what it held.
        SettingsError: a tier is not understood, or is no place for this store.
    """
    capacity = _capacity(root, options.capacity)
    transfers = Transfers(root, options.spill)
    remote: Tier | None = None
    folders: list[Folder] = []
    below: Tier | None = None
    try:
        # Looked at in the order in which they were said, so that the first mistake is the one to hear of.
        urls = options.spill[-1:] if "://" in "".join(options.spill[-1:]) else ()
        roots = [_open_lower(each, root, options) for each in options.spill[: len(options.spill) - len(urls)]]
        for url in urls:
            from bodega.tiers.object_storage import ObjectStorageTier

            below = remote = ObjectStorageTier(url, options=options.storage_options)
    except (RootError, SettingsError) as error:
        error.add_hint("In Python, spill=() opens the store without lower tiers.")
        if list(options.spill) == recall(root).get("spill"):
            settings = command("bodega", "settings", "--root", root.path)
            error.add_hint(f"The root itself is set to them: {settings} shows that, with --forget it forgets them.")
        raise
    for lower, lower_capacity in reversed(roots):
        eviction = None if below is None else Eviction(below, transfers)
        below = DirectoryTier(lower, lower_capacity, seals=True, durable=True, eviction=eviction)
        folders.insert(0, below)
    eviction = None if below is None else Eviction(below, transfers)
    top = DirectoryTier(root, capacity, seals=options.verify, eviction=eviction)
    return TierStack([top, *folders], remote, transfers)


def _capacity(root: Root, capacity: int | str | None) -> int | None:
    return None if capacity is None else parse_capacity(capacity, root.size())


def _open_lower(text: str, root: Root, options: Options) -> tuple[Root, int | None]:
    """The root of a lower tier on a disk, and its capacity."""
    folder, _, capacity = text.partition(_CAPACITY)
    if "?" in folder or (capacity == "" and text.endswith(_CAPACITY)):
        raise SettingsError(
            f"The lower tier {text!r} is not understood: write a folder, or '/folder{_CAPACITY}1TiB' (spill=)."
        )
    _check_apart(Path(folder), root.path)
    known = recall(root)
    if not os.path.exists(folder) and text in known.get("spill", ()) and holds_below(known):
        raise RootError(
            f"The lower tier {folder} is gone, and with it what this store moved there. Mount it again; or make an empty "
            f"folder there, if nothing of it is needed.",
            path=folder,
            reason="removed",
        )
    try:
        lower = open_root(folder, group=options.group, warm=False)
    except RootError as error:
        raise RootError(
            f"{folder} cannot be a lower tier of the store {root.path}: {error.reason}. Remedy: {error.remedy} (spill=).",
            path=folder,
            reason=error.reason,
            remedy=error.remedy,
        ) from None
    claim(lower, root)
    return lower, _capacity(lower, capacity or None)


def _check_storage_options(options: object) -> None:
    """Refuse what obstore could not read; no value is shown, for it may be a key.

    Raises:
        SettingsError: no mapping of texts to texts.
    """
    if options is None:
        return
    if not isinstance(options, Mapping):
        raise SettingsError(
            "storage_options= is a mapping of texts to texts, such as {'region': 'eu-west-1'}, not a value of type "
            f"{type(options).__name__}."
        )
    for key, value in options.items():
        if not isinstance(key, str) or not isinstance(value, (str, bool, int)):
            raise SettingsError(
                f"storage_options= is a mapping of texts to texts: of {key!r:.200} it has a value of type "
                f"{type(value).__name__}."
            )


def _check_apart(folder: Path, root: Path) -> None:
    """A tier inside another, or the same folder under another spelling, would delete what it has just been given."""
    first, second = folder.resolve(), root.resolve()
    if first == second or first in second.parents or second in first.parents:
        raise SettingsError(
            f"The lower tier {folder} and the root {root} are the same folder, or one lies in the other: name another "
            "folder (spill=)."
        )


def _parse_spill(spill: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> tuple[str, ...]:
    """Lower tiers as URLs and absolute folders."""
    given = [spill] if isinstance(spill, (str, os.PathLike)) else spill
    for each in given if isinstance(given, (list, tuple)) else ():
        if "://" in str(each):
            check_place(str(each))  # First: the other messages show what was given.
        elif _HALF_A_URL.match(str(each)):
            raise SettingsError(
                f"The lower tier {str(each).partition(':')[0]}:... is not understood: a URL has '://' (spill=)."
            )
    if not isinstance(given, (list, tuple)) or not all(
        isinstance(each, (str, os.PathLike)) and str(each) for each in given
    ):
        raise SettingsError(
            f"spill names a folder or a URL such as 's3://bucket/prefix', or a list of them, not {spill!r}."
        )
    urls = tuple(str(each) if "://" in str(each) else str(expand(each, "A lower tier (spill=)")) for each in given)
    if len(set(urls)) < len(urls):
        raise SettingsError(f"spill names a tier twice: {spill!r}.")
    for url in urls[:-1]:
        if "://" in url:
            raise SettingsError(f"Below object storage ({url}) there is no further tier: name it last in spill=.")
    return urls


def with_hints(function: Callable[_Given, _Result]) -> Callable[_Given, _Result]:
    """Say what an argument that is not known may have been meant to be."""
    known = list(inspect.signature(function).parameters)

    @wraps(function)
    def checked(*arguments: _Given.args, **given: _Given.kwargs) -> _Result:
        for name in given:
            if name not in known:
                hint = did_you_mean(name, known, f"It takes {', '.join(known)}.")
                raise TypeError(f"bodega.open() takes no argument {name!r}. {hint}")
        return function(*arguments, **given)

    return checked
