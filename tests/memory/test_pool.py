"""The pool keeps what fits its bounds, and gives up the oldest only."""

import os

import numpy as np
import pytest

import bodega
from bodega.memory import ledger, pool

SIZE = 1 << 20


def put_into_pool(store, count):
    """Put objects and remove them, one after the other; needs as many segments as objects."""
    for number in range(count):
        store.put(str(number), np.full(SIZE, number % 250, "u1"))
    for number in range(count):
        store.delete(str(number))


def test_a_full_pool_gives_up_its_oldest_segment_only(store, monkeypatch):
    monkeypatch.setattr(pool, "MOST_SEGMENTS", 4)
    put_into_pool(store, 4)
    before = sorted(os.listdir(store._root.pool))
    assert len(before) == 4
    # Too large for a warm segment to serve, so that it brings a new one.
    store.put("another", np.zeros(4 * SIZE, "u1"))
    store.delete("another")
    after = sorted(os.listdir(store._root.pool))
    assert len(after) == 4 and after[:3] == before[1:]


def test_a_segment_that_finds_no_room_is_freed(store, monkeypatch):
    monkeypatch.setattr(pool, "MOST_SEGMENTS", 2)
    put_into_pool(store, 2)
    monkeypatch.setattr(pool, "drop", lambda root, name: 0)  # As if others had them.
    store.put("another", np.zeros(4 * SIZE, "u1"))
    store.delete("another")
    assert len(os.listdir(store._root.pool)) == 2
    assert ledger.read(store._root) == pool_bytes(store)


def test_the_pool_holds_a_share_of_the_file_system(store, monkeypatch):
    status = os.statvfs(store.root)
    monkeypatch.setattr(pool, "MOST_SHARE", status.f_blocks * status.f_frsize // (3 * SIZE))
    put_into_pool(store, 4)
    assert 0 < pool.size(store._root) <= 3 * SIZE


def pool_bytes(store):
    return sum(ledger.pages(entry.stat().st_size) for entry in os.scandir(store._root.pool))


@pytest.mark.parametrize("count", [1, 3])
def test_what_is_in_the_pool_is_counted(store, count):
    put_into_pool(store, count)
    assert store.usage().used == pool_bytes(store) > 0


def test_what_no_put_wants_for_long_goes_with_a_sweep(root, monkeypatch):
    """Whatever runs are kept: the pool holds what is needed."""
    store = bodega.open(root, prefault="2MiB")
    store.put("kept", 1)
    assert store.sweep().nbytes == 0 and store.usage().pool
    monkeypatch.setattr(pool, "IDLE", -1)
    store.sweep()
    assert store.usage().pool == 0 and store["kept"] == 1


def test_what_was_replaced_under_its_readers_serves_the_puts_after_them(store):
    (store.root / "locks" / "swept").touch()
    os.utime(store.root / "locks" / "swept", (4e9, 4e9))  # No put sweeps.
    held = []
    for number in range(20):
        store.put("x", np.full(SIZE, number, "u1"))
        # Each is let go of when there is another one, and never while it is replaced.
        held = [*held[-1:], store["x"]]
        assert [int(array.max()) for array in held] == [int(array.min()) for array in held]
    assert store.usage().leftovers <= 3
    held.clear()
    store.put("y", np.zeros(SIZE, "u1"))
    store.put("z", np.zeros(SIZE, "u1"))
    assert store.usage().leftovers == 0
    assert ledger.read(store._root) == ledger.recount(store._root)


def test_what_a_sweep_has_retired_is_not_waited_for(store):
    for number in range(5):
        store.put("x", np.full(SIZE, number, "u1"))
        held = store["x"]
        store.delete("x")
    del held
    store.sweep()
    for number in range(5):
        store.put(str(number), np.zeros(SIZE, "u1"))
    assert not store._root.displaced
