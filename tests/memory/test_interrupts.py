"""Ctrl-C at every step of an operation: no lock, no descriptor and no torn object stays, and the store works on.

Signals are handled between two steps of the interpreter, so an exception is raised at each of them in turn: at every
opcode where locks and descriptors are held, and at every line of the modules around (the short form takes some of them).
"""

import fcntl
import gc
import os
import random
import signal
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

import bodega
from bodega.memory import drafts, ledger

PACKAGE = str(Path(bodega.__file__).parent)
MEMORY = f"{PACKAGE}/memory/"
LONG = bool(os.environ.get("BODEGA_STRESS"))
SEED = int(os.environ.get("BODEGA_SEED", random.randrange(1 << 32)))
_STRIDE = 10
"""Steps between two interrupts, on average, in the short form."""
LARGE = np.ones(1 << 17)
"""One that is mapped, and kept warm afterwards."""


class Interrupt:
    """Raises KeyboardInterrupt at the n-th step."""

    def __init__(self, number):
        self.left = number

    def __enter__(self):
        self.before = sys.gettrace()  # That of who measures coverage.
        sys.settrace(self.enter)

    def __exit__(self, kind, error, trace):
        sys.settrace(self.before)
        return kind is KeyboardInterrupt

    def enter(self, frame, event, argument):
        path = frame.f_code.co_filename
        if not path.startswith(PACKAGE):
            return None
        frame.f_trace_opcodes = path.startswith(MEMORY)
        return self.step

    def step(self, frame, event, argument):
        if event == ("opcode" if frame.f_trace_opcodes else "line"):
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt
        return self.step


def descriptors():
    found = set()
    for each in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{each}")
            if not target.startswith("socket:"):  # Of servers that other tests of this process have.
                found.add((each, target))
        except FileNotFoundError:
            continue  # The one that reads the folder.
    return found


def is_held(store):
    for path in (store.root / "locks").iterdir():
        with open(path, "rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return path.name
    return None


def overwrite(store):
    store.put("x", 2)


def overwrite_large(store):
    store.put("large", LARGE * 2)


def get(store):
    assert store.get("x") in {1, 2}


def get_mapped(store):
    assert store.get("large")[0] in {1, 2}


def delete(store):
    store.delete("large")


def sweep(store):
    (store.root / "tmp" / ("0" * 32)).write_bytes(bytes(5000))
    store.sweep()


def stream(store):
    with store.stream("s") as writer:
        writer.append(LARGE)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("act", [overwrite, overwrite_large, get, get_mapped, delete, sweep, stream])
def test_an_interrupt_at_any_step_leaves_no_lock_and_no_descriptor(store, act):
    warnings.simplefilter("ignore", ResourceWarning)  # A folder that was being listed closes when it is dropped.
    store.put("x", 1)
    store.put("large", LARGE)
    act(store)
    store.put("large", LARGE)
    gc.collect()
    before, number, steps, ended = descriptors(), 0, 0, False
    chance = random.Random(SEED)
    while not ended:
        number += 1 if LONG else chance.randrange(1, 2 * _STRIDE)
        steps += 1
        interrupt = Interrupt(number)
        with interrupt:
            act(store)
        ended = interrupt.left > 0
        if descriptors() != before or is_held(store):
            gc.collect()  # What a traceback in a cycle had.
        assert descriptors() == before, (SEED, number)
        assert is_held(store) is None, (SEED, number)
        if not store.exists("large"):
            store.put("large", LARGE)
    assert number > 100 and steps > 10
    get(store)
    get_mapped(store)
    store.sweep()
    assert store.usage().leftovers == 0
    assert store.usage().used == sum(
        ledger.pages(path.stat().st_size)
        for part in ("runs", "pool")
        for path in (store.root / part).rglob("*")
        if path.is_file()
    )
    print(f"{act.__name__}: {steps} of {number} steps, seed {SEED}")


def test_a_put_of_a_signal_handler_during_a_put_is_refused_at_once(store, monkeypatch):
    """It could wait for its own thread only, which would be until the deadline."""
    real, errors = drafts.Draft._take_name, []

    def handler(number, frame):
        try:
            store.put("y", 2)
        except bodega.StoreBusy as error:
            errors.append(str(error))

    def take(draft, path):
        signal.raise_signal(signal.SIGUSR1)
        with ledger.Count(store._root):
            signal.raise_signal(signal.SIGUSR1)
        return real(draft, path)

    old = signal.signal(signal.SIGUSR1, handler)
    monkeypatch.setattr(drafts.Draft, "_take_name", take)
    try:
        with monkeypatch.context() as patience:
            # It would be a test of no end, were it waited for.
            patience.setattr("bodega.memory.locks.time.sleep", lambda seconds: pytest.fail("waits for itself"))
            store.put("x", 1)
    finally:
        signal.signal(signal.SIGUSR1, old)
    assert store["x"] == 1
    assert errors and all("this very thread" in error for error in errors)
