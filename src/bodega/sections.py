"""Values of a configuration file, taken key by key.

What is wrong is named by its key and its file, together with what to write instead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from bodega.errors import SettingsError, did_you_mean

_Value = TypeVar("_Value")


class Section:
    """Keys and values at one place of a file; keys that are absent or null have their default."""

    def __init__(self, values: object, *, source: str, path: str = "") -> None:
        """Take what the file holds at a place.

        Args:
            values: a mapping by text.
            source: the file, for messages.
            path: the keys that lead here, such as ``deployment.resources``.

        Raises:
            SettingsError: it is no such mapping.
        """
        self.source = source
        self.path = path
        if not isinstance(values, Mapping):
            kind = type(values).__name__
            raise SettingsError(
                f"The key {path!r} in {source} holds keys and values, not {values!r}."
                if path
                else f"{source} holds a {kind}, not keys and values: write 'run: nightly'.",
                key=path,
            )
        self.values: dict[Any, Any] = {key: value for key, value in values.items() if value is not None}
        self.keys = tuple(values)

    def expect(self, known: tuple[str, ...]) -> None:
        """Refuse keys that are not among these.

        Raises:
            SettingsError: with a near match, or with all of them.
        """
        for key in self.keys:
            if key not in known:
                remedy = did_you_mean(str(key), known, f"the keys are {', '.join(known)}.")
                named = repr(self.at(key)) if isinstance(key, str) else repr(key)
                raise SettingsError(f"The key {named} in {self.source} is not known: {remedy}", key=key)

    def at(self, key: str) -> str:
        """The keys that lead to a key."""
        return f"{self.path}.{key}" if self.path else key

    def misfit(self, key: str, expected: str, value: object = ...) -> SettingsError:
        """The error that says what a key holds, and what it should."""
        found = self.values.get(key) if value is ... else value
        return SettingsError(f"The key {self.at(key)!r} in {self.source} is {expected}, not {found!r}.", key=key)

    def parsed(self, key: str, parse: Callable[[Any], _Value]) -> _Value | None:
        """What a function makes of the value.

        Raises:
            SettingsError: of the function, with the key and the file before it.
        """
        return self.applied(key, parse, self.values[key]) if key in self.values else None

    def applied(self, key: str, parse: Callable[[Any], _Value], value: object) -> _Value:
        """What a function makes of something that belongs to a key.

        Raises:
            SettingsError: of the function, with the key and the file before it.
        """
        try:
            return parse(value)
        except SettingsError as error:
            raise SettingsError(f"The key {self.at(key)!r} in {self.source}: {error}", key=key) from None

    def text(self, key: str) -> str | None:
        """A text that is not empty."""
        value = self.values.get(key)
        if value is not None and not (isinstance(value, str) and value):
            raise self.misfit(key, "a text")
        return value

    def choice(self, key: str, choices: tuple[str, ...]) -> Any:
        """One of some texts."""
        value = self.values.get(key)
        if value is not None and value not in choices:
            raise self.misfit(key, f"one of {', '.join(choices)}")
        return value

    def count(self, key: str, least: int = 0) -> int | None:
        """A whole number."""
        value = self.values.get(key)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
            raise self.misfit(key, f"a whole number from {least} up")
        return value

    def flag(self, key: str) -> bool | None:
        """True or false."""
        value = self.values.get(key)
        if value is not None and not isinstance(value, bool):
            raise self.misfit(key, "true or false")
        return value

    def texts(self, key: str, example: str) -> tuple[str, ...] | None:
        """A list of texts, or one of them alone."""
        value = self.values.get(key)
        if value is None:
            return None
        entries = [value] if isinstance(value, str) else value
        if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
            raise self.misfit(key, example)
        return tuple(entries)

    def pairs(self, key: str, *, plain: bool = True) -> dict[str, str] | None:
        """Texts by name.

        Args:
            key: where they are.
            plain: take numbers and truth values as the texts that YAML writes them as.
        """
        if key not in self.values:
            return None
        section = self.section(key)
        pairs = {}
        for name, value in section.values.items():
            if isinstance(value, bool) and plain:
                value = str(value).lower()  # noqa: PLW2901
            elif isinstance(value, (int, float)) and plain:
                value = str(value)  # noqa: PLW2901
            if not isinstance(name, str) or not isinstance(value, str):
                raise section.misfit(str(name), "a text, in quotes if it looks like something else", value)
            pairs[name] = value
        return pairs

    def section(self, key: str) -> Section:
        """What is below a key; nothing where it is absent."""
        return Section(self.values.get(key, {}), source=self.source, path=self.at(key))

    def sections(self, key: str) -> list[Section]:
        """What is below each entry of a list."""
        value = self.values.get(key, [])
        if not isinstance(value, list):
            raise self.misfit(key, "a list")
        return [
            Section(entry, source=self.source, path=f"{self.at(key)}[{number}]") for number, entry in enumerate(value)
        ]
