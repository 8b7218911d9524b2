"""Real file systems that are full, and a real memory limit: an error that says so, and nothing lost."""

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import numpy as np
import pytest

import bodega
from bodega.errors import StoreFull, TierError
from bodega.memory import cgroups

sys.path.insert(0, str(Path(__file__).parent))
from _values import bytes_on_disk, check, make

sys.path.pop(0)

LONG = bool(os.environ.get("BODEGA_STRESS"))
ROUNDS = 300 if LONG else 15
MIB = 1 << 20
SEED = int(os.environ.get("BODEGA_SEED", random.randrange(1 << 32)))


@pytest.fixture
def mounted():
    """Makes small file systems in memory, and takes them away again."""
    points = []

    def mount(size):
        point = tempfile.mkdtemp(prefix="bodega-full-")
        command = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", point]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            os.rmdir(point)
            pytest.skip(f"needs the right to mount: {' '.join(command)}")
        points.append(point)
        return Path(point)

    yield mount
    for point in points:
        # Lazily: a mapping of a failed test may still be held by its traceback.
        subprocess.run(["umount", "--lazy", point], check=True)
        os.rmdir(point)


FILLER = """
import os, sys, time
path = sys.argv[1]
# Whatever is free is taken, a page at a time at last, and given back now and then.
while True:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for size in (1 << 18, 1 << 12):
        try:
            while True:
                os.write(descriptor, bytes(size))
                time.sleep(0)
        except OSError:
            continue
    os.close(descriptor)
    time.sleep(0.02)
"""

FILL_ONCE = """
import os, sys
descriptor = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT, 0o600)
for size in (1 << 18, 1 << 12):
    try:
        while True:
            os.write(descriptor, bytes(size))
    except OSError:
        continue
"""

WRITER = """
import json, random, sys
sys.path.insert(0, sys.argv[3])
import _values, bodega
from bodega.errors import StoreFull, TierError
store = bodega.open(sys.argv[1], capacity="100%")
chance = random.Random(int(sys.argv[4]))
published, full, puts = {}, 0, 0
while full < int(sys.argv[2]) or puts < int(sys.argv[2]):
    name, counter, size = f"x{chance.randrange(6)}", chance.randrange(1000), chance.choice(_values.SIZES)
    try:
        store.put(name, _values.make(name, counter, size))
        published[name], puts = counter, puts + 1
    except StoreFull as error:
        full += 1
        # Not even the count may have a page yet: then it is the count that is named.
        assert error.path.startswith(sys.argv[1]) and (error.free is None or error.free >= 0), error
        assert "is full" in str(error), error
        # Making room for the next try, as a user would.
        if full % 3 == 0 and published:
            store.delete(next(iter(published)))
            published.pop(next(iter(published)))
    for name, counter in published.items():
        assert _values.check(store.get(name), name) == counter, (name, counter)
print(json.dumps({"puts": puts, "full": full, "objects": published}))
"""


def python(program, *arguments, **options):
    return [sys.executable, "-c", textwrap.dedent(program), *map(str, arguments)]


def fill(point):
    subprocess.run(python(FILL_ONCE, point / "filler"), check=True)
    assert os.statvfs(point).f_bavail == 0


def test_another_process_fills_the_file_system_in_the_middle_of_puts(mounted):
    """A process of its own puts and reads: a SIGBUS would be its end."""
    point = mounted("24m")
    root = point / "store"
    bodega.open(root, capacity="100%")
    filler = subprocess.Popen(python(FILLER, point / "filler"))
    print(f"seed {SEED}")
    try:
        done = subprocess.run(
            python(WRITER, root, ROUNDS, Path(__file__).parent, SEED), capture_output=True, text=True, timeout=500
        )
    finally:
        filler.kill()
        filler.wait()
    assert done.returncode == 0, f"seed {SEED}: {done.stderr[-3000:]}"
    counts = json.loads(done.stdout)
    assert counts["full"] >= ROUNDS
    print(f"{counts['puts']} puts, {counts['full']} times full")
    (point / "filler").unlink()
    store = bodega.open(root)
    assert {name: check(store.get(name), name) for name in store} == counts["objects"]
    store.sweep()
    assert os.listdir(root / "tmp") == []
    assert store.usage().used == bytes_on_disk(root)


def test_all_is_readable_on_a_full_file_system(mounted):
    """Published objects have no holes, so reading and changing them needs no page of the file system."""
    point = mounted("24m")
    store = bodega.open(point / "store", capacity="100%")
    sizes = {"small": 200, "mapped": 100_000, "large": 1_100_000, "larger": 2_500_000}
    for name, size in sizes.items():
        store.put(name, make(name, 1, size))
    store.delete("large")
    store.put("large", make("large", 2, 1_000_000))
    store.put("held", np.full(MIB // 8, 1.0))
    held = store.get("held")
    fill(point)
    assert {name: check(store.get(name), name) for name in sizes} == {**dict.fromkeys(sizes, 1), "large": 2}
    held += 1
    assert held.max() == 2.0 and store.get("held").max() == 1.0
    for name, size in {"new": 3_000_000, "small": 300_000}.items():
        with pytest.raises(StoreFull, match="is full") as caught:
            store.put(name, make(name, 9, size))
        assert caught.value.free == 0 and (caught.value.need is None or caught.value.need > 0)
    assert check(store.get("small"), "small") == 1 and "new" not in store
    assert len(store.list()) == 5
    # Another task can open the store, and with all that its root can do.
    assert bodega.open(store.root)._root.capabilities == store._root.capabilities
    assert check(bodega.open(store.root).get("large"), "large") == 2
    # What is removed makes room, on a full file system too.
    store.delete("larger")
    store.sweep(empty_pool=True)
    store.put("small", make("small", 2, 300_000))
    assert check(store.get("small"), "small") == 2
    assert store.usage().used == bytes_on_disk(store.root)


def test_a_pool_that_does_not_fit_leaves_no_short_segment(mounted):
    """A write that meets the end of the file system writes a part: that is no segment to trust."""
    point = mounted("64m")
    store = bodega.open(point / "store")
    with open(point / "filler", "wb") as file:
        # Of the first segment, 3.5 MiB, the last write comes out short.
        os.posix_fallocate(file.fileno(), 0, os.statvfs(point).f_bavail * 4096 - 3 * MIB - 204_800)
    with pytest.raises(StoreFull, match="full"):
        bodega.open(point / "store", prefault=7 * MIB)
    for name in os.listdir(point / "store/pool"):
        assert os.stat(point / "store/pool" / name).st_size == int(name.split("-")[1], 16)
    assert os.listdir(point / "store/tmp") == []
    assert store.usage().used == bytes_on_disk(store.root)


def test_settings_that_cannot_be_written_down_leave_nothing(mounted):
    point = mounted("16m")
    bodega.open(point / "root")
    fill(point)
    with pytest.raises(StoreFull):
        bodega.open(point / "root", capacity="1MiB")
    assert not list((point / "root" / "tmp").iterdir())
    assert bodega.open(point / "root").names() == []


def test_a_full_lower_tier_is_named_and_nothing_is_lost(root, mounted):
    point = mounted("8m")
    store = bodega.open(root, capacity="6MiB", spill=point / "below")
    published = []
    with pytest.raises(StoreFull) as caught:
        for number in range(20):
            store.put(f"x{number}", make(f"x{number}", number, 1_100_000))
            published.append(number)
    assert str(point / "below") in str(caught.value) and str(root) in str(caught.value)
    assert (caught.value.need or 0) > 0 and caught.value.free is not None
    assert 5 < len(published) < 12
    for number in published:
        assert check(store.get(f"x{number}"), f"x{number}") == number
    assert sorted(store.names()) == sorted(f"x{number}" for number in published)


def test_persisting_to_a_full_disk_says_so_and_keeps_what_is_in_memory(root, mounted):
    point = mounted("8m")
    store = bodega.open(root, spill=point / "below")
    store.put("x", make("x", 1, 1_100_000), persist=True)
    fill(point)
    with pytest.raises(TierError) as caught:
        store.put("y", make("y", 1, 1_100_000), persist=True)
    assert str(point / "below") in str(caught.value)
    assert check(store.get("x"), "x") == check(store.get("y"), "y") == 1
    (point / "filler").unlink()
    store.persist("y")
    assert sorted(bodega.open(point / "below").names()) == ["x", "y"]


LIMITED = """
import json, os, sys, threading
sys.stdin.readline()
import numpy as np, bodega
from bodega.errors import StoreFull, TierError
from bodega.memory import cgroups
MIB = 1 << 20
group, nbytes = sys.argv[2], int(sys.argv[3])
with open("/proc/self/cgroup", encoding="ascii") as table:
    assert any(line.strip().endswith(os.path.basename(group)) for line in table)
store = bodega.open(sys.argv[1])
# The segment that another process has touched, then fresh pages until the limit.
limit = cgroups.memory_limit()
assert limit.group == group, limit
value = np.full(nbytes // 8, 1.0)
before = cgroups.memory_limit().used
store.put("warm", value)
grown = cgroups.memory_limit().used - before
published = []
try:
    for number in range(1000):
        store.put(f"x{number}", value[: 4 * MIB // 8])
        published.append(f"x{number}")
except StoreFull as error:
    message, need, free = str(error), error.need, error.free
for name in ["warm", *published]:
    assert store.get(name)[::512].max() == 1.0
print(json.dumps({"message": message, "need": need, "published": len(published), "grown": grown}))
"""


@pytest.fixture
def memory_group():
    """A control group of 160 MiB, below this process's own, so that its limits hold as well."""
    with open("/proc/self/cgroup", encoding="utf-8") as table:
        own = next((folder for folder in cgroups.memory_groups(table.read()) if folder.is_dir()), None)
    needed = "needs the right to make a control group with a memory limit"
    if own is None:
        pytest.skip(needed)
    group = own / f"bodega-test-{os.getpid()}"
    try:
        group.mkdir(exist_ok=True)
        limit = next(file for name in ("memory.limit_in_bytes", "memory.max") if (file := group / name).exists())
        limit.write_text(str(160 * MIB))
    except (StopIteration, OSError):
        if group.is_dir():
            group.rmdir()
        pytest.skip(f"{needed}: mkdir {group}")
    yield group
    group.rmdir()


def test_a_put_beyond_the_memory_limit_is_refused_and_the_task_lives(root, memory_group):
    """A process in a real control group fills memory up to its limit; warm segments, charged elsewhere, are used first."""
    nbytes = 32 * MIB
    bodega.open(root, prefault=2 * nbytes)
    process = subprocess.Popen(
        python(LIMITED, root, memory_group, nbytes),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        # Before it imports anything: what it touches from here on counts against the limit.
        (memory_group / "cgroup.procs").write_text(str(process.pid))
        out, err = process.communicate("go\n", timeout=300)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, f"status {process.returncode}: {err[-3000:]}"
    facts = json.loads(out)
    assert "memory limit" in facts["message"] and str(memory_group) in facts["message"]
    assert facts["need"] >= 4 * MIB and facts["published"] > 3
    assert facts["grown"] < nbytes // 4, "the warm segment was not used"
    shutil.rmtree(root, ignore_errors=True)
