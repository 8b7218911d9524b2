"""Several processes do everything at random, on a store that is full all the time."""

import json
import os
import random
import stat
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import bodega
from bodega.memory import drafts, ledger, pool
from bodega.tiers.directory import DirectoryTier

LONG = bool(os.environ.get("BODEGA_STRESS"))
SECONDS = 600 if LONG else 5
SEED = int(os.environ.get("BODEGA_SEED", random.randrange(1 << 32)))
MEMBERS = 4
CAPACITY = 24 << 20
ON_THE_WAY = MEMBERS * pool.MINIMUM_SIZE
GROWTH = 16 << 20
"""Bytes that the allocator of a process may keep; what a leak loses in thousands of operations is far more."""


def start(root, number):
    program = str(Path(__file__).with_name("_soak.py"))
    arguments = [str(root), *map(str, (CAPACITY, number, MEMBERS, SEED, SECONDS))]
    return subprocess.Popen(
        [sys.executable, program, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def segments(root, measure=lambda status: -(-status.st_size // 4096) * 4096):
    """Bytes of all segments of a root, in whole pages, as the file system shows them."""
    found = {}
    for path in Path(root).glob("*/**/*"):
        if path.parent.name == "locks":
            continue
        try:
            status = path.lstat()
        except FileNotFoundError:
            continue  # Gone since it was listed.
        if stat.S_ISREG(status.st_mode):
            found[status.st_ino] = measure(status)  # Once, should it be moved meanwhile.
    return sum(found.values())


def taken(root):
    """What they take at this moment: of one that is being written, only what is there.

    Folders are read one after the other, while files come and go: the least of three looks is nearest the truth.
    """
    return min(segments(root, lambda status: status.st_blocks * 512) for _ in range(3))


def test_a_store_at_its_capacity_serves_a_mixed_load(root, tmp_path):
    """Nobody reads anything wrong or old, the store stays within its capacity, and no process grows."""
    print(f"seed {SEED}")
    store = bodega.open(root, capacity=CAPACITY, spill=tmp_path / "below")
    members = [start(root, number) for number in range(MEMBERS)]
    most = 0
    while any(member.poll() is None for member in members):
        time.sleep(0.05)
        most = max(most, taken(root))
    outputs = [member.communicate() for member in members]
    for member, (_, errors) in zip(members, outputs, strict=True):
        assert member.returncode == 0, f"seed {SEED}: {errors[-3000:]}"
    reports = [json.loads(output) for output, _ in outputs]
    counts = sum((Counter(report["counts"]) for report in reports), Counter())
    print(f"{dict(counts)}, at most {most:,} of {CAPACITY:,} bytes")

    for before, after in ((report["before"], report["after"]) for report in reports):
        assert after["descriptors"] == before["descriptors"] and before["maps"] == after["maps"] == 0
        assert after["anonymous"] <= before["anonymous"] + GROWTH, (before, after)
    # A small object that does not fit gets a place among the temporary files before room is made for it.
    assert most <= CAPACITY + ON_THE_WAY
    assert store.usage().used == segments(root)
    expected = {name: counter for report in reports for name, counter in report["own"].items() if counter}
    assert {name: store.get(name)["counter"] for name in store} == expected

    store.sweep(empty_pool=True)
    for each in (store, bodega.open(tmp_path / "below", spill=())):
        usage = each.usage()
        assert usage.leftovers == 0 and usage.used <= usage.capacity
        each.drop_run()
        each.sweep(empty_pool=True)
        assert each.usage().used == segments(each.root) == 0


def test_a_sweep_in_the_middle_of_a_put_counts_what_is_being_written(store):
    """It counts all segments anew: one that has no name yet would be lost, and the capacity passed by as much."""
    store.put("small", 1)
    before = store.usage().used
    size = 2 << 20
    with drafts.Draft(store._root, DirectoryTier(store._root).admission, "x") as draft:
        draft.begin(size)
        draft.write(0, [memoryview(bytes(size // 2))])
        store.sweep()
        draft.write(size // 2, [memoryview(bytes(size // 2))])
        store.sweep()
        draft.publish(f"{store.root}/runs/default", "x")
    assert store.usage().used == before + size == segments(store.root)


def count_too_high(store):
    """As a crash in the middle of a large put leaves it."""
    with ledger.Count(store._root) as count:
        count.add(100 << 20)


def test_a_put_that_sweeps_to_find_room_counts_itself_once(store):
    """It makes room by a sweep of its own when the count says that the store is full, as a crash may have left it."""
    store = bodega.open(store.root, capacity=8 << 20)
    count_too_high(store)
    for size in (200_000, 2 << 20):
        store.put("x", bytes(size))
    store.sweep()
    counted = store.usage().used
    count_too_high(store)
    store.put("y", bytes(2 << 20))
    assert store.usage().used == segments(store.root) > counted


def test_a_segment_that_a_crash_left_with_holes_is_not_kept(store):
    """Writing to a hole through a mapping would end the process, should the file system be full."""
    with open(store._root.temporary(), "wb") as file:
        file.truncate(2 << 20)
    store.sweep()
    assert segments(store.root) == store.usage().used == 0


def test_a_file_that_goes_while_all_are_counted_hides_no_other(store, monkeypatch):
    """What is said of the store is written among the temporary files too, and moved away without the count's lock."""
    tmp, listed = Path(store._root.tmp), os.scandir
    for name in ("a", "b", "c"):
        (tmp / name).write_bytes(bytes(4096))

    @contextmanager
    def scandir(folder):
        with listed(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        if folder == store._root.tmp:
            (tmp / "a").unlink()
        yield found

    monkeypatch.setattr(os, "scandir", scandir)
    assert ledger.recount(store._root) == 2 * 4096
