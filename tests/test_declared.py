"""Keys that are declared once: read by the rules, and known to pydantic by the same."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

import pytest
from pydantic import TypeAdapter, ValidationError

from bodega.declared import (
    DURATION,
    FLAG,
    NOT_A_KEY,
    TEXT,
    Below,
    Declared,
    Entries,
    Keyed,
    Pairs,
    Texts,
    choice,
    count,
    read,
)
from bodega.errors import SettingsError


@dataclass(frozen=True)
class Box(Declared):
    """A box."""

    name: Annotated[str, TEXT] = "box"
    """Name of the box."""
    lid: Annotated[bool, FLAG] = False
    """Whether it has a lid."""

    @classmethod
    def check(cls, given, at):
        if given.get("lid") and "name" not in given:
            at.say("has a lid, but no name.", kind="entry")


@dataclass(frozen=True)
class Shelf(Declared):
    """A shelf."""

    boxes: Annotated[tuple[Box, ...], Entries(Box)] = ()
    """Boxes on it."""
    best: Annotated[Box, Below(Box, name="best")] = field(default_factory=Box)
    """The best box."""
    by_owner: Annotated[Mapping[str, Box], Keyed(Box, str, pattern="[a-z]+")] = field(default_factory=dict)
    """Boxes by their owners."""
    kind: Annotated[str, choice("wood", "steel")] = "wood"
    """What it is made of."""
    floors: Annotated[int, count(1)] = 3
    """Number of its floors."""
    lent: Annotated[float | None, DURATION] = None
    """Time for which it is lent."""
    notes: Annotated[Mapping[str, str], Pairs(str, pattern=".*")] = field(default_factory=dict)
    """Notes on it."""
    tags: Annotated[tuple[str, ...], Texts("a list of tags")] = ()
    """Tags of it."""
    place: Annotated[str, NOT_A_KEY] = "here"
    """Where it is, which no file says."""


GOOD = {
    "boxes": [{"name": "a", "lid": True}, {}],
    "best": {"lid": False},
    "by_owner": {"ann": {"name": "b"}},
    "kind": "steel",
    "floors": 2,
    "lent": "2h",
    "notes": {"seen": True, "count": 3},
    "tags": "old",
}


def test_values_are_read_by_the_rules():
    shelf = read(Shelf, GOOD, source="f.yml")
    assert shelf == Shelf(
        (Box("a", lid=True), Box()), Box("best"), {"ann": Box("b")}, "steel", 2, 7200.0, {"seen": "true", "count": "3"}, ("old",)
    )  # fmt: skip
    assert read(Shelf, dict.fromkeys(GOOD), source="f.yml") == Shelf(), "null is the default"


def test_all_mistakes_are_named_at_once_each_with_its_place():
    wrong = {"boxes": [{"lid": "yes"}, {"nmae": "x"}, {"lid": True}], "kind": "gold", "lent": "soon", "place": "there"}
    with pytest.raises(SettingsError) as caught:
        read(Shelf, wrong, source="f.yml")
    assert str(caught.value).splitlines() == [
        "The key 'place' in f.yml is not known: the keys are boxes, best, by_owner, kind, floors, lent, notes, tags.",
        "The key 'boxes[0].lid' in f.yml is true or false, not 'yes'.",
        "The key 'boxes[1].nmae' in f.yml is not known: did you mean 'name'?",
        "The entry 'boxes[2]' in f.yml has a lid, but no name.",
        "The key 'kind' in f.yml is one of wood, steel, not 'gold'.",
        (
            "The key 'lent' in f.yml: The duration 'soon' is not understood: write a positive number and one of s, m, h, d, w, such as "
            "'7d'."
        ),
    ]
    assert caught.value.mistakes == tuple(str(caught.value).splitlines())


def test_to_pydantic_the_classes_are_models_and_the_rules_their_validators():
    shelf = TypeAdapter(Shelf)
    assert shelf.validate_python({**GOOD, "best": {"name": "best"}}) == read(Shelf, GOOD, source="f.yml")
    with pytest.raises(ValidationError) as caught:
        shelf.validate_python({"kind": "gold", "lent": "soon", "boxes": [{"lid": 3}], "colour": "red"})
    found = {each["loc"]: each["msg"] for each in caught.value.errors()}
    assert set(found) == {("kind",), ("lent",), ("boxes", 0, "lid"), ("colour",)}
    assert "one of wood, steel, not 'gold'" in found["kind",]
    assert "'soon' is not understood" in found["lent",]


def test_the_json_schema_says_what_keys_are_for_and_leaves_out_what_is_none():
    schema = TypeAdapter(Shelf).json_schema()
    assert "place" not in schema["properties"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["floors"] == {
        "type": "integer", "minimum": 1, "default": 3, "description": "Number of its floors.", "title": "Floors",
    }  # fmt: skip
    assert schema["$defs"]["Box"]["properties"]["lid"]["description"] == "Whether it has a lid."
