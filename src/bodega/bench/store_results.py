"""From single measurements to rows: medians, spread, who is first, and why bodega is not where it is not."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bodega.bench.peers import PEERS
from bodega.bench.store_plan import MIB, STEPS, Item

Record = dict[str, Any]
"""What one session of one system with one item measured."""

LEVEL = 1.05
"""A median up to so many times the first's is level with it: repeated runs differ by more."""


def rows(records: Sequence[Record], items: Iterable[Item], peers: Sequence[str]) -> list[dict[str, Any]]:
    """One for each step of each item that somebody was measured with."""
    found = []
    for item in items:
        for step in STEPS:
            results = {}
            for peer in peers:
                rounds = [
                    record["steps"][step]["times"]
                    for record in records
                    if record["peer"] == peer and record["object"] == item.label
                    and record["steps"].get(step, {}).get("times")
                ]  # fmt: skip
                if rounds:
                    results[peer] = _summary(rounds)
            if results:
                found.append({"object": item.label, "nbytes": item.nbytes, "step": step, "results": results})
                found[-1] |= _standing(item, step, results)
    return found


def _summary(rounds: list[list[float]]) -> dict[str, float]:
    """Of all calls; the quartiles say how they spread, the rounds' medians how the machine drifted."""
    calls = sorted(each for times in rounds for each in times)
    low, _, high = statistics.quantiles(calls, n=4, method="inclusive") if len(calls) > 1 else calls * 3
    medians = [statistics.median(times) for times in rounds]
    return {
        "median": statistics.median(calls), "lower quartile": low, "upper quartile": high, "calls": len(calls),
        "lowest round": min(medians), "highest round": max(medians), "rounds": len(rounds),
    }  # fmt: skip


def _standing(item: Item, step: str, results: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """Who is first, and where bodega is."""
    first = min(results, key=lambda peer: results[peer]["median"])
    if "bodega" not in results:
        return {"first": first, "bodega": "not measured"}
    ratio = results["bodega"]["median"] / results[first]["median"]
    if first == "bodega":
        return {"first": first, "bodega": "first"}
    standing = {"first": first, "bodega": "level" if ratio <= LEVEL else "behind", "bodega / first": round(ratio, 2)}
    return standing if ratio <= LEVEL else standing | {"why": why(item, step, first)}


def why(item: Item, step: str, first: str) -> str:
    """Why somebody else is first in a row, and what would change it."""
    title = PEERS[first].title
    small = item.nbytes < MIB
    if step in {"new", "replace", "put_many", "among_readers"}:
        if small:
            return (
                f"{title} takes no locks and counts nothing: a put of bodega has a fixed cost of some 0.1 ms, for a name that "
                "changes in one step, a capacity that holds and a crash that leaves nothing. Putting many small values as one "
                "object shares it."
            )
        if first in {"vineyard", "ray", "shared-memory"}:
            return (
                f"{title} copies into a mapping that stays in its process, whose pages are there already, while bodega writes "
                "through the file. Huge pages in shared memory would change it (see 'bodega doctor')."
            )
        return f"{title} writes the same bytes to a file and does nothing besides."
    if step in {"get", "get_many"}:
        if first == "shared-memory":
            return (
                "shared_memory is attached once and makes a view: no name is looked up, no lease taken, and what a reader "
                "changes, all see. Keeping the value instead of getting it again is as fast."
            )
        return f"{title} takes no lease, so nothing keeps its bytes from being changed under a reader, and checks no header."
    if step == "change":
        return (
            "Each page that is changed in a private mapping is copied by the kernel on its own, and on small pages that is slower "
            f"than the copy in one go that {title} needs. It costs memory only for what is changed. Huge pages do not help a "
            "private mapping: where all of a value changes, value.copy() first is faster."
        )
    if first in {"vineyard", "ray", "shared-memory"}:
        return (
            "Each get of bodega is a new private mapping, whose pages are brought in anew and given back within the time; "
            f"{title} keeps one mapping a process, whose pages are there already. Huge pages in shared memory would change it "
            "(see 'bodega doctor')."
        )
    return f"{title} reads without a lease and checks no header, which is what is left where so little is read."


def notes(records: Sequence[Record]) -> dict[str, dict[str, int]]:
    """What readers beside a writer saw: torn values, and gets that found nothing and were tried again."""
    found: dict[str, dict[str, int]] = {}
    for record in records:
        for note, count in record["notes"].items():
            counts = found.setdefault(record["peer"], {})
            counts[note] = counts.get(note, 0) + count
    return found


def failures(records: Sequence[Record]) -> dict[str, str]:
    """What did not work, and why."""
    found = {}
    for record in records:
        for step, result in record["steps"].items():
            if "error" in result:
                found[f"{PEERS[record['peer']].title}, {record['object']}, {STEPS[step]}"] = str(result["error"])
        if "failed" in record:
            found[f"{PEERS[record['peer']].title}, {record['object']}"] = str(record["failed"])
    return found


def skipped(records: Sequence[Record]) -> dict[str, str]:
    """What memory did not allow."""
    return {
        f"{PEERS[record['peer']].title}, {record['object']}, {STEPS[step]}": str(reason)
        for record in records
        for step, reason in record["skipped"].items()
    }
