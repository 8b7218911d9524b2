"""One of several processes that share a store at its capacity, and do everything at random for a while.

Only this process changes its own names, so it knows exactly what they hold; those of the others never go back.
"""

import gc
import json
import random
import sys
import time
from collections import Counter

import _values

import bodega

NAMES = 16
"""Of each process: together far more than memory takes."""
HELD = 3
_ACTIONS = {"put": 34, "persist": 2, "delete": 4, "get": 50, "info": 6, "list": 1, "sweep": 1, "pin": 2}


class Member:
    """What one process does and knows."""

    def __init__(self, store, number, members, seed):
        self.store = store
        self.chance = random.Random(f"{seed} {number}")
        self.own = {f"m{number}-{each}": 0 for each in range(NAMES)}
        self.seen = {f"m{member}-{each}": 0 for member in range(members) for each in range(NAMES)}
        self.counter = 0
        self.held = []
        self.counts = Counter()

    def work(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            action = self.chance.choices(list(_ACTIONS), list(_ACTIONS.values()))[0]
            try:
                getattr(self, f"_{action}")()
                self.counts[action] += 1
            except bodega.StoreFull:
                self.counts["full"] += 1

    def rest(self):
        """Let go of everything; returns what the process holds all the same."""
        while self.held:
            self._let_go()
        gc.collect()
        return {
            "descriptors": _values.descriptors(),
            "maps": _values.maps(self.store.root),
            "anonymous": _values.anonymous_memory(),
        }

    def _put(self, **options):
        name = self.chance.choice(list(self.own))
        self.counter += 1
        value = _values.make(name, self.counter, self.chance.choice(_values.SIZES))
        self.store.put(name, value, **options)
        self.own[name] = self.counter

    def _persist(self):
        self._put(persist=True)

    def _delete(self):
        name = self.chance.choice(list(self.own))
        if self.own[name]:
            self.store.delete(name)
            self.own[name] = 0
        assert name not in self.store

    def _get(self):
        name = self.chance.choice(list(self.seen))
        value = self.store.get(name, None)
        counter = 0 if value is None else _values.check(value, name)
        if name in self.own:
            assert counter == self.own[name], f"{name} is {counter}, not {self.own[name]}"
        elif counter:
            assert counter >= self.seen[name], f"{name} is {counter} again, it was {self.seen[name]}"
            self.seen[name] = counter
        if value is not None:
            self.held.append((name, counter, value))
        if len(self.held) > HELD:
            self._let_go()

    def _let_go(self):
        """What was held is still what it was; and nobody else sees what is changed in it."""
        name, counter, value = self.held.pop(self.chance.randrange(len(self.held)))
        assert _values.check(value, name) == counter
        value["data"][:] = 0

    def _info(self):
        name = self.chance.choice(list(self.own))
        assert self.store.exists(name) == bool(self.own[name])
        if self.own[name]:
            assert self.store.info(name).name == name

    def _list(self):
        there = {info.name for info in self.store.list()}
        assert {name for name, counter in self.own.items() if counter} == there & set(self.own)

    def _sweep(self):
        self.store.sweep(empty_pool=self.chance.random() < 0.2)

    def _pin(self):
        name = self.chance.choice(list(self.own))
        if self.own[name]:
            self.store.pin(name)
            self.store.pin(name, pinned=False)


def main(root, capacity, number, members, seed, seconds):
    member = Member(bodega.open(root, capacity=capacity), number, members, seed)
    # Caches of all kinds fill in the first part.
    member.work(seconds / 4)
    before = member.rest()
    member.work(seconds * 3 / 4)
    after = member.rest()
    print(json.dumps({"counts": member.counts, "before": before, "after": after, "own": member.own}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]), float(sys.argv[6]))
