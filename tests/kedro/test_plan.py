"""Cutting pipelines into tasks."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kedro.pipeline import Pipeline, node

from bodega.errors import PlanError
from bodega.kedro.plan import make_plan
from bodega.names import is_parameter, stored_name
from bodega.plan import Need, Plan, Task


def work(*_values):
    """What every node here does."""


def step(name, inputs, outputs, **options):
    return node(work, inputs, outputs, name=name, **options)


def cut(pipeline, grouping="node", **options):
    """The nodes of each task, by its name."""
    return {task.name: list(task.nodes) for task in make_plan(pipeline, grouping, **options).tasks}


DIAMOND = Pipeline(
    [
        step("add", ["doubled", "halved"], "total", tags=["report"]),
        step("double", "numbers", "doubled", tags=["work"]),
        step("halve", "numbers", "halved", tags=["work"]),
        step("make", ["params:size", "seed"], ["numbers", "log"]),
    ]
)


# By node


def test_each_node_is_a_task_after_those_it_needs() -> None:
    assert make_plan(DIAMOND) == Plan(
        (
            Task("make", ("make",), ("seed",), ("log", "numbers"), ()),
            Task("double", ("double",), ("numbers",), ("doubled",), (Need("make", ("numbers",)),)),
            Task("halve", ("halve",), ("numbers",), ("halved",), (Need("make", ("numbers",)),)),
            Task(
                "add",
                ("add",),
                ("doubled", "halved"),
                ("total",),
                (Need("double", ("doubled",)), Need("halve", ("halved",))),
            ),
        )
    )


def test_transcoded_names_are_one_dataset() -> None:
    plan = make_plan(Pipeline([step("a", None, "cars@pandas"), step("b", "cars@polars", "report")]))
    assert plan.tasks[0].outputs == ("cars",)
    assert plan.tasks[1].inputs == ("cars",)
    assert plan.tasks[1].needs == (Need("a", ("cars",)),)


def test_parameters_are_no_inputs() -> None:
    plan = make_plan(Pipeline([step("a", ["parameters", "params:size", "params:model.depth"], "b")]))
    assert plan.tasks[0].inputs == ()


def test_a_pipeline_without_nodes_is_refused() -> None:
    with pytest.raises(PlanError, match="has no nodes") as raised:
        make_plan(Pipeline([]))
    assert raised.value.code == "empty-pipeline"


def test_an_unknown_grouping_is_refused() -> None:
    with pytest.raises(PlanError, match="'nodes' is not known: it is one of node, namespace, tag, auto"):
        make_plan(DIAMOND, "nodes")  # type: ignore[arg-type]


# By namespace and tag


def test_a_top_level_namespace_is_a_task() -> None:
    pipeline = Pipeline(
        [
            step("read", None, "raw"),
            step("clean", "raw", "clean", namespace="features"),
            step("scale", "clean", "scaled", namespace="features.numeric"),
            step("fit", "scaled", "model", namespace="training"),
        ]
    )
    assert cut(pipeline, "namespace") == {
        "read": ["read"],
        "features": ["features.clean", "features.numeric.scale"],
        "training": ["training.fit"],
    }
    task = make_plan(pipeline, "namespace").tasks[1]
    assert (task.inputs, task.outputs) == (("raw",), ("scaled",)), "what stays inside is not published"


@pytest.mark.filterwarnings("ignore:Namespace 'work' is interrupted")
def test_namespaces_that_need_each_other_are_named_with_what_they_read() -> None:
    pipeline = Pipeline(
        [
            step("first", None, "a", namespace="work"),
            step("between", "a", "b"),
            step("last", "b", "c", namespace="work"),
        ]
    )
    assert any(group.dependencies for group in pipeline.group_nodes_by("namespace")), "Kedro itself says nothing"
    with pytest.raises(PlanError, match="need each other") as raised:
        make_plan(pipeline, "namespace")
    assert "'between' reads 'a' of 'work'" in str(raised.value)
    assert "'work' reads 'b' of 'between'" in str(raised.value)
    assert raised.value.code == "group-cycle"
    assert sorted(raised.value.groups) == ["between", "work"]


def test_only_the_groups_of_the_cycle_are_named() -> None:
    pipeline = Pipeline(
        [
            step("a1", None, "p", tags=["a"]),
            step("b1", "p", "q", tags=["b"]),
            step("a2", "q", "r", tags=["a"]),
            step("after", "r", "s", tags=["c"]),
            step("before", None, "t", tags=["d"]),
        ]
    )
    with pytest.raises(PlanError) as raised:
        make_plan(pipeline, "tag")
    assert sorted(raised.value.groups) == ["a", "b"]


def test_a_tag_is_a_task_and_untagged_nodes_are_their_own() -> None:
    assert cut(DIAMOND, "tag") == {"make": ["make"], "work": ["double", "halve"], "report": ["add"]}


def test_a_node_with_two_tags_is_refused() -> None:
    pipeline = Pipeline([step("a", None, "b", tags=["one", "two"])])
    with pytest.raises(PlanError, match="'a' is in two groups, 'one' and 'two'.*'grouping'") as raised:
        make_plan(pipeline, "tag")
    assert raised.value.code == "node-in-two-groups"


def test_a_task_gives_way_to_a_group_of_its_name() -> None:
    pipeline = Pipeline([step("work", None, "a"), step("x", "a", "b", namespace="work")])
    assert cut(pipeline, "namespace") == {"work-2": ["work"], "work": ["work.x"]}


# By patterns


def test_groups_are_patterns_of_names_tags_and_namespaces() -> None:
    pipeline = Pipeline(
        [
            step("read_a", None, "a"),
            step("read_b", None, "b"),
            step("join", ["a", "b"], "c", tags=["heavy"]),
            step("fit", "c", "d", namespace="training.linear"),
            step("report", "d", "e"),
        ]
    )
    assert cut(pipeline, {"reading": ["read_*"], "middle": ["heavy"], "end": ["training"]}) == {
        "reading": ["read_a", "read_b"],
        "middle": ["join"],
        "end": ["training.linear.fit"],
        "report": ["report"],
    }


def test_a_prefix_says_what_a_pattern_means() -> None:
    pipeline = Pipeline([step("clean", None, "a"), step("other", "a", "b", tags=["clean"])])
    assert cut(pipeline, {"g": ["node:clean"]}) == {"g": ["clean"], "other": ["other"]}
    assert cut(pipeline, {"g": ["tag:clean"]}) == {"clean": ["clean"], "g": ["other"]}
    assert cut(pipeline, {"g": ["clean"]}) == {"g": ["clean", "other"]}


def test_a_pattern_that_matches_nothing_names_a_near_match() -> None:
    with pytest.raises(PlanError, match="'duoble' of the group 'g' matches no node.*Did you mean 'double'") as raised:
        make_plan(DIAMOND, {"g": ["duoble"]})
    assert raised.value.code == "pattern-matches-nothing"
    with pytest.raises(PlanError, match="Nodes, tags and namespaces are add, double, halve, make, report, work"):
        make_plan(DIAMOND, {"g": ["xyz"]})


def test_a_node_in_two_groups_is_refused() -> None:
    with pytest.raises(PlanError, match="'double' is in two groups, 'a' and 'b'"):
        make_plan(DIAMOND, {"a": ["double"], "b": ["d*"]})


# Automatically


def test_chains_become_one_task() -> None:
    pipeline = Pipeline(
        [
            step("read", "raw", "a"),
            step("clean", "a", "b"),
            step("fit_x", "b", "x"),
            step("fit_y", "b", "y"),
            step("compare", ["x", "y"], "report"),
            step("send", "report", "sent"),
        ]
    )
    assert cut(pipeline, "auto") == {
        "read-to-clean": ["read", "clean"],
        "fit_x": ["fit_x"],
        "fit_y": ["fit_y"],
        "compare-to-send": ["compare", "send"],
    }


def test_light_nodes_go_to_their_reader_or_else_to_their_source() -> None:
    pipeline = Pipeline(
        [
            step("configure", "params:size", "settings"),
            step("load", "raw", "data"),
            step("fit", ["settings", "data"], "model"),
            step("score", "data", "scores"),
            step("count", "data", "number", tags=["light"]),
        ]
    )
    assert cut(pipeline, "auto") == {
        "load-to-count": ["load", "count"],
        "configure-to-fit": ["configure", "fit"],
        "score": ["score"],
    }


def test_nodes_of_different_kinds_stay_apart() -> None:
    pipeline = Pipeline([step("a", "raw", "x"), step("b", "x", "y"), step("c", "y", "z", tags=["gpu"])])
    assert cut(pipeline, "auto", kind=lambda each: "gpu" in each.tags) == {"a-to-b": ["a", "b"], "c": ["c"]}


# Whatever the pipeline


@st.composite
def pipelines(draw):
    """Nodes that read anything made before them, with tags and namespaces."""
    nodes, made = [], ["raw@one", "params:size"]
    for number in range(draw(st.integers(1, 12))):
        inputs = draw(st.lists(st.sampled_from(made), max_size=3, unique=True))
        outputs = [f"d{number}_{each}{draw(st.sampled_from(['', '@x']))}" for each in range(draw(st.integers(1, 2)))]
        nodes.append(
            step(
                f"n{number}",
                inputs or None,
                outputs,
                tags=draw(st.sampled_from([[], ["s"], ["t"], ["light"]])),
                namespace=draw(st.sampled_from([None, "u", "v", "v.w"])),
            )
        )
        made += [output.replace("@x", "@y") for output in outputs]
    return nodes


GROUPINGS = st.sampled_from(["node", "namespace", "tag", "auto", {"one": ["s"], "two": ["tag:t"]}, {"all": ["*"]}])


@pytest.mark.filterwarnings("ignore:Namespace .* is interrupted")
@given(nodes=pipelines(), grouping=GROUPINGS, seed=st.randoms())
def test_every_plan_is_whole_and_can_run(nodes, grouping, seed: random.Random) -> None:
    try:
        plan = make_plan(Pipeline(nodes), grouping)
    except PlanError as error:
        assert grouping not in ("node", "auto"), error
        assert error.code in {"group-cycle", "pattern-matches-nothing", "node-in-two-groups"}
        return
    shuffled = list(nodes)
    seed.shuffle(shuffled)
    assert make_plan(Pipeline(shuffled), grouping) == plan, "the order of registration does not matter"

    by_name = {each.name: each for each in nodes}
    assert sorted(name for task in plan.tasks for name in task.nodes) == sorted(by_name), "every node exactly once"
    assert len({task.name for task in plan.tasks}) == len(plan.tasks)

    made = {}
    for task in plan.tasks:
        loaded, own = set(), set()
        for name in task.nodes:
            inputs = {stored_name(each) for each in by_name[name].inputs if not is_parameter(each)}
            missing = inputs - own - set(made) - {"raw"}
            assert not missing, f"{name} would run before {missing} is made"
            loaded |= inputs
            own |= set(map(stored_name, by_name[name].outputs))
        assert set(task.inputs) == loaded - own
        read_outside = {each for other in plan.tasks if other is not task for each in other.inputs}
        assert set(task.outputs) == {each for each in own if each in read_outside or each not in loaded}
        assert {(need.task, dataset) for need in task.needs for dataset in need.datasets} == {
            (made[dataset], dataset) for dataset in task.inputs if dataset in made
        }
        made |= dict.fromkeys(own, task.name)


@pytest.mark.filterwarnings("ignore:Namespace .* is interrupted")
@given(nodes=pipelines())
def test_auto_leaves_nothing_that_could_be_merged(nodes) -> None:
    plan = make_plan(Pipeline(nodes), "auto")
    readers = {
        task.name: [each.name for each in plan.tasks if task.name in {n.task for n in each.needs}]
        for task in plan.tasks
    }
    for task in plan.tasks:
        if len(readers[task.name]) == 1:
            reader = next(each for each in plan.tasks if each.name == readers[task.name][0])
            assert len(reader.needs) > 1, "a chain"
