"""Every variable of the environment is in one table, by which the code names it."""

import ast
import re
from pathlib import Path

import pytest

from bodega import env

PROJECT = Path(__file__).parents[1]
NAME = re.compile(r"\bBODEGA_[A-Z]+(?:_[A-Z]+)*\b")
SOURCES = [
    *(file for folder in ("src", "tests", "benchmarks", "examples") for file in (PROJECT / folder).rglob("*.py")),
    *(PROJECT / name for name in ("Makefile", "CONTRIBUTING.md", "README.md")),
    *(PROJECT / "docs").glob("*.md"),
]


def test_every_variable_is_in_the_tables():
    tables = {each.name for table in (env.OWN, env.OTHERS, env.DEVELOPMENT) for each in table}
    found = {name for file in SOURCES for name in NAME.findall(file.read_text(encoding="utf-8"))}
    assert found <= tables, "say in bodega/env.py what it means"
    constants = {value for name, value in vars(env).items() if name.endswith("_VARIABLE")}
    assert constants <= tables


def texts(file):
    """The texts of a module that are no documentation."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    docs = {id(each.value) for each in ast.walk(tree) if isinstance(each, ast.Expr)}
    return [
        each.value
        for each in ast.walk(tree)
        if isinstance(each, ast.Constant) and isinstance(each.value, str) and id(each) not in docs
    ]


@pytest.mark.parametrize("name", [each.name for each in env.OWN])
def test_only_the_table_spells_a_variable_out(name):
    modules = [file for file in (PROJECT / "src/bodega").rglob("*.py") if file.name != "env.py"]
    assert [file for file in modules if name in " ".join(texts(file))] == []
