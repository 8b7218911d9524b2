"""From single measurements to rows: medians, spread, and where bodega is in a row."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bodega_bench.store.peers import PEERS
from bodega_bench.store.plan import STEPS, Item
from bodega_bench.timing import quartiles, spread

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
                found[-1] |= _standing(results)
    return found


def _summary(rounds: list[list[float]]) -> dict[str, float]:
    """Of all calls; the quartiles say how they spread, the rounds' medians how the machine drifted."""
    calls = [each for times in rounds for each in times]
    middle, drift = quartiles(calls), spread(map(statistics.median, rounds))
    return {
        "median": middle.median, "lower quartile": middle.lowest, "upper quartile": middle.highest, "calls": len(calls),
        "lowest round": drift.lowest, "highest round": drift.highest, "rounds": len(rounds),
    }  # fmt: skip


def _standing(results: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """Who is first, and where bodega is."""
    first = min(results, key=lambda peer: results[peer]["median"])
    if "bodega" not in results:
        return {"first": first, "bodega": "not measured"}
    ratio = results["bodega"]["median"] / results[first]["median"]
    if first == "bodega":
        return {"first": first, "bodega": "first"}
    return {"first": first, "bodega": "level" if ratio <= LEVEL else "behind", "bodega / first": round(ratio, 2)}


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
