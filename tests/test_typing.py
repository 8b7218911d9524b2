"""The public face is typed: a user's program passes a strict type checker, and a wrong one does not."""

import subprocess
import sys

import bodega

PROGRAM = """
from typing import assert_type

import bodega

store = bodega.open(run="nightly", capacity="1GiB")
info = store.put("prices", [1.0, 2.0])
assert_type(info, bodega.ObjectInfo)
assert_type(info.nbytes, int)
count: int = store.get("count", 0)
assert_type([each.name for each in store.list("pri*")], list[str])
try:
    prices: list[float] = store.get("prices")
except bodega.ObjectNotFound as error:
    assert_type(error.name, str)
    print(error.run, *error.matches)
except bodega.StoreFull as error:
    assert_type(error.free, int)
"""
WRONG = """
import bodega

bodega.open(trust="everything")
bodega.open().put(1, "x")
bodega.ObjectNotFound("no").nam
"""


def check(tmp_path, program):
    file = tmp_path / "program.py"
    file.write_text(program)
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--strict",
            "--config-file",
            "",
            "--cache-dir",
            str(tmp_path / "cache"),
            str(file),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )


def test_a_program_of_a_user_passes_a_strict_type_checker(tmp_path):
    done = check(tmp_path, PROGRAM)
    assert (done.returncode, done.stdout) == (0, "Success: no issues found in 1 source file\n")


def test_mistakes_of_a_user_are_found(tmp_path):
    done = check(tmp_path, WRONG)
    assert "Found 3 errors" in done.stdout, done.stdout


def test_every_error_is_public():
    from bodega import errors

    public = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, bodega.BodegaError)
    }
    assert public <= {*bodega.__all__}
