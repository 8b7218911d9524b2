"""Children that are forked in the middle of other threads' operations keep none of their locks, and none of their files."""

import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager

import numpy as np
import pytest

from bodega.memory import descriptors
from bodega.memory.descriptors import Descriptor

CHILDREN = 97
LARGE = np.ones(1 << 18)

pytestmark = pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="the list of descriptors is of Linux")


@contextmanager
def busy(store):
    """Threads that go through all that opens files, all the time."""
    done, failures = threading.Event(), []

    def work(number):
        try:
            while not done.is_set():
                for _ in range(50):
                    store.put(f"small-{number}", b"x" * 2000)
                    store.get(f"small-{number}")
                store.put(f"large-{number}", LARGE)
                store.delete(f"large-{number}")
                store.sweep()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert not failures


def idle_child():
    child = os.fork()
    if child == 0:
        signal.pause()
        os._exit(0)
    return child


def has_of(process, root):
    """What a process has open or mapped of a root."""
    folder = f"/proc/{process}/fd"
    opened = [os.readlink(f"{folder}/{number}") for number in os.listdir(folder)]
    with open(f"/proc/{process}/maps", encoding="utf-8") as file:
        found = [each for each in (*opened, *file.read().splitlines()) if str(root) in each]
    # A folder that is being listed has no lock, and its memory stays anyway.
    return [each for each in found if not os.path.isdir(each)]


def test_children_that_are_forked_beside_busy_threads_keep_no_lock_and_no_memory(store, monkeypatch):
    monkeypatch.setattr(
        descriptors, "_PATIENCE", 300
    )  # A machine may be so busy that a thread opens a file for seconds.
    children = []
    try:
        with busy(store):
            children += [idle_child() for _ in range(CHILDREN)]
        inherited = [each for child in children for each in has_of(child, store.root)]
        assert not inherited
        for name in store.names():
            store.delete(name)
        store.sweep()
        assert store.usage().leftovers == 0
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def test_a_fork_does_not_wait_for_ever_for_a_file_that_does_not_open(tmp_path):
    path = tmp_path / "fifo"
    os.mkfifo(path)
    reader = threading.Thread(target=lambda: Descriptor(str(path), os.O_RDONLY).close())
    reader.start()
    child = os.fork()
    if child == 0:
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    os.close(os.open(path, os.O_WRONLY))
    reader.join()


_HELD = """
import os, threading
begin, done = threading.Event(), threading.Event()

def wait():
    begin.set()
    done.wait()

os.register_at_fork(before=wait)
import bodega

store = bodega.open()

def put():
    begin.wait()
    store.put("x", 1)
    done.set()

thread = threading.Thread(target=put)
thread.start()
child = os.fork()
if child == 0:
    os._exit(0)
thread.join()
assert os.waitpid(child, 0)[1] == 0
assert store["x"] == 1
"""


def test_a_fork_that_waits_for_a_put_does_not_keep_it_waiting_for_ever(store):
    """As the lock of a library does that one thread has while it puts, and that is taken before each fork."""
    subprocess.run(
        [sys.executable, "-c", _HELD], check=True, timeout=300, env={**os.environ, "BODEGA_ROOT": str(store.root)}
    )
