"""Every tier keeps the contract, and is a dict; so is the store over them, whatever moves where."""

import os
import shutil
import tempfile
import uuid
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

import bodega
from bodega import format as layout
from bodega import testing
from bodega.memory.root import open_root
from bodega.names import from_filename
from bodega.tiers import object_storage
from bodega.tiers.directory import DirectoryTier
from bodega.tiers.object_storage import ObjectStorageTier

LONG = bool(os.environ.get("BODEGA_STRESS"))
BLOCK = 1 << 20


def stateful(examples, long_examples, steps=25):
    return settings(
        max_examples=long_examples if LONG else examples,
        stateful_step_count=2 * steps if LONG else steps,
        deadline=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )


@pytest.fixture
def fresh(tmp_path):
    """Makes new folders, on a disk and in memory."""
    made = []

    def make(memory=False):
        parent = "/dev/shm" if memory and os.path.isdir("/dev/shm") else tmp_path
        folder = Path(tempfile.mkdtemp(prefix="bodega-test-", dir=parent))
        if made and len(made) > 8:
            shutil.rmtree(made.pop(0), ignore_errors=True)
        made.append(folder)
        return folder

    yield make
    for folder in made:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def s3_url():
    return f"s3://bucket/{uuid.uuid4().hex}"


def folder_of(url):
    return url.removeprefix("file://")


def s3_objects(tier):
    """What the server has, by the client library alone."""
    import obstore

    client = tier._opened()
    found = {}
    for chunk in obstore.list(client):
        for meta in chunk:
            run, _, name = meta["path"].rpartition("/")
            found[from_filename(run.rpartition("/")[2]), from_filename(name)] = bytes(
                obstore.get(client, meta["path"]).bytes()
            )
    return found


class TestMemory(testing.FolderContract):
    @pytest.fixture
    def tier(self, root):
        return DirectoryTier(open_root(root))


class TestDisk(testing.FolderContract):
    @pytest.fixture
    def tier(self, tmp_path):
        return DirectoryTier(open_root(tmp_path / "root", warm=False))


class TestObjectStorageInAFolder(testing.TierContract):
    @pytest.fixture
    def tier(self, tmp_path):
        pytest.importorskip("obstore")
        return ObjectStorageTier(f"file://{tmp_path}/objects")


class TestObjectStorage(testing.TierContract):
    @pytest.fixture
    def tier(self, s3_url, s3_options):
        pytest.importorskip("obstore")
        return ObjectStorageTier(s3_url, s3_options)


def raw(tier):
    """The raw bytes of the objects of a folder."""
    return testing.raw_files(tier.root.runs)


def test_memory_is_a_dict(fresh):
    machine = testing.tier_machine(lambda: DirectoryTier(open_root(fresh(memory=True))), raw)
    run_state_machine_as_test(machine, settings=stateful(25, 1000))


def test_a_disk_is_a_dict(fresh):
    machine = testing.tier_machine(lambda: DirectoryTier(open_root(fresh(), warm=False)), raw)
    run_state_machine_as_test(machine, settings=stateful(15, 300))


def test_object_storage_in_a_folder_is_a_dict(fresh):
    pytest.importorskip("obstore")
    machine = testing.tier_machine(
        lambda: ObjectStorageTier(f"file://{fresh()}"), lambda tier: testing.raw_files(folder_of(tier.url))
    )
    run_state_machine_as_test(machine, settings=stateful(10, 300))


def test_object_storage_is_a_dict(s3_options):
    pytest.importorskip("obstore")
    machine = testing.tier_machine(lambda: ObjectStorageTier(f"s3://bucket/{uuid.uuid4().hex}", s3_options), s3_objects)
    run_state_machine_as_test(machine, settings=stateful(4, 60, steps=15))


@pytest.mark.parametrize("below", ["disk", "object storage", "both"])
def test_a_store_is_a_dict(fresh, below, monkeypatch):
    if below != "disk":
        pytest.importorskip("obstore")
        monkeypatch.setattr(object_storage, "_TRIES", 1)

    def make():
        spill = {
            "disk": lambda: [fresh()],
            "object storage": lambda: [f"file://{fresh()}"],
            "both": lambda: [fresh(), f"file://{fresh()}"],
        }[below]()
        return bodega.open(fresh(memory=True), capacity="4MiB", spill=spill)

    def raw(store):
        return {
            tier.url: testing.raw_files(tier.root.runs if isinstance(tier, DirectoryTier) else folder_of(tier.url))
            for tier in store._stack.lower
        }

    run_state_machine_as_test(testing.store_machine(make, raw), settings=stateful(20, 400, steps=30))


def test_a_name_that_a_lower_tier_cannot_keep_is_refused_before_it_is_published(fresh):
    pytest.importorskip("obstore")
    store = bodega.open(fresh(memory=True), spill=f"file://{fresh()}")
    with pytest.raises(bodega.InvalidName, match="240 is the most"):
        store.put("ä" * 60, 1)
    assert testing.raw_files(store._root.runs) == {}


def test_a_name_from_before_there_was_a_tier_that_cannot_keep_it_stays_in_memory(fresh):
    pytest.importorskip("obstore")
    root = fresh(memory=True)
    bodega.open(root).put("ä" * 60, bytes(1 << 20))
    store = bodega.open(root, capacity="4MiB", spill=f"file://{fresh()}")
    for number in range(5):
        store.put(f"x{number}", bytes(1 << 20))
    assert store.get("ä" * 60) == bytes(1 << 20)
    assert len(store) == 6


@pytest.fixture
def small(fresh):
    """A store that holds three blocks in memory."""
    return bodega.open(fresh(memory=True), capacity="4MiB", spill=fresh())


def is_in_memory(store, name):
    return store.info(name).tier == str(store.root)


def test_a_pin_ends_with_its_object(small):
    """The segment of a pinned object is written again for another."""
    small.put("x", bytes(BLOCK), pin=True)
    small.put("x", bytes(BLOCK))
    small.put("y", bytes(BLOCK))
    assert [each.pinned for each in small._stack.top.by_age()] == [False, False]


def test_pinning_brings_an_object_up(small):
    # In the order of their names: several may be of the same tick of the clock.
    for name in "abcd":
        small.put(name, bytes(BLOCK))
    assert not is_in_memory(small, "a")
    small.pin("a", False)
    assert not is_in_memory(small, "a")
    small.pin("a")
    assert is_in_memory(small, "a")
    with pytest.raises(bodega.ObjectNotFound):
        small.pin("y")


def test_pinning_what_has_no_room_is_an_error(small):
    small.put("x", bytes(BLOCK))
    for name in "abc":
        small.put(name, bytes(BLOCK), pin=True)
    with pytest.raises(bodega.StoreFull):
        small.pin("x")
    assert small.get("x") == bytes(BLOCK)
    small.pin("a", False)
    small.pin("x")
    assert is_in_memory(small, "x")


@pytest.mark.parametrize("byte", [20, 40, 140])
def test_a_damaged_object_gets_no_seal_on_its_way(root, byte):
    """Whatever is damaged: its flags, its id, or what it says of itself."""
    above, below = DirectoryTier(open_root(root / "above")), DirectoryTier(open_root(root / "below"))
    with below.begin("r", "x", seal=byte == 20) as writer:
        writer.put(lambda sink: bodega.codecs.encode(b"x" * 1000, sink))
        writer.publish()
    stored = below.open("r", "x")
    assert stored is not None
    stored.data[byte] ^= 1
    stored = stored._replace(header=layout.parse_header(stored.data, len(stored.data), ""))
    with pytest.raises(bodega.LayoutError, match="checksum"):
        above.upload("r", "x", stored.data)
    assert above.names("r") == []
