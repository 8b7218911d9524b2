"""What a store holds after many puts is what it held before; leases follow processes and threads around."""

import json
import os
import pickle
import random
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np

import bodega
from bodega.memory import locks, pool

LONG = bool(os.environ.get("BODEGA_STRESS"))
CYCLES, NBYTES = (1_000, 64 << 20) if LONG else (12, 8 << 20)
SEED = int(os.environ.get("BODEGA_SEED", random.randrange(1 << 32)))
SIZE = 2 << 20


def test_bytes_descriptors_and_maps_end_where_they_began(root):
    program = str(Path(__file__).with_name("_cycles.py"))
    arguments = [str(root), str(CYCLES), str(NBYTES), str(SEED)]
    print(f"seed {SEED}")
    done = subprocess.run([sys.executable, program, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, f"seed {SEED}: {done.stderr[-3000:]}"
    counts = json.loads(done.stdout)
    assert counts["gets"] > 0
    print(f"{NBYTES >> 20} MB: {counts}")


def array(number):
    return np.full(SIZE // 8, float(number))


def is_leased(store, name):
    """Whether anybody maps the segment that the name stands for."""
    descriptor = pool.seize(f"{store._root.runs}/{store.run}/{name}")
    if descriptor is None:
        return True
    locks.release(descriptor)
    return False


class Child:
    """A forked process that does one thing at a time, when told to."""

    def __init__(self, steps):
        self._orders, self._answers = os.pipe(), os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                for step in steps:
                    os.read(self._orders[0], 1)
                    step()
                    os.write(self._answers[1], b"1")
                os._exit(0)
            finally:
                os._exit(1)
        os.close(self._orders[0])
        os.close(self._answers[1])

    def step(self):
        os.write(self._orders[1], b"1")
        assert os.read(self._answers[0], 1) == b"1", "the child failed"

    def wait(self):
        assert os.waitpid(self._pid, 0)[1] == 0
        os.close(self._orders[1])
        os.close(self._answers[0])


def test_a_forked_child_keeps_the_lease_of_its_parent(store):
    store.put("x", array(1))
    held = [store.get("x")]

    def look():
        assert held[0].min() == held[0].max() == 1.0

    child = Child([look, held.clear, lambda: None])
    held.clear()
    assert is_leased(store, "x")
    for number in range(2, 6):
        store.put("x", array(number))
    child.step()
    child.step()
    store.sweep()
    assert store.usage().leftovers == 0
    child.step()
    child.wait()


def test_a_child_that_exits_drops_only_its_own_leases(store):
    store.put("x", array(1))
    store.put("y", array(2))
    held = store.get("x")
    own = []
    child = Child([lambda: own.append(store.get("y")), lambda: None])
    child.step()
    assert is_leased(store, "x") and is_leased(store, "y")
    child.step()
    child.wait()
    assert is_leased(store, "x") and not is_leased(store, "y")
    store.put("x", array(3))
    store.put("y", array(4))
    assert held.min() == held.max() == 1.0


def test_what_a_child_changes_its_parent_does_not_see(store):
    store.put("x", array(1))
    held = store.get("x")
    child = Child([lambda: held.fill(7), lambda: store.put("x", held)])
    child.step()
    assert held.min() == held.max() == 1.0
    child.step()
    child.wait()
    assert held.max() == 1.0 and store.get("x").min() == 7.0


def test_a_forked_child_of_a_process_with_busy_threads_can_use_the_store(store):
    """A child that is forked in the middle of another thread's put or get neither waits for it nor holds its locks."""
    store.put("x", array(0))
    stop = threading.Event()
    errors = []

    def work(number):
        try:
            while not stop.is_set():
                store.put(f"n{number}", array(number))
                assert store.get("x").min() == 0.0
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()

    def use():
        store.put("mine", array(9))
        assert store.get("mine").min() == 9.0
        store.delete("mine")

    try:
        for _ in range(100 if LONG else 10):
            child = Child([use])
            child.step()
            child.wait()
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert errors == []
    store.sweep()
    assert store.usage().leftovers == 0


_SPAWNED = """
import pickle, sys
store, held = pickle.loads(sys.stdin.buffer.read())
assert held.min() == 1.0
value = store.get("x")
value += 1
store.put("y", value)
"""


def test_a_spawned_process_opens_a_pickled_store(store):
    """Nothing is inherited there but what the pickle says; a value that was mapped arrives as a copy."""
    store.put("x", array(1))
    held = store.get("x")
    subprocess.run([sys.executable, "-c", _SPAWNED], input=pickle.dumps((store, held)), check=True)
    assert store.get("y").min() == store.get("y").max() == 2.0
    assert held.max() == 1.0
    assert not is_leased(store, "y")


def test_threads_put_and_get_one_name_at_once(store, tmp_path):
    """All threads see whole objects, and what one holds stays as it was; there is room for what they hold, not for all."""
    store = bodega.open(store.root, capacity=40 << 20, spill=tmp_path / "below")
    errors = []

    def work(seed):
        chance = random.Random(seed)
        held = []
        try:
            for number in range(300 if LONG else 40):
                name = f"n{chance.randrange(20)}"
                if chance.random() < 0.5:
                    store.put(name, array(seed * 1000 + number))
                else:
                    value = store.get(name, None)
                    held = [*held[-1:], value] if value is not None else held
                assert all(each.min() == each.max() for each in held)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    store.sweep(empty_pool=True)
    usage = store.usage()
    assert usage.leftovers == 0 and usage.used <= usage.capacity


def test_a_put_into_a_warm_segment_can_be_persisted_at_once(store, tmp_path):
    """The segment of the pool was locked for writing; the copy to the durable tier reads it."""
    store = bodega.open(store.root, spill=tmp_path / "below")
    for number in range(3):
        store.put("x", array(number))
    store.put("x", array(9), persist=True)
    assert bodega.open(tmp_path / "below", spill=()).get("x").min() == 9.0
