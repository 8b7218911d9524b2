import os
import pickle
import resource
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bodega
from bodega import InvalidName, LayoutError, NotShareable, ObjectNotFound, RootError, SettingsError, StoreFull

MIB = 1 << 20


def sum_in_another_process(store):
    """What a fresh interpreter sees under the name x."""
    code = "import sys, bodega; print(float(bodega.open(sys.argv[1])['x'].sum()))"
    command = [sys.executable, "-c", code, str(store.root)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def test_it_is_a_mapping(store):
    store["x"] = np.arange(3)
    store["y"] = "text"
    assert list(store) == ["x", "y"] and len(store) == 2
    assert "x" in store and "z" not in store and 3 not in store and "" not in store
    assert store["y"] == "text" and store.get("z", 5) == 5
    del store["y"]
    assert list(store) == ["x"]
    with pytest.raises(KeyError):
        del store["y"]


def test_a_reader_changes_only_its_own_copy(store):
    store.put("x", np.zeros(1_000_000))
    first = store.get("x")
    first[:] = 1
    assert store.get("x").sum() == 0
    assert sum_in_another_process(store) == 0
    assert first.sum() == 1_000_000


def test_arrays_are_zero_copy_and_writable(store):
    store.put("x", np.zeros(8 * MIB, "u1"))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    array = store.get("x")
    assert array.flags.writeable and not array.flags.owndata
    assert resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before < 500


def test_the_old_object_stays_with_its_readers(store):
    store.put("x", np.full(MIB, 1.0))
    old = store.get("x")
    for value in (2.0, 3.0, 4.0):
        store.put("x", np.full(MIB, value))
    store.delete("x")
    for value in (5.0, 6.0):
        store.put("y", np.full(MIB, value))
    assert old.min() == old.max() == 1.0


def test_leases_take_no_descriptors_and_go_with_the_arrays(store):
    if not (store._root.capabilities.overlay or store._root.capabilities.trackfd):
        pytest.skip("portable path: a lease is a descriptor here")
    store.put("x", np.zeros(100_000))
    held = [store.get("x") for _ in range(2_000)]
    # Those of this store alone: what earlier tests left may open and close others meanwhile.
    links = (Path("/proc/self/fd", number) for number in os.listdir("/proc/self/fd"))
    assert not [link for link in links if os.path.islink(link) and str(store.root) in os.readlink(link)]
    store.delete("x")
    del held
    assert store.sweep().files == 0 and store.usage().leftovers == 0


def test_runs_are_namespaces(store, monkeypatch):
    store.put("x", 1)
    other = store.with_run("other")
    assert "x" not in other
    other.put("x", 2)
    assert (store["x"], other["x"]) == (1, 2)
    assert store.runs() == ["default", "other"]
    monkeypatch.setenv("BODEGA_RUN", "other")
    assert bodega.open(store.root)["x"] == 2
    assert other.drop_run() == 1 and store.runs() == ["default"]


def test_a_time_to_live_stays_with_the_run_that_it_was_given_for(root):
    short = bodega.open(root, run="short", time_to_live=3600)
    short.with_run("kept").put("x", 1)
    short.with_run("short").put("x", 1)
    for run in ("kept", "short"):
        os.utime(root / "runs" / run, (0, 0))
    assert short.sweep().runs == 1 and short.runs() == ["kept"]


def test_records_of_bodega_itself_are_listed_only_when_asked_for_and_go_with_the_run(store):
    store.put("x", 1)
    store.put(".bodega/finished/a", b"1")
    assert store.names() == list(store) == ["x"] and len(store) == 1
    assert [info.name for info in store.list()] == ["x"]
    assert store.names(".bodega/*") == [".bodega/finished/a"] and store[".bodega/finished/a"] == b"1"
    with pytest.raises(ObjectNotFound, match="The run has one other"):
        store.get("quite another")
    assert store.drop_run() == 1 and store.runs() == [] and ".bodega/finished/a" not in store


def test_info_says_what_was_put_and_unpickles_nothing(store):
    info = store.put("frame", {"a": np.zeros((3, 2))})
    assert store.info("frame") == info == store.list()[0]
    assert info.producer.process == os.getpid() and info.created.tzinfo is not None
    assert info.kind == "dict" and info.run == "default" and len(info.id) == 32
    assert store.put("frame", 1).id != info.id
    code = (
        "import sys, bodega; bodega.open(sys.argv[1]).list(); "
        "assert not {'numpy', 'pandas', 'pyarrow', 'cloudpickle'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(store.root)], check=True)


def test_missing_names_come_with_near_matches(store):
    store.put("house_prices", 1)
    with pytest.raises(ObjectNotFound, match="Did you mean 'house_prices'") as caught:
        store.get("house_price")
    assert caught.value.matches == ["house_prices"]
    assert pickle.loads(pickle.dumps(caught.value)).matches == ["house_prices"]


@pytest.mark.parametrize("name", ["", None, 7, "x" * 300, "\udcff"])
def test_bad_names(store, name):
    with pytest.raises(InvalidName):
        store.put(name, 1)
    assert store.usage().objects == 0


@pytest.mark.parametrize("name", ["..", ".", "a/b", "../../etc/passwd", "%2e", "a\nb", "naïve", "x@pandas"])
def test_odd_names_are_kept_inside_the_root(store, name):
    store.put(name, name)
    assert store[name] == name and list(store) == [name]


def test_none_is_refused(store):
    with pytest.raises(NotShareable):
        store.put("x", None)


@pytest.mark.parametrize("capacity", ["8 parsecs", "", "-1", 0, True, "GiB", 1.5])
def test_bad_capacities(root, capacity):
    with pytest.raises(SettingsError):
        bodega.open(root, capacity=capacity)


def test_a_full_store_says_so_and_keeps_the_old_object(root):
    store = bodega.open(root, capacity="4MiB")
    store.put("x", np.zeros(2 * MIB, "u1"))
    for _ in range(3):
        with pytest.raises(StoreFull, match="capacity") as caught:
            store.put("x", np.zeros(3 * MIB, "u1"))
        assert (caught.value.need or 0) > 3 * MIB and caught.value.errno
    assert store["x"].nbytes == 2 * MIB
    used = store.usage().used
    store.sweep()
    assert store.usage().used == used < 3 * MIB
    store.put("y", np.zeros(MIB, "u1"))


def test_usage_returns_to_nothing(store):
    for _ in range(5):
        store.put("x", np.zeros(2 * MIB, "u1"))
        store.put("small", 1)
    assert store.usage().pool <= 3 * MIB
    store.drop_run()
    store.sweep(empty_pool=True)
    usage = store.usage()
    assert (usage.used, usage.objects, usage.runs, usage.leftovers, usage.pool) == (0, 0, 0, 0, 0)


def test_replaced_segments_are_written_again(store):
    store.put("x", np.zeros(2 * MIB, "u1"))
    first = (store.root / "runs/default/x").stat().st_ino
    store.put("x", np.ones(2 * MIB, "u1"))
    store.put("x", np.full(2 * MIB, 2, "u1"))
    third = (store.root / "runs/default/x").stat().st_ino
    assert store["x"].min() == 2
    assert (first == third) == store._root.capabilities.exchange


def test_a_root_that_cannot_be_trusted_is_refused(root, tmp_path):
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(RootError, match="not a folder"):
        bodega.open(file)
    (tmp_path / "mine").mkdir(mode=0o700)
    (tmp_path / "mine" / "thesis.doc").touch()
    with pytest.raises(RootError, match="other things"):
        bodega.open(tmp_path / "mine")
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    with pytest.raises(RootError, match="chmod 700"):
        bodega.open(open_to_all)
    wrong: Any = ("", 7, "a\0b")
    for path in wrong:
        with pytest.raises(SettingsError):
            bodega.open(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a folder away: run as root")
def test_a_root_of_someone_else_is_refused(tmp_path):
    theirs = tmp_path / "theirs"
    theirs.mkdir(mode=0o700)
    os.chown(theirs, 12345, 12345)
    with pytest.raises(RootError, match="another user"):
        bodega.open(theirs)


def test_it_pickles_and_crosses_processes(store):
    store.put("x", np.ones(10))
    again = pickle.loads(pickle.dumps(store.with_run("default")))
    assert again["x"].sum() == 10 and sum_in_another_process(store) == 10


def test_threads_share_a_store(store):
    errors = []

    def work(number):
        try:
            for count in range(50):
                store.put("same", np.full(2_000, number))
                value = store.get("same")
                assert value.min() == value.max()
                store.put(f"own {number}", count)
                assert store.get(f"own {number}") == count
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert not errors


def test_import_is_light():
    code = "import sys, bodega; print([m for m in ('numpy', 'pandas', 'pyarrow', 'rich', 'click') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert result.stdout.strip() == "[]"


def test_a_damaged_object_can_be_replaced_and_removed(store):
    store.put("x", 1)
    (store.root / "runs/default/x").write_bytes(b"nonsense")
    with pytest.raises(LayoutError):
        store.get("x")
    store.put("x", 2)
    assert store["x"] == 2


@pytest.mark.parametrize(("given", "meant"), [("ttl", "time_to_live"), ("capcity", "capacity"), ("spil", "spill")])
def test_an_argument_that_is_not_known_is_guessed(root, given, meant):
    unknown: dict[str, Any] = {given: "7d"}
    with pytest.raises(TypeError, match=f"no argument '{given}'. Did you mean '{meant}'"):
        bodega.open(root, **unknown)
    with pytest.raises(TypeError, match="It takes root, run, capacity"):
        bodega.open(root, xyzzy=1)  # type: ignore[call-arg]
    assert not list(root.glob("*"))


WRONG = {
    "pin=": lambda store: store.put("x", 1, pin=5),
    "persist=": lambda store: store.put("x", 1, persist="yes"),
    "pinned=": lambda store: store.pin("x", None),
    "empty_pool=": lambda store: store.sweep(empty_pool="x"),
    "verify=": lambda store: bodega.open(store.root, verify=1),  # type: ignore[arg-type]
    "group=": lambda store: bodega.open(store.root, group="x"),  # type: ignore[arg-type]
    "pattern": lambda store: store.list(5),
    "storage_options=": lambda store: bodega.open(store.root, storage_options=5),  # type: ignore[arg-type]
    "'secret'": lambda store: bodega.open(store.root, storage_options={"secret": b"hidden"}),  # type: ignore[dict-item]
    "spill=.*Unicode": lambda store: bodega.open(store.root, spill="\ud800"),
    "spill=.*NUL": lambda store: bodega.open(store.root, spill="a\0b"),
    "lower tier.*NUL": lambda store: bodega.open(store.root, spill="s3://bucket/a\0b"),
    "root=.*Unicode": lambda _: bodega.open("\ud800"),
    "root=.*NUL": lambda _: bodega.open("a\0b"),
    "duration": lambda store: bodega.open(store.root, time_to_live="9" * 400),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_no_argument_can_be_is_named_with_its_value(store, what):
    with pytest.raises(bodega.SettingsError, match=what) as raised:
        WRONG[what](store)
    assert "hidden" not in str(raised.value)
    assert len(str(raised.value)) < 500


@pytest.mark.parametrize("act", [
    lambda store: store.put(b"bytes", 1), lambda store: store.stream(b"x"), lambda store: store.get([]),
    lambda store: store.with_run(5), lambda store: store.drop_run(5), lambda store: store.delete(None),
])  # fmt: skip
def test_what_no_name_can_be_is_named(root, tmp_path, act):
    for store in (bodega.open(root), bodega.open(tmp_path / "root", spill=tmp_path / "below")):
        with pytest.raises(bodega.InvalidName, match="is a text, not .* of type"):
            act(store)


@pytest.mark.parametrize("act", [
    lambda store: store.put("\ud800", 1), lambda store: store.get("\ud800"), lambda store: store.delete("\ud800"),
    lambda store: store.pin("\ud800"), lambda store: store.drop_run("\ud800"), lambda store: store.with_run("\ud800"),
])  # fmt: skip
def test_half_a_character_is_no_name(root, tmp_path, act):
    for store in (bodega.open(root), bodega.open(tmp_path / "root", spill=tmp_path / "below")):
        with pytest.raises(bodega.InvalidName, match="not valid Unicode"):
            act(store)
