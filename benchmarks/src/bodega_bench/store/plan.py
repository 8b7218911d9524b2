"""What `bodega bench store` measures: objects, steps, how often, and whether memory allows it."""

from __future__ import annotations

from dataclasses import dataclass

from bodega.errors import SettingsError
from bodega.settings import parse_size
from bodega.texts import format_size
from bodega_bench.store.peers import Peer

FRAME = 100_000_000
"""Bytes of the floats of a frame."""
MANY = 1000
"""Small objects that are put and read one after the other."""
MIB = 1 << 20
_SPARE = 256 * MIB
"""Bytes of memory for what is not the object: interpreters, servers."""
_READERS = 4
"""Processes that read at once, and those that write and read, see `bodega_bench.store.peer_worker`."""

STEPS = {
    "new": "put, new",
    "replace": "put, replacing",
    "get": "get",
    "sum": "get and sum",
    "change": "get and change",
    "elsewhere": "first get and sum",
    "together": "4 processes get and sum",
    "among_readers": "put among 3 readers",
    "beside_writer": "get and sum beside a writer",
    "put_many": "put, small objects",
    "get_many": "get, small objects",
}
LEGEND = {
    "put, new": "under a new name, all earlier ones kept, so into memory that the system has not written before.",
    "put, replacing": "in the place of the one before, or one more and then that one is dropped, so into memory that may be "
    "used again.",
    "get": "of an object that the same process has put.",
    "get and sum": "every float is read, then the object is let go.",
    "get and change": "every float is changed, in a copy where the value is read-only or others would see it.",
    "first get and sum": "in a new process, which has only read a small object before, as the next task of a pipeline would.",
    "4 processes get and sum": "new processes, all at once: the time in which all four have read it once.",
    "put among 3 readers": "replacing, while three other processes get and sum the object without a pause.",
    "get and sum beside a writer": "what those three measure, finding the newest object included.",
    "small objects": f"{MANY:,} of 1 KiB, each with a name of its own: the time for each.",
}


@dataclass(frozen=True)
class Item:
    """An object to measure with."""

    label: str
    kind: str
    nbytes: int

    def steps(self, peer: Peer) -> dict[str, int]:
        """The steps that a peer can do, and how many calls of each in one session."""
        if self.kind == "many":
            return {"put_many": MANY, "get_many": MANY}
        calls = {
            "new": self._calls(128 * MIB, 20),
            "replace": self._calls(128 * MIB, 20),
            "get": 50,
            "sum": self._calls(512 * MIB, 50),
            "change": self._calls(256 * MIB, 20),
            "elsewhere": 2 if self.nbytes <= 256 * MIB else 1,
            "together": self._calls(512 * MIB, 500),
            "among_readers": self._calls(128 * MIB, 20),
            "beside_writer": 1,
        }
        if self.kind != "array":
            calls = {step: calls[step] for step in ("new", "replace", "get", "sum", "elsewhere") if peer.frames}
        return calls

    def _calls(self, nbytes: int, most: int) -> int:
        """As many as move so many bytes, within reason."""
        return max(1, min(most, nbytes // self.nbytes))

    def stored(self, step: str, calls: int) -> int:
        """Bytes that a system holds at most in a step."""
        kept = {
            "new": calls,
            "replace": 2,
            "among_readers": 1 + _READERS,
            "beside_writer": 1 + _READERS,
            "put_many": MANY,
        }
        return self.nbytes * kept.get(step, MANY if self.kind == "many" else 1)

    def memory(self, step: str, calls: int, peer: Peer) -> int:
        """Bytes that all processes and the system take together at most in a step."""
        put, get = max(1, peer.extra_put), peer.extra_get  # What a put takes is touched before it.
        private = {
            "new": put, "replace": put, "change": max(1, get), "together": _READERS * get,
            "among_readers": put + (_READERS - 1) * get, "beside_writer": put + (_READERS - 1) * get,
        }.get(step, get)  # fmt: skip
        return self.stored(step, calls) + self.nbytes * (1 + private) + _SPARE


@dataclass(frozen=True)
class Allowed:
    """What of an item's steps fits in memory."""

    steps: dict[str, int]
    skipped: dict[str, str]
    """Why not, by step."""
    capacity: int
    """Bytes for a server to hold."""


def allow(item: Item, peer: Peer, left: int) -> Allowed:
    """The steps that fit in so many bytes of memory."""
    steps, skipped = {}, {}
    for step, calls in item.steps(peer).items():
        need = item.memory(step, calls, peer)
        if need > left or "new" in skipped:
            skipped[step] = f"needs {format_size(need)} of memory, {format_size(left)} are left"
        else:
            steps[step] = calls
    # With room, so that no server evicts.
    capacity = max((item.stored(step, calls) for step, calls in steps.items()), default=0) + (1 << 30)
    return Allowed(steps, skipped, capacity)


def items(sizes: str, *, frames: bool) -> list[Item]:
    """Small objects, arrays of these sizes, and frames.

    Raises:
        SettingsError: a size is not understood, or is none of an array.
    """
    found = [Item(f"{MANY:,} objects of 1 KiB", "many", 1 << 10)]
    for text in filter(None, map(str.strip, sizes.split(","))):
        nbytes = parse_size(text)
        if nbytes < 8:
            raise SettingsError(f"The size {text!r} is too small: an array holds at least one float of 8 bytes.")
        found.append(Item(f"array {format_size(nbytes)}", "array", nbytes))
    if frames:
        found += [Item("frame 100 MB", "frame", FRAME), Item("frame 100 MB + strings", "strings", FRAME)]
    return found
