"""Quantities and names as Kubernetes writes them.

The checks of the tools around Kubernetes let pass what the cluster then refuses, or takes for something else, such as
``512m`` of memory, which is half a byte: so they are made here, and say what to write.
"""

from __future__ import annotations

import re
from decimal import Decimal

from bodega.errors import SettingsError

_FACTORS = {
    "": Decimal(1),
    "m": Decimal("0.001"),
    **{unit: Decimal(1000) ** power for power, unit in enumerate("kMGTP", start=1)},
    **{f"{unit}i": Decimal(1024) ** power for power, unit in enumerate("KMGTP", start=1)},
}
_NUMBER = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*")
_LABEL = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
_LABEL_NAME = r"[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
CPU_UNITS = ("", "m")
MEMORY_UNITS = tuple(unit for unit in _FACTORS if unit != "m")
NAME = rf"{_LABEL}(?:\.{_LABEL})*"
"""Pattern of names of objects."""
LABEL_NAME = rf"(?:{NAME}/)?{_LABEL_NAME}"
"""Pattern of keys of labels and annotations."""
VARIABLE = r"[A-Za-z_][A-Za-z0-9_]*"
"""Pattern of names of environment variables."""


def parse_cpu(value: object) -> str:
    """Cores, such as ``2``, ``0.5`` or ``500m``.

    Raises:
        SettingsError: not understood, or not positive.
    """
    return _checked(value, units=CPU_UNITS, what="cores", examples="2, 0.5 or 500m")


def parse_memory(value: object) -> str:
    """Bytes, such as ``4Gi``, ``512Mi``, ``1G`` or ``1048576``.

    Raises:
        SettingsError: not understood, or not positive.
    """
    return _checked(value, units=MEMORY_UNITS, what="bytes", examples="4Gi, 512Mi or 2G")


def amount(quantity: str) -> Decimal:
    """The number that a checked quantity stands for."""
    match = _NUMBER.fullmatch(quantity)
    assert match is not None
    return Decimal(match[1]) * _FACTORS[match[2]]


def check_name(name: str, what: str) -> str:
    """Refuse what cannot be the name of an object of Kubernetes.

    Raises:
        SettingsError: upper case, underscores, or too long.
    """
    if len(name) > 253 or not re.fullmatch(NAME, name):
        raise SettingsError(
            f"{name!r} cannot be the name of {what} in Kubernetes: use lower-case letters, digits and '-', such as "
            f"{_cleaned(name)!r}."
        )
    return name


def check_label_name(name: str) -> str:
    """Refuse what cannot be the key of a label or annotation.

    Raises:
        SettingsError: a character that is not allowed, or too long.
    """
    if not re.fullmatch(LABEL_NAME, name):
        raise SettingsError(
            f"{name!r} cannot be the key of a label or annotation: use up to 63 letters, digits, '-', '_' and '.', such "
            f"as 'team' or 'example.com/team'."
        )
    return name


def check_label_value(value: str) -> str:
    """Refuse what cannot be the value of a label.

    Raises:
        SettingsError: a character that is not allowed, or too long.
    """
    if value and not re.fullmatch(_LABEL_NAME, value):
        raise SettingsError(
            f"{value!r} cannot be the value of a label: use up to 63 letters, digits, '-', '_' and '.', or an annotation."
        )
    return value


def check_variable(name: str) -> str:
    """Refuse what cannot be the name of an environment variable.

    Raises:
        SettingsError: a character that is not allowed.
    """
    if not re.fullmatch(VARIABLE, name):
        raise SettingsError(
            f"{name!r} cannot be the name of an environment variable: use letters, digits and '_', not first a digit."
        )
    return name


def _checked(value: object, *, units: tuple[str, ...], what: str, examples: str) -> str:
    text = str(value)
    match = None if isinstance(value, bool) or not isinstance(value, (int, float, str)) else _NUMBER.fullmatch(text)
    if match is None:
        raise SettingsError(f"The quantity {value!r} is not understood: write {what} as {examples}.")
    number, unit = match.groups()
    if Decimal(number) <= 0:
        raise SettingsError(f"The quantity {text!r} is not positive: write {what} as {examples}, or leave it out.")
    if unit not in units:
        near = _nearest_unit(unit, units)
        remedy = f"write {what} as {examples}" if near is None else f"write {number}{near}"
        raise SettingsError(f"The unit {unit!r} of the quantity {text!r} is none for {what} in Kubernetes: {remedy}.")
    return f"{number}{unit}"


def _nearest_unit(unit: str, units: tuple[str, ...]) -> str | None:
    """What a unit such as ``GB``, ``GiB``, ``gigs`` or ``cores`` most likely means."""
    if unit.lower() in {"c", "core", "cores", "cpu", "cpus", "b", "byte", "bytes"}:
        return ""
    if unit.lower().startswith("milli") and "m" in units:
        return "m"
    letter = unit[:1].upper()
    # People who write MB mean it; those who write gigs or m mean what the machine has.
    if unit.lower() == f"{letter.lower()}b":
        return next((each for each in units if each.upper() == letter), None)
    return next((each for each in units if each.upper() == f"{letter}I"), None)


def _cleaned(name: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-.")[:63] or "shop"
