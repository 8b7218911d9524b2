"""Every system call of every operation fails, once and for ever: a clear error, the old object, and nothing left."""

import errno
import fcntl
import gc
import itertools
import mmap
import os
import random
import shutil
import sys
import warnings
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

import bodega
from bodega.errors import BodegaError, ObjectNotFound, StoreFull
from bodega.memory import descriptors as memory_descriptors
from bodega.memory import lease, ledger, locks, pool
from bodega.memory.sweep import INTERVAL
from bodega.tiers.eviction import Eviction
from bodega.tiers.stored import sealed

sys.path.insert(0, str(Path(__file__).parent))
from _injection import ERRNOS, Call, Plan, failing
from _values import bytes_on_disk, check, checksum, make

sys.path.pop(0)

LONG = bool(os.environ.get("BODEGA_STRESS"))
SEED = int(os.environ.get("BODEGA_SEED", random.randrange(1 << 32)))
SMALL, MAPPED, LARGE = 200, 100_000, 1_100_000
GONE = None


def long_stream(name, counter):
    """A value whose pickle stream is too long to be held in memory."""
    data = np.full(9 << 20, counter, np.uint8).tobytes()
    return {"name": name, "counter": counter, "checksum": checksum(data), "data": data}


class Scenario(NamedTuple):
    """One operation: what there is before it, and what its success would make of that."""

    prepare: object
    act: object
    before: dict
    """Counters of the values by name; GONE where there is none."""
    after: dict
    options: dict = {}
    disk: bool = False


def put(counter, size, name="x", **options):
    return lambda store: store.put(name, make(name, counter, size), **options)


def read(name="x", counter=1):
    def act(store):
        assert check(store.get(name), name) == counter

    return act


def steps(*actions):
    def act(store):
        for action in actions:
            action(store)

    return act


def warm_pool(store):
    """One warm segment that fits, and the object that is to be replaced."""
    put(1, LARGE)(store)
    put(9, LARGE, "spare")(store)
    store.delete("spare")


def below(*names):
    """Evict objects to the disk: whatever is not read stays there."""

    def act(store):
        for name in names:
            Eviction(store._stack.lower[0], store._stack.transfers).move(store._stack.top, store.run, name)
            assert store.info(name).tier != str(store.root)

    return act


def evict(store):
    Eviction(store._stack.lower[0], store._stack.transfers).move(store._stack.top, store.run, "x")


def sweep_with_leftovers(store):
    """What a writer leaves that was killed, an expired run, and an object beside them."""
    put(1, LARGE)(store)
    for number, size in enumerate((0, 5000, LARGE)):
        with open(f"{store.root}/tmp/{number:032x}", "wb") as file:
            file.write(bytes(size))
    other = bodega.open(store.root, run="old", time_to_live=0.001)
    other.put("y", 1)
    os.utime(f"{store.root}/runs/old", (0, 0))


def put_that_sweeps(store):
    sweep_with_leftovers(store)
    path = f"{store.root}/locks/swept"
    Path(path).touch()
    os.utime(path, (0, os.stat(path).st_mtime - 2 * INTERVAL))


def put_at_once(store):
    store._next_look = 0.0
    put(2, SMALL)(store)


NOTHING = steps()
SCENARIOS = {
    "put fresh": Scenario(NOTHING, put(2, SMALL), {"x": GONE}, {"x": 2}),
    "put over small": Scenario(put(1, SMALL), put(2, 30_000), {"x": 1}, {"x": 2}),
    "put over large": Scenario(put(1, LARGE), put(2, LARGE), {"x": 1}, {"x": 2}),
    "put small over large": Scenario(put(1, LARGE), put(2, SMALL), {"x": 1}, {"x": 2}),
    "put into the pool": Scenario(warm_pool, put(2, LARGE), {"x": 1}, {"x": 2}),
    "put longer than the pool's": Scenario(warm_pool, put(2, 2 * LARGE), {"x": 1}, {"x": 2}),
    "put a long stream": Scenario(put(1, SMALL), lambda store: store.put("x", long_stream("x", 2)), {"x": 1}, {"x": 2}),
    "put sealed": Scenario(put(1, SMALL), put(2, LARGE), {"x": 1}, {"x": 2}, {"verify": True}),
    "put pinned": Scenario(put(1, SMALL), put(2, SMALL, pin=True), {"x": 1}, {"x": 2}),
    "put persistent": Scenario(
        put(1, SMALL, persist=True), put(2, MAPPED, persist=True), {"x": 1}, {"x": 2}, disk=True
    ),
    "put over one below": Scenario(steps(put(1, MAPPED), below("x")), put(2, MAPPED), {"x": 1}, {"x": 2}, disk=True),
    "put that makes room": Scenario(
        steps(put(1, LARGE), put(3, LARGE, "y")),
        put(2, LARGE, "z"),
        {"x": 1, "y": 3, "z": GONE},
        {"x": 1, "y": 3, "z": 2},
        {"capacity": "3MiB"},
        disk=True,
    ),
    "put that empties the pool": Scenario(
        warm_pool, put(2, 2 * LARGE + LARGE // 2, "z"), {"x": 1, "z": GONE}, {"x": 1, "z": 2}, {"capacity": "4MiB"}
    ),
    "put that sweeps": Scenario(put_that_sweeps, put_at_once, {"x": 1}, {"x": 2}),
    "put with a time to live": Scenario(NOTHING, put(2, SMALL), {"x": GONE}, {"x": 2}, {"time_to_live": 3600}),
    "get small": Scenario(put(1, SMALL), read(), {"x": 1}, {"x": 1}),
    "get mapped": Scenario(put(1, MAPPED), read(), {"x": 1}, {"x": 1}),
    "get verified": Scenario(put(1, LARGE), read(), {"x": 1}, {"x": 1}, {"verify": True}),
    "get from below": Scenario(steps(put(1, MAPPED), below("x")), read(), {"x": 1}, {"x": 1}, disk=True),
    "get that promotes": Scenario(steps(put(1, LARGE), below("x"), read()), read(), {"x": 1}, {"x": 1}, disk=True),
    "info": Scenario(put(1, MAPPED), lambda store: store.info("x"), {"x": 1}, {"x": 1}),
    "info from below": Scenario(
        steps(put(1, MAPPED), below("x")), lambda store: store.info("x"), {"x": 1}, {"x": 1}, disk=True
    ),
    "delete small": Scenario(put(1, SMALL), lambda store: store.delete("x"), {"x": 1}, {"x": GONE}),
    "delete large": Scenario(put(1, LARGE), lambda store: store.delete("x"), {"x": 1}, {"x": GONE}),
    "delete above and below": Scenario(
        put(1, LARGE, persist=True), lambda store: store.delete("x"), {"x": 1}, {"x": GONE}, disk=True
    ),
    "evict": Scenario(put(1, LARGE), evict, {"x": 1}, {"x": 1}, disk=True),
    "persist": Scenario(put(1, MAPPED), lambda store: store.persist("x"), {"x": 1}, {"x": 1}, disk=True),
    "drop_run": Scenario(
        steps(put(1, LARGE, persist=True), put(2, SMALL, "y")),
        lambda store: store.drop_run(),
        {"x": 1, "y": 2},
        {"x": GONE, "y": GONE},
        {"time_to_live": 3600},
        disk=True,
    ),
    "sweep": Scenario(sweep_with_leftovers, lambda store: store.sweep(), {"x": 1}, {"x": 1}),
    "usage": Scenario(warm_pool, lambda store: store.usage(), {"x": 1}, {"x": 1}),
    "prefault": Scenario(put(1, LARGE), lambda store: pool.prefault(store._root, 3 * LARGE), {"x": 1}, {"x": 1}),
}


class Bench:
    """Stores of their own for one trial after the other."""

    def __init__(self, root, disk):
        self._root, self._disk = root, disk
        self._numbers = itertools.count()

    def store(self, scenario):
        self.clear()
        number = next(self._numbers)
        spill = self._disk / str(number) if scenario.disk else None
        store = bodega.open(self._root / str(number), spill=spill, **scenario.options)
        store._next_look = float("inf")
        scenario.prepare(store)
        return store

    def clear(self):
        for folder in (self._root, self._disk):
            for each in folder.iterdir():
                shutil.rmtree(each)


@pytest.fixture
def bench(root, tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "DEADLINE", 1.0)
    bench = Bench(root, tmp_path)
    yield bench
    bench.clear()


def descriptors():
    return {fd: os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if _is_open(fd)}


def _is_open(fd):
    # The descriptor that reads the folder is in it, and gone by now.
    return os.path.lexists(f"/proc/self/fd/{fd}")


def run(store, scenario, plan):
    """The error of an operation, or None."""
    with warnings.catch_warnings(), failing(plan):
        # Where a value cannot be mapped writable it comes read-only, and bodega says so.
        warnings.filterwarnings("ignore", "bodega: .* cannot be mapped writable", RuntimeWarning)
        try:
            scenario.act(store)
        except Exception as error:
            # Without its frames, which hold what the operation had.
            return without_tracebacks(error)
    return None


def without_tracebacks(error):
    """The error and those behind it without their frames, whose variables live as long as somebody has the error."""
    link = error
    while link is not None:
        link.__traceback__, link = None, link.__cause__ or link.__context__
    return error


def is_clear(error, code):
    """Whether an error says what a person needs to know."""
    if isinstance(error, BodegaError):
        return True
    if not isinstance(error, OSError) or error.errno != code:
        return False
    # A full file system is `StoreFull`; that it refuses an unlink as well is not to be expected of any.
    call: Call = error.call  # type: ignore[attr-defined]
    return error.filename is not None and not (code == errno.ENOSPC and call.allocates)


def counter_of(store, name):
    try:
        return check(store.get(name), name)
    except ObjectNotFound:
        return GONE


def verdict(store, scenario, error, held):
    """All that is wrong after an operation, as sentences."""
    gc.collect(0)
    if (now := descriptors()) != held:
        yield f"descriptors left: {dict(now.items() - held.items())}"
    if open_still := list(memory_descriptors.of_this_thread()):
        yield f"descriptors remembered: {open_still}"
    for path in sorted(Path(store.root, "locks").iterdir()):
        with open(path, "rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield f"{path.name} is locked"
                return
    for name in scenario.before:
        found, old, new = counter_of(store, name), scenario.before[name], scenario.after[name]
        if error is None and found != new:
            yield f"{name} is {found} after success, not {new}"
        if found not in (old, new):
            yield f"{name} is {found}, neither {old} nor {new}"
        if (
            isinstance(error, StoreFull)
            and "untouched" in str(error)
            and str(store.root) in str(error)
            and found != old
        ):
            yield f"{name} is {found}, and StoreFull says that what was there ({old}) is untouched"
    store.sweep()
    if left := os.listdir(f"{store.root}/tmp"):
        yield f"left after a sweep: {left}"
    for folder in store._stack.folders:
        counted, there = ledger.read(folder.root), bytes_on_disk(folder.root.path)
        if counted != there:
            yield f"{folder.url} counts {counted} bytes of {there}"
    for name in scenario.before:
        store.put(name, make(name, 77, SMALL))
        if counter_of(store, name) != 77:
            yield f"{name} cannot be put again"


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_failing_call_is_a_clear_error_and_loses_nothing(bench, name):
    scenario, chance = SCENARIOS[name], random.Random(SEED)
    print(f"seed {SEED}")
    recorded = Plan()
    error = run(bench.store(scenario), scenario, recorded)
    assert error is None, error
    trials, wrong, outcomes = 0, [], Counter()
    for number in range(len(recorded.calls)):
        for code in ERRNOS if LONG else chance.sample(ERRNOS, 1):
            for for_ever in (False, True) if LONG else (chance.random() < 0.5,):
                store = bench.store(scenario)
                plan, held = Plan(number, code, for_ever=for_ever), descriptors()
                error = run(store, scenario, plan)
                trials += 1
                outcomes[type(error).__name__ if error else "success"] += 1
                if error is not None and not is_clear(error, code):
                    wrong.append(f"{plan}: {type(error).__name__}({error!s}) is not clear")
                wrong += [f"{plan}: {error!r}: {each}" for each in verdict(store, scenario, error, held)]
    print(f"{name}: {len(recorded.calls)} calls, {trials} trials, {dict(outcomes)}")
    assert not wrong, f"seed {SEED}: {len(wrong)} of {trials}:\n" + "\n".join(wrong[:40])


def test_what_can_only_be_mapped_for_reading_can_go_to_another_tier(root, tmp_path, monkeypatch):
    """A process under a limit of its data maps read-only; the digest is added to a copy then."""
    store = bodega.open(root)
    store.put("x", make("x", 1, MAPPED))
    other = bodega.open(tmp_path / "other", verify=True)
    real = lease._map

    def only_for_reading(descriptor, length, protection, capabilities):
        if protection & mmap.PROT_WRITE:
            raise OSError(errno.ENOMEM, "Cannot allocate memory")
        return real(descriptor, length, protection, capabilities)

    monkeypatch.setattr(lease, "_map", only_for_reading)
    with pytest.warns(RuntimeWarning, match="cannot be mapped writable"):
        stored = store._stack.top.open("default", "x")
    assert stored is not None
    other._stack.top.upload("default", "x", sealed("default", "x", stored.data))
    monkeypatch.undo()
    assert check(other.get("x"), "x") == 1
