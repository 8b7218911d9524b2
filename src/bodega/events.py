"""What a store did, as frozen facts that receivers can watch.

A receiver is any callable that takes an event. It runs in the thread that did the work, after the work is done, so it
should be quick; an error of its own is logged and changes nothing. Two are here: `log_events` and `count_events`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from logging import Logger

    from prometheus_client import CollectorRegistry

Action = Literal["put", "get", "delete", "spill", "promote", "evict", "drop", "sweep"]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to an object."""

    action: Action
    """What: ``spill`` copies an object to a lower tier, ``evict`` ends it in the higher one, ``promote`` copies it up
    again; ``drop`` ends a run, and ``sweep`` frees what crashes left (``name`` is empty in these two)."""
    run: str
    name: str
    nbytes: int
    """Of the object, or of what was freed; 0 where it is not known."""
    tier: str
    """The folder or URL, without secrets, of the tier where it happened."""


Receiver = Callable[[Event], object]

receivers: list[Receiver] = []
"""Of all stores of this process; see `subscribe`."""


def subscribe(receiver: Receiver) -> Callable[[], None]:
    """Send every event of this process to a receiver; returns what ends that."""
    receivers.append(receiver)

    def unsubscribe() -> None:
        if receiver in receivers:
            receivers.remove(receiver)

    return unsubscribe


@contextmanager
def watching(receiver: Receiver) -> Iterator[None]:
    """Send events to a receiver inside a ``with`` block."""
    unsubscribe = subscribe(receiver)
    try:
        yield
    finally:
        unsubscribe()


def emit(action: Action, run: str, name: str, nbytes: int, tier: str) -> None:
    """Tell the receivers; costs nothing to speak of where there are none."""
    if not receivers:
        return
    event = Event(action, run, name, nbytes, tier)
    for receiver in tuple(receivers):
        try:
            receiver(event)
        except Exception:
            _logger().exception("The receiver %r failed on %r; the store goes on.", receiver, event)


def log_events(logger: Logger | None = None, level: int = 20) -> Callable[[], None]:
    """Write every event to a log (by default ``bodega.events``, at the level of information); returns what ends that."""
    log_to = logger or _logger()

    def log(event: Event) -> None:
        log_to.log(level, "%s %s/%s (%d bytes) %s", event.action, event.run, event.name, event.nbytes, event.tier)

    return subscribe(log)


def count_events(registry: CollectorRegistry | None = None) -> Callable[[], None]:
    """Count events and their bytes as Prometheus metrics; returns what ends that.

    The metrics are ``bodega_events_total`` and ``bodega_event_bytes_total``, each by action and tier.

    Args:
        registry: of the metrics, else Prometheus' own.

    Raises:
        ModuleNotFoundError: ``prometheus-client`` is not installed (the extra ``metrics``).
    """
    from prometheus_client import REGISTRY, Counter

    labels = ("action", "tier")
    where = REGISTRY if registry is None else registry
    events = Counter("bodega_events", "What stores of this process did.", labels, registry=where)
    nbytes = Counter("bodega_event_bytes", "Bytes of the objects of those events.", labels, registry=where)

    def count(event: Event) -> None:
        key = (event.action, event.tier)
        events.labels(*key).inc()
        nbytes.labels(*key).inc(event.nbytes)

    return subscribe(count)


def _logger() -> Logger:
    import logging  # Slow to import, for who never logs.

    return logging.getLogger(__name__)
