"""Processes that are killed at random moments, thousands of them."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

LONG = bool(os.environ.get("BODEGA_STRESS"))
KILLS = 10_000 if LONG else 150
SEED = int(os.environ.get("BODEGA_SEED", random.randrange(1 << 32)))


@pytest.mark.parametrize("medium", ["memory", "disk"])
def test_killed_processes_lose_nothing_and_leave_nothing(root, tmp_path, medium):
    """What a put acknowledged is there, nothing torn or old is read, and one sweep accounts for every byte."""
    above = root if medium == "memory" else tmp_path / "above"
    program = str(Path(__file__).with_name("_kills.py"))
    arguments = [str(above), str(tmp_path / "below"), str(SEED), str(KILLS)]
    print(f"seed {SEED}")
    done = subprocess.run([sys.executable, program, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, f"seed {SEED}: {done.stderr[-3000:]}"
    counts = json.loads(done.stdout)
    assert counts["kills"] >= KILLS and counts["killed in the middle of a change"] > KILLS // 20
    print(f"{medium}: {counts}")
