"""One process of a crowd: puts, gets, overwrites, deletes and sweeps at random, and checks all it reads.

Every value is an array of one number, so that a torn or wrong one shows.
"""

import itertools
import json
import random
import sys
import time

import numpy as np

import bodega

LEAST = 300
"""Operations, however slow the machine is."""


def main(root, seed, seconds):
    store = bodega.open(root)
    chance = random.Random(seed)
    end = time.monotonic() + seconds
    gets = wrong = 0
    held = []
    for done in itertools.count():
        if done >= LEAST and time.monotonic() >= end:
            break
        name = f"n{chance.randrange(4)}"
        action = chance.random()
        if action < 0.4:
            store.put(name, np.full(chance.choice([100, 20_000, 140_000, 200_000]), chance.random()))
        elif action < 0.9:
            value = store.get(name, None)
            if value is not None:
                gets += 1
                held = [*held[-3:], value]
                wrong += sum(bool(array.min() != array.max()) for array in held)
        elif action < 0.97:
            try:
                store.delete(name)
            except KeyError:
                continue
        else:
            store.sweep()
    print(json.dumps({"gets": gets, "wrong": wrong}))


main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
