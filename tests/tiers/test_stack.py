"""Objects move between memory and a disk, and nothing is lost, stale or torn on the way."""

import json
import multiprocessing
import os
import pickle
import shutil
import subprocess
import sys
import threading
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bodega
from bodega import events
from bodega.errors import LayoutError, ObjectNotFound, RootError, SettingsError, StoreFull, TierError, UntrustedObject
from bodega.memory import files
from bodega.memory.sweep import INTERVAL
from bodega.tiers import transfer
from bodega.tiers.directory import DirectoryTier
from bodega.tiers.stack import TierStack

MIB = 1 << 20


def block(value, nbytes=MIB):
    return np.full(nbytes // 8, float(value))


@pytest.fixture
def disk(tmp_path):
    return tmp_path / "disk"


@pytest.fixture
def small(root, disk):
    """A store that holds seven blocks in memory."""
    return bodega.open(root, capacity="8MiB", spill=disk)


@pytest.fixture
def seen():
    happened = []
    with events.watching(happened.append):
        yield happened


def actions(seen, action):
    return [event.name for event in seen if event.action == action]


def tier_of(store, name):
    return Path(store.info(name).tier).name


def test_a_full_store_moves_the_least_recently_used_down(small, disk, seen):
    for number in range(7):
        small.put(f"x{number}", block(number))
    small.get("x0")
    small.put("x7", block(7))
    assert actions(seen, "spill") == actions(seen, "evict") == ["x1"]
    assert (tier_of(small, "x1"), tier_of(small, "x0")) == ("disk", Path(small.root).name)
    assert small.get("x1").max() == 1.0
    assert small.names() == [f"x{number}" for number in range(8)]


def test_everything_stays_readable_and_whole(small):
    for number in range(40):
        small.put(f"x{number}", {"data": block(number), "number": number})
    for number in range(40):
        value = small.get(f"x{number}")
        assert value["number"] == number
        assert (value["data"] == number).all()
        value["data"] += 1
        assert small.get(f"x{number}")["data"].max() == number
    usage = small.usage()
    assert usage.used <= usage.capacity
    assert usage.tiers[0].objects + usage.objects >= 40


def test_a_hot_object_comes_up_again(small, seen):
    for number in range(8):
        small.put(f"x{number}", block(number))
    assert tier_of(small, "x0") == "disk"
    small.delete("x7")
    small.get("x0")
    assert actions(seen, "promote") == []
    small.get("x0")
    assert actions(seen, "promote") == ["x0"]
    assert tier_of(small, "x0") != "disk"


def test_reading_everything_in_turn_moves_nothing(small, seen):
    for number in range(20):
        small.put(f"x{number}", block(number))
    for _ in range(3):
        for number in range(20):
            small.get(f"x{number}")
    assert actions(seen, "promote") == []


def test_what_came_up_goes_down_again_without_a_copy(small, seen):
    for number in range(8):
        small.put(f"x{number}", block(number))
    small.delete("x7")
    small.get("x0")
    small.get("x0")
    seen.clear()
    for number in range(20):
        small.put(f"y{number}", block(number))
    assert "x0" in actions(seen, "evict")
    assert "x0" not in actions(seen, "spill")


def test_a_new_object_replaces_what_lies_below(small):
    for number in range(12):
        small.put(f"x{number}", block(number))
    assert tier_of(small, "x0") == "disk"
    small.put("x0", "new")
    assert small.get("x0") == "new"
    assert tier_of(small, "x0") != "disk"
    small.delete("x0")
    with pytest.raises(ObjectNotFound):
        small.get("x0")


def test_a_pinned_object_stays(small):
    small.put("x", block(1), pin=True)
    small.put("y", block(2))
    small.pin("y")
    for number in range(20):
        small.put(f"z{number}", block(number))
    assert tier_of(small, "x") != "disk"
    assert tier_of(small, "y") != "disk"
    small.pin("y", False)
    for number in range(20):
        small.put(f"z{number}", block(number))
    assert tier_of(small, "y") == "disk"


def test_a_mapped_object_stays(small):
    small.put("x", block(1))
    held = small.get("x")
    for number in range(20):
        small.put(f"z{number}", block(number))
    assert tier_of(small, "x") != "disk"
    assert held.max() == 1.0


def test_what_has_no_room_in_memory_goes_to_the_tier_below(small, seen):
    """Memory is full of what must stay: the new object of a name lies below, and nobody gets the old one."""
    for number in range(7):
        small.put(f"x{number}", block(number), pin=True)
    small.put("x0", block(9, 4 * MIB))
    assert small.get("x0").max() == bodega.open(small.root).get("x0").max() == 9.0
    assert tier_of(small, "x0") == "disk" and small._stack.top.exists("default", "x0") is False
    small.put("x1", block(8, 4 * MIB), persist=True)
    assert small.get("x1").max() == 8.0
    with pytest.raises(StoreFull, match="'x2' needs"):
        small.put("x2", block(9, 4 * MIB), pin=True)
    assert small.get("x2").max() == 2.0
    assert small.usage().used <= small.usage().capacity


@pytest.mark.parametrize("persist", [True, False])
def test_what_is_larger_than_memory_goes_below_and_moves_nothing(small, seen, persist):
    small.put("x", block(1))
    small.put("large", block(2, 20 * MIB), persist=persist)
    assert tier_of(small, "x") != "disk" and tier_of(small, "large") == "disk"
    assert actions(seen, "evict") == actions(seen, "spill") == []
    for _ in range(3):
        assert small.get("large").max() == 2.0
    assert actions(seen, "evict") == actions(seen, "spill") == []
    small.put("large", 3)
    assert small.get("large") == 3 and small._stack.lower[0].names("default") == []


def test_full_is_an_error_that_says_what_is_free_and_what_helps(root, disk):
    store = bodega.open(root, capacity="8MiB")
    with pytest.raises(StoreFull, match=r"8,388,608 bytes are free.*spill=") as caught:
        store.put("x", block(1, 10 * MIB))
    assert caught.value.free == 8 * MIB
    store = bodega.open(root, spill=f"{disk}?capacity=9MiB")
    store.put("y", block(2))
    with pytest.raises(StoreFull, match=r"Below: The store .*disk is full") as caught:
        store.put("x", block(1, 10 * MIB))
    assert "spill=" not in str(caught.value).partition("Below:")[0]
    assert tier_of(store, "y") != "disk" and store.names() == ["y"] and store.usage().leftovers == 0


def test_the_lower_tier_is_full_too(root, disk):
    store = bodega.open(root, capacity="4MiB", spill=f"{disk}?capacity=2MiB")
    with pytest.raises(StoreFull, match="lower tier"):
        for number in range(20):
            store.put(f"x{number}", block(number))
    assert all(store.get(name).max() == int(name[1:]) for name in store)


def test_whoever_opens_the_root_finds_what_moved(small, root):
    for number in range(12):
        small.put(f"x{number}", block(number))
    other = bodega.open(root)
    assert other.get("x0").max() == 0.0
    other.delete("x0")
    assert "x0" not in small
    assert bodega.open(root, spill=())._stack.lower == ()


def test_persisted_objects_survive_the_memory(root, disk, tmp_path):
    store = bodega.open(root, spill=disk)
    store.put("x", block(1), persist=True)
    store.put("y", block(2))
    store.persist("y")
    store.put("z", 3)
    with pytest.raises(SettingsError, match="another store"):
        bodega.open(tmp_path / "fresh", spill=disk)
    shutil.rmtree(root)
    fresh = bodega.open(tmp_path / "fresh", spill=disk)
    assert fresh.names() == ["x", "y"]
    assert fresh.get("x").max() == 1.0
    with pytest.raises(ObjectNotFound):
        fresh.persist("nothing")
    with pytest.raises(SettingsError, match="spill="):
        bodega.open(tmp_path / "single").put("x", 1, persist=True)


def test_a_persisted_name_that_is_put_again_is_not_stale_below(root, disk, tmp_path):
    store = bodega.open(root, spill=disk)
    below = store._stack.lower[0]
    store.put("x", 1, persist=True)
    store.put("x", 2)
    assert below.names("default") == []
    store.put("x", 3, persist=True)
    shutil.rmtree(root)
    assert bodega.open(tmp_path / "fresh", spill=disk).get("x") == 3


def test_what_a_disk_has_garbled_is_noticed(small, disk):
    for number in range(12):
        small.put(f"x{number}", block(number))
    path = disk / "runs" / "default" / "x0"
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)
    small.sweep(empty_pool=True)
    for number in range(6, 12):
        small.delete(f"x{number}")
    small.get("x0")  # From the disk as it is: nobody asked to verify.
    with pytest.raises(LayoutError, match="digest"):
        small.get("x0")  # The second time it would come up.
    with pytest.raises(LayoutError, match="digest"):
        bodega.open(small.root, verify=True).get("x0")


def test_verify_notices_a_flipped_bit(root):
    store = bodega.open(root, verify=True)
    store.put("x", {"a": block(1), "b": "text", "c": np.arange(10)})
    assert store.get("x")["b"] == "text"
    path = Path(root) / "runs" / "default" / "x"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    bodega.open(root).get("x")
    with pytest.raises(LayoutError, match="digest"):
        store.get("x")


@pytest.mark.parametrize("value", [np.arange(5.0), b"bytes", bytearray(b"more"), np.asfortranarray(np.ones((9, 9)))])
def test_trusting_data_loads_what_is_plain(root, value):
    bodega.open(root).put("x", value)
    np.testing.assert_array_equal(bodega.open(root, trust="data").get("x"), value)


@pytest.mark.parametrize("value", [1, {"a": 1}, "text", np.array([{}], dtype=object)])
def test_trusting_data_refuses_what_needs_unpickling(root, value):
    bodega.open(root).put("x", value)
    store = bodega.open(root, trust="data")
    assert store.info("x").name == "x"
    with pytest.raises(UntrustedObject, match="unpickled"):
        store.get("x")


def a_day_ago(root, run):
    """Nothing has been put into a run for a day."""
    os.utime(root / "runs" / run, (time.time() - 86_400,) * 2)


def test_a_run_ends_when_its_time_is_up(root):
    store = bodega.open(root, run="short", time_to_live=3600)
    store.put("x", 1)
    bodega.open(root, run="long", time_to_live="7d").put("x", 1)
    bodega.open(root, run="ever").put("x", 1)
    assert store.sweep().runs == 0
    for run in ("short", "long", "ever"):
        a_day_ago(root, run)
    assert store.sweep().runs == 1
    assert store.runs() == ["ever", "long"]


@pytest.mark.parametrize("tier", ["memory", "disk", "object storage"])
@pytest.mark.parametrize("way", ["sweep", "put"])
def test_what_is_put_while_its_run_is_about_to_be_dropped_stays(root, tmp_path, monkeypatch, tier, way):
    """The run has been found to be over, and somebody puts into it just before it is dropped."""
    if tier == "object storage":
        pytest.importorskip("obstore")
    spill = {"memory": (), "disk": tmp_path / "disk", "object storage": f"file://{tmp_path}/objects"}[tier]
    store = bodega.open(root, run="short", time_to_live=3600, spill=spill)
    store.put("old", 1, persist=tier != "memory")
    for folder in store._stack.folders:
        os.utime(folder.root.path / "runs" / "short", (0, 0))
    real, done = TierStack._drop_expired, []

    def put_first(self, run, until):
        done.append(store.put("x", 42, persist=tier != "memory"))
        return real(self, run, until)

    monkeypatch.setattr(TierStack, "_drop_expired", put_first)
    if way == "sweep":
        assert bodega.open(root).sweep().runs == 0
    else:
        (root / "locks" / "swept").touch()
        os.utime(root / "locks" / "swept", (0, 0))
        bodega.open(root).put("y", 1)
    assert done and store["x"] == 42 and store["old"] == 1
    if tier != "memory":
        assert store._stack.lower[0].names("short") == ["old", "x"]


def test_the_clock_of_a_host_drops_nothing_that_another_has_just_persisted(root, s3_options):
    """The folders of one host know nothing of what others put into the bucket that they share."""
    here, there = (
        bodega.open(root / host, run="r", time_to_live=3600, spill="s3://bucket/clock", storage_options=s3_options)
        for host in ("here", "there")
    )
    here.put("old", 1, persist=True)
    os.utime(root / "here" / "runs" / "r", (0, 0))
    there.put("x", 42, persist=True)
    assert here.sweep().runs == 0
    assert there["x"] == 42 and here["old"] == 1
    for host, store in (("here", here), ("there", there)):
        store._stack.top.set_time_to_live("r", 0.001)
        os.utime(root / host / "runs" / "r", (0, 0))
    time.sleep(1.1)  # The storage tells whole seconds.
    assert here.sweep().runs == 1
    assert here._stack.lower[0].names("r") == []


def test_a_run_is_looked_at_again_when_nothing_can_be_put_into_it(root, monkeypatch):
    """Somebody puts into a run after the locks of some names are taken, and before the last is."""
    store = bodega.open(root, run="short", time_to_live=3600)
    store.put("old", 1)
    os.utime(root / "runs" / "short", (0, 0))
    real, last = files._stripe, zlib.crc32(b"/short/x") % files._STRIPES

    def put_first(taken_root, stripe):
        if stripe == last:
            monkeypatch.setattr(files, "_stripe", real)
            store.put("x", 42)
        return real(taken_root, stripe)

    sweeping = bodega.open(root)
    monkeypatch.setattr(files, "_stripe", put_first)
    assert sweeping.sweep().runs == 0
    assert store["x"] == 42 and store["old"] == 1


def test_a_put_waits_for_the_end_of_its_run_in_every_tier(root, disk, monkeypatch):
    """What is put into a run while it is dropped is there afterwards, in memory and in the durable tier."""
    store = bodega.open(root, run="short", spill=disk)
    store.put("x", 1, persist=True)
    real, writers = DirectoryTier.drop_run, []

    def put_meanwhile(self, run, **options):
        if not writers:
            writers.append(threading.Thread(target=store.put, args=("x", 42), kwargs={"persist": True}))
            writers[0].start()
            time.sleep(0.2)
        return real(self, run, **options)

    monkeypatch.setattr(DirectoryTier, "drop_run", put_meanwhile)
    assert store.drop_run() == 1
    writers[0].join(300)
    assert store["x"] == 42
    assert [tier.names("short") for tier in store._stack.folders] == [["x"], ["x"]]


def test_a_crowd_that_drops_what_is_over_loses_nothing_that_is_not(root):
    """A run is put into about when its time is up, while two processes drop whatever has ended."""
    lifetime = 0.05
    store = bodega.open(root, run="short", time_to_live=lifetime)
    code = (
        "import sys, os, bodega\n"
        "store = bodega.open(sys.argv[1])\n"
        "while not os.path.exists(sys.argv[1] + '/locks/stop'):\n"
        "    store.sweep()\n"
    )
    sweepers = [subprocess.Popen([sys.executable, "-c", code, str(root)]) for _ in range(2)]
    checked = 0
    try:
        for number in range(150):
            began = time.time()
            store.put("x", number)
            value = store.get("x", None)
            if time.time() - began < lifetime / 2:  # Else it may have ended again, on a slow machine.
                assert value == number
                checked += 1
            time.sleep(lifetime * (0.9 + number % 10 / 50))
    finally:
        (root / "locks" / "stop").touch()
        assert [sweeper.wait(300) for sweeper in sweepers] == [0, 0]
    print(f"{checked} puts looked at")


def test_puts_sweep_now_and_then(root, monkeypatch):
    monkeypatch.setattr("bodega.memory.sweep.SHARE", 600)
    store = bodega.open(root, run="short", time_to_live=3600)
    store.put("x", 1)
    a_day_ago(root, "short")
    left = Path(root) / "tmp" / "left"
    left.write_bytes(bytes(10))
    (Path(root) / "locks" / "swept").touch()
    os.utime(Path(root) / "locks" / "swept", (0, time.time() - 2 * INTERVAL))
    bodega.open(root, run="other").put("y", 1)
    assert not left.exists()
    assert bodega.open(root).runs() == ["other"]


def test_of_two_stores_put_into_in_turn_both_sweep(root, tmp_path, monkeypatch):
    monkeypatch.setattr("bodega.memory.sweep.SHARE", 600)
    stores = [bodega.open(root), bodega.open(tmp_path / "second")]
    left = [Path(store.root) / "tmp" / "left" for store in stores]
    for store, path in zip(stores, left, strict=True):
        path.write_bytes(bytes(10))
        (Path(store.root) / "locks" / "swept").touch()
        os.utime(Path(store.root) / "locks" / "swept", (0, time.time() - 2 * INTERVAL))
    for store in stores:
        store.put("x", 1)
    assert not any(path.exists() for path in left)


def test_what_others_put_into_a_root_is_passed_over(root):
    store = bodega.open(root, capacity="8MiB")
    store.put("x", block(1))
    for folder in ("tmp", "pool", "runs/default"):
        (root / folder / "folder").mkdir()
        (root / folder / "link").symlink_to("/nowhere")
    (root / "runs" / "file").touch()
    for name in (b"\xff", b"\xff%41", b"%FF", b"%41"):
        Path(os.fsdecode(os.fsencode(root / "runs" / "default") + b"/" + name)).touch()
    assert store.names() == ["folder", "link", "x"]
    for number in range(20):
        store.put("y", block(number))
    with pytest.raises(LayoutError, match="by hand"):
        store.put("folder", 1)
    with pytest.raises(LayoutError, match="by hand"):
        store.delete("folder")
    store.sweep(empty_pool=True)
    assert store.runs() == ["default"]
    assert store.usage().objects == 4
    store.drop_run()
    assert store.names() == ["folder"]


def test_a_warmed_store_has_its_pool_and_keeps_it(root):
    store = bodega.open(root, prefault="4MiB")
    assert store.usage().pool == 4 * MIB == store.usage().used
    bodega.open(root, prefault="4MiB")
    assert store.usage().pool == 4 * MIB
    store.put("x", block(1, MIB))
    assert store.usage().used <= 4 * MIB
    with pytest.raises(SettingsError, match="kept warm"):
        bodega.open(root, prefault="100%")


@pytest.mark.parametrize("capacity", ["0%", "101%", "%", "ten%", "-5%"])
def test_bad_shares(root, capacity):
    with pytest.raises(SettingsError):
        bodega.open(root, capacity=capacity)


@pytest.mark.parametrize("options", [{"spill": 5}, {"spill": ""}, {"spill": ["s3://b", "/tmp/x"]}, {"trust": "nobody"},
                                     {"time_to_live": "soon"}, {"time_to_live": -1}, {"time_to_live": True}])  # fmt: skip
def test_bad_options(root, options):
    with pytest.raises(SettingsError):
        bodega.open(root, **options)


def test_a_root_cannot_be_its_own_lower_tier(root, tmp_path):
    store = bodega.open(root)
    store.put("x", 1)
    (tmp_path / "link").symlink_to(root)
    for alias in (root, f"{root}/../{root.name}", tmp_path / "link", root / "below"):
        with pytest.raises(SettingsError, match="same folder"):
            bodega.open(root, spill=alias)
    with pytest.raises(SettingsError, match="twice"):
        bodega.open(root, spill=[tmp_path / "a", tmp_path / "a"])
    assert bodega.open(root).get("x") == 1


@pytest.mark.parametrize("spill", ["/dev/null", "ftp://x/y", "/proc/nothing"])
def test_a_refused_tier_is_not_remembered(root, spill):
    bodega.open(root).put("x", 1)
    with pytest.raises((RootError, SettingsError), match=r"spill=\(\)"):
        bodega.open(root, spill=spill)
    assert bodega.open(root).get("x") == 1


def test_an_empty_root_is_set_to_what_it_is_opened_with(root, disk):
    bodega.open(root, capacity="8MiB")
    bodega.open(root, spill=disk)
    assert bodega.open(root).usage().capacity == 8 * MIB
    assert [tier.url for tier in bodega.open(root)._stack.lower] == [str(disk)]
    assert bodega.open(root, capacity="9MiB", spill=()).usage().tiers == ()
    assert bodega.open(root).usage().capacity == 8 * MIB


def test_a_root_with_objects_stays_as_it_is_set(root, tmp_path):
    """An example that is tried on the store of all must not become the setting of all."""
    bodega.open(root).put("x", 1)
    before = bodega.open(root).usage().capacity
    tried = bodega.open(root, capacity="8MiB", spill=tmp_path / "gone")
    assert tried.usage().capacity == 8 * MIB
    tried.put("y", 2)
    shutil.rmtree(tmp_path / "gone")
    store = bodega.open(root)
    assert (store.usage().capacity, store.usage().tiers, store["y"]) == (before, (), 2)


def test_tiers_that_objects_lie_in_are_known_to_all(root, disk, tmp_path):
    bodega.open(root).put("x", 1)
    store = bodega.open(root, capacity="8MiB", spill=disk)
    for number in range(12):
        store.put(f"x{number}", block(number))
    other = bodega.open(root)
    assert other["x0"].max() == 0.0
    # The first who lets objects down sets the tiers; another's are its own.
    bodega.open(root, spill=tmp_path / "others").put("y", 1, persist=True)
    assert [tier.url for tier in bodega.open(root)._stack.lower] == [str(disk)]


def test_a_stream_that_goes_below_is_known_to_all(root, disk):
    bodega.open(root).put("x", 1)
    with bodega.open(root, capacity="4MiB", spill=disk).stream("chunks") as stream:
        for number in range(6):
            stream.append(block(number))
    assert len(bodega.open(root)["chunks"]) == 6


def test_a_lower_folder_that_held_nothing_is_made_anew(root, tmp_path):
    bodega.open(root, spill=tmp_path / "below").put("x", 1)
    shutil.rmtree(tmp_path / "below")
    assert bodega.open(root).names() == ["x"]


def test_settings_are_kept_when_asked(root, disk):
    bodega.open(root).put("x", 1)
    bodega.open(root, capacity="8MiB", spill=disk).keep_settings()
    assert bodega.open(root).usage().capacity == 8 * MIB
    bodega.open(root, spill=()).keep_settings()
    assert (bodega.open(root).usage().tiers, bodega.open(root).usage().capacity) == ((), 8 * MIB)


def test_no_setting_is_lost_among_processes_that_open_at_once(root, tmp_path):
    """Each of two opens of a new root gives one setting, at the same moment: both are there afterwards."""
    program = (
        "import sys, bodega\n"
        "for line in sys.stdin:\n"
        "    bodega.open(line.strip(), **eval(sys.argv[1]))\n"
        "    print(flush=True)\n"
    )
    given = ["dict(capacity='8MiB')", f"dict(spill={str(tmp_path / 'below')!r} + '/' + line.strip()[-2:])"]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, each], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for each in given
    ]
    try:
        for number in range(40):
            place = root / f"root-{number:02}"
            for process in processes:
                print(place, file=process.stdin, flush=True)
            for process in processes:
                assert process.stdout is not None and process.stdout.readline() == "\n"
            known = json.loads((place / "store.json").read_text())
            assert (known["capacity"], len(known["spill"])) == ("8MiB", 1)
    finally:
        for process in processes:
            process.communicate()


def test_a_folder_that_cannot_be_a_lower_tier_is_called_that(root, tmp_path):
    folder = tmp_path / "my spill"
    folder.mkdir(mode=0o755)
    with pytest.raises(RootError, match="cannot be a lower tier of the store") as caught:
        bodega.open(root, spill=folder)
    assert f"chmod 700 '{folder}'" in str(caught.value)
    assert "root=" not in str(caught.value)


def test_the_time_of_a_run_outlives_the_memory(root, disk, tmp_path):
    bodega.open(root, run="short", spill=disk, time_to_live=3600).put("x", 1, persist=True)
    shutil.rmtree(root)
    a_day_ago(disk, "short")
    fresh = bodega.open(tmp_path / "fresh", spill=disk)
    assert fresh.runs() == ["short"]
    assert fresh.sweep().runs == 1
    assert fresh.runs() == []


def test_a_get_that_meets_a_move_is_an_event_as_well(small, seen, monkeypatch):
    """The object is in no tier where it is looked for, and in memory at the second look."""
    real, moves = small._stack.top.open, []

    def move_first(run, name, **options):
        if not moves:
            moves.append(small.put("x", 1))
            return None
        return real(run, name, **options)

    monkeypatch.setattr(small._stack.top, "open", move_first)
    assert small["x"] == 1
    assert [(event.name, event.tier) for event in seen if event.action == "get"] == [("x", str(small.root))]


def test_a_hint_is_looked_for_when_somebody_wants_to_see_it(root, monkeypatch):
    store = bodega.open(root)
    store.put("name", 1)
    listed, real = [], TierStack.names

    def watched(self, run):
        listed.append(run)
        return real(self, run)

    monkeypatch.setattr(TierStack, "names", watched)
    assert store.get("nam", None) is store.pop("nam", None) is None
    for ask in (lambda: store["nam"], lambda: store.info("nam"), lambda: store.delete("nam"), lambda: store.pin("nam")):
        with pytest.raises(ObjectNotFound) as caught:
            ask()
        assert not listed
        again = pickle.loads(pickle.dumps(caught.value))
        assert str(again) == str(caught.value) and str(again).endswith("Did you mean 'name'?")
        assert again.matches == caught.value.matches == ["name"] and again.name == "nam"
        listed.clear()


def test_a_failing_receiver_changes_nothing(root, caplog):
    def fail(event):
        raise ValueError(event.action)

    with events.watching(fail):
        store = bodega.open(root)
        store.put("x", 1)
        assert store.get("x") == 1
    assert "the store goes on" in caplog.text


def test_receivers_log_and_count(root, caplog):
    prometheus = pytest.importorskip("prometheus_client", reason="pip install prometheus-client")
    registry = prometheus.CollectorRegistry()
    end = [events.log_events(), events.count_events(registry)]
    try:
        with caplog.at_level("INFO", "bodega.events"):
            bodega.open(root).put("x", b"12345")
    finally:
        for each in end:
            each()
    assert "put default/x (5 bytes)" in caplog.text
    labels = {"action": "put", "tier": str(root)}
    assert registry.get_sample_value("bodega_events_total", labels) == 1
    assert registry.get_sample_value("bodega_event_bytes_total", labels) == 5


def test_a_name_that_is_on_its_way_is_passed_over(small, monkeypatch):
    """Of one name only one transfer happens at a time, and a put that makes room waits for none."""
    for number in range(7):
        small.put(f"x{number}", block(number))
    with small._stack.transfers.lock("default", "x0"):
        small.put("x7", block(7))
    assert tier_of(small, "x0") != "disk"
    assert tier_of(small, "x1") == "disk"


def test_a_put_during_an_eviction_of_its_name_wins(small, monkeypatch):
    for number in range(7):
        small.put(f"x{number}", block(number))
    began, proceed = threading.Event(), threading.Event()
    below = small._stack.lower[0]
    real = below.upload

    def slowly(run, name, data, **options):
        began.set()
        assert proceed.wait(300)
        real(run, name, data, **options)

    monkeypatch.setattr(below, "upload", slowly)
    other = threading.Thread(target=small.put, args=("x7", block(7)))
    other.start()
    assert began.wait(300)
    writer = threading.Thread(target=small.put, args=("x0", "new"))
    writer.start()
    time.sleep(0.1)
    assert small.get("x0").max() == 0.0
    proceed.set()
    other.join(300)
    writer.join(300)
    assert small.get("x0") == "new"
    small.delete("x0")
    assert not below.exists("default", "x0")


def _churn(root, disk, seed, seconds):
    rng = np.random.default_rng(seed)
    store = bodega.open(root, capacity="8MiB", spill=disk)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        name = f"x{rng.integers(20)}"
        value = float(rng.integers(1000))
        action = rng.integers(4)
        if action == 0:
            store.put(name, block(value, MIB // 2))
        elif action == 1 and name != "x0":
            try:
                store.delete(name)
            except ObjectNotFound:
                pass
        else:
            try:
                got = store.get(name)
            except ObjectNotFound:
                assert name != "x0", "x0 is never deleted"
            else:
                assert got.min() == got.max()


def test_many_processes_move_the_same_objects(root, disk):
    store = bodega.open(root, capacity="8MiB", spill=disk)
    store.put("x0", block(1.0, MIB // 2))
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_churn, args=(root, disk, seed, 4.0)) for seed in range(4)]
    for process in processes:
        process.start()
    victim = context.Process(target=_churn, args=(root, disk, 99, 30.0))
    victim.start()
    time.sleep(1.5)
    victim.kill()
    for process in [*processes, victim]:
        process.join(300)
    assert [process.exitcode for process in processes] == [0] * 4
    store.sweep(empty_pool=True)
    usage = store.usage()
    assert usage.leftovers == 0
    assert usage.used <= usage.capacity
    store.drop_run()
    store.sweep(empty_pool=True)
    assert store.usage().used == store.usage().tiers[0].used == 0
    assert transfer._STRIPES >= len(list((Path(root) / "locks").glob("transfer-*")))


def test_an_old_copy_below_that_cannot_be_removed_is_no_success(root, disk):
    """The put says so; nobody is given the old value, and putting it again removes it."""
    store = bodega.open(root, spill=disk)
    store.put("x", 1, persist=True)
    disk.rename(disk.with_name("elsewhere"))
    with pytest.raises(TierError, match="'x' is put.*gone"):
        store.put("x", 2)
    assert store["x"] == 2
    disk.with_name("elsewhere").rename(disk)
    assert store["x"] == bodega.open(root)["x"] == 2
    store.put("x", 3)
    assert store._stack.lower[0].names("default") == [] and store["x"] == 3


def test_a_root_that_was_removed_is_named(root):
    store = bodega.open(root)
    shutil.rmtree(root)
    asked = [lambda: store.put("x", 1), lambda: store.exists("x"), lambda: "x" in store, lambda: len(store),
             lambda: store.get("x", None), lambda: store.delete("x"), lambda: store.pin("x"), store.runs,
             store.drop_run, store.sweep, store.usage]  # fmt: skip
    for ask in asked:
        with pytest.raises(RootError, match="gone"):
            ask()
    assert not root.exists()
    bodega.open(root).put("x", 1)


def test_a_lower_folder_that_is_gone_is_named(root, tmp_path):
    """What lies on a disk that is not mounted must not look as if it had never been there."""
    store = bodega.open(root, spill=tmp_path / "below")
    store.put("x", 1, persist=True)
    (tmp_path / "below").rename(tmp_path / "elsewhere")
    asked = [lambda: store["y"], lambda: store.get("y", None), lambda: store.exists("y"), lambda: "y" in store,
             lambda: len(store), store.names, store.runs, store.usage, store.sweep, lambda: store.info("y"),
             lambda: store.delete("x"), lambda: store.pin("y"), lambda: store.persist("y"), store.drop_run,
             lambda: bodega.open(root)]  # fmt: skip
    for ask in asked:
        with pytest.raises(RootError, match="below is gone"):
            ask()
    # What cannot be looked for there may be there, and must not come back for the new value.
    with pytest.raises(TierError, match="'z' is put.*below is gone"):
        store.put("z", 2)
    assert store["z"] == 2
    assert not (tmp_path / "below").exists() and store["x"] == 1
    (tmp_path / "elsewhere").rename(tmp_path / "below")
    assert bodega.open(root).names() == ["x", "z"]


@pytest.mark.parametrize("spill", ["/below?foo=1", "/below?capacity="])
def test_a_lower_folder_that_is_not_understood_is_refused(root, tmp_path, spill):
    with pytest.raises(SettingsError, match="is not understood"):
        bodega.open(root, spill=f"{tmp_path}{spill}")
    assert not list(tmp_path.glob("below*"))


@pytest.mark.parametrize("option", ["group", "verify"])
def test_a_text_is_no_yes(root, option):
    wrong: dict[str, Any] = {option: "no"}
    with pytest.raises(SettingsError, match=f"{option}= is True or False"):
        bodega.open(root, **wrong)


def test_a_handle_with_tiers_of_its_own_moves_nothing_that_others_put(root, tmp_path):
    """Those who have opened the root without its tiers would not find it."""
    mine = bodega.open(root, run="mine")
    mine.put("a", np.full(1_000_000, 7.0))
    other = bodega.open(root, run="other", capacity="24MiB", spill=tmp_path / "other")
    for number in range(4):
        other.put(f"n{number}", np.full(1_000_000, float(number)))
    assert mine["a"][0] == 7.0 and mine.names() == ["a"]
    assert [other[f"n{number}"][0] for number in range(4)] == [0.0, 1.0, 2.0, 3.0]
    assert other._stack.lower[0].runs() == ["other"]


def test_the_root_of_another_store_is_no_lower_tier(root, tmp_path):
    bodega.open(tmp_path / "theirs").put("q", "precious")
    with pytest.raises(SettingsError, match="the root of a store that has objects"):
        bodega.open(root, spill=tmp_path / "theirs")
    assert bodega.open(tmp_path / "theirs")["q"] == "precious"
