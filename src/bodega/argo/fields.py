"""What hera's models do not know: they ignore it without a word."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel


def lost_fields(model: type[BaseModel], document: Mapping[str, Any]) -> list[str]:
    """The paths of a document that are gone after it went through a model, such as ``spec.templates[0].conatiner``.

    Raises:
        pydantic.ValidationError: a value is of another type than the model wants.
    """
    kept = model.model_validate(document).model_dump(by_alias=True, exclude_unset=True)
    return list(_missing(document, kept, ""))


def _missing(given: Any, kept: Any, path: str) -> Iterator[str]:
    if isinstance(given, Mapping):
        for key, value in given.items():
            here = f"{path}.{key}" if path else str(key)
            if not isinstance(kept, Mapping) or (key not in kept and value is not None):
                yield here
            elif value is not None:
                yield from _missing(value, kept[key], here)
    elif isinstance(given, list):
        for number, (value, other) in enumerate(zip(given, kept, strict=True)):
            yield from _missing(value, other, f"{path}[{number}]")
