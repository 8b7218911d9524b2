"""Parameters as texts and back: nothing is guessed of a text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bodega.errors import SettingsError
from bodega.kedro.project.parameters import from_text, from_texts, is_passable, to_text, used_parameters

PROJECT = {
    "name": "a", "depth": 3, "rate": 0.5, "fast": True, "columns": ["a"], "model": {"depth": 3, "kind": "tree"},
    "a.b": 1, "nothing": None,
}  # fmt: skip

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("name", "007", "007"),
        ("name", "true", "true"),
        ("name", 'a,b: "c" {d}', 'a,b: "c" {d}'),
        ("name", "", ""),
        ("depth", "7", 7),
        ("depth", "-7", -7),
        ("rate", "7", 7.0),
        ("rate", "1e-3", 0.001),
        ("fast", "false", False),
        ("columns", '["a", "b,c", "007"]', ["a", "b,c", "007"]),
        ("columns", "[x, y]", ["x", "y"]),
        ("model", '{"depth": 7}', {"depth": 7}),
        ("nothing", "7", 7),
        ("nothing", "null", None),
    ],
)
def test_the_type_is_the_projects(name, text, value):
    found = from_texts({name: text}, PROJECT)[name]
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("depth", "007", "a whole number"),
        ("depth", "7.5", "a whole number"),
        ("depth", "many", "a whole number"),
        ("depth", "true", "a whole number"),
        ("depth", "1_000", "a whole number"),
        ("rate", "fast", "a number"),
        ("rate", "true", "a number"),
        ("fast", "1", "true or false"),
        ("columns", "a", "a list"),
        ("model", "[1]", "keys and values"),
        ("model", "{", "keys and values"),
    ],
)
def test_a_mismatch_names_the_parameter_its_type_and_the_text(name, text, kind):
    with pytest.raises(SettingsError) as error:
        from_texts({name: text}, PROJECT)
    assert f"'{name}' is {kind} in the project, not {text!r}" in str(error.value)


def test_nested_parameters_have_dots():
    assert from_texts({"model.depth": "7", "a.b": "2", "model.kind": "7"}, PROJECT) == {
        "model": {"depth": 7, "kind": "7"}, "a.b": 2,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "hint"), [("dept", "'depth'"), ("model.dept", "'model.depth'"), ("xyz", "There are name, ")]
)
def test_an_unknown_parameter_has_near_matches(name, hint):
    with pytest.raises(SettingsError, match=hint):
        from_texts({name: "1"}, PROJECT)


@given(values)
def test_what_is_passable_comes_back_the_same(value):
    if is_passable(value):
        found = from_text("any", to_text(value), value)
        assert found == value and type(found) is type(value)


@pytest.mark.parametrize("value", [object(), {"a": object()}, "{{workflow.uid}}", ["{{item}}"], float("nan")])
def test_what_is_not_passable_is_known(value):
    assert not is_passable(value)


@pytest.mark.parametrize("value", ["", "007", "null", 0, 1.0, [], {}, {"0": 1}, {0: ["a"], "None": [1]}, None, "a\nb"])
def test_what_people_write_is_passable(value):
    assert is_passable(value)


def test_used_parameters_are_those_that_nodes_read():
    assert used_parameters(["params:depth", "params:model.kind", "params:a.b", "x"], PROJECT) == {
        "depth": 3, "model": PROJECT["model"], "a.b": 1,
    }  # fmt: skip
    assert used_parameters(["parameters"], PROJECT) == PROJECT
