"""Leases against whoever wants their bytes: a random walk over everything that holds, moves and reuses segments.

The model knows every lease, draft and warm segment, so each answer can be told beforehand: what must be refused
because somebody has it, and what must be given. After every step the bytes of the root are counted by hand, and what
is held is looked at; before it is let go, it is compared in full.
"""

import os
import random
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from bodega.codecs import encode
from bodega.memory import drafts, files, ledger, locks, pool
from bodega.memory.root import open_root
from bodega.memory.sweep import leftovers, sweep
from bodega.tiers.directory import SMALL, DirectoryTier

LONG = bool(os.environ.get("BODEGA_STRESS"))
STEPS = 100_000 if LONG else 3_000
KIB = 1 << 10
SIZES = (100, SMALL - KIB, SMALL + KIB, 100 * KIB, 130 * KIB, 300 * KIB)
"""Of arrays: read, nearly mapped, mapped, and of sizes that the pool swaps for each other."""
NAMES = "abcd"
MOST_HELD = 12
MOST_DRAFTS = 3


class Held:
    """A lease, the array over it, and what the array must be."""

    def __init__(self, stored, expected):
        self.inode = stored.status.st_ino if stored.header.total > SMALL else None
        """None where the object was read, and nothing is leased."""
        view, *_ = stored.description.views(stored.data)
        self.array = np.frombuffer(view, "u1")
        self.expected = expected

    def check(self, full):
        if full:
            assert np.array_equal(self.array, self.expected)
        else:
            assert self.array[0] == self.expected[0]
            assert self.array[-1] == self.expected[-1]


class Walk:
    """A root with its model."""

    def __init__(self, root, seed):
        self.root = root
        self.tier = DirectoryTier(root, capacity=1 << 40)
        self.chance = random.Random(seed)
        self.model = {}
        """Arrays by name."""
        self.held = []
        self.drafts = []
        self.taken = []
        self.known = []
        """Names, statuses and values, as an evictor has them that comes late."""
        self.counts = Counter()

    def new_array(self):
        value = np.random.default_rng(self.chance.getrandbits(64)).integers(0, 256, self.chance.choice(SIZES), "u1")
        value.flags.writeable = False
        return value

    def path(self, name):
        return f"{self.root.runs}/r/{name}"

    def is_leased(self, inode):
        return any(held.inode == inode for held in self.held)

    def inode(self, name):
        return os.stat(self.path(name)).st_ino

    def step(self):
        action = self.chance.choices(
            [self.put, self.get, self.let_go, self.change, self.evict, self.delete, self.begin, self.end,
             self.take, self.give_back, self.look, self.sweep, self.retire, self.drain, self.fork],
            [14, 22, 22, 4, 14, 6, 5, 6, 4, 5, 6, 2, 4, 2, 0.2],
        )[0]  # fmt: skip
        self.counts[action.__name__] += 1
        action()
        self.check(full=False)

    def put(self):
        name, value = self.chance.choice(NAMES), self.new_array()
        with self.tier.begin("r", name) as writer:
            writer.put(lambda sink: encode(value, sink))
            writer.publish()
        self.model[name] = value

    def get(self):
        name = self.chance.choice(NAMES)
        stored = self.tier.open("r", name)
        assert (stored is None) == (name not in self.model)
        if stored is None:
            return
        self.known = [*self.known[-4:], (name, stored.status, self.model[name])]
        if len(self.held) < MOST_HELD:
            self.held.append(Held(stored, self.model[name]))
            self.held[-1].check(full=True)

    def let_go(self):
        if self.held:
            self.held.pop(self.chance.randrange(len(self.held))).check(full=True)

    def change(self):
        """What a holder changes is the holder's alone."""
        if self.held:
            held = self.chance.choice(self.held)
            held.array[:: self.chance.choice([1, 4096])] ^= 0xFF
            held.expected = held.array.copy()

    def evict(self):
        if not self.known:
            return
        name, status, value = self.chance.choice(self.known)
        is_that_segment = name in self.model and self.inode(name) == status.st_ino
        if is_that_segment and self.model[name] is not value:
            # It went through the pool and came back. An evictor cannot tell, and so keeps puts of the name away from
            # its copy until here (see `bodega.tiers.stack`).
            return
        freed = self.tier.evict("r", name, status)
        assert (freed > 0) == (is_that_segment and not self.is_leased(status.st_ino))
        if freed:
            del self.model[name]
            self.counts["evicted"] += 1

    def delete(self):
        name = self.chance.choice(NAMES)
        assert (self.tier.delete("r", name) is None) == (self.model.pop(name, None) is None)

    def begin(self):
        """Begin to write an object that is published, or given up, some steps later."""
        if len(self.drafts) == MOST_DRAFTS:
            return
        value = self.new_array()
        stack = ExitStack()
        draft = stack.enter_context(drafts.Draft(self.root, self.tier.admission, "raw"))
        draft.begin(value.nbytes)
        # Counted from the first write on, or not before it is published.
        half = value.nbytes // 2 if value.nbytes < pool.MINIMUM_SIZE else max(value.nbytes // 2, pool.MINIMUM_SIZE)
        draft.write(0, [value[:half].data])
        self.drafts.append((draft, stack, value, half))

    def end(self):
        if not self.drafts:
            return
        draft, stack, value, half = self.drafts.pop(self.chance.randrange(len(self.drafts)))
        with stack:
            if self.chance.random() < 0.5:
                draft.write(half, [value[half:].data])
                draft.publish(f"{self.root.runs}/raw", self.chance.choice("xy"))

    def take(self):
        """Nobody has what comes out of the pool."""
        warm = pool.take(self.root, self.chance.choice(SIZES))
        if warm is None:
            return
        assert not self.is_leased(os.fstat(warm.descriptor.number).st_ino)
        os.pwrite(warm.descriptor.number, os.urandom(64) * (warm.size // 64), 0)
        self.taken.append(warm)
        self.counts["taken"] += 1

    def give_back(self):
        if self.taken:
            warm = self.taken.pop()
            locks.release(warm.descriptor)
            assert files.retire(self.root, warm.path) > 0

    def look(self):
        """A segment is free unless a lease of it is held."""
        for name in self.model:
            assert self.tier.is_free("r", name) == (not self.is_leased(self.inode(name)))

    def sweep(self):
        sweep(self.root, empty_pool=self.chance.random() < 0.2)
        # What is left is in use.
        for path in leftovers(self.root):
            assert self.is_in_use(path)

    def retire(self):
        """Of what has no name, exactly what nobody has can be had."""
        for path in leftovers(self.root)[:3]:
            in_use = self.is_in_use(path)
            assert (files.retire(self.root, path) == 0) == in_use

    def is_in_use(self, path):
        taken = {warm.path for warm in self.taken} | {draft._path for draft, *_ in self.drafts}
        return path in taken or self.is_leased(os.stat(path).st_ino)

    def drain(self):
        pool.drain(self.root, self.chance.choice([None, 200 * KIB]))

    def fork(self):
        """A child's leases are its own as well: they last until it ends, and its end does not end the parent's."""
        if not self.held:
            return
        go = os.pipe()
        child = os.fork()
        if child == 0:
            os.read(go[0], 1)
            os._exit(0)
        held = self.held.pop()
        try:
            held.check(full=True)
            inode, held.array = held.inode, None
            for name in self.model:
                if inode is not None and self.inode(name) == inode:
                    assert not self.tier.is_free("r", name)
        finally:
            os.write(go[1], b"1")
            os.waitpid(child, 0)
            os.close(go[0])
            os.close(go[1])

    def check(self, full):
        for held in self.held:
            held.check(full)
        counted = sum(
            ledger.pages(path.stat().st_size)
            for folder in (self.root.runs, self.root.tmp, self.root.pool)
            for path in Path(folder).rglob("*")
            if path.is_file()
        )
        assert ledger.read(self.root) == counted
        assert self.tier.names("r") == sorted(self.model)

    def close(self):
        """Everybody lets go, and nothing is left."""
        self.check(full=True)
        self.held.clear()
        for _, stack, *_ in self.drafts:
            stack.close()
        for warm in self.taken:
            locks.release(warm.descriptor)
        for name, value in self.model.items():
            Held(self.tier.open("r", name), value).check(full=True)
        for run in self.tier.runs():
            self.tier.drop_run(run)
        sweep(self.root, empty_pool=True)
        assert leftovers(self.root) == os.listdir(self.root.pool) == []
        assert ledger.read(self.root) == 0


@pytest.mark.parametrize("warm", [True, False])
def test_no_lease_ever_gives_way(root, monkeypatch, warm):
    # Segments of all sizes but the smallest are worth keeping, so that a step costs little.
    monkeypatch.setattr(pool, "MINIMUM_SIZE", 32 * KIB)
    monkeypatch.setattr(pool, "MOST_SEGMENTS", 6)
    seed = random.SystemRandom().getrandbits(32) if LONG else 4
    print(f"seed {seed}")
    descriptors = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else None
    walk = Walk(open_root(root, warm=warm), seed)
    steps = STEPS if warm else STEPS // 10
    for _ in range(steps):
        walk.step()
    walk.close()
    if descriptors is not None:
        # Fewer, where something of an earlier test goes meanwhile.
        assert len(os.listdir("/proc/self/fd")) <= descriptors
    if warm:
        assert walk.counts["evicted"] > steps // 200
        assert walk.counts["taken"]
    print(f"{steps} steps, {dict(walk.counts)}")
