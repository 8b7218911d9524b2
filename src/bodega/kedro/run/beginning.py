"""What comes before the first node: the run is found, nobody else is at work on it, and its stores can be used."""

from __future__ import annotations

import logging
from contextvars import ContextVar
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bodega.env import RUN_VARIABLE
from bodega.errors import StoreBusy
from bodega.kedro.dataset import BodegaDataset
from bodega.kedro.dataset.homes import Stored, decide
from bodega.kedro.run.registration import register
from bodega.memory.presence import Board, Presence, Work, board
from bodega.memory.root import open_root
from bodega.names import is_parameter, stored_name
from bodega.texts import listed

if TYPE_CHECKING:
    from kedro.io import CatalogProtocol
    from kedro.pipeline import Pipeline

    from bodega.kedro.project.place import Place
    from bodega.store import Store

_presence: ContextVar[Presence | None] = ContextVar("bodega_presence", default=None)
"""That this thread's run is at work."""

_log = logging.getLogger(__name__)


def begin(pipeline: Pipeline, catalog: CatalogProtocol[Any, Any], place: Place, *, apart: bool = False) -> Place:
    """Say that a run is at work, and register its datasets.

    A whole run that would share names with another live process takes a run of its own. One that was named for this
    process stays, with a warning; one that needs what the run already has is refused.

    Returns:
        The place of the run that it is.

    Raises:
        StoreBusy: another live process is at work on the same names of the run.
        RootError: a store of the run cannot be used.
        SettingsError: a dataset has to cross processes, but the project's rules forbid what is needed for it.
    """
    end()
    work, uses_store = _work(pipeline, catalog, place)
    if uses_store:
        store = place.open()
        with board(open_root(store.root)) as others:
            run = _run(work, others, place, store)
            _presence.set(others.add(replace(work, run=run)))
        if run != place.run:  # Else the very same: a place that belongs to no project ends when nobody has it any more.
            place = replace(place, run=run, is_apart=True)
    try:
        register(pipeline, catalog, place, apart=apart)
        for name in pipeline.datasets():
            dataset = catalog.get(name) if name in catalog else None
            if isinstance(dataset, BodegaDataset):
                dataset.require_store()
    except BaseException:
        end()
        raise
    return place


def is_begun() -> bool:
    """Whether this thread has a run at work."""
    return _presence.get() is not None


def end() -> None:
    """This thread's run is at work no longer; one that was interrupted may not have said so."""
    presence = _presence.get()
    if presence is not None:
        _presence.set(None)
        presence.end()


def say_how_to_go_on(place: Place) -> None:
    """Of a run that failed: where it is, if nobody would look there."""
    if place.is_apart:
        _log.warning("This run is '%s': set %s=%s to go on with it.", place.run, RUN_VARIABLE, place.run)


def _work(pipeline: Pipeline, catalog: CatalogProtocol[Any, Any], place: Place) -> tuple[Work, bool]:
    """The names of the run that a pipeline reads and writes, and whether it uses any store."""
    made = {stored_name(output) for node in pipeline.nodes for output in node.outputs}
    stored = Stored(place)
    names: set[str] = set()
    uses_store = False
    for name in pipeline.datasets():
        if is_parameter(name):
            continue
        dataset = catalog.get(name) if name in catalog else None
        is_made = stored_name(name) in made
        if decide(name, dataset, place.settings, is_made_here=is_made, stored=stored).home == "store":
            uses_store = True
            if not (isinstance(dataset, BodegaDataset) and dataset.is_shared_by_runs(place.settings, name)):
                names.add(stored_name(name))
    is_whole = not place.is_part
    return Work(place.run, reads=frozenset(names - made), writes=frozenset(names & made), is_whole=is_whole), uses_store


def _run(work: Work, others: Board, place: Place, store: Store) -> str:
    """The run that is to do some work.

    Raises:
        StoreBusy: it can be no other, and somebody is at work there.
    """
    clashing = next((other for other in others.others if work.clashes(other)), None)
    if clashing is None:
        return place.run
    names = listed(sorted(work.clashes(clashing)))
    who = f"Process {clashing.process} ({clashing.command!r}) is at work on {names} of run {place.run!r}"
    if place.is_chosen:
        _log.warning("%s, too: what both of them save there, each may read of the other.", who)
        return place.run
    if place.is_part or place.goes_on or work.reads:
        raise StoreBusy(
            f"{who}, and this run needs what is there or writes to the same. Wait until that process has ended, or set "
            f"{RUN_VARIABLE} to another run; {RUN_VARIABLE}={place.run} says that both are meant to work on this one."
        )
    taken = {*store.runs(), *(other.run for other in others.others)}
    number = 2
    while f"{place.run}-{number}" in taken:
        number += 1
    run = f"{place.run}-{number}"
    _log.warning(
        "%s: this one takes a run of its own, '%s'. To look at it or go on with it, set %s=%s; 'bodega rm --run %s' "
        "removes it.",
        who,
        run,
        RUN_VARIABLE,
        run,
        run,
    )
    return run
