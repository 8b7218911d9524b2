"""What every tier and every store must do: a contract to run, and state machines that compare them with a dict.

For whoever writes a tier (see `bodega.tiers.base.Tier`), and for our own. Neither pytest nor Hypothesis is imported
before it is needed:

    from bodega import testing

    class TestMyTier(testing.TierContract):
        @pytest.fixture
        def tier(self): ...                     # empty, and new for every test

    def test_my_tier_is_a_dict():
        run_state_machine_as_test(testing.tier_machine(make_tier))

Where a function is given that reads the raw bytes of a tier, those are checked as well, past the tier's own reading.
"""

from __future__ import annotations

import os
import pickle
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bodega import codecs
from bodega.errors import InvalidName, LayoutError, ObjectNotFound, StoreFull, TierError
from bodega.format import HEADER_SIZE, Header, ObjectInfo, parse_description, parse_header, parse_stream, verify
from bodega.memory import ledger
from bodega.memory.root import Root
from bodega.names import from_filename
from bodega.store import Store
from bodega.tiers.base import Fetch, Folder, Source, Tier
from bodega.tiers.stored import Private, Whole
from bodega.tiers.writing import Composition

if TYPE_CHECKING:
    from hypothesis.stateful import RuleBasedStateMachine

Raw = Mapping[tuple[str, str], bytes]
"""The bytes of all objects by run and name."""

NAMES = (
    "a", "A", "a/b", "../b", "..", ".hidden", "%41", "%", "a b?c#d&e=f", "a\\b", "~", "\n", "\x7f", "\xe9",
    "e\u0301", "\u20ac \U0001f600", "x" * 80, "CON", "trailing ", "trailing.", "*", "a:b",
)  # fmt: skip
"""Names that have broken storages: of folders, of shells, of URLs, of file systems that fold them."""
SIZES = (0, 1, 1000, 64 << 10, (1 << 20) - 1, 3 << 20)
"""Of payloads, in bytes: around what is read at once, what is mapped, and what is kept warm."""
_ROUNDS = 30
_SECONDS = 60.0


def sealed(run: str, name: str, value: object) -> memoryview:
    """The bytes of a sealed object, as `Tier.upload` takes them."""
    memory = Private()
    composition = Composition(memory, seal=True)
    composition.finish("", run, name, codecs.encode(value, composition))
    return memory.data


class RawObject(NamedTuple):
    """An object as its bytes say, whatever a tier says."""

    header: Header
    info: ObjectInfo
    value: Any
    is_sealed: bool
    """Whether it has its digest."""


def read_raw(data: bytes | memoryview, run: str, name: str) -> RawObject:
    """Read an object's bytes with nothing but `bodega.format`, and compare them with their digest.

    Raises:
        LayoutError: damaged, or of another run or name.
    """
    where = f"{run}/{name}"
    header = parse_header(data, len(data), where)
    view = memoryview(bytearray(data[: header.total]))
    block = view[header.description_offset : header.description_offset + header.block_length]
    description = parse_description(header, view, block, owner=(run, name), path=where)
    is_sealed = verify(header, description, lambda offset, length: view[offset : offset + length], where)
    stream = parse_stream(header, view, where)
    return RawObject(
        header, description.info, codecs.decode(description.recipe, stream, description.views(view)), is_sealed
    )


def raw_files(folder: str | os.PathLike[str]) -> dict[tuple[str, str], bytes]:
    """The objects of a folder of runs: of a root (``runs`` in it), or of object storage at a ``file://`` URL."""
    found = {}
    for path in Path(folder).glob("*/*"):
        if not path.name.startswith("."):
            found[from_filename(path.parent.name), from_filename(path.name)] = path.read_bytes()
    return found


def fetched(fetch: Fetch) -> bytes:
    """All bytes of an object on its way out of a tier; the first part must hold the header."""
    parts = [bytes(part) for part in fetch.parts()]
    assert len(parts[0]) >= HEADER_SIZE
    return b"".join(parts)


class TierContract:
    """Tests that any tier passes; the subclass has a fixture ``tier``: one without objects, new for every test."""

    def test_an_empty_tier_has_nothing(self, tier: Tier) -> None:
        """A missing name is an answer, not an error."""
        assert tier.url
        assert tier.names("run") == tier.runs() == []
        assert not tier.exists("run", "x")
        assert tier.info("run", "x") is None
        assert tier.fetch("run", "x") is None
        assert tier.delete("run", "x") is None
        assert tier.drop_run("run") == 0

    def test_objects_of_all_sizes_come_back_byte_for_byte(self, tier: Tier) -> None:
        """What comes out is what went in, and `info` is what the bytes say."""
        for size in SIZES:
            data = sealed("run", "x", os.urandom(size))
            tier.upload("run", "x", data)
            fetch = tier.fetch("run", "x")
            assert fetch is not None
            assert fetch.header == parse_header(data, len(data), "")
            assert fetched(fetch) == data
            info = tier.info("run", "x")
            assert info is not None
            assert info == read_raw(data, "run", "x").info
            assert (info.kind, info.nbytes, info.schema) == ("bytes", size, {"length": size})

    def test_a_long_description_comes_back(self, tier: Tier) -> None:
        """A description need not fit into the first bytes that a tier reads."""
        value = [bytearray(os.urandom(1500)) for _ in range(3000)]
        data = sealed("run", "x", {str(place): pickle.PickleBuffer(each) for place, each in enumerate(value)})
        assert read_raw(data, "run", "x").header.block_length > 1 << 16
        tier.upload("run", "x", data)
        assert tier.info("run", "x") == read_raw(data, "run", "x").info

    def test_an_upload_replaces(self, tier: Tier) -> None:
        """Longer by shorter and the other way round."""
        for size in (1 << 20, 10, 1 << 20):
            data = sealed("run", "x", os.urandom(size))
            tier.upload("run", "x", data)
            assert tier.names("run") == ["x"]
            assert _bytes_of(tier, "run", "x") == data

    def test_a_value_is_written_as_it_would_be_uploaded(self, tier: Tier) -> None:
        """It has its name when it is published and not before, a digest or none, and what is given up leaves nothing."""
        for size in SIZES:
            text = os.urandom(size)
            with tier.begin("run", "x") as writer:
                info = writer.put(partial(codecs.encode, {"text": text}))
                assert tier.info("run", "x") is None
                writer.publish()
            assert tier.info("run", "x") == replace(info, tier="")
            assert read_raw(_bytes_of(tier, "run", "x"), "run", "x").value == {"text": text}
            tier.delete("run", "x")
        with tier.begin("run", "x") as writer:
            writer.put(partial(codecs.encode, 1))
        assert tier.names("run") == tier.runs() == []

    def test_a_deleted_name_is_gone(self, tier: Tier) -> None:
        """And says what it took; its neighbour stays."""
        data = sealed("run", "x", b"1")
        tier.upload("run", "x", data)
        tier.upload("run", "y", sealed("run", "y", b"2"))
        nbytes = tier.delete("run", "x")
        assert nbytes is not None
        assert nbytes >= len(data)
        assert tier.delete("run", "x") is None
        assert tier.info("run", "x") is None
        assert tier.fetch("run", "x") is None
        assert (tier.exists("run", "x"), tier.exists("run", "y"), tier.names("run")) == (False, True, ["y"])

    def test_runs_do_not_see_one_another(self, tier: Tier) -> None:
        """One name in two runs is two objects, and a run lasts as long as its objects."""
        texts = {"a": b"in a", "b/c": b"in b/c", "A": b"in A"}
        for run, text in texts.items():
            tier.upload(run, "x", sealed(run, "x", text))
            tier.upload(run, f"of {run}", sealed(run, f"of {run}", text))
        assert tier.runs() == sorted(texts)
        for run, text in texts.items():
            assert read_raw(_bytes_of(tier, run, "x"), run, "x").value == text
        assert tier.drop_run("a") == 2
        assert tier.names("a") == []
        assert tier.runs() == ["A", "b/c"]
        assert tier.names("b/c") == ["of b/c", "x"]
        assert tier.drop_run("a") == 0
        tier.delete("A", "x")
        tier.delete("A", "of A")
        assert tier.runs() == ["b/c"]

    def test_every_name_is_kept(self, tier: Tier) -> None:
        """No two are taken for one, and none for a path."""
        for name in NAMES:
            tier.upload("run", name, sealed("run", name, name))
            tier.upload(name, "x", sealed(name, "x", name))
        assert tier.names("run") == sorted(NAMES)
        assert tier.runs() == sorted({*NAMES, "run"})
        for name in NAMES:
            assert read_raw(_bytes_of(tier, "run", name), "run", name).value == name
            assert read_raw(_bytes_of(tier, name, "x"), name, "x").value == name

    def test_what_is_no_name_is_refused(self, tier: Tier) -> None:
        """The same way by every method, and with nothing kept."""
        import pytest

        data = sealed("run", "x", b"1")
        for run, name in (("run", ""), ("", "x"), ("run", "x" * 1000), ("run", "\ud800"), ("x" * 1000, "x")):
            for call in (tier.exists, tier.info, tier.fetch, tier.delete):
                with pytest.raises(InvalidName):
                    call(run, name)
            with pytest.raises(InvalidName):
                tier.upload(run, name, data)
        assert tier.runs() == []

    def test_a_fetch_is_of_one_object(self, tier: Tier) -> None:
        """Replaced or deleted after it began: all of the old bytes, or an error, but never of both."""
        for change in ("replace", "delete"):
            data = sealed("run", "x", os.urandom(3 << 20))
            tier.upload("run", "x", data)
            fetch = tier.fetch("run", "x")
            assert fetch is not None
            if change == "replace":
                tier.upload("run", "x", sealed("run", "x", os.urandom(3 << 20)))
            else:
                tier.delete("run", "x")
            try:
                assert fetched(fetch) == data
            except (TierError, FileNotFoundError):
                continue

    def test_threads_see_whole_objects(self, tier: Tier) -> None:
        """Two write a name and two read it: each reading is some object, whole."""
        tier.upload("run", "x", sealed("run", "x", bytes(1 << 20)))
        errors: list[BaseException] = []

        def work(upload: bool) -> None:
            try:
                for number in range(_ROUNDS):
                    if upload:
                        tier.upload("run", "x", sealed("run", "x", bytes([number]) * (1 << 20)))
                        continue
                    fetch = tier.fetch("run", "x")
                    assert fetch is not None
                    try:
                        data = fetched(fetch)
                    except TierError:
                        continue  # It was replaced.
                    value = read_raw(data, "run", "x").value
                    assert value == value[:1] * (1 << 20)
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=work, args=(number < 2,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(_SECONDS)
        assert not any(thread.is_alive() for thread in threads)
        if errors:
            raise errors[0]


class FolderContract(TierContract):
    """Tests that any folder passes besides those of a tier; the subclass has a fixture ``tier``, as there."""

    def test_what_is_opened_stays_as_it_was(self, tier: Folder) -> None:
        """Whatever happens to its name, and nobody else sees what its holder changes."""
        assert tier.open("run", "x") is None
        for size in SIZES:
            data = sealed("run", "x", bytes([1]) * size)
            tier.upload("run", "x", data)
            stored, other = tier.open("run", "x"), tier.open("run", "x")
            assert stored is not None
            assert other is not None
            assert (stored.tier, stored.header.total) == (tier.url, len(data))
            stored.data[-1:] = b"z"
            tier.upload("run", "x", sealed("run", "x", bytes([2]) * size))
            assert bytes(stored.data) == bytes(data[:-1]) + b"z"
            assert bytes(other.data) == bytes(data)
            tier.delete("run", "x")
            assert bytes(other.data) == bytes(data)

    def test_an_upload_without_a_digest_gets_one(self, tier: Folder) -> None:
        """So that whoever has it next can check it."""
        with tier.begin("run", "x") as writer:
            writer.put(partial(codecs.encode, b"1" * 1000))
            writer.publish()
        stored = tier.open("run", "x")
        assert stored is not None
        tier.upload("run", "y", sealed("run", "y", 1))
        tier.upload("run", "x", memoryview(bytearray(stored.data)))
        assert read_raw(_bytes_of(tier, "run", "x"), "run", "x").is_sealed
        assert tier.names("run") == ["x", "y"]

    def test_what_does_not_match_its_digest_is_not_kept(self, tier: Folder) -> None:
        """And what was under the name before is still there."""
        import pytest

        before = sealed("run", "x", b"before")
        tier.upload("run", "x", before)
        for size in SIZES:
            data = memoryview(bytearray(sealed("run", "x", os.urandom(size))))
            # Of the value, or of its digest where it is empty.
            data[-1 if size else parse_header(data, len(data), "").digests_offset] ^= 1
            with pytest.raises(LayoutError):
                tier.upload("run", "x", data)
            with pytest.raises(LayoutError):
                tier.receive("run", "x", Whole(parse_header(data, len(data), ""), data))
        assert _bytes_of(tier, "run", "x") == before

    def test_only_what_nobody_holds_is_evicted(self, tier: Folder) -> None:
        """Nor what has been replaced since it was copied."""
        tier.upload("run", "x", sealed("run", "x", os.urandom(1 << 20)))
        stored = tier.open("run", "x")
        assert stored is not None
        status = stored.status
        assert not tier.is_free("run", "x")
        assert tier.evict("run", "x", status) == 0
        del stored
        assert tier.is_free("run", "x")
        tier.upload("run", "x", sealed("run", "x", os.urandom(2 << 20)))
        assert tier.evict("run", "x", status) == 0
        stored = tier.open("run", "x")
        assert stored is not None
        status = stored.status
        del stored
        assert tier.evict("run", "x", status) >= 2 << 20
        assert not tier.exists("run", "x")

    def test_a_pin_is_seen_in_the_list(self, tier: Folder) -> None:
        """Which begins with what was used longest ago."""
        assert tier.by_age() == []
        assert not tier.pin("run", "x", True)
        for name in "xyz":
            tier.upload("run", name, sealed("run", name, name))
            time.sleep(0.02)
        assert tier.open("run", "x") is not None
        assert tier.pin("run", "y", True)
        assert [(each.name, each.pinned) for each in tier.by_age()] == [("y", True), ("z", False), ("x", False)]
        assert tier.pin("run", "y", False)
        assert not any(each.pinned for each in tier.by_age())

    def test_a_run_has_a_time_to_live(self, tier: Folder) -> None:
        """Which goes with it from one folder to another, and counts from its last put."""
        assert (tier.time_to_live("run"), tier.has_expired("run"), tier.last_put("run")) == (None, None, 0)
        before = time.time()
        tier.upload("run", "x", sealed("run", "x", 1))
        assert (tier.time_to_live("run"), tier.has_expired("run")) == (None, False)
        assert tier.last_put("run") >= before - 1
        tier.set_time_to_live("run", 3600)
        assert (tier.time_to_live("run"), tier.has_expired("run")) == (3600, False)
        assert tier.drop_run("run", expired=True) == 0
        tier.upload("run", "y", sealed("run", "y", 1), time_to_live=1e-6)
        time.sleep(0.02)
        assert tier.has_expired("run")
        assert tier.run_folders() == ["run"]
        assert tier.drop_run("run", expired=True) == 2
        assert tier.runs() == []


def _bytes_of(source: Source, run: str, name: str) -> bytes:
    fetch = source.fetch(run, name)
    assert fetch is not None
    return fetched(fetch)


def tier_machine(
    make_tier: Callable[[], Tier], raw: Callable[[Tier], Raw] | None = None
) -> type[RuleBasedStateMachine]:
    """A Hypothesis state machine that compares a tier with a dict, through its interface and past it.

    Args:
        make_tier: yields a tier without objects.
        raw: reads the bytes of all its objects by another way than the tier's own (see `raw_files`).
    """
    from hypothesis import strategies as st
    from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

    drawn = Bundle("names")
    # Few, so that steps meet.
    names = st.one_of(st.sampled_from("abc"), drawn)
    runs = st.sampled_from(["r", "R", "a/b"])
    values = st.one_of(
        st.binary(max_size=300),
        st.integers(),
        st.text(max_size=100),
        st.lists(st.floats(allow_nan=False), max_size=20),
        st.builds(lambda byte, size: bytes([byte]) * size, st.integers(0, 255), st.sampled_from(SIZES[3:])),
    )

    class TierMachine(RuleBasedStateMachine):
        """The model: bytes by run and name."""

        def __init__(self) -> None:
            super().__init__()
            self.tier = make_tier()
            self.model: dict[tuple[str, str], bytes] = {}

        @rule(target=drawn, name=_texts())
        def new_name(self, name: str) -> str:
            return name

        @rule(run=runs, name=names, value=values)
        def upload(self, run: str, name: str, value: object) -> None:
            data = sealed(run, name, value)
            try:
                self.tier.upload(run, name, data)
            except InvalidName:
                # Then by every method.
                for call in (self.tier.exists, self.tier.fetch, self.tier.info, self.tier.delete):
                    assert _refuses(call, run, name)
                return
            self.model[run, name] = bytes(data)

        @rule(run=runs, name=names)
        def look(self, run: str, name: str) -> None:
            expected = self.model.get((run, name))
            try:
                fetch = self.tier.fetch(run, name)
            except InvalidName:
                assert expected is None
                return
            info = self.tier.info(run, name)
            assert self.tier.exists(run, name) == (expected is not None)
            if expected is None:
                assert fetch is None
                assert info is None
                return
            assert fetch is not None
            assert fetched(fetch) == expected
            assert info == read_raw(expected, run, name).info

        @rule(run=runs, name=names)
        def delete(self, run: str, name: str) -> None:
            expected = self.model.pop((run, name), None)
            try:
                nbytes = self.tier.delete(run, name)
            except InvalidName:
                assert expected is None
                return
            assert (nbytes is None) == (expected is None)
            assert nbytes is None or nbytes >= len(expected or b"")

        @rule(run=runs)
        def drop_run(self, run: str) -> None:
            ours = [key for key in self.model if key[0] == run]
            assert self.tier.drop_run(run) == len(ours)
            for key in ours:
                del self.model[key]

        @invariant()
        def lists_what_is_there(self) -> None:
            assert self.tier.runs() == sorted({run for run, _ in self.model})
            for run in ("r", "R", "a/b"):
                assert self.tier.names(run) == sorted(name for each, name in self.model if each == run)

        @invariant()
        def bytes_are_there(self) -> None:
            if raw is None:
                return
            found = raw(self.tier)
            assert found.keys() == self.model.keys()
            for key, data in found.items():
                # A warm segment may be longer than what it holds now.
                assert data[: len(self.model[key])] == self.model[key]
                read_raw(data, *key)

    return TierMachine


class _Held(NamedTuple):
    """A value that somebody got and has not let go."""

    value: Any
    expected: Any


def store_machine(
    make_store: Callable[[], Store], raw: Callable[[Store], Mapping[str, Raw]] | None = None
) -> type[RuleBasedStateMachine]:
    """A Hypothesis state machine that compares a store with a dict, through its interface and past it.

    Values are put, got, held while their names change, changed by who holds them, pinned, persisted, dropped and swept;
    the store is opened anew in the middle. A small capacity makes objects move.

    Args:
        make_store: yields a store without objects, of one lower tier or more and a capacity of 4 MiB or more.
        raw: reads the bytes of all objects of each lower tier by its URL, by another way than the store's own; those
            in memory are read in any case.
    """
    from hypothesis import strategies as st
    from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

    drawn = Bundle("names")
    # Few, so that steps meet.
    names = st.one_of(st.sampled_from("abc"), drawn)
    runs = st.sampled_from(["r", "a/b"])
    places = st.integers(0, 3)

    class StoreMachine(RuleBasedStateMachine):
        """The model: values by run and name."""

        def __init__(self) -> None:
            super().__init__()
            self.store = make_store()
            self.model: dict[tuple[str, str], Any] = {}
            self.ids: dict[tuple[str, str], str] = {}
            self.pinned: set[tuple[str, str]] = set()
            self.held: list[_Held] = []

        @property
        def root(self) -> Root:
            return self.store._root  # noqa: SLF001

        @rule(target=drawn, name=_texts())
        def new_name(self, name: str) -> str:
            return name

        @rule(run=runs, name=names, value=_values(), persist=st.booleans(), pin=st.sampled_from([False, False, True]))
        def put(self, run: str, name: str, value: Any, persist: bool, pin: bool) -> None:
            store, key = self.store.with_run(run), (run, name)
            try:
                info = store.put(name, value, persist=persist, pin=pin)
            except StoreFull:
                return  # And the old object is untouched, which the invariants see.
            except InvalidName:
                assert key not in self.model
                return
            self.model[key], self.ids[key] = value, info.id
            (self.pinned.add if pin else self.pinned.discard)(key)

        @rule(run=runs, name=names, place=places, hold=st.booleans(), change=st.booleans())
        def get(self, run: str, name: str, place: int, hold: bool, change: bool) -> None:
            key = (run, name)
            try:
                value = self.store.with_run(run).get(name)
            except ObjectNotFound:
                assert key not in self.model
                return
            except InvalidName:
                assert key not in self.model
                return
            except StoreFull:
                return  # It is in object storage, and whatever is above is held or pinned.
            assert _same(value, self.model[key])
            if hold:
                expected = _changed(value) if change else self.model[key]
                self.held[place : place + 1] = [_Held(value, expected)]

        @rule(place=places)
        def let_go(self, place: int) -> None:
            del self.held[place : place + 1]

        @rule(run=runs, name=names)
        def delete(self, run: str, name: str) -> None:
            key = (run, name)
            try:
                self.store.with_run(run).delete(name)
            except (ObjectNotFound, InvalidName):
                assert key not in self.model
                return
            self._forget(key)

        @rule(run=runs)
        def drop_run(self, run: str) -> None:
            ours = [key for key in self.model if key[0] == run]
            assert self.store.drop_run(run) == len(ours)
            for key in ours:
                self._forget(key)

        def _forget(self, key: tuple[str, str]) -> None:
            del self.model[key], self.ids[key]
            self.pinned.discard(key)

        @rule(run=runs, name=names)
        def persist(self, run: str, name: str) -> None:
            try:
                self.store.with_run(run).persist(name)
            except (ObjectNotFound, InvalidName):
                assert (run, name) not in self.model
                return
            lower = self.store._stack.lower[-1]  # noqa: SLF001
            info = lower.info(run, name)
            assert info is not None
            assert info.id == self.ids[run, name]

        @rule(run=runs, name=names, pinned=st.booleans())
        def pin(self, run: str, name: str, pinned: bool) -> None:
            key = (run, name)
            try:
                self.store.with_run(run).pin(name, pinned)
            except (ObjectNotFound, InvalidName):
                assert key not in self.model
                return
            except StoreFull:
                assert pinned
                return
            (self.pinned.add if pinned else self.pinned.discard)(key)

        @rule(empty_pool=st.booleans())
        def sweep(self, empty_pool: bool) -> None:
            self.store.sweep(empty_pool=empty_pool)
            usage = self.store.usage()
            assert usage.leftovers <= len(self.held)
            assert not (empty_pool and usage.pool)

        @rule()
        def reopen(self) -> None:
            self.store = pickle.loads(pickle.dumps(self.store))

        @invariant()
        def lists_what_is_there(self) -> None:
            assert self.store.runs() == sorted({run for run, _ in self.model})
            for run in ("r", "a/b"):
                store = self.store.with_run(run)
                assert list(store) == sorted(name for each, name in self.model if each == run)
                assert {info.name: info.id for info in store.list()} == {
                    name: identity for (each, name), identity in self.ids.items() if each == run
                }

        @invariant()
        def what_is_held_is_as_it_was(self) -> None:
            for held in self.held:
                assert _same(held.value, held.expected)

        @invariant()
        def bytes_are_there(self) -> None:
            """What the files say, without the store: the highest copy of each name is the object that was put last."""
            tiers = [raw_files(self.root.runs), *(raw(self.store).values() if raw else ())]
            seen: set[tuple[str, str]] = set()
            for objects in tiers:
                for key, data in objects.items():
                    found = read_raw(data, *key)
                    assert key in self.model
                    if key not in seen:
                        assert found.info.id == self.ids[key]
                        assert _same(found.value, self.model[key])
                    seen.add(key)
            assert not raw or seen == self.model.keys()
            listed = self.store._stack.top.by_age()  # noqa: SLF001
            assert {(each.run, each.name) for each in listed if each.pinned} == self.pinned

        @invariant()
        def bytes_are_counted(self) -> None:
            usage = self.store.usage()
            assert usage.used <= usage.capacity
            assert usage.used == sum(
                ledger.pages(path.stat().st_size)
                for folder in (self.root.runs, self.root.tmp, self.root.pool)
                for path in Path(folder).rglob("*")
                if path.is_file()
            )

    return StoreMachine


def _texts() -> Any:
    """Names: short ones, of all of Unicode, and some that are too long for one storage or another."""
    from hypothesis import strategies as st

    characters = st.characters(exclude_categories=["Cs"])
    return st.one_of(
        st.text(characters, min_size=1, max_size=8),
        st.sampled_from(NAMES),
        st.builds(lambda character, count: character * count, characters, st.integers(80, 260)),
    )


def _values() -> Any:
    """Values that are read, mapped, and large enough to be kept warm; each can be told from the others."""
    import numpy as np
    from hypothesis import strategies as st

    def array(byte: int, size: int) -> Any:
        return np.full(size, byte, "u1")

    arrays = st.builds(array, st.integers(0, 255), st.sampled_from([0, 100, 70_000, 300_000, 1 << 20, 1_500_000]))
    return st.one_of(
        arrays,
        st.binary(max_size=100),
        st.text(max_size=50),
        st.integers(),
        st.fixed_dictionaries({"a": arrays, "b": st.lists(st.integers(), max_size=3)}),
    )


def _same(one: Any, other: Any) -> bool:
    import numpy as np

    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, np.ndarray):
        return isinstance(other, np.ndarray) and one.dtype == other.dtype and np.array_equal(one, other)
    return type(one) is type(other) and bool(one == other)


def _changed(value: Any) -> Any:
    """Change a value in place, as a task might, where it can be changed; returns what it must be from now on."""
    import numpy as np

    if isinstance(value, dict):
        return {key: _changed(each) for key, each in value.items()}
    if isinstance(value, np.ndarray):
        value += 1
        return value.copy()
    return value


def _refuses(call: Callable[[str, str], object], run: str, name: str) -> bool:
    try:
        call(run, name)
    except InvalidName:
        return True
    return False
