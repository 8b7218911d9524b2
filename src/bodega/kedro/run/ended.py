"""The end of a workflow's run: it is dropped on every host that took part, and so is what earlier ends left there.

Each host writes down that it takes part, in the run itself and so in the durable tier, too. Whoever ends a run on a host
finds by that what is left of others there: where the durable tier has no such record any more, the run was dropped while
this host could not be reached; where an end met a durable tier that failed, it left a record of its own.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from bodega.errors import ObjectNotFound, TierError
from bodega.kedro.run.resume import this_host
from bodega.names import RESERVED

if TYPE_CHECKING:
    from bodega.kedro.project.place import Place
    from bodega.store import Store

_HOST = f"{RESERVED}host/"
_ENDED = f"{RESERVED}ended"


def add_host(place: Place) -> None:
    """Write down that this host takes part in the run, before anything is put here.

    Raises:
        StoreFull: there is no room for the record.
        TierError: the durable tier failed.
    """
    place.open().put(_HOST + this_host(), _durable(place), persist=place.is_among_hosts)


def end_run(place: Place) -> dict[str, int]:
    """Drop the run here and in the durable tier, and what earlier ends left here; how many objects each run had.

    Raises:
        TierError: the durable tier failed; the next end on this host tries again.
    """
    store = place.open()
    dropped = {store.run: _drop(store)}
    for run in store.runs_in_memory():
        other = store.with_run(run)
        if _is_left(other, place):
            dropped[run] = _drop(other)
    return dropped


def _drop(store: Store) -> int:
    try:
        return store.drop_run()
    except TierError:
        # Nothing else would tell this run from one that goes on.
        with suppress(TierError):  # It is in memory all the same.
            store.put(_ENDED, b"")
        raise


def _is_left(store: Store, place: Place) -> bool:
    """Whether a run in this host's memory has ended.

    Raises:
        TierError: the durable tier failed.
    """
    if store.exists(_ENDED):
        return True
    record = _HOST + this_host()
    if not place.settings.reaches_other_hosts or not store.exists(record) or store.is_persisted(record):
        return False
    try:
        # A project with another durable tier has its records there.
        return bytes(store.get(record)) == _durable(place)
    except ObjectNotFound:  # Dropped by somebody else since.
        return False


def _durable(place: Place) -> bytes:
    """What tells the durable tier of a run from those of other projects in the same root."""
    spill = place.settings.spill
    return spill[-1].encode() if spill else b""
