"""Damaged objects: refused, or exactly right; never a crash, a hang, another error, or memory without bound.

The work is done in child processes (this file run as a program), so that a crash is seen as one. A child has a limit
on its address space: what allocates by a length that it was told fails there. What is damaged lies in a file of a store,
or of object storage in a folder. Three kinds of damage, by what is made good afterwards:

* ``none``: as a fault does it. Nothing but the right value may come out.
* ``crc``: the checksum over header and description fits again, as if somebody had meant it.
* ``digest``: so does the digest, and the buffers may have been changed too.

What was meant may yield another value. The checksum of a pickle stream is never made good: a stream that was changed
must never be loaded, and whoever can write to a store can run code anyway (see ``trust="data"``).
"""

import json
import os
import random
import resource
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections import Counter
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

import bodega
from bodega import format as layout
from bodega.errors import BodegaError, LayoutError
from bodega.testing import read_raw

LONG = bool(os.environ.get("BODEGA_STRESS"))
COUNT = int(os.environ.get("BODEGA_FUZZ", "1000000")) if LONG else 3_000
BATCH = 25_000
SECONDS = 300
"""For one batch, which takes a few: more is a hang."""
MEMORY = 256 << 20
"""Address space that damaged objects may take, where the largest has 100 kB."""
EXTREMES = (
    0, 1, 63, 64, 127, 128, 129, 255, 4095, 4096, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**53, 2**62,
    2**63 - 1, 2**63, 2**64 - 1,
)  # fmt: skip
FIELDS = (
    (8, "H"), (10, "H"), (12, "I"), (16, "I"), (20, "H"), (22, "B"), (24, "Q"), (32, "Q"), (40, "Q"), (48, "Q"), (56, "Q"),
    (64, "I"), (68, "I"), (72, "I"), (76, "I"), (80, "Q"), (88, "Q"), (96, "Q"), (104, "Q"), (112, "Q"), (120, "Q"),
)  # fmt: skip
"""Of the header: format, flags, checksums, ids, counts, offsets, lengths, the object's end, and what is unused."""
TOKENS = (
    b"null", b"true", b"-1", b"0", b"1e400", b"NaN", b"Infinity", b"1.5", b'""', b'"O"', b'"|O"', b'"V0"', b'"<U9"',
    b'"S99999999999"', b"[]", b"{}", b"[[]]", b"[-1]", b"[1e9]", b"99999999999", b"1" * 40, b"9" * 5000, b'"\xff"', b"[" * 2000,
    b'"' + b"a" * 2000 + b'"', b'"f8,f8"', b'"(9,)f8"', b'"array"', b'"bytes"', b'"pickle"', b'"\\ud800"', b"[0,0]",
    b'[["aaaa",9999999999]]', b'["aaaaaaaa",99999999999]', b"[0,99999999999999999999]",
)  # fmt: skip
"""Pieces of JSON to put in place of others."""


def values():
    """One of each kind, all of them small, by name."""
    rng = np.random.default_rng(0)
    made = {
        "array": np.arange(30, dtype="<i4").reshape(5, 6),
        "fortran": np.asfortranarray(rng.random((4, 3))),
        "mapped": rng.integers(0, 255, 80_000, "u1"),
        "bytes": bytes(range(200)),
        "dict": {"a": np.arange(50.0), "b": [np.arange(3), "text", None], "c": bytearray(b"x" * 70)},
        "text": "a text " * 10,
    }
    with suppress(ImportError):
        import pandas as pd

        made["frame"] = pd.DataFrame({"n": range(20), "x": rng.random(20), "s": ["ab", "c"] * 10}, index=range(5, 25))
        made["categories"] = pd.Series(["a", "b", "a"], dtype="category", name="c")
    with suppress(ImportError):
        import pyarrow as pa

        made["table"] = pa.table({"n": [1, None, 3], "s": ["x", "yy", None], "l": [[1], [], [2, 3]]})
    with suppress(ImportError):
        import polars as pl

        made["polars"] = pl.DataFrame({"n": [1, 2, None], "s": ["x", None, "zz"]})
    return made


def same(one, other):
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(map(same, one.values(), other.values()))
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one.equals(other) if hasattr(one, "equals") else one == other


class Victim:
    """An object in a file of a store, which can be damaged and read."""

    def __init__(self, store, below, name, value):
        self.store, self.below, self.name, self.value = store, below, name, value
        store.put(name, value)
        self.path = Path(store.root) / "runs" / "default" / name
        self.data = self.path.read_bytes()
        self.header = layout.parse_header(self.data, len(self.data), name)
        raw = read_raw(self.data, "default", name)
        assert same(raw.value, value)
        assert layout.is_sealed(layout.stated(self.header, lambda offset, length: self.data[offset : offset + length]))
        self.path_below = Path(below.url.removeprefix("file://")) / "default" / name
        self.path_below.parent.mkdir(parents=True, exist_ok=True)

    def write(self, data):
        # Not in place: a mapping of the last one may still be there.
        self.path.unlink(missing_ok=True)
        self.path.write_bytes(data)

    def read(self):
        """The value, or nothing where it is refused."""
        try:
            self.store.info(self.name)
        except BodegaError:
            pass
        try:
            return self.store.get(self.name)
        except BodegaError:
            return None

    def read_below(self, data):
        """The bytes that come out of object storage, if any; and `info` of them."""
        self.path_below.write_bytes(data)
        try:
            self.below.info("default", self.name)
        except BodegaError:
            pass
        try:
            fetch = self.below.fetch("default", self.name)
            self.store._stack.top.receive("default", self.name, fetch)
        except BodegaError:
            return None
        return self.read()


class Fuzzer:
    """Damages objects at random; `seed` and the number of the object reproduce each."""

    def __init__(self, victims, seed):
        self.victims, self.chance = victims, random.Random(seed)

    def damage(self, victim):
        """Damaged bytes, and what was made good."""
        data = bytearray(victim.data)
        for _ in range(self.chance.choice([1, 1, 1, 2, 3])):
            self.chance.choices(
                [self.flip, self.set_field, self.set_entry, self.splice, self.insert, self.cut, self.tail, self.token,
                 self.truncate],
                [8, 5, 4, 3, 2, 2, 1, 6, 1],
            )[0](data, victim)  # fmt: skip
        made_good = self.chance.choice(["none", "crc", "crc", "digest"])
        if made_good != "none" and len(data) >= layout.HEADER_SIZE:
            self.make_good(data, victim, made_good)
        return bytes(data), made_good

    def position(self, data, victim):
        """Mostly where structure is."""
        area = self.chance.random()
        if area < 0.3:
            end = layout.HEADER_SIZE
        elif area < 0.7:
            end = layout.HEADER_SIZE + victim.header.block_length
        else:
            end = len(data)
        return self.chance.randrange(max(1, min(end, len(data))))

    def flip(self, data, victim):
        for _ in range(self.chance.choice([1, 1, 2, 8])):
            if data:
                data[self.position(data, victim)] ^= self.chance.choice([1 << self.chance.randrange(8), 0xFF])

    def set_field(self, data, victim):
        if len(data) >= layout.HEADER_SIZE:
            offset, kind = self.chance.choice(FIELDS)
            self.pack(data, offset, kind, victim)

    def set_entry(self, data, victim):
        """A number of the buffer table."""
        table = victim.header.description_offset + victim.header.description_length
        place = table + 8 * self.chance.randrange(max(1, 3 * (victim.header.block_length // 24)))
        if place + 8 <= len(data):
            self.pack(data, place, "Q", victim)

    def pack(self, data, offset, kind, victim):
        size = struct.calcsize(f"<{kind}")
        near = self.chance.choice([0, len(data), victim.header.total, *struct.unpack_from(f"<{kind}", data, offset)])
        number = self.chance.choice(
            [self.chance.choice(EXTREMES), near + self.chance.choice([-64, -8, -1, 0, 1, 8, 64])]
        )
        struct.pack_into(f"<{kind}", data, offset, number % (1 << (8 * size)))

    def splice(self, data, victim):
        """A piece of another object, or of another place."""
        source = self.chance.choice([victim, self.chance.choice(self.victims)]).data
        start, length = self.chance.randrange(len(source)), self.chance.choice([1, 8, 24, 100, 2000])
        place = self.position(data, victim)
        piece = source[start : start + length]
        data[place : place + len(piece)] = piece

    def insert(self, data, victim):
        place = self.position(data, victim)
        data[place:place] = self.chance.randbytes(self.chance.choice([1, 8, 64, 300]))

    def cut(self, data, victim):
        place = self.position(data, victim)
        del data[place : place + self.chance.choice([1, 8, 64, 300])]

    def tail(self, data, victim):
        data += self.chance.randbytes(self.chance.choice([1, 100, 5000]))

    def truncate(self, data, victim):
        del data[self.position(data, victim) :]

    def token(self, data, victim):
        """A piece of the JSON, of the same length where that is possible: the rest stays where it was."""
        start = victim.header.description_offset
        text = bytes(data[start : start + victim.header.description_length])
        places = [place for place, byte in enumerate(text) if byte in b'[,:"{'] or [0]
        place = self.chance.choice(places) + 1
        end = place
        while end < len(text) and text[end] not in b",]}":
            end += 1
        token = self.chance.choice(TOKENS)
        data[start + place : start + end] = token
        if self.chance.random() < 0.8:
            # The lengths and offsets behind it fit again.
            self.shift(data, victim, len(token) - (end - place))

    def shift(self, data, victim, by):
        if len(data) < layout.HEADER_SIZE:
            return
        header = victim.header
        fields = {64: ("I", header.description_length + by), 80: ("Q", header.stream_offset + by)}
        fields |= {96: ("Q", header.digests_offset + by), 104: ("Q", header.total + by)}
        for offset, (kind, number) in fields.items():
            struct.pack_into(f"<{kind}", data, offset, number % (1 << (8 * struct.calcsize(f"<{kind}"))))
        table = header.description_offset + header.description_length + by
        for entry in range(table, table + header.block_length - header.description_length, 24):
            if 0 <= entry and entry + 24 <= len(data):
                _, offset, length = struct.unpack_from("<QQQ", data, entry)
                # Buffers must be aligned: those of one that moved a little are taken from where they may be.
                struct.pack_into("<QQQ", data, entry, 0, (offset + by) // 64 * 64 % (1 << 64), length)

    def make_good(self, data, victim, how):
        try:
            header = layout.parse_header(data, len(data), "")
        except LayoutError:
            return
        block = bytes(data[header.description_offset : header.description_offset + header.block_length])
        data[12:16] = bytes(4)
        data[12:16] = zlib.crc32(block, zlib.crc32(data[: layout.HEADER_SIZE])).to_bytes(4, "little")
        if how == "crc":
            # What carries no digest is not compared with any: so the decoders are reached.
            if self.chance.random() < 0.7:
                end = header.digests_offset + header.digests_length
                data[header.digests_offset : end] = bytes(header.digests_length)
            return
        header = layout.parse_header(data, len(data), "")
        with suppress(LayoutError):
            description = layout.parse_description(header, data, block, owner=("default", victim.name), path="")
            if not description.segments:
                digests = layout.measure(header, description, lambda offset, length: data[offset : offset + length])
                data[header.digests_offset : header.digests_offset + header.digests_length] = digests


def limit_memory():
    with suppress(OSError, ValueError):
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))


def make_victims(folder):
    from bodega.tiers import object_storage

    object_storage._TRIES = 1
    store = bodega.open(Path(folder) / "root", verify=True)
    below = object_storage.ObjectStorageTier(f"file://{folder}/below")
    victims = [Victim(store, below, name, value) for name, value in values().items()]
    for victim in victims:
        # Libraries are loaded, pools of threads are made.
        assert same(victim.read(), victim.value)
        assert same(victim.read_below(victim.data), victim.value)
        victim.write(victim.data)
        repr(victim.read())
    return victims


def fuzz(folder, seed, count):
    """Damage and read many objects; prints how each ended, and dies of what should not be."""
    victims = make_victims(folder)
    limit_memory()
    fuzzer, counts = Fuzzer(victims, seed), Counter()
    for number in range(count):
        victim = fuzzer.chance.choice(victims)
        data, made_good = fuzzer.damage(victim)
        below = fuzzer.chance.random() < 0.05
        try:
            if below:
                value = victim.read_below(data)
            else:
                victim.write(data)
                value = victim.read()
            if value is None:
                outcome = "refused"
            elif made_good == "none":
                assert same(value, victim.value), "a wrong value"
                outcome = "right"
            else:
                # Not looked into: a frame over other buffers than its own is as wrong as the buffers are.
                outcome = "some value"
                if isinstance(value, np.ndarray):
                    value.tobytes()
        except BaseException:
            keep = Path(tempfile.gettempdir()) / f"bodega-fuzz-{seed}-{number}"
            keep.write_bytes(data)
            print(
                f"seed {seed}, object {number}: {victim.name}, made good: {made_good}, kept as {keep}", file=sys.stderr
            )
            raise
        counts[f"{made_good}: {outcome}"] += 1
        value = None
    print(json.dumps(counts))


def exhaust(folder, _seed, _count):
    """Every bit of the header flipped, and every length cut short: all refused."""
    counts = Counter()
    for victim in make_victims(folder):
        for bit in range(8 * layout.HEADER_SIZE):
            data = bytearray(victim.data)
            data[bit // 8] ^= 1 << bit % 8
            victim.write(data)
            assert victim.read() is None, f"{victim.name}: bit {bit} of the header"
            counts["bits"] += 1
        lengths = (
            range(len(victim.data))
            if len(victim.data) < 30_000
            else random.Random(0).sample(range(len(victim.data)), 2_000)
        )
        for length in lengths:
            victim.write(victim.data[:length])
            assert victim.read() is None, f"{victim.name}: {length} bytes"
            counts["lengths"] += 1
    print(json.dumps(counts))


def run_child(folder, program, seed=0, count=0):
    """Run a batch in a process of its own; returns its counts."""
    command = [sys.executable, "-X", "faulthandler", __file__, program, str(folder), str(seed), str(count)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, env=environment, check=False)
    assert done.returncode == 0, f"seed {seed}, exit {done.returncode}:\n{done.stderr[-4000:]}"
    return Counter(json.loads(done.stdout))


@pytest.fixture
def folder():
    parent = "/dev/shm" if os.path.isdir("/dev/shm") else None
    path = tempfile.mkdtemp(prefix="bodega-fuzz-", dir=parent)
    yield path
    shutil.rmtree(path, ignore_errors=True)


def test_every_flipped_bit_of_a_header_and_every_truncation_is_refused(folder):
    pytest.importorskip("obstore")
    counts = run_child(folder, "exhaust")
    assert counts["bits"] >= 6 * 8 * layout.HEADER_SIZE
    print(dict(counts))


def test_damaged_objects_are_refused_or_right(folder):
    pytest.importorskip("obstore")
    seed = random.SystemRandom().getrandbits(32) if LONG else 4
    counts, start = Counter(), time.monotonic()
    for number, begin in enumerate(range(0, COUNT, BATCH)):
        counts += run_child(folder, "fuzz", seed + number, min(BATCH, COUNT - begin))
        shutil.rmtree(Path(folder) / "root", ignore_errors=True)
    assert sum(counts.values()) == COUNT
    assert all(counts[outcome] for outcome in ("none: refused", "none: right", "crc: some value"))
    print(f"{COUNT} objects from seed {seed} in {time.monotonic() - start:.0f} s: {dict(counts)}")


if __name__ == "__main__":
    {"fuzz": fuzz, "exhaust": exhaust}[sys.argv[1]](sys.argv[2], *map(int, sys.argv[3:]))
