"""Overwrites one name again and again, while forked readers come and go, and counts what is left."""

import json
import os
import random
import sys

import _values
import numpy as np

import bodega

READERS = 2


def main(root, cycles, nbytes, seed):
    # Far less than all cycles write, so that what readers held has to be found again when it is free.
    store = bodega.open(root, capacity=20 * nbytes)
    chance = random.Random(seed)
    value = np.empty(nbytes // 8)
    counts = {"cycles": cycles, "readers": 0, "gets": 0}

    def put(number):
        value[:] = number
        store.put("x", value)

    def measure():
        store.sweep(empty_pool=True)
        usage = store.usage()
        assert usage.used == _values.bytes_on_disk(store.root), usage
        return usage.used, usage.leftovers, _values.descriptors(), _values.maps(store.root), _values.maps()

    for number in (-2, -1):  # The first puts import what they need, and fill the pool.
        put(number)
        assert store.get("x")[0] == number
    before = measure()
    readers = []
    most = 0
    for number in range(cycles):
        put(number)
        most = max(most, store.usage().used)
        while len(readers) < READERS:
            readers.append(start(store, number, f"{seed} {number}"))
            counts["readers"] += 1
        if chance.random() < 0.3:
            counts["gets"] += end(readers.pop(chance.randrange(len(readers))))
    for reader in readers:
        counts["gets"] += end(reader)
    after = measure()
    assert after == before, f"before {before}, after {after}"
    counts["most segments"] = most // nbytes
    print(json.dumps(counts))


def start(store, newest, seed):
    """A reader: gets, changes and lets go at random until it is told to end, then tells how often."""
    to_reader, from_reader = os.pipe(), os.pipe()
    pid = os.fork()
    if pid:
        os.close(to_reader[0])
        os.close(from_reader[1])
        return pid, to_reader[1], from_reader[0]
    try:
        os.close(to_reader[1])
        os.set_blocking(to_reader[0], False)
        chance, parent = random.Random(seed), os.getppid()
        gets, held = 0, []
        while not told_to_end(to_reader[0]):
            assert os.getppid() == parent, "the one that overwrites is gone"
            value = store.get("x")
            number = value[0]
            assert number >= newest and value.min() == value.max() == number, f"{number}, but {newest} was there"
            newest = number
            gets += 1
            value[:1000] = -5
            held = [*held, (number, value)] if chance.random() < 0.5 else held[1:]
            for kept, array in held[-2:]:
                assert array[1000] == array[-1] == kept and array[0] == -5
            held = held[-2:]
        os.write(from_reader[1], str(gets).encode())
        os._exit(0)
    finally:
        os._exit(1)


def told_to_end(descriptor):
    try:
        return os.read(descriptor, 1) != b""
    except BlockingIOError:
        return False


def end(reader):
    pid, to_reader, from_reader = reader
    os.write(to_reader, b"1")  # Closing it would not do: later readers have a copy.
    os.close(to_reader)
    with open(from_reader, "rb") as lines:
        gets = lines.read()
    assert os.waitpid(pid, 0)[1] == 0, "a reader failed"
    return int(gets)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
