"""Numbers as all benchmarks show them; sizes are shown as the library does (`bodega.texts.format_size`)."""

from __future__ import annotations

from bodega.texts import three_figures

NOTHING = "-"
"""Stands where nothing was measured."""


def duration(seconds: float) -> str:
    """A time with its unit, in three figures: ``96 us``, ``35.7 ms``, ``1,234 s``."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{three_figures(seconds / size)} {unit}"
    return f"{three_figures(seconds * 1e6)} us"


def seconds(number: float | None, *, digits: int = 1) -> str:
    """A time in a table of seconds, or `NOTHING`: ``15.9``."""
    return NOTHING if number is None else f"{number:,.{digits}f}"


def ratio(number: float | None) -> str:
    """How many times one figure is the other, or `NOTHING`: ``0.98``, ``12.34``, ``1,234``."""
    if number is None:
        return NOTHING
    return f"{number:.2f}" if number < 100 else three_figures(number)


def with_range(middle: str, low: str, high: str) -> str:
    """A figure with the lowest and the highest: ``15.9 (15.3 to 16.5)``."""
    return f"{middle} ({low} to {high})"
