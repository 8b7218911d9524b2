"""A root that is shared with a group: two users in it, a third one out of it."""

import codecs
import os
import shutil
import stat
import tempfile
from pathlib import Path

import numpy as np
import pytest

import bodega
from bodega.doctor.checks import check_root
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


# --- what a member may put there ---


VICTIM = 7002


def precious(parent, owner):
    """A folder of a user's, with a file in it."""
    parent.chmod(0o755)
    folder = parent / "keys"
    folder.mkdir(mode=0o700)
    (folder / "id").write_bytes(b"precious")
    (folder / "id").chmod(0o600)
    for path in (folder, folder / "id"):
        os.chown(path, owner, -1)
    return folder


@pytest.fixture
def elsewhere():
    parent = tempfile.mkdtemp(prefix="bodega-test-", dir="/dev/shm")
    yield precious(Path(parent), VICTIM)
    shutil.rmtree(parent)


def make_fifo(path):
    os.mkfifo(path)
    os.chmod(path, 0o666)


def is_untouched(folder):
    status = (folder / "id").stat()
    return (folder / "id").read_bytes() == b"precious" and stat.S_IMODE(status.st_mode) == 0o600


@pytest.mark.parametrize("act", [
    lambda store: store.drop_run("nightly"),
    lambda store: store.with_run("nightly").delete("id"),
    lambda store: store.with_run("nightly").put("id", 1),
    lambda store: store.with_run("nightly").get("id"),
    lambda store: store.with_run("nightly").pin("id"),
    lambda store: store.with_run("nightly").exists("id"),
    lambda store: store.sweep(),
    lambda store: store.runs(),
])  # fmt: skip
def test_a_run_that_is_a_link_leads_nowhere(shared, root, elsewhere, act):
    os.symlink(elsewhere, root / "runs" / "nightly")
    said = as_user(VICTIM, [GROUP], lambda: act(bodega.open(root, group=True)))
    assert "RootError" in said or not said[:1].isalpha() or said.startswith("Swept")
    assert is_untouched(elsewhere)
    assert sorted(path.name for path in elsewhere.iterdir()) == ["id"]


@pytest.mark.parametrize("part", ["runs", "tmp", "pool", "locks"])
def test_a_folder_of_the_root_that_is_a_link_leads_nowhere(shared, root, elsewhere, part):
    shared.put("x", np.ones(300_000))
    os.rename(root / part, root / f"{part}-old")
    os.symlink(elsewhere, root / part)

    def work():
        store = bodega.open(root, group=True)
        store.put("x", np.ones(300_000))
        store.sweep(empty_pool=True)

    assert as_user(VICTIM, [GROUP], work).startswith("RootError")
    assert is_untouched(elsewhere)
    assert sorted(path.name for path in elsewhere.iterdir()) == ["id"]


def test_an_object_that_is_a_link_is_neither_pinned_nor_removed_through(shared, root, elsewhere):
    shared.with_run("mine").put("y", 1)
    os.symlink(elsewhere / "id", root / "runs" / "mine" / "x")

    def work(act):
        return as_user(VICTIM, [GROUP], lambda: act(bodega.open(root, group=True, run="mine")))

    assert "LayoutError" in work(lambda store: store.pin("x"))
    assert "LayoutError" in work(lambda store: store.get("x"))
    work(lambda store: store.delete("x"))
    assert is_untouched(elsewhere)


@pytest.mark.parametrize("make", [make_fifo, os.mkdir, lambda path: os.symlink("/dev/zero", path)])
@pytest.mark.parametrize("place", ["runs/old/.time-to-live", "runs/old/x", "tmp/" + "0" * 32, "pool/0-100000-0"])
def test_what_is_no_file_stops_nobody(shared, root, make, place):
    shared.with_run("old").put("y", 1)
    make(root / place)

    def work():
        store = bodega.open(root, group=True)
        store.put("x", np.ones(300_000))
        store.sweep()
        return store.usage().runs

    assert as_user(VICTIM, [GROUP], work) == "2"
    assert "Error" not in as_user(VICTIM, [GROUP], lambda: bodega.open(root, group=True).drop_run("old"))


@pytest.mark.parametrize("make", [make_fifo, os.mkdir, lambda path: os.symlink("/dev/zero", path)])
@pytest.mark.parametrize("place", ["locks/usage", "locks/temporaries", "bodega-root.json", "store.json"])
def test_what_is_no_file_of_a_store_is_named(shared, root, make, place):
    (root / place).unlink(missing_ok=True)
    make(root / place)

    def work():
        store = bodega.open(root, group=True)
        store.put("x", 1)

    said = as_user(VICTIM, [GROUP], work)
    assert said.startswith("RootError") and place in said


def test_another_members_segment_is_never_written_to(shared, root):
    """Its owner could change what is in it afterwards, or cut it short under its readers."""
    path = root / "pool" / f"{0:016x}-{2_400_000:x}-{'0' * 32}"
    path.write_bytes(bytes(2_400_000))
    path.chmod(0o666)

    def work():
        store = bodega.open(root, group=True)
        store.put("x", np.ones(300_000))
        return os.stat(root / "runs/default/x").st_uid

    assert as_user(VICTIM, [GROUP], work) == str(VICTIM)


def test_a_run_with_a_time_to_live_takes_objects_of_all_members(shared, root):
    bodega.open(root, group=True, run="short", time_to_live=60).put("x", 1)

    def work():
        store = bodega.open(root, group=True, run="short", time_to_live=120)
        store.put("y", 2)
        return store.names()

    assert as_user(VICTIM, [GROUP], work) == "['x', 'y']"


def test_doctor_finds_a_shared_root_healthy(shared, root):
    assert check_root(root, os.getuid()).level == "ok"
    assert as_user(VICTIM, [GROUP], lambda: check_root(root, VICTIM).level) == "'ok'"
    assert as_user(7003, [], lambda: check_root(root, 7003).level) == "'error'"
