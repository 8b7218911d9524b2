"""Nodes in fresh processes: what is timed of them, and what is said of those that end badly."""

import signal

import pytest

from bodega.demo.project import NodeFailed, Project
from bodega.example import copy_example

FIRST = '    return houses[houses["GrLivArea"]'


@pytest.fixture
def project(tmp_path):
    return Project(copy_example(tmp_path / "house-prices"), {"MULTIPLIER": "2"})


def make_second_node_do(project, statement):
    code = project.path / "src" / "house_prices" / "nodes.py"
    text = code.read_text(encoding="utf-8")
    assert FIRST in text
    code.write_text(text.replace(FIRST, f"    {statement}\n{FIRST}"), encoding="utf-8")


def test_a_project_says_what_it_runs_and_makes(project):
    nodes, datasets = project.describe()
    assert nodes[:2] == ["read_houses", "drop_outliers"]
    assert (datasets[0], datasets[-1]) == ("house_prices", "with_total_area")
    assert len(nodes) == len(datasets) == 6


def test_what_a_node_takes_is_told_from_what_its_process_takes(project):
    # The memory that nobody shares is seen from outside, so it has to be there for some looks.
    make_second_node_do(project, "many = b'1' * 300_000_000; __import__('time').sleep(0.3); del many")
    step = project.run("memory")
    assert step.node == "all nodes"
    assert step.shape == (2913, 75)
    assert step.compute >= 0.3
    assert step.process == pytest.approx(step.start_up + step.load + step.compute + step.save)
    assert step.peak > 300_000_000
    assert step.private > 300_000_000


def test_a_node_that_fails_is_named_with_what_it_printed_last(project):
    make_second_node_do(project, 'raise RuntimeError("no such house")')
    with pytest.raises(NodeFailed, match=r"the pipeline in environment 'memory' \(exit status 1\)") as caught:
        project.run("memory")
    assert "no such house" in str(caught.value)
    assert caught.value.status == 1


def test_a_node_that_is_killed_may_have_been_too_large(project):
    make_second_node_do(project, f"__import__('os').kill(__import__('os').getpid(), {signal.SIGKILL:d})")
    with pytest.raises(NodeFailed, match=r"killed by signal 9: out of memory\?"):
        project.run("memory")
