"""From single measurements to rows: medians, spread, who is first, and why bodega is not where it is not."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bodega.tiers.directory import SMALL
from bodega_bench.store.peers import PEERS
from bodega_bench.store.plan import MIB, STEPS, Item

Record = dict[str, Any]
"""What one session of one system with one item measured."""

_HUGE_PAGES = "Huge pages in shared memory would change it (see 'bodega doctor')."
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
    title, keeps_mapping = PEERS[first].title, first in {"vineyard", "ray", "shared-memory"}
    if step in {"new", "replace", "put_many", "among_readers"}:
        if item.nbytes < MIB or not keeps_mapping:
            return (
                "A put of bodega has a fixed cost of some 0.1 ms, which buys a name that changes in one step, a capacity that "
                f"holds, and a crash that leaves nothing; {title} promises less. Many small values put as one object, such as "
                "a dict or a frame, share it."
            )
        return (
            f"{title} copies into a mapping that stays in its process, whose pages are there already, while bodega writes "
            f"through the file. {_HUGE_PAGES}"
        )
    if step in {"get", "get_many"} and first == "shared-memory":
        return (
            "shared_memory is attached once and makes a view: no name is looked up, no lease taken, and what a reader "
            "changes, all see. Keeping the value instead of getting it again is as fast."
        )
    if step == "change":
        return (
            "The kernel copies each changed page of a private mapping on its own, which on small pages takes longer than the "
            f"copy in one go of {title}, and costs memory only for what is changed. Huge pages do not help private "
            "mappings. Where all of a value changes, changing a copy (value.copy()) is faster."
        )
    if keeps_mapping and item.nbytes > SMALL:
        return (
            "Each get of bodega is a new private mapping, whose pages are brought in anew and given back within the time; "
            f"{title} keeps one mapping a process, whose pages are there already. {_HUGE_PAGES}"
        )
    if PEERS[first].extra_get and item.nbytes > SMALL:
        return (
            f"The copy that {title} makes, into memory that the process has already, takes less time at this size than "
            "bringing in the pages of a new mapping. bodega copies up to 64 KiB only: values that are held would take memory "
            "in every process."
        )
    return (
        "A get of bodega takes a lease, looks whether the name still stands for the file, and checks the header, which is "
        f"some 20 us of Python and system calls, 30 us where the object is mapped; {title} does less."
    )


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
