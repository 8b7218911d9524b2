"""Objects in a real S3 server, over a line that fails in every way."""

import multiprocessing
import os
import pickle
import re
import subprocess
import sys
import threading
import uuid

import numpy as np
import pytest

import bodega
from bodega import events
from bodega.errors import LayoutError, NotShareable, ObjectNotFound, ObjectReplaced, SettingsError, StoreFull, TierError
from bodega.texts import install
from bodega.tiers import object_storage
from bodega.tiers.object_storage import ObjectStorageTier

pytest.importorskip("obstore", reason="pip install obstore")
MIB = 1 << 20


@pytest.fixture
def url():
    return f"s3://bucket/{uuid.uuid4().hex}"


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(object_storage, "_FIRST_PAUSE", 0.01)
    monkeypatch.setattr(object_storage, "_RETRIES", {"max_retries": 0})
    monkeypatch.setattr(object_storage, "_CLIENT", {"timeout": "20 seconds", "connect_timeout": "2 seconds"})


@pytest.fixture
def store(root, url, s3_options):
    return bodega.open(root, capacity="64MiB", spill=url, storage_options=s3_options)


@pytest.fixture
def tier(url, s3_options):
    return ObjectStorageTier(url, s3_options)


@pytest.fixture
def sealed(tmp_path):
    """Makes the bytes of an object."""

    def make(nbytes, seed=0):
        store = bodega.open(tmp_path / "sealing", verify=True)
        store.put("x", np.random.default_rng(seed).integers(0, 255, nbytes, "u1"))
        stored = store._stack.top.open("default", "x")
        assert stored is not None
        return memoryview(bytes(stored.data))

    return make


def on_line(line, s3_options):
    return {**s3_options, "endpoint": line.endpoint}


def afresh(tmp_path, url, options, **more):
    """Another host: the same storage, and nothing in memory."""
    return bodega.open(tmp_path / uuid.uuid4().hex, spill=url, storage_options=options, **more)


def test_objects_of_all_sizes_come_back(store, tmp_path, url, s3_options):
    rng = np.random.default_rng(0)
    for size in (0, 1, 1000, MIB - 3000, MIB, 3 * MIB + 1, 20 * MIB):
        value = rng.integers(0, 255, size, "u1")
        store.put(f"x{size}", value, persist=True)
        got = afresh(tmp_path, url, s3_options).get(f"x{size}")
        np.testing.assert_array_equal(got, value)
        got += 1


def test_a_large_object_comes_back(tier, sealed):
    data = sealed(100_000_000)
    tier.upload("run", "x", data)
    parts = list(tier.fetch("run", "x").parts())
    assert max(map(len, parts)) <= 8 * MIB
    assert b"".join(parts) == data


@pytest.mark.parametrize("name", ["a/b", "..", "ä €", "A", "%41", "a b?c#d&e=f", ".dot", "~", "x" * 200, "\n"])
def test_names_are_kept(store, tmp_path, url, s3_options, name):
    store.put(name, 1, persist=True)
    fresh = afresh(tmp_path, url, s3_options)
    assert fresh.names() == [name]
    assert fresh.get(name) == 1
    assert fresh.info(name).tier == str(fresh.root)


def test_what_is_said_of_an_object_needs_its_first_bytes_only(store, tmp_path, url, s3_options):
    info = store.put("x", {"a": np.zeros(5 * MIB, "u1")}, persist=True)
    fresh = afresh(tmp_path, url, s3_options)
    found = fresh.info("x")
    assert (found.id, found.kind, found.nbytes, found.tier) == (info.id, info.kind, info.nbytes, url)
    assert fresh.usage().used == 0
    assert fresh.usage().tiers[0].objects == 1
    assert "x" in fresh
    assert "y" not in fresh
    with pytest.raises(ObjectNotFound, match="'x'"):
        fresh.get("xx")


def test_a_long_description_is_of_one_object(store, url, s3_options, monkeypatch):
    """It takes a second request, before which the object may be replaced."""
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({f"{'a column with a long name ' * 40}{number}": [1.0] for number in range(99)})
    tier = ObjectStorageTier(url, s3_options)
    store.put("x", frame, persist=True)
    real, calls = ObjectStorageTier.read, []

    def replaced(self, run, name, start, end, e_tag=None):
        calls.append(start)
        if len(calls) == 2:
            store.put("x", frame * 2, persist=True)
        return real(self, run, name, start, end, e_tag)

    monkeypatch.setattr(ObjectStorageTier, "read", replaced)
    info = tier.info("default", "x")
    assert info is not None and info.id == store.info("x").id
    assert len(calls) > 3


def test_what_is_deleted_is_gone_everywhere(store, tmp_path, url, s3_options):
    for name in "abc":
        store.put(name, name, persist=True)
    store.with_run("other").put("a", 1, persist=True)
    store.delete("a")
    fresh = afresh(tmp_path, url, s3_options)
    assert fresh.names() == ["b", "c"]
    assert fresh.runs() == ["default", "other"]
    assert fresh.drop_run() == 2
    assert fresh.runs() == ["other"]
    with pytest.raises(ObjectNotFound):
        fresh.delete("b")


def test_a_new_value_is_not_stale_in_the_storage(store, tmp_path, url, s3_options):
    store.put("x", 1, persist=True)
    store.put("x", 2)
    assert afresh(tmp_path, url, s3_options).names() == []
    store.persist("x")
    assert afresh(tmp_path, url, s3_options).get("x") == 2


def test_a_small_memory_holds_much_over_disk_and_storage(root, tmp_path, url, s3_options):
    disk = tmp_path / "disk"
    spill = [f"{disk}?capacity=16MiB", url]
    store = bodega.open(root, capacity="8MiB", spill=spill, storage_options=s3_options, verify=True)
    for number in range(40):
        store.put(f"x{number}", np.full(MIB // 8, float(number)))
    usage = store.usage()
    assert usage.used <= 8 * MIB
    assert (usage.tiers[0].used or 0) <= 16 * MIB
    assert usage.tiers[1].objects >= 14
    for number in range(40):
        assert store.get(f"x{number}").max() == number
        assert store.usage().used <= 8 * MIB


def test_many_threads_ask_for_one_object_that_comes_up_once(store, tmp_path, url, s3_options):
    store.put("x", np.ones(4 * MIB, "u1"), persist=True)
    fresh, got, promoted = afresh(tmp_path, url, s3_options), [], []
    with events.watching(lambda event: event.action == "promote" and promoted.append(event)):
        threads = [threading.Thread(target=lambda: got.append(fresh.get("x").sum())) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert got == [4 * MIB] * 4
    assert len(promoted) == 1


def test_a_broken_connection_resumes(store, tmp_path, url, s3_options, line):
    value = np.random.default_rng(1).integers(0, 255, 30 * MIB, "u1")
    store.put("x", value, persist=True)
    line.cut_after, line.cuts = 3 * MIB, 3
    got = afresh(tmp_path, url, on_line(line, s3_options)).get("x")
    assert line.cuts == 0
    np.testing.assert_array_equal(got, value)


@pytest.mark.parametrize("cuts", [3, 1000])
def test_an_upload_over_a_breaking_line_is_whole_or_not_there(tier, url, s3_options, line, sealed, cuts):
    line.cutting, line.cut_after, line.cuts = "requests", 3 * MIB, cuts
    breaking, data = ObjectStorageTier(url, on_line(line, s3_options)), sealed(20 * MIB)
    if cuts > 3:
        with pytest.raises(TierError, match="could not be written"):
            breaking.upload("run", "x", data)
        assert tier.fetch("run", "x") is None
    else:
        breaking.upload("run", "x", data)
        assert line.cuts == 0
        assert b"".join(tier.fetch("run", "x").parts()) == data


def test_the_answer_to_the_last_request_of_an_upload_may_be_lost(tier, url, s3_options, line, sealed):
    line.lost, data = b"<CompleteMultipartUpload", sealed(20 * MIB)
    ObjectStorageTier(url, on_line(line, s3_options)).upload("run", "x", data)
    assert line.lost is None
    assert b"".join(tier.fetch("run", "x").parts()) == data


def test_an_upload_whose_parts_the_storage_forgot_begins_again(tier, sealed, monkeypatch):
    import obstore

    put, answers, data = obstore.put, ["status code: 404 Not Found:\n<Code>NoSuchUpload</Code>"], sealed(1)

    def forgetful(*args, **options):
        if answers:
            raise FileNotFoundError(answers.pop())
        return put(*args, **options)

    monkeypatch.setattr(obstore, "put", forgetful)
    tier.upload("run", "x", data)
    assert b"".join(tier.fetch("run", "x").parts()) == data


def test_an_upload_gets_through_a_line_that_is_too_slow_for_many_parts_at_once(
    tier, url, s3_options, line, sealed, monkeypatch
):
    # Tried often: what broke a moment ago may still be on the line.
    monkeypatch.setattr(object_storage, "_CLIENT", {"timeout": "300 seconds"})
    monkeypatch.setattr(object_storage, "_TRIES", 12)
    line.most_at_once, data = 1, sealed(30 * MIB)
    ObjectStorageTier(url, on_line(line, s3_options)).upload("run", "x", data)
    assert b"".join(tier.fetch("run", "x").parts()) == data


@pytest.mark.parametrize("nbytes", [0, 1, 80 << 30, 1 << 40, 48 << 40])
def test_no_upload_has_more_parts_than_the_storage_takes_nor_more_memory_than_promised(nbytes):
    part, at_once = object_storage._parts(nbytes)
    assert part * 10_000 >= nbytes
    assert part >= 8 * MIB
    assert at_once == 1 or part * at_once <= 128 * MIB


def test_a_slow_line_is_waited_for(store, tmp_path, url, s3_options, line):
    store.put("x", np.ones(MIB, "u1"), persist=True)
    line.delay = 0.05
    assert afresh(tmp_path, url, on_line(line, s3_options)).get("x").sum() == MIB


def test_a_storage_that_lies_is_found_out(store, tmp_path, url, s3_options, line):
    store.put("x", np.ones(4 * MIB, "u1"), persist=True)
    line.garble = True
    fresh = afresh(tmp_path, url, on_line(line, s3_options))
    with pytest.raises((LayoutError, TierError)):
        fresh.get("x")
    assert fresh.usage().used == 0
    line.garble = False
    assert fresh.get("x").sum() == 4 * MIB


def test_a_storage_that_is_down_loses_nothing_in_memory(root, url, s3_options, line):
    store = bodega.open(root, capacity="8MiB", spill=url, storage_options=on_line(line, s3_options))
    for number in range(6):
        store.put(f"x{number}", np.full(MIB // 8, float(number)))
    line.down = True
    with pytest.raises(TierError, match="reachable"):
        store.put("x0", 1, persist=True)
    assert store.get("x0") == 1
    with pytest.raises(StoreFull, match=r"lower tier.*could not be"):
        store.put("big", np.ones(6 * MIB, "u1"))
    with pytest.raises(TierError):
        store.get("elsewhere")
    assert all(store.get(f"x{number}").max() == number for number in range(1, 6))
    line.down = False
    store.put("big", np.ones(6 * MIB, "u1"))
    assert store.get("x1").max() == 1.0


class Changing:
    """What is pickled otherwise each time."""

    def __init__(self):
        self.times = 0

    def __reduce__(self):
        self.times += 1
        return bytes, (b"x" * (10 * MIB + self.times),)


def test_what_is_larger_than_memory_is_kept_by_the_storage(root, tmp_path, url, s3_options, line):
    """An array, a long pickle stream, and both; also where the line breaks in the middle of the first try."""
    store = bodega.open(root, capacity="8MiB", spill=url, storage_options=on_line(line, s3_options))
    store.put("x", "old")
    text = [f"{number:064}" for number in range(150_000)]
    for value in (np.arange(3 * MIB), text, {"text": text, "array": np.arange(2 * MIB)}):
        line.cut_after, line.cuts, line.cutting = MIB, 1, "requests"
        info = store.put("x", value)
        assert info.tier == url == store.info("x").tier and line.cuts == 0
        assert store.info("x").id == info.id and store.usage().used == 0
        for reader in (store, afresh(tmp_path, url, s3_options)):
            assert pickle.dumps(reader.get("x")) == pickle.dumps(value)
    with pytest.raises(NotShareable, match="differently"):
        store.put("x", Changing())
    assert store.get("x")["text"] == text
    store.put("x", 1)
    assert store.get("x") == 1 and store._stack.lower[0].names("default") == []


def test_what_goes_straight_to_the_storage_takes_little_memory(root, tmp_path):
    """Besides the value itself: neither its bytes nor its pickle stream are held or written before they are sent."""
    program = """
import sys, numpy as np, bodega
def memory(key):
    return next(int(line.split()[1]) >> 10 for line in open("/proc/self/status") if line.startswith(key))
store = bodega.open(sys.argv[1], capacity="8MiB", spill="file://" + sys.argv[2])
store.put("first", np.ones(2 << 20))
for value in (np.ones(32 << 20), [str(number) * 2_000 for number in range(25_000)]):
    open("/proc/self/clear_refs", "w").write("5")
    before = memory("VmRSS")
    info = store.put("x", value)
    print(info.nbytes >> 20, memory("VmHWM") - before, store.usage().used)
"""
    command = [sys.executable, "-c", program, str(root), str(tmp_path / "objects")]
    rows = [line.split() for line in subprocess.check_output(command, text=True).splitlines()]
    for size, more, used in rows:
        assert int(size) > 200 and int(more) < 130 and int(used) == 0


def test_wrong_keys_are_denied_and_never_shown(root, url, s3_options, caplog):
    wrong = {**s3_options, "secret_access_key": "wrong-and-secret-too"}
    store = bodega.open(root, spill=url, storage_options=wrong)
    with pytest.raises(TierError, match=r"keys may") as caught:
        store.put("x", 1, persist=True)
    text = f"{caught.value!r} {caught.value} {store!r} {store._stack.lower[0]!r} {store.usage.__doc__} {caplog.text}"
    for secret in (*wrong.values(), *s3_options.values()):
        assert secret in ("us-east-1", "false") or "://" in secret or secret not in text
    assert store.get("x") == 1
    assert s3_options["secret_access_key"] not in (root / "store.json").read_text()


@pytest.mark.parametrize("ask", ["exists", "info", "fetch", "names", "runs", "delete", "drop_run", "upload"])
def test_whatever_is_asked_with_wrong_keys_is_denied_at_once(url, s3_options, sealed, ask, monkeypatch):
    monkeypatch.setattr("bodega.tiers.object_storage.time.sleep", lambda _: pytest.fail("it is asked again"))
    tier = ObjectStorageTier(url, {**s3_options, "secret_access_key": "wrong-and-secret-too"})
    arguments = {"runs": (), "names": ("run",), "drop_run": ("run",), "upload": ("run", "x", sealed(1))}
    with pytest.raises(TierError, match="403") as caught:
        getattr(tier, ask)(*arguments.get(ask, ("run", "x")))
    assert caught.value.tier == url
    assert "secret-too" not in str(pickle.loads(pickle.dumps(caught.value)))


def test_a_missing_bucket_is_named(root, s3_options):
    store = bodega.open(root, spill="s3://no-such-bucket-here/x", storage_options=s3_options)
    with pytest.raises(TierError, match="no-such-bucket-here"):
        store.put("x", 1, persist=True)


@pytest.mark.parametrize("url", ["ftp://host/x", "s4://bucket"])
def test_unknown_schemes(root, url):
    with pytest.raises(SettingsError, match="scheme"):
        bodega.open(root, spill=url)


@pytest.mark.parametrize(
    "options", [{"allow_http": "true"}, {"timeout": "5 s"}, {"no_such_option": "1"}, {"region": 5}]
)
def test_options_that_the_client_does_not_take_are_named(root, options):
    store = bodega.open(root, spill="s3://bucket/x", storage_options=options)
    with pytest.raises(SettingsError, match=f"cannot be opened: .*{next(iter(options))}"):
        store.get("x")


def test_a_url_in_an_error_has_no_secrets():
    with pytest.raises(SettingsError) as caught:
        ObjectStorageTier("ftp://user:hidden@host/x?token=hidden")
    assert "hidden" not in str(caught.value)


def test_without_obstore_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(SettingsError, match=re.escape(install("bodega[s3]"))):
        ObjectStorageTier("s3://bucket/x")


@pytest.mark.parametrize("kind", ["s3", "file", "memory"])
@pytest.mark.parametrize("meanwhile", ["overwritten", "deleted"])
def test_an_object_that_changes_while_it_is_read_is_not_mixed(tmp_path, url, s3_options, sealed, kind, meanwhile):
    url = {"s3": url, "file": f"file://{tmp_path}/bucket", "memory": "memory:///"}[kind]
    tier = ObjectStorageTier(url, s3_options if kind == "s3" else None)
    tier.upload("run", "x", sealed(20 * MIB))
    fetch = tier.fetch("run", "x")
    if meanwhile == "deleted":
        tier.delete("run", "x")
    else:
        tier.upload("run", "x", sealed(20 * MIB, seed=1))
    assert fetch is not None
    with pytest.raises(ObjectReplaced, match="Read it again"):
        list(fetch.parts())


@pytest.mark.parametrize("kind", ["s3", "file", "memory"])
@pytest.mark.parametrize(
    ("keep", "reason"), [(0, "empty"), (10, "less than a header"), (5000, "cut short"), (3 * MIB, "cut short")]
)
def test_an_object_that_is_cut_short_is_damaged_and_never_taken_for_whole(
    tmp_path, url, s3_options, sealed, kind, keep, reason
):
    import obstore

    url = {"s3": url, "file": f"file://{tmp_path}/bucket", "memory": "memory:///"}[kind]
    tier = ObjectStorageTier(url, s3_options if kind == "s3" else None)
    obstore.put(tier._opened(), "run/x", bytes(sealed(4 * MIB)[:keep]))
    for ask in (tier.info, tier.fetch):
        with pytest.raises(LayoutError, match=rf"run/x.*{reason}"):
            ask("run", "x")


def test_what_others_keep_in_the_bucket_is_neither_shown_nor_removed(tier, sealed):
    import obstore

    tier.upload("run", "a/b", sealed(1))
    others = ["README", "run/sub/file", "run/Upper Case", "run/%FF", "Folder/x", "folder/not ours"]
    for key in others:
        obstore.put(tier._opened(), key, b"theirs")
    assert tier.runs() == ["run"]
    assert tier.names("run") == ["a/b"]
    assert tier.drop_run("run") == 1
    assert tier.runs() == []
    assert sorted(meta["path"] for chunk in obstore.list(tier._opened()) for meta in chunk) == sorted(others)


def test_more_names_than_one_answer_holds(tier, sealed):
    import obstore

    data = bytes(sealed(1))
    for number in range(1200):
        obstore.put(tier._opened(), f"run/{number:04}", data)
    assert tier.names("run") == [f"{number:04}" for number in range(1200)]
    assert tier.drop_run("run") == 1200
    assert tier.names("run") == []


def _in_child(store, queue):
    try:
        queue.put(int(store.get("x").sum()))
    except TierError as error:
        queue.put(str(error))


def test_a_child_that_was_forked_too_late_says_so(store, tmp_path, url, s3_options):
    store.put("x", np.ones(2 * MIB, "u1"), persist=True)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_in_child, args=(afresh(tmp_path, url, s3_options), queue))
    child.start()
    assert "spawn" in queue.get(timeout=300)
    child.join(20)


def test_a_spawned_child_has_its_own_connection(store, tmp_path, url, s3_options):
    store.put("x", np.ones(2 * MIB, "u1"), persist=True)
    fresh = afresh(tmp_path, url, s3_options)
    assert fresh.info("x").name == "x"
    code = "import pickle, sys; print(pickle.load(sys.stdin.buffer).get('x').sum())"
    child = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(fresh), capture_output=True, check=False)
    assert child.stdout.strip() == str(2 * MIB).encode(), child.stderr
    assert pickle.loads(pickle.dumps(fresh)).get("x").sum() == 2 * MIB


def test_a_folder_as_object_storage(root, tmp_path):
    url = f"file://{tmp_path}/bucket"
    store = bodega.open(root, spill=url)
    for number in range(5):
        store.put(f"x/{number}", np.full(MIB, number, "u1"), persist=True)
    fresh = bodega.open(tmp_path / "fresh", spill=url)
    assert fresh.names() == [f"x/{number}" for number in range(5)]
    assert fresh.get("x/3").max() == 3
    assert fresh.drop_run() == 5
    assert fresh.runs() == []


def test_keys_come_from_the_environment(root, url, s3_options, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_options["endpoint"])
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_options["access_key_id"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_options["secret_access_key"])
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    store = bodega.open(root, spill=url)
    store.put("x", 1, persist=True)
    assert store._stack.lower[0].exists("default", "x")
    assert os.environ["AWS_SECRET_ACCESS_KEY"] not in repr(store)


def test_a_get_begins_again_when_another_host_overwrites(store, tmp_path, url, s3_options, monkeypatch):
    store.put("x", np.zeros(20 * MIB, "u1"), persist=True)
    fresh = afresh(tmp_path, url, s3_options)
    tier = fresh._stack.lower[0]
    real, done = tier.fetch, []

    def overwritten(run, name):
        fetch = real(run, name)
        if not done:
            done.append(1)
            store.put("x", np.ones(20 * MIB, "u1"), persist=True)
        return fetch

    monkeypatch.setattr(tier, "fetch", overwritten)
    assert fresh.get("x").sum() == 20 * MIB


@pytest.mark.skipif(not os.environ.get("BODEGA_STRESS"), reason="four gigabytes: make stress")
def test_four_gigabytes_in_a_store_of_one(root, tmp_path, url, s3_options):
    spill = [f"{tmp_path / 'disk'}?capacity=1500MiB", url]
    store = bodega.open(root, capacity="1GiB", spill=spill, storage_options=s3_options, verify=True)
    rng = np.random.default_rng(0)
    sums = {}
    for number in range(64):
        value = rng.integers(0, 255, 64 * MIB, "u1")
        sums[f"x{number}"] = int(value.sum(dtype="u8"))
        store.put(f"x{number}", value)
    usage = store.usage()
    print(f"in memory {usage.objects} objects, {usage.used} bytes; below: {usage.tiers}")
    for name, total in sums.items():
        assert int(store.get(name).sum(dtype="u8")) == total
        assert store.usage().used <= 1 << 30
    print(f"{len(sums)} objects of 64 MiB read and verified")
