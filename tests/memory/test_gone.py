"""Parts of a root that go away beside a store in use: an error that says which, or made again, and never a loop."""

import gc
import os
import re
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


def make_fifo(path):
    os.mkfifo(path)


def link_to_nowhere(path):
    path.symlink_to("/nowhere/at/all")


def link_to_itself(path):
    path.symlink_to(path)


def append(store):
    with store.stream("s") as writer:
        writer.append(LARGE)


OPERATIONS = {
    "put": lambda store: store.put("b", 1),
    "put over": lambda store: store.put("a", 1),
    "put large": lambda store: store.put("b", LARGE),
    "put large over": lambda store: store.put("large", LARGE),
    "stream": append,
    "get": lambda store: store.get("a"),
    "get large": lambda store: store.get("large"),
    "get with a default": lambda store: store.get("nothing", None),
    "info": lambda store: store.info("a"),
    "exists": lambda store: store.exists("a"),
    "names": lambda store: store.names(),
    "list": lambda store: store.list(),
    "runs": lambda store: store.runs(),
    "delete": lambda store: store.delete("a"),
    "delete large": lambda store: store.delete("large"),
    "pin": lambda store: store.pin("a"),
    "drop": lambda store: store.drop_run(),
    "usage": lambda store: store.usage(),
    "sweep": lambda store: store.sweep(empty_pool=True),
    "warm up": lambda store: store.warm_up("2MiB"),
    "another run": lambda store: store.with_run("other").put("x", 1),
    "keep settings": lambda store: store.keep_settings(),
    "open": lambda store: bodega.open(store.root, run="r"),
}
PARTS = ["runs", "tmp", "pool", "locks", "runs/r", "locks/usage", ""]


@pytest.mark.parametrize("make", [make_fifo, link_to_nowhere, link_to_itself])
@pytest.mark.parametrize("part", PARTS)
def test_a_part_of_the_root_that_is_something_else_is_named_by_whatever_needs_it(root, part, make):
    failed = []
    for name, act in OPERATIONS.items():
        store = bodega.open(root / name, run="r")
        store.put("a", 1)
        for _ in range(2):
            store.put("large", LARGE)
        foreign = store.root / part
        shutil.rmtree(foreign) if foreign.is_dir() else foreign.unlink()
        make(foreign)
        try:
            act(store)
        except RootError as error:
            assert str(foreign) in str(error), (name, str(error))
            # Of a link that leads nowhere in the place of all it can be said as well that the root is gone.
            assert re.search("by hand|remove it|gone", str(error), re.IGNORECASE), (name, str(error))
            failed.append(name)
    assert {"put large", "put large over", "stream"} <= set(failed)
    assert part == "pool" or {"put", "put over"} <= set(failed)


@pytest.mark.parametrize("part", ["runs", "tmp", "pool"])
def test_a_part_of_a_lower_folder_that_is_something_else_is_named(root, part):
    store = bodega.open(root / "above", run="r", spill=root / "below", capacity="3MiB")
    store.put("a", LARGE)
    shutil.rmtree(root / "below" / part)
    (root / "below" / part).touch()
    with pytest.raises(bodega.BodegaError, match=f"{root / 'below' / part} is a link or a file"):
        store.put("b", LARGE) and store.sweep()


@pytest.mark.parametrize("part", ["runs", "runs/r", "tmp/new", "pool", "locks"])
def test_no_store_lies_among_the_objects_of_another(root, part):
    bodega.open(root / "one", run="r").put("a", 1)
    inside = root / "one" / part
    for again in (lambda: bodega.open(inside), lambda: bodega.open(root / "two", spill=inside)):
        with pytest.raises(RootError, match=f"lies inside the store {root / 'one'}.*outside"):
            again()


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


def test_a_run_that_comes_again_while_it_is_looked_for_is_no_fault(store, monkeypatch):
    store.put("x", 1)
    store.drop_run()
    real, folder = os.stat, f"{store.root}/runs/default"

    def put_meanwhile(path, **options):
        try:
            return real(path, **options)
        except FileNotFoundError:
            if path == folder:
                os.makedirs(folder)
            raise

    for act in (lambda: store.exists("x"), lambda: store.get("x", None), lambda: store.names()):
        with monkeypatch.context() as patched:
            patched.setattr(os, "stat", put_meanwhile)
            assert not act()
        assert os.path.isdir(folder)
        os.rmdir(folder)


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
