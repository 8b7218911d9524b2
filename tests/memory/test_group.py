"""A root that is shared with a group: two users in it, a third one out of it."""

import codecs
import os
import stat

import numpy as np
import pytest

import bodega
from bodega.errors import RootError

GROUP = 54_321
pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="to act as other users takes root: sudo make test")


def as_user(user, groups, action):
    """What a function returns, or how it fails, in a forked process of another user."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups(groups)
            os.setgid(user)
            os.setuid(user)
            said = repr(action())
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(writing, said.encode())
        os._exit(0)
    os.close(writing)
    with open(reading, encoding="utf-8") as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return said


@pytest.fixture
def shared(root, tmp_path):
    # What is imported late is imported here: the other users may not be able to read it.
    warm = bodega.open(tmp_path / "warm")
    for value in (np.ones(300_000), "text", 1):
        warm.put("x", value)
        warm.get("x")
    assert warm.get("y", None) is None
    codecs.lookup("ascii")
    os.chmod(root, 0o700)
    os.chown(root, -1, GROUP)
    return bodega.open(root, group=True)


def test_members_share_and_nobody_else_enters(shared, root):
    shared.put("x", np.arange(100_000.0))

    def work():
        store = bodega.open(root, group=True)
        seen = float(store.get("x")[-1])
        for value in (1.0, 2.0, 3.0):
            store.put("x", np.full(300_000, value))
            store.put("small", value)
        store.with_run("mine").put("z", "text")
        store.sweep()
        return store.names(), seen

    assert as_user(7001, [GROUP], work) == "(['small', 'x'], 99999.0)"
    assert as_user(7002, [GROUP], work) == "(['small', 'x'], 3.0)"
    assert shared.get("x").max() == 3.0
    assert shared.with_run("mine").get("z") == "text"
    shared.with_run("mine").put("z", 2)
    shared.put("x", 3)
    shared.delete("small")
    assert as_user(7001, [GROUP], lambda: bodega.open(root, group=True).drop_run("mine")) == "1"
    shared.sweep(empty_pool=True)
    assert shared.usage().leftovers == 0
    assert as_user(7003, [], lambda: bodega.open(root, group=True)).startswith("RootError")


def test_a_member_must_ask_for_it(shared, root):
    assert "group=True" in as_user(7001, [GROUP], lambda: bodega.open(root))
    assert bodega.open(root).names() == []


def test_modes_are_the_groups(shared, root):
    shared.put("x", np.ones(300_000))
    bodega.open(root, run="short", time_to_live=60).put("x", 1)
    assert {stat.S_IMODE(path.stat().st_mode) for path in root.rglob("*") if path.is_file()} == {0o640, 0o660}
    assert {stat.S_IMODE(path.stat().st_mode) for path in root.rglob("*") if path.is_dir()} == {0o2770}
    assert {path.stat().st_gid for path in root.rglob("*")} == {GROUP}


def test_a_root_of_one_user_stays_so(root):
    os.chmod(root, 0o700)
    bodega.open(root)
    with pytest.raises(RootError, match="one user"):
        bodega.open(root, group=True)
