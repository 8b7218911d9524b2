"""A server that forks workers on a store and kills each at a random moment of its life.

Nothing is imported in a worker, so that ten thousand deaths take minutes. Each name has one worker at a time that may
change it. A worker says what it is about to do to a name, and that it is done, through a pipe; so the server, which
looks at the name after each death, knows exactly what may be there: the result of the last change that was
acknowledged, or that of the one that was cut short.
"""

import heapq
import json
import os
import random
import signal
import sys
import time
import traceback
from collections import Counter

import _values
import numpy as np

import bodega

CAPACITY = 12 << 20
"""Much less than all names take, so that every put moves others down."""
NAMES = [f"n{number}" for number in range(16)]
CREW = ["writer", "writer", "writer", "evictor", "reader", "reader", "deleter", "sweeper"]
AT_ONCE = 5
ABSENT = 0


class Worker:
    """The life of one forked process."""

    def __init__(self, role, names, known, store, seed):
        self.role, self.names, self.known = role, names, known
        self.lines, sink = os.pipe()
        server = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                self._sink, self._store, self._chance = sink, store, random.Random(seed)
                self._held = []
                while os.getppid() == server:
                    getattr(self, f"_{role}")()
            except BaseException:
                os.write(sink, f"failed {json.dumps(traceback.format_exc())}\n".encode())
            os._exit(1)
        os.close(sink)

    def end(self):
        """Kill it; returns all it said, and whether it died of that."""
        os.kill(self.pid, signal.SIGKILL)
        status = os.waitpid(self.pid, 0)[1]
        with open(self.lines, encoding="ascii") as lines:
            return lines.read().splitlines(), os.WIFSIGNALED(status)

    def _say(self, *words):
        os.write(self._sink, (" ".join(map(str, words)) + "\n").encode())

    def _change(self, action, name, counter, work):
        self._say("begin", action, name, counter)
        try:
            work()
        except bodega.StoreFull:
            # Readers hold what would have to give way. The name has what it had.
            self._say("full", action, name, self.known[name])
            return
        self.known[name] = counter
        self._say("done", action, name, counter)

    def _writer(self, sizes=_values.SIZES):
        name = self._chance.choice(self.names)
        value = _values.make(name, self.known["next"], self._chance.choice(sizes))
        self.known["next"] += 1
        persist = self._chance.random() < 0.2
        self._change(
            "persist" if persist else "put",
            name,
            value["counter"],
            lambda: self._store.put(name, value, persist=persist),
        )

    def _evictor(self):
        self._writer(_values.SIZES[-2:])

    def _deleter(self):
        name = self._chance.choice(self.names)
        if self.known[name] == ABSENT:
            value = _values.make(name, self.known["next"], self._chance.choice(_values.SIZES))
            self.known["next"] += 1
            self._change("put", name, value["counter"], lambda: self._store.put(name, value))
        else:
            self._change("delete", name, ABSENT, lambda: self._store.delete(name))

    def _reader(self):
        name = self._chance.choice(NAMES)
        try:
            value = self._store.get(name, None)
        except bodega.StoreFull:
            return
        if value is not None:
            counter = _values.check(value, name)
            assert counter >= self.known[name], f"{name} is {counter} again, it was {self.known[name]}"
            self.known[name] = counter
            self._held.append((name, counter, value))
            self._say("done", "get", name, counter)
        if len(self._held) > 4:
            # What is held stays as it was, whatever became of its name; what is changed in it nobody else sees.
            name, counter, value = self._held.pop(self._chance.randrange(len(self._held)))
            assert _values.check(value, name) == counter
            value["data"][:] = 0

    def _sweeper(self):
        self._store.sweep(empty_pool=self._chance.random() < 0.3)
        usage = self._store.usage()
        assert usage.objects <= len(NAMES), usage
        self._say("done", "sweep", "-", 0)


class Server:
    """Starts workers, kills them, and judges what they leave."""

    def __init__(self, root, spill, seed):
        self.store = bodega.open(root, capacity=CAPACITY, spill=spill)
        self.below = bodega.open(spill, spill=())
        self.chance = random.Random(seed)
        self.state = dict.fromkeys(NAMES, ABSENT)
        self.next = 1
        self.counts = Counter()
        self._prepare()

    def _prepare(self):
        """Do everything once, so that no worker has to import anything."""
        for number, size in enumerate(3 * _values.SIZES):
            self.store.put(NAMES[number], _values.make(NAMES[number], 0, size), persist=number % 3 == 0)
        for name in NAMES:
            self._look(self.store, name)
        self.store.drop_run()
        self.store.sweep(empty_pool=True)

    def run(self, kills):
        before = _values.descriptors()
        alive, number = [], 0
        for _ in range(kills):
            while len(alive) < AT_ONCE:
                number += 1
                life = self.chance.uniform(0.0005, 0.02) if number % 50 else 0.3
                worker = self._start(number, [each for _, _, each in alive])
                heapq.heappush(alive, (time.monotonic() + life, number, worker))
            end, _, worker = heapq.heappop(alive)
            time.sleep(max(0.0, end - time.monotonic()))
            self._bury(worker)
        for _, _, worker in alive:
            self._bury(worker)
        self._close(before)

    def _start(self, number, others):
        role = self.chance.choice(CREW)
        free = [name for name in NAMES if not any(name in each.names for each in others)]
        names = self.chance.sample(free, min(3, len(free))) if role in {"writer", "evictor", "deleter"} else []
        # Counters only ever grow, so that an old value that comes back shows.
        known = {**self.state, "next": self.next}
        self.next += 10_000
        return Worker(role, names, known, self.store, f"{self.chance.random()}")

    def _bury(self, worker):
        lines, killed = worker.end()
        self.counts["kills"] += 1
        begun = None
        persisted = {}
        for line in lines:
            verb, _, rest = line.partition(" ")
            if verb == "failed":
                raise SystemExit(f"A {worker.role} failed: {json.loads(rest)}")
            action, name, counter = rest.split()
            if verb == "begin":
                begun = action, name, int(counter)
                continue
            begun = None
            self.counts[f"{verb} {action}"] += 1
            if name in worker.names:
                self.state[name] = int(counter)
                persisted[name] = action == "persist" and verb == "done"
        assert killed, f"a {worker.role} ended by itself: {lines[-3:]}"
        if begun is not None:
            self.counts["killed in the middle of a change"] += 1
        for name in worker.names:
            possible = {self.state[name]}
            if begun is not None and begun[1] == name:
                possible.add(begun[2])
            found = self._look(self.store, name)
            assert found in possible, f"{name} is {found}, after {worker.role} left {possible}: {lines[-5:]}"
            if persisted.get(name) and len(possible) == 1:
                there = self._look(self.below, name)
                assert there == found, f"{name} is {found}, the durable tier has {there}: {lines[-5:]}"
            self.state[name] = found

    def _look(self, store, name):
        value = store.get(name, None)
        return ABSENT if value is None else _values.check(value, name)

    def _close(self, before):
        """Nobody is left: one sweep, and everything is accounted for."""
        self.counts["left before the sweep"] = self.store.usage().leftovers
        self.store.sweep()
        for store in (self.store, self.below):
            usage = store.usage()
            assert usage.leftovers == 0, usage
            there = _values.bytes_on_disk(store.root, ("runs", "pool"))
            assert usage.used == there, f"{usage.used} bytes are counted, {there} are there"
            assert usage.used == _values.bytes_on_disk(store.root), "something is left among the temporary files"
        for name in NAMES:
            found = self._look(self.store, name)
            assert found == self.state[name], f"{name} is {found} in the end, it was {self.state[name]}"
        assert set(self.store.names()) == {name for name in NAMES if self.state[name] != ABSENT}
        # Writing still works, into every name, and gives everything back.
        for name in NAMES:
            self.store.put(name, np.zeros(200_000))
        self.store.drop_run()
        self.store.sweep(empty_pool=True)
        for store in (self.store, self.below):
            assert store.usage().used == _values.bytes_on_disk(store.root) == 0, store.usage()
        assert (_values.descriptors(), _values.maps(self.store.root)) == (before, 0)


def main(root, spill, seed, kills):
    server = Server(root, spill, seed)
    server.run(kills)
    print(json.dumps(server.counts))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
