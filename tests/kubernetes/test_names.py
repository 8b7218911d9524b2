import re

from hypothesis import given
from hypothesis import strategies as st

from bodega.kubernetes.names import MAX_LABEL, unique_names

RFC_1123 = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")


def test_names_that_fit_stay_as_they_are():
    assert unique_names(["split", "fit-model"]) == {"split": "split", "fit-model": "fit-model"}


def test_names_read_like_what_they_stand_for():
    assert unique_names(["Features.Fit_Model"]) == {"Features.Fit_Model": "features-fit-model"}
    assert unique_names(["split([cars,prices]) -> [train]"]) == {
        "split([cars,prices]) -> [train]": "split-cars-prices-train"
    }


def test_a_name_that_begins_with_a_digit_can_be_waited_for():
    assert unique_names(["2nd"]) == {"2nd": "task-2nd"}


def test_two_that_read_the_same_are_told_apart_whatever_their_order():
    names = unique_names(["a.b", "a_b", "c"])
    assert names["c"] == "c" and len(set(names.values())) == 3
    assert all(re.fullmatch(r"a-b-[0-9a-f]{8}", names[name]) for name in ("a.b", "a_b"))
    assert unique_names(["c", "a_b", "a.b"]) == names


def test_what_is_taken_is_not_given_again():
    assert unique_names(["choose_host"], taken=["choose-host"])["choose_host"].startswith("choose-host-")


def test_parameters_keep_capitals_and_underscores():
    assert unique_names(["Learning_Rate", "a.b c"], parameters=True) == {
        "Learning_Rate": "Learning_Rate",
        "a.b c": "a-b-c",
    }


@given(st.sets(st.text(min_size=1, max_size=100), max_size=20), st.booleans())
def test_any_names_become_valid_and_unique(names, parameters):
    valid = unique_names(names, taken=["image"], parameters=parameters)
    assert set(valid) == names and len(set(valid.values())) == len(names)
    for name in valid.values():
        assert len(name) <= MAX_LABEL and name != "image"
        assert re.fullmatch(r"[-A-Za-z0-9_]+", name) if parameters else RFC_1123.fullmatch(name)
        assert parameters or not name[0].isdigit()
