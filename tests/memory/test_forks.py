"""Children that are forked beside busy threads: they have nothing open of what their parent holds for a moment."""

import os
import threading
from pathlib import Path

import pytest

import bodega

FORKS = 300


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="this system does not tell what a process has open")
def test_children_have_nothing_open_of_locks_drafts_and_warm_segments(root):
    store = bodega.open(root)
    done = threading.Event()

    def work(name):
        while not done.is_set():
            store.put(name, bytes(2 << 20))
            store.put(name, 1)
            store.sweep()

    threads = [threading.Thread(target=work, args=(f"n{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    parts = tuple(f"{os.path.realpath(root)}/{part}" for part in ("locks/", "tmp/", "pool/"))
    found = []
    try:
        for _ in range(FORKS):
            reading, writing = os.pipe()
            child = os.fork()
            if child == 0:
                links = []
                for number in os.listdir("/proc/self/fd"):
                    try:
                        links.append(os.readlink(f"/proc/self/fd/{number}"))
                    except OSError:
                        continue
                os.write(writing, "\n".join(link for link in links if link.startswith(parts)).encode())
                os._exit(0)
            os.close(writing)
            with open(reading) as said:
                found += said.read().split()
            os.waitpid(child, 0)
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert found == []
