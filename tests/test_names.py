import pytest
from hypothesis import given
from hypothesis import strategies as st

from bodega import InvalidName
from bodega.names import from_filename, to_filename


@given(st.text(min_size=1, max_size=40), st.booleans())
def test_file_names_are_one_to_one_and_safe(name, portable):
    try:
        filename = to_filename(name, portable=portable)
    except InvalidName:
        assert any("\ud800" <= character <= "\udfff" for character in name) or len(name.encode()) > 80
        return
    assert from_filename(filename) == name
    assert "/" not in filename and "\0" not in filename and not filename.startswith(".")
    if portable:
        assert filename.isascii() and not any(
            c.isupper() for c in filename.replace("%", "").translate({ord(c): None for c in "ABCDEF"})
        )


@pytest.mark.parametrize("name", ["", 3, None, "x" * 256, "é" * 200, "\ud800"])
def test_bad_names_are_refused(name):
    with pytest.raises(InvalidName):
        to_filename(name)


def test_names_that_look_alike_stay_apart():
    names = ["a.b", "a_b", "a/b", "a%2Fb", "..", ".", "A", "a", "x@pandas", "é", "e\u0301"]
    for portable in (False, True):
        assert len({to_filename(name, portable=portable) for name in names}) == len(names)
