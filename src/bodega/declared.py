"""Keys of a configuration file, declared once: dataclasses whose fields carry a rule each.

A rule says what may be written, to the program (`Rule.read`), to people (the sentence about what was written instead) and to
editors (`Rule.schema`, a JSON schema). `read` takes the values of a file by the rules and names all that is wrong at
once. It needs nothing but the standard library, since every run of a pipeline reads such a file. To pydantic the same
classes are models and the rules their validators; the JSON schema of a file and the tables of the documentation are made
so, see `scripts/generated.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from copy import copy
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from bodega.errors import SettingsError, did_you_mean
from bodega.settings import SECONDS, parse_duration

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic_core import CoreSchema

_Kind = TypeVar("_Kind", bound="Declared")


@dataclass(frozen=True)
class At:
    """A place in a file, by the keys that lead there; what is wrong below it is noted and collected."""

    source: str
    """The file, for messages."""
    path: str = ""
    mistakes: list[str] = field(default_factory=list)
    """A sentence each, shared by all places of the file."""

    def below(self, key: str) -> At:
        """The place of a key."""
        return At(self.source, f"{self.path}.{key}" if self.path else key, self.mistakes)

    def entry(self, number: int) -> At:
        """The place of an entry of a list."""
        return At(self.source, f"{self.path}[{number}]", self.mistakes)

    def say(self, what: str, *, kind: str = "key") -> None:
        """Note a mistake: the end of a sentence that begins with the key and the file."""
        self.mistakes.append(f"The {kind} {self.path!r} in {self.source} {what}")

    def misfit(self, expected: str, value: object) -> None:
        """Note that a value is not what its key holds."""
        self.say(f"is {expected}, not {value!r}.")

    def tried(self, parse: Callable[[Any], Any], value: object) -> Any:
        """What a function makes of a value; its `SettingsError` is noted."""
        try:
            return parse(value)
        except SettingsError as error:
            self.mistakes.append(f"The key {self.path!r} in {self.source}: {error}")

    def mapping(self, value: object) -> Mapping[Any, Any]:
        """The value, if it holds keys and values."""
        if isinstance(value, Mapping):
            return value
        if self.path:
            self.say(f"holds keys and values, not {value!r}.")
        else:
            kind = type(value).__name__
            self.mistakes.append(f"{self.source} holds a {kind}, not keys and values: write 'run: nightly'.")
        return {}

    def expect(self, keys: Iterable[object], known: Iterable[str]) -> None:
        """Note the keys that are not among these, with a near match, or with all of them."""
        known = tuple(known)
        for key in keys:
            if key not in known:
                remedy = did_you_mean(str(key), known, f"the keys are {', '.join(known)}.")
                named = repr(self.below(key).path) if isinstance(key, str) else repr(key)
                self.mistakes.append(f"The key {named} in {self.source} is not known: {remedy}")

    def refuse(self) -> None:
        """Raise all that was noted.

        Raises:
            SettingsError: something was, a line each.
        """
        if self.mistakes:
            raise SettingsError("\n".join(self.mistakes), mistakes=tuple(self.mistakes))


class Declared:
    """A class of keys. A field without a rule is no key; one that is absent or null in the file has its default."""

    # To pydantic, where there is one.
    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "use_attribute_docstrings": True}

    @classmethod
    def check(cls, given: Mapping[str, Any], at: At) -> None:
        """Note what is wrong with keys that are right by themselves, but not together.

        Args:
            given: what was read of the keys that the file has.
            at: the place of the keys.
        """


class Rule:
    """What may be written at a key."""

    schema: Mapping[str, Any] = {}
    """The same as JSON schema."""

    def read(self, value: Any, at: At) -> Any:
        """The checked value; what is wrong is noted, and any value returned then."""
        raise NotImplementedError

    def like(self, *examples: object) -> Rule:
        """The rule with examples, for editors and the documentation."""
        other = copy(self)
        other.schema = {**self.schema, "examples": list(examples)}
        return other

    def __get_pydantic_core_schema__(self, _source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        """As pydantic asks for a validator; it is a `ValueError` that tells it of mistakes."""
        from pydantic_core import core_schema

        return core_schema.no_info_plain_validator_function(self._validated)

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """As pydantic asks for a JSON schema."""
        return dict(self.schema)

    def _validated(self, value: Any) -> Any:
        at = At("the configuration")
        made = None if value is None else self.read(value, at)
        at.refuse()
        return made


class _NotAKey:
    """Of a field that no file sets; pydantic is told to leave it out of the JSON schema."""

    def __get_pydantic_json_schema__(self, _core: object, _handler: object) -> dict[str, Any]:
        from pydantic_core import PydanticOmit

        raise PydanticOmit


NOT_A_KEY = _NotAKey()


def rules_of(kind: type[Declared]) -> dict[str, Rule]:
    """The rules of a class, by its keys."""
    # The annotations are objects, not texts: modules of declarations do not postpone them.
    found = {each.name: getattr(each.type, "__metadata__", ()) for each in fields(cast("Any", kind))}
    return {name: rule for name, metadata in found.items() for rule in metadata if isinstance(rule, Rule)}


def read(kind: type[_Kind], values: object, *, source: str, path: str = "") -> _Kind:
    """An object of a declared class.

    Args:
        kind: the class.
        values: what the file holds, a mapping.
        source: the file, for messages.
        path: keys that lead to the values.

    Raises:
        SettingsError: keys or values are not understood; a line for each says which, and what to write.
    """
    at = At(source, path)
    made = _read(kind, values, at, {})
    at.refuse()
    return cast("_Kind", made)


def _read(kind: type[Declared], values: object, at: At, defaults: Mapping[str, Any]) -> Declared | None:
    before, rules = len(at.mistakes), rules_of(kind)
    found = at.mapping(values)
    at.expect(found, rules)
    given = {
        key: rules[key].read(value, at.below(key)) for key, value in found.items() if key in rules and value is not None
    }
    if len(at.mistakes) == before:
        kind.check(given, at)
    return kind(**{**defaults, **given}) if len(at.mistakes) == before else None


# What a key may hold.


class Fits(Rule):
    """A value as it is, if it fits."""

    def __init__(self, expected: str, fits: Callable[[Any], bool], schema: Mapping[str, Any]) -> None:
        """Take the words for what fits."""
        self.expected, self.fits, self.schema = expected, fits, schema

    def read(self, value: Any, at: At) -> Any:
        """The value."""
        if not self.fits(value):
            at.misfit(self.expected, value)
        return value


FLAG = Fits("true or false", lambda value: isinstance(value, bool), {"type": "boolean"})


def count(least: int = 0) -> Rule:
    """A whole number."""
    return Fits(
        f"a whole number from {least} up",
        lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= least,
        {"type": "integer", "minimum": least},
    )


def choice(*choices: str) -> Rule:
    """One of some texts."""
    return Fits(f"one of {', '.join(choices)}", lambda value: value in choices, {"enum": list(choices)})


class Parsed(Rule):
    """What a function makes of the value; its `SettingsError` says what is wrong."""

    def __init__(self, parse: Callable[[Any], Any], schema: Mapping[str, Any]) -> None:
        """Take the function."""
        self.parse, self.schema = parse, schema

    def read(self, value: Any, at: At) -> Any:
        """What the function returns."""
        return at.tried(self.parse, value)


def quantity(parse: Callable[[Any], Any], units: Iterable[str]) -> Rule:
    """A number with one of some units, or a number alone."""
    pattern = rf"^\s*[0-9]+(?:\.[0-9]+)?\s*(?:{'|'.join(units)})\s*$"
    return Parsed(parse, {"type": ["string", "number"], "pattern": pattern, "exclusiveMinimum": 0})


DURATION = quantity(parse_duration, SECONDS)


class Text(Rule):
    """A text that is not empty."""

    def __init__(
        self, expected: str = "", pattern: str = ".+", *, check: Callable[[str], object] | None = None
    ) -> None:
        """Take what more is asked of the text.

        Args:
            expected: words for what matches the pattern.
            pattern: of the whole text.
            check: raises a `SettingsError` for a text that does not do.
        """
        self.expected, self.pattern, self.check = expected, pattern, check
        self.schema = {"type": "string", "pattern": f"^(?:{pattern})$"}

    def read(self, value: Any, at: At) -> Any:
        """The text."""
        if not (isinstance(value, str) and value):
            at.misfit("a text", value)
        elif self.expected and not re.fullmatch(self.pattern, value):
            at.misfit(self.expected, value)
        elif self.check is not None:
            at.tried(self.check, value)
        return value


TEXT = Text()


class Texts(Rule):
    """A list of texts, or one of them alone."""

    def __init__(self, expected: str, *, check: Callable[[str], object] | None = None, pattern: str = ".*") -> None:
        """Take words for the list, and what raises a `SettingsError` for a text that does not do."""
        self.expected, self.check = expected, check
        each = {"type": "string", "pattern": f"^(?:{pattern})$"}
        self.schema = {"anyOf": [each, {"type": "array", "items": each}]}

    def read(self, value: Any, at: At) -> tuple[str, ...]:
        """The texts."""
        entries = [value] if isinstance(value, str) else value
        if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
            at.misfit(self.expected, value)
            return ()
        for entry in entries if self.check else ():
            at.tried(cast("Callable[[str], object]", self.check), entry)
        return tuple(entries)


class Pairs(Rule):
    """Texts by name; numbers and truth values are the texts that YAML writes them as."""

    def __init__(
        self, check: Callable[[str], object], check_value: Callable[[str], object] = str, *, pattern: str
    ) -> None:
        """Take what raises a `SettingsError` for a name, or for a value, that does not do.

        Args:
            check: of names.
            check_value: of values.
            pattern: of names, for the JSON schema.
        """
        self.check, self.check_value = check, check_value
        self.schema = {
            "type": "object",
            "patternProperties": {f"^(?:{pattern})$": {"type": ["string", "number", "boolean"]}},
            "additionalProperties": False,
        }

    def read(self, value: Any, at: At) -> dict[str, str]:
        """The texts."""
        pairs = {}
        for name, each in at.mapping(value).items():
            if each is None:
                continue
            text = (
                str(each).lower() if isinstance(each, bool) else str(each) if isinstance(each, (int, float)) else each
            )
            if not isinstance(name, str) or not isinstance(text, str):
                at.below(str(name)).misfit("a text, in quotes if it looks like something else", each)
                continue
            at.tried(self.check, name)
            at.tried(self.check_value, text)
            pairs[name] = text
        return pairs


class Below(Rule):
    """Keys of a declared class."""

    def __init__(self, kind: type[Declared] | Callable[[], type[Declared]], **defaults: Any) -> None:
        """Take the class, or what imports it when there is something to read.

        Args:
            kind: the class.
            defaults: values of keys that are absent, instead of the class's own.
        """
        self._kind, self.defaults = kind, defaults

    @property
    def kind(self) -> type[Declared]:
        """The class."""
        return self._kind if isinstance(self._kind, type) else self._kind()

    def read(self, value: Any, at: At) -> Any:
        """An object of the class."""
        return _read(self.kind, value, at, self.defaults)

    def __get_pydantic_core_schema__(self, _source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        """The class is a model of its own."""
        from pydantic_core import core_schema

        return core_schema.nullable_schema(handler.generate_schema(self.kind))

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """What pydantic makes of the class."""
        return handler(core)


class Entries(Below):
    """A list of keys of a declared class."""

    def read(self, value: Any, at: At) -> tuple[Any, ...]:
        """An object of the class for each."""
        if not isinstance(value, list):
            at.misfit("a list", value)
            return ()
        return tuple(_read(self.kind, each, at.entry(number), self.defaults) for number, each in enumerate(value))

    def __get_pydantic_core_schema__(self, _source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        """A list of models."""
        from pydantic_core import core_schema

        entries = core_schema.tuple_schema([handler.generate_schema(self.kind)], variadic_item_index=0)
        return core_schema.nullable_schema(entries)


class Keyed(Below):
    """Keys of a declared class, by names of the user's own."""

    def __init__(self, kind: type[Declared], check: Callable[[str], object], *, pattern: str) -> None:
        """Take what raises a `SettingsError` for a name that does not do, and the pattern of names."""
        super().__init__(kind)
        self.check, self.pattern = check, pattern

    def read(self, value: Any, at: At) -> dict[str, Any]:
        """An object of the class for each name."""
        found = {str(name): each for name, each in at.mapping(value).items() if each is not None}
        for name in found:
            at.below(name).tried(self.check, name)
        return {name: _read(self.kind, each, at.below(name), self.defaults) for name, each in found.items()}

    def __get_pydantic_core_schema__(self, _source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Models by names."""
        from pydantic_core import core_schema

        names = core_schema.str_schema(pattern=f"^(?:{self.pattern})$")
        return core_schema.nullable_schema(core_schema.dict_schema(names, handler.generate_schema(self.kind)))
