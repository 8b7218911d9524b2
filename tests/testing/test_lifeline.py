"""What a benchmark leaves that is killed: nothing that runs, and folders only until the next one."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bodega.testing import lifeline

OWNER = """
import subprocess, sys, time
from bodega.testing.lifeline import bound, scratch

with scratch("bodega-life-", sys.argv[1]) as folder:
    (folder / "data").write_bytes(bytes(1000))
    print(subprocess.Popen(bound(["sleep", "600"])).pid, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def owner(tmp_path):
    """A process with a folder and a server, and the server's number."""
    process = subprocess.Popen([sys.executable, "-c", OWNER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    yield process, int(process.stdout.readline())
    process.kill()
    process.wait()
    process.stdout.close()


def is_running(number):
    try:
        with open(f"/proc/{number}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for_the_end_of(number):
    end = time.monotonic() + 300
    while is_running(number) and time.monotonic() < end:
        time.sleep(0.02)
    return not is_running(number)


@pytest.mark.skipif(not shutil.which("setpriv"), reason="there is no setpriv: apt-get install util-linux")
def test_a_server_ends_with_the_process_that_started_it(owner):
    process, server = owner
    while Path(f"/proc/{server}/comm").read_text() != "sleep\n":
        time.sleep(0.02)  # It is setpriv still, and the kernel may not have been asked.
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert wait_for_the_end_of(server)


@pytest.mark.parametrize("there", [False, True])
def test_without_a_setpriv_that_can_do_it_a_command_stays_as_it_is(tmp_path, monkeypatch, there):
    if there:
        program = tmp_path / "setpriv"
        program.write_text("#!/bin/sh\necho unrecognized option >&2\nexit 1\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    lifeline._setpriv.cache_clear()
    try:
        assert lifeline.bound(["server", "--port", "1"]) == ["server", "--port", "1"]
    finally:
        lifeline._setpriv.cache_clear()


def test_the_next_one_removes_the_folders_of_those_that_were_killed(owner, tmp_path, monkeypatch):
    process, _ = owner
    monkeypatch.setattr(lifeline, "_YOUNG", 0.0)
    (left,) = tmp_path.iterdir()
    with lifeline.scratch("bodega-life-", str(tmp_path)) as mine:
        assert {left, mine} == set(tmp_path.iterdir())  # It is in use.
    process.send_signal(signal.SIGKILL)
    process.wait()
    with lifeline.scratch("bodega-life-", str(tmp_path)) as mine:
        assert [mine] == list(tmp_path.iterdir())
    assert not list(tmp_path.iterdir())


def test_a_young_folder_and_what_is_no_folder_stay(tmp_path):
    (tmp_path / "bodega-life-young").mkdir()
    (tmp_path / "bodega-life-file").touch()
    os.symlink(tmp_path, tmp_path / "bodega-life-link")
    with lifeline.scratch("bodega-life-", str(tmp_path)):
        pass
    assert len(list(tmp_path.iterdir())) == 3
