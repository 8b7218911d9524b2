"""The races that the protocol names, forced at the very moment that matters, and then in a crowd of processes."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import bodega
from bodega.memory import drafts, files, locks, pool
from bodega.memory.root import open_root
from bodega.memory.sweep import sweep
from bodega.tiers.directory import DirectoryTier

SIZE = 1 << 20
LONG = bool(os.environ.get("BODEGA_STRESS"))


def uniform(value):
    return np.full(SIZE // 8, value)


def test_a_reader_compares_the_name_only_under_the_lock(store, monkeypatch):
    """Between open and lock the segment is replaced and rewritten under another name."""
    store.put("x", uniform(1.0))
    real, done = locks.try_shared, []

    def replace_first(descriptor):
        if not done:
            done.append(1)
            store.put("x", uniform(2.0))
            store.put("y", uniform(3.0))
        return real(descriptor)

    monkeypatch.setattr(locks, "try_shared", replace_first)
    assert store.get("x").max() == 2.0


def test_a_name_changes_only_under_its_lock(store):
    """While a name's lock is held, neither a put nor a delete touches the name."""
    store.put("x", 1)
    with files.name_lock(store._root, f"{store._root.runs}/default/x"):
        other = threading.Thread(target=store.delete, args=("x",))
        other.start()
        time.sleep(0.2)
        assert store.exists("x") and other.is_alive()
    other.join(300)
    assert not store.exists("x")


def test_a_mapped_segment_is_never_taken_for_writing(store):
    store.put("x", uniform(1.0))
    held = store.get("x")
    path = f"{store._root.runs}/default/x"
    assert pool.seize(path) is None
    store.put("x", uniform(2.0))
    assert pool.take(store._root, SIZE) is None
    del held
    store.sweep()
    if store._root.capabilities.exchange:
        warm = pool.take(store._root, SIZE)
        assert warm is not None
        locks.release(warm.descriptor)


def test_the_lease_survives_in_a_forked_child(store):
    store.put("x", uniform(1.0))
    held = store.get("x")
    ready, finish = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.write(ready[1], b"1")
        os.read(finish[0], 1)
        os._exit(0)
    os.read(ready[0], 1)
    del held
    assert pool.seize(f"{store._root.runs}/default/x") is None
    os.write(finish[1], b"1")
    os.waitpid(child, 0)
    descriptor = pool.seize(f"{store._root.runs}/default/x")
    assert descriptor is not None
    locks.release(descriptor)
    for number in (*ready, *finish):
        os.close(number)


@pytest.mark.skipif(not os.path.exists("/proc/locks"), reason="the table of locks is of Linux")
def test_many_leases_of_one_object_have_two_locks(store):
    """Each lock of a file makes each other one slower; and the object is held until the last mapping goes."""
    store.put("x", uniform(1.0))
    path = f"{store._root.runs}/default/x"
    inode = f":{os.stat(path).st_ino} "
    held = [store.get("x") for _ in range(20)]
    with open("/proc/locks", encoding="ascii") as table:
        assert sum(inode in line for line in table) == 2
    held[3][:] = 2.0
    assert [array.max() for array in held].count(1.0) == 19
    while held:
        assert pool.seize(path) is None
        held.pop(0)
    descriptor = pool.seize(path)
    assert descriptor is not None
    locks.release(descriptor)


def test_an_exclusive_lock_ends_although_a_child_has_its_descriptor(store):
    with locks.Exclusive(f"{store._root.locks}/test", "A test"):
        child = os.fork()
        if child == 0:
            time.sleep(600)
            os._exit(0)
    with locks.Exclusive(f"{store._root.locks}/test", "A test"):
        pass
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def test_an_exclusive_lock_ends_although_its_open_file_lives_on(store):
    """A child that was forked past Python, as by a C library, keeps a copy that no hook closes."""
    with locks.Exclusive(f"{store._root.locks}/test", "A test") as descriptor:
        copy = os.dup(descriptor.number)
    other = os.open(f"{store._root.locks}/test", os.O_RDWR)
    try:
        assert locks.try_exclusive(other)
    finally:
        os.close(other)
        os.close(copy)


def test_a_segment_that_moved_before_it_was_locked_is_not_taken(store, monkeypatch):
    """Between open and lock another process takes the segment out of the pool, and lets go of it again."""
    path = f"{store._root.pool}/segment"
    Path(path).write_bytes(bytes(10))
    real = locks.try_exclusive

    def move_first(descriptor):
        os.rename(path, f"{store._root.tmp}/moved")
        return real(descriptor)

    monkeypatch.setattr(locks, "try_exclusive", move_first)
    assert pool.seize(path) is None


def test_a_sweep_waits_for_a_temporary_file_that_is_being_made(store):
    """Where files cannot be nameless, one has its name a moment before it has its lock."""
    path = Path(store._root.temporary())
    with store._root.temporary_names():
        path.write_bytes(bytes(10))
        other = threading.Thread(target=store.sweep)
        other.start()
        time.sleep(0.2)
        assert path.exists() and other.is_alive()
    other.join(300)
    assert not path.exists()


def test_a_sweep_leaves_what_opening_a_store_tries(store):
    """Its small files have no lock for a moment, and what it finds must not hang on a sweep that has theirs."""
    usual, done = store._root.capabilities, threading.Event()

    def sweep_on():
        while not done.is_set():
            sweep(store._root)

    with ThreadPoolExecutor(2) as threads:
        sweeps = [threads.submit(sweep_on) for _ in range(2)]
        try:
            assert all(open_root(store.root).capabilities == usual for _ in range(400))
        finally:
            done.set()
        for future in sweeps:
            future.result()


def test_a_sweep_leaves_what_is_being_written(store):
    with drafts.Draft(store._root, DirectoryTier(store._root).admission, "raw") as draft:
        draft.begin(10)
        draft.write(0, [memoryview(b"0123456789")])
        assert sweep(store._root).files == 0
        draft.publish(f"{store._root.runs}/default", "raw")
    assert (store.root / "runs/default/raw").read_bytes() == b"0123456789"


def test_a_draft_that_fails_leaves_nothing(store):
    with (
        pytest.raises(ZeroDivisionError),
        drafts.Draft(store._root, DirectoryTier(store._root).admission, "raw") as draft,
    ):
        draft.begin(10)
        draft.write(0, [memoryview(b"0123456789")])
        1 / 0
    assert store.usage().leftovers == 0 and store.usage().used == 0


def test_a_run_dropped_in_the_middle_of_a_put_is_made_again(store, monkeypatch):
    store.put("y", 1)
    real, done = files.name_lock, []

    def drop_first(root, path):
        if not done:
            done.append(1)
            store.drop_run()
        return real(root, path)

    monkeypatch.setattr(files, "name_lock", drop_first)
    store.put("x", 2)
    assert store["x"] == 2


def test_a_stopped_holder_costs_the_deadline_only(store, monkeypatch):
    monkeypatch.setattr(locks, "DEADLINE", 0.05)
    store.put("x", 1)
    with ThreadPoolExecutor(1) as other:
        descriptor = other.submit(pool.seize, f"{store._root.runs}/default/x").result()
    assert descriptor is not None
    with pytest.raises(bodega.StoreBusy, match="locked by another process"):
        store.get("x")
    locks.release(descriptor)
    assert store["x"] == 1


def start_member(store, seed, seconds):
    """A process that puts, gets, overwrites, deletes and sweeps at random."""
    program = Path(__file__).with_name("crowd.py")
    command = [sys.executable, str(program), str(store.root), str(seed), str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_a_crowd_never_sees_a_torn_or_wrong_object(store):
    crowd = [start_member(store, seed, 60 if LONG else 4) for seed in range(4)]  # And 300 operations each.
    outputs = [member.communicate()[0] for member in crowd]
    assert [member.returncode for member in crowd] == [0] * len(crowd)
    counts = [json.loads(output) for output in outputs]
    gets = sum(count["gets"] for count in counts)
    assert sum(count["wrong"] for count in counts) == 0 and gets > 100
    print(f"{gets} gets, 0 wrong")


def test_killed_processes_leave_nothing_torn_and_nothing_leaked(store):
    rounds = 1_000 if LONG else 24
    chance = random.Random(0)
    crowd = []
    for count in range(rounds):
        crowd.append(start_member(store, count, 60))
        # Some die while they start, most in the middle of their work.
        time.sleep(chance.random() * 0.4)
        if len(crowd) > 3:
            kill(crowd.pop(chance.randrange(len(crowd))))
    for victim in crowd:
        kill(victim)
    for name in store:
        value = store[name]
        assert value.min() == value.max()
    value = None
    store.sweep()
    assert store.usage().leftovers == 0
    store.drop_run()
    store.sweep(empty_pool=True)
    assert store.usage().used == 0
    assert os.listdir(store.root / "tmp") == os.listdir(store.root / "pool") == []
    print(f"{rounds} kills, nothing torn, nothing left")


def kill(process):
    process.kill()
    process.communicate()
