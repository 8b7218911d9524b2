"""Values that know their name and their checksum, so that a torn, old or wrong one shows; and what a process holds."""

import os
import zlib

import numpy as np

SIZES = (200, 30_000, 100_000, 1_100_000, 2_500_000)
"""Read into private memory, mapped, and large enough for the pool."""
_NOISE = np.random.default_rng(7).integers(0, 256, max(SIZES) + 4096, dtype=np.uint8)


def make(name, counter, size):
    """A value of about ``size`` bytes; each counter has other bytes."""
    start = counter * 97 % 4096
    data = _NOISE[start : start + size]
    return {"name": name, "counter": counter, "checksum": checksum(data), "data": data}


def check(value, name):
    """Complain about anything but what `make` made under this name; returns the counter."""
    assert value["name"] == name, f"{name} holds the value of {value['name']}"
    assert value["checksum"] == checksum(value["data"]), f"{name} is torn at counter {value['counter']}"
    return value["counter"]


def checksum(data):
    return zlib.crc32(data)


def descriptors():
    """How many this process has open, besides the one that lists them."""
    return len(os.listdir("/proc/self/fd")) - 1


def maps(root=""):
    """How many mappings this process has, of a root's segments or in all."""
    with open("/proc/self/maps", encoding="ascii", errors="replace") as lines:
        return sum(str(root) in line for line in lines)


def anonymous_memory():
    """Resident bytes of this process that are no file's."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as lines:
        kibibytes = next(line.split()[1] for line in lines if line.startswith("RssAnon"))
    return int(kibibytes) * 1024


def bytes_on_disk(root, folders=("runs", "pool", "tmp")):
    """Bytes of all segments of a root, in whole pages, as the file system shows them."""
    total = 0
    for folder in folders:
        for path, _, filenames in os.walk(f"{root}/{folder}"):
            for filename in filenames:
                if filename.startswith("."):
                    continue  # What is said of a run.
                try:
                    total += -(-os.stat(f"{path}/{filename}").st_size // 4096) * 4096
                except FileNotFoundError:
                    continue  # Gone since it was listed.
    return total
