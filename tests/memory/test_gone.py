"""Parts of a root that go away beside a store in use: an error that says which, or made again, and never a loop."""

import gc
import os
import shutil
import stat
import sys

import numpy as np
import pytest

import bodega
from bodega.errors import RootError
from bodega.memory import files, pool

LARGE = np.ones(1 << 18)


@pytest.mark.parametrize("part", ["locks", "tmp", "runs", ""])
@pytest.mark.parametrize("value", [1, LARGE], ids=["small", "large"])
def test_a_part_of_the_root_that_is_gone_is_an_error(store, part, value):
    store.put("a", 1)
    shutil.rmtree(store.root / part)
    with pytest.raises(RootError, match="gone"):
        store.put("b", value)
    assert part == "" or not (store.root / part).exists()
    assert part != "" or not store.root.exists()


@pytest.mark.parametrize("act", [lambda s: s.delete("a"), lambda s: s.sweep(), lambda s: s.drop_run()])
def test_locks_that_are_gone_are_no_missing_object(store, act):
    store.put("a", 1)
    shutil.rmtree(store.root / "locks")
    with pytest.raises(RootError, match="gone"):
        act(store)


def test_a_pool_that_was_cleaned_away_is_made_again(store):
    store.put("a", LARGE)
    shutil.rmtree(store.root / "pool")
    assert store.usage().pool == 0
    store.put("a", LARGE)
    store.with_run("other").put("b", LARGE)
    store.delete("a")
    store.sweep()
    assert stat.S_IMODE((store.root / "pool").stat().st_mode) == 0o700
    shutil.rmtree(store.root / "pool")
    store.put("a", LARGE)
    store.warm_up(1 << 20)
    assert store["a"].sum() == LARGE.sum()


def test_a_draft_that_a_cleaner_removed_is_an_error(store):
    store.put("s", 1)
    with pytest.raises(RootError, match="removed by another program"), store.stream("s") as writer:
        writer.append(LARGE)
        for draft in (store.root / "tmp").iterdir():
            draft.unlink()
    assert store["s"] == 1


def test_a_run_that_is_dropped_again_and_again_ends_the_put(store, monkeypatch):
    real = files.name_lock

    def drop_first(root, path):
        shutil.rmtree(os.path.dirname(path), ignore_errors=True)
        return real(root, path)

    monkeypatch.setattr(files, "name_lock", drop_first)
    with pytest.raises(bodega.StoreBusy, match="dropped"):
        store.put("x", 1)
    assert store.usage().used == 0


@pytest.mark.parametrize("leave", ["exit", "close", "forget"])
def test_a_child_forked_in_a_stream_does_not_undo_it(store, leave):
    writer = store.stream("s")
    writer.append(LARGE)
    child = os.fork()
    if child == 0:
        try:
            with pytest.raises(RuntimeError, match="forked"):
                writer.append(LARGE) if leave == "exit" else writer.publish()
            if leave == "close":
                writer.close()
            del writer
            gc.collect()
            sys.exit(0)
        except SystemExit:
            os._exit(0)
        except BaseException:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    assert store.usage().leftovers == 1
    writer.append(LARGE)
    writer.publish()
    assert len(list(store["s"])) == 2


def test_a_child_does_not_release_a_lock_of_its_parent(store):
    with store._root.lock("test", "A test") as descriptor:
        child = os.fork()
        if child == 0:
            os._exit(0 if descriptor.number == -1 else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert pool.seize(str(store.root / "locks" / "test")) is None


def test_a_backup_of_hard_links_keeps_its_bytes(store, tmp_path):
    for number in range(3):
        store.put(f"x{number}", np.full(1 << 18, float(number)))
    backup = store.root.parent / f"{store.root.name}-backup"
    try:
        shutil.copytree(store.root, backup, copy_function=os.link)
        (backup / "locks" / "usage").unlink()
        for number in range(3):
            store.put(f"x{number}", np.full(1 << 18, 7.0))
            store.put(f"y{number}", np.full(1 << 18, 8.0))
        copied = bodega.open(backup)
        assert [float(copied[f"x{number}"].max()) for number in range(3)] == [0.0, 1.0, 2.0]
    finally:
        shutil.rmtree(backup, ignore_errors=True)


def test_what_is_warm_and_has_another_name_is_not_written_over(store, tmp_path):
    store.put("x", LARGE)
    store.delete("x")
    (warm,) = (store.root / "pool").iterdir()
    backup = store.root.parent / f"{store.root.name}-backup"
    os.link(warm, backup)
    try:
        store.put("x", LARGE * 2)
        assert np.frombuffer(backup.read_bytes(), "f8", LARGE.size, 4096)[0] == 1.0
    finally:
        backup.unlink()


def test_no_folder_is_open_to_others_whatever_the_umask(root):
    old = os.umask(0)
    try:
        store = bodega.open(root / "a" / "b" / "store", spill=root / "c" / "lower", run="r")
        store.put("x", 1, persist=True)
        store.put("y", LARGE)
    finally:
        os.umask(old)
    wide = [path for path in root.rglob("*") if stat.S_IMODE(path.stat().st_mode) & 0o022]
    assert wide == []
    inside = [path for path in (root / "a/b/store").rglob("*") if stat.S_IMODE(path.stat().st_mode) & 0o077]
    assert inside == []
