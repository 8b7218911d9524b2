"""What was deleted or replaced while a process held it goes when that process ends, without anybody's sweep."""

import os
import subprocess
import sys
from contextlib import contextmanager

import numpy as np
import pytest

import bodega
from bodega.memory import ledger

SIZE = 2 << 20
BEGIN = "import sys, numpy as np, bodega; store = bodega.open(sys.argv[1])\n"
WAIT = "print('held', flush=True); sys.stdin.readline()\n"


@pytest.fixture(autouse=True)
def no_sweeps_of_puts(store):
    """Each is due once in a while, and would hide what an exit leaves."""
    (store.root / "locks" / "swept").touch()
    os.utime(store.root / "locks" / "swept", (4e9, 4e9))


@contextmanager
def process(store, code):
    """A process that has done what it does up to `WAIT`; goes on, and is over, at the end of the context."""
    command = [sys.executable, "-c", BEGIN + code, str(store.root)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        yield
        other.communicate("\n")
    assert other.returncode == 0


def counted(store):
    """The count of bytes, once it is known to be right."""
    before = ledger.read(store._root)
    assert ledger.recount(store._root) == before
    return before


@pytest.mark.parametrize(
    "change", ["del store['x']", "store['x'] = 1", "store['x'] = np.ones(2 << 20, 'u1')", "store.drop_run()"]
)
@pytest.mark.parametrize("gets", [1, 2, 5])
def test_what_a_process_holds_to_its_end_goes_with_it(store, gets, change):
    code = f"store['x'] = np.zeros(2 << 20, 'u1'); held = [store['x'] for _ in range({gets})]; {change}\n"
    # Where names cannot be exchanged, what is replaced has none from then on, in tmp/ either.
    stays = store._root.capabilities.exchange or not change.startswith("store[")
    with process(store, code + WAIT):
        assert store.usage().leftovers == stays
    assert store.usage().leftovers == 0
    assert counted(store) == sum(ledger.pages(path.stat().st_size) for path in store.root.glob("runs/*/*"))


def test_the_first_of_many_mappings_may_be_the_last(store):
    code = "store['x'] = np.zeros(2 << 20, 'u1'); first, *others = [store['x'] for _ in range(5)]; del others, store['x']\n"
    with process(store, code + WAIT):
        assert store.usage().leftovers == 1
    assert store.usage().leftovers == 0 == counted(store)


def test_who_took_the_name_away_may_be_another(store):
    store["x"] = np.zeros(SIZE, "u1")
    with process(store, "held = store['x']\n" + WAIT):
        del store["x"]
        assert store.usage().leftovers == 1
    assert store.usage().leftovers == 0 == counted(store)


def test_what_was_let_go_before_the_end_is_kept_warm(store):
    store["x"] = np.zeros(SIZE, "u1")
    with process(store, "held = store['x']\n" + WAIT + "del held\n"):
        del store["x"]
    assert store.usage().leftovers == 0
    assert store.usage().pool == counted(store) > 0


def test_others_keep_what_they_hold(store):
    store["x"] = np.full(SIZE, 7, "u1")
    mine = store["x"]
    with process(store, "held = store['x']\n" + WAIT):
        del store["x"]
    for number in range(4):
        store[f"y{number}"] = np.zeros(SIZE, "u1")
    assert mine.min() == mine.max() == 7
    assert store.usage().leftovers == 0
    counted(store)


def test_what_is_being_written_stays(store):
    store["x"] = np.zeros(SIZE, "u1")
    stream = store.stream("y")
    with stream:
        stream.append(np.ones(SIZE, "u1"))
        with process(store, "held = store['x']\n" + WAIT):
            del store["x"]
        stream.append(np.ones(SIZE, "u1"))
    assert sum(int(chunk.sum()) for chunk in store["y"]) == 2 * SIZE
    counted(store)


def test_a_root_that_is_gone_is_nothing_to_an_exit(store):
    code = f"{WAIT}import shutil; shutil.rmtree(sys.argv[1])\n"
    store["x"] = np.zeros(SIZE, "u1")
    with process(store, "held = store['x']\n" + code):
        pass
    bodega.open(store.root)


def test_who_only_looks_changes_nothing(store):
    left = store.root / "tmp" / "left"
    left.write_bytes(bytes(10))
    with process(store, "store.list(), store.usage()\n" + WAIT):
        pass
    assert left.exists()
