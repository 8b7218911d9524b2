"""What may stand below ``deployment:``, and what holds for a task."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest
from kedro.pipeline import node

from bodega.declared import read
from bodega.errors import SettingsError
from bodega.kubernetes.deployment import Deployment, ResourceRule, Resources, Secret, Volume
from bodega.kubernetes.quantities import amount

FULL = {
    "image": "registry.example.com/shop:1.0",
    "image_pull_policy": "Always",
    "image_pull_secrets": ["registry"],
    "namespace": "shop",
    "grouping": {"features": ["clean_*", "tag:light"], "training": "fit"},
    "resources": {"cpu": 0.5, "memory": "2Gi", "node_selector": {"disk": "ssd"}},
    "tasks": [
        {
            "nodes": "fit*",
            "resources": {"cpu": 4, "gpu": 1, "gpu_resource": "amd.com/gpu"},
            "retries": 0,
            "timeout": "2h",
        },
        {"tags": ["big"], "resources": {"memory": "16Gi", "tolerations": [{"key": "big", "operator": "Exists"}]}},
        {"namespaces": ["reports"], "timeout": 60},
    ],
    "env": {"LEVEL": 3, "DEBUG": True, "NAME": "shop"},
    "secrets": {"TOKEN": {"name": "api", "key": "token"}},
    "env_from": "bucket",
    "service_account": "runner",
    "retries": 5,
    "timeout": "30m",
    "workflow_timeout": "1d",
    "keep_pods": "1h",
    "volumes": [
        {
            "name": "data",
            "mount_path": "/data",
            "read_only": True,
            "source": {"persistentVolumeClaim": {"claimName": "d"}},
        }
    ],
    "labels": {"team": "pricing", "example.com/tier": ""},
    "annotations": {"note": "any text: at all"},
    "parallelism": 4,
    "host_root": "/dev/shm/other",
    "user": 1234,
    "group": 0,
    "kind": "CronWorkflow",
    "schedule": "0 6 * * 1-5",
    "timezone": "Europe/Zurich",
    "workflow_name": "shop-nightly",
    "time_to_live": "7d",
}


def parse(values):
    return read(Deployment, values, source="bodega.yml", path="deployment")


def step(name="fit", **options):
    return node(lambda: 1, None, f"{name}_out", name=name, **options)


def test_an_empty_section_takes_every_default() -> None:
    assert parse({}) == Deployment()


def test_every_key() -> None:
    deployment = parse(FULL)
    assert deployment.image == "registry.example.com/shop:1.0"
    assert deployment.grouping == {"features": ("clean_*", "tag:light"), "training": ("fit",)}
    assert deployment.resources == Resources(cpu="0.5", memory="2Gi", node_selector={"disk": "ssd"})
    assert [rule.patterns for rule in deployment.tasks] == [("node:fit*",), ("tag:big",), ("namespace:reports",)]
    assert deployment.env == {"LEVEL": "3", "DEBUG": "true", "NAME": "shop"}
    assert deployment.secrets == {"TOKEN": Secret("api", "token")}
    assert deployment.env_from == ("bucket",)
    assert (deployment.timeout, deployment.workflow_timeout, deployment.time_to_live) == (1800, 86400, 604800)
    assert (deployment.keep_pods, Deployment().keep_pods) == (3600, 600)
    assert deployment.volumes == (
        Volume("data", "/data", read_only=True, source={"persistentVolumeClaim": {"claimName": "d"}}),
    )
    assert deployment.labels == {"team": "pricing", "example.com/tier": ""}
    assert (deployment.user, deployment.group) == (1234, 0)
    assert (deployment.kind, deployment.schedule, deployment.timezone) == (
        "CronWorkflow",
        "0 6 * * 1-5",
        "Europe/Zurich",
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"resources": {"memory": "5 gigs"}}, r"'deployment.resources.memory' in bodega.yml: .*'gigs'.*: write 5Gi"),
        ({"resources": {"memory": "4GB"}}, r"'GB' of the quantity '4GB'.*: write 4G\."),
        ({"resources": {"memory": "4gib"}}, r"write 4Gi"),
        ({"resources": {"memory": "512m"}}, r"'m' of the quantity '512m'.*: write 512Mi"),
        ({"resources": {"memory": "lots"}}, r"'lots' is not understood: write bytes as 4Gi, 512Mi or 2G"),
        ({"resources": {"memory": 0}}, r"'0' is not positive"),
        ({"resources": {"memory": True}}, r"True is not understood"),
        ({"resources": {"cpu": "2 cores"}}, r"'deployment.resources.cpu'.*: write 2\."),
        ({"resources": {"cpu": "2 millicores"}}, r"write 2m\."),
        ({"resources": {"cpu": "1Gi"}}, r"write cores as 2, 0.5 or 500m"),
        ({"resources": {"gpu": 0.5}}, r"'deployment.resources.gpu' in bodega.yml is a whole number"),
        ({"resources": {"cpus": 1}}, r"'deployment.resources.cpus' .* did you mean 'cpu'"),
        ({"resources": {"tolerations": [{"efect": "x"}]}}, r"tolerations\[0\].efect' .* did you mean 'effect'"),
        ({"resources": 3}, r"'deployment.resources' in bodega.yml holds keys and values, not 3"),
        ({"imgae": "x"}, r"'deployment.imgae' in bodega.yml is not known: did you mean 'image'"),
        ({"rules": []}, r"'deployment.rules' in bodega.yml is not known"),
        ({"image": "a b"}, r"'deployment.image' in bodega.yml is the name of an image"),
        ({"image_pull_policy": "Sometimes"}, r"one of IfNotPresent, Always, Never"),
        ({"namespace": "My_Space"}, r"'My_Space' cannot be the name of a namespace in Kubernetes.*'my-space'"),
        ({"namespace": 5}, r"'deployment.namespace' in bodega.yml is a text, not 5"),
        ({"env_from": ["Bad!"]}, r"'Bad!' cannot be the name of a secret"),
        ({"grouping": "nodes"}, r"one of node, namespace, tag, auto, or patterns by the name of a group, not 'nodes'"),
        ({"grouping": {"g": 1}}, r"'deployment.grouping.g' in bodega.yml is a list of patterns"),
        ({"tasks": {"nodes": "a"}}, r"'deployment.tasks' in bodega.yml is a list"),
        ({"tasks": [{"retries": 1}]}, r"'deployment.tasks\[0\]' in bodega.yml does not say which nodes"),
        ({"tasks": [{"nodes": "a", "resources": {"cpu": "x"}}]}, r"'deployment.tasks\[0\].resources.cpu'"),
        ({"env": {"A-B": 1}}, r"'A-B' cannot be the name of an environment variable"),
        ({"env": {"A": [1]}}, r"'deployment.env.A' in bodega.yml is a text"),
        ({"secrets": {"A": {"name": "x"}}}, r"'deployment.secrets.A' in bodega.yml is a 'name' and a 'key'"),
        ({"secrets": {"1A": {"name": "x", "key": "y"}}}, r"'1A' cannot be the name of an environment variable"),
        ({"labels": {"a b": "c"}}, r"'a b' cannot be the key of a label"),
        ({"labels": {"a": "c d"}}, r"'c d' cannot be the value of a label"),
        (
            {"volumes": [{"name": "a"}]},
            r"'deployment.volumes\[0\]' in bodega.yml needs 'name', 'mount_path' and one 'source'",
        ),
        ({"volumes": [{"name": "a", "mount_path": "a", "source": {"emptyDir": {}}}]}, r"mount_path' .* is a folder"),
        ({"volumes": [{"name": "a", "mount_path": "/a", "source": {"emptyDir": {}}}] * 2}, r"unique among the volumes"),
        ({"host_root": "/"}, r"'deployment.host_root' in bodega.yml is a folder"),
        ({"parallelism": 0}, r"a whole number from 1 up, not 0"),
        ({"retries": True}, r"a whole number from 0 up, not True"),
        ({"timeout": "soon"}, r"'deployment.timeout' in bodega.yml: .*soon"),
        ({"kind": "Job"}, r"one of Workflow, WorkflowTemplate, CronWorkflow"),
        ({"kind": "CronWorkflow"}, r"there is no 'schedule'"),
        ({"schedule": "daily"}, r"five fields of cron"),
        ([], r"'deployment' in bodega.yml holds keys and values, not \[\]"),
    ],
)
def test_what_is_not_understood_is_refused_with_what_to_write(values, message) -> None:
    with pytest.raises(SettingsError, match=message):
        parse(values)


def test_every_key_is_in_the_documentation() -> None:
    documented = set(re.findall(r"`([a-z_]+)`", (Path(__file__).parents[2] / "docs/kedro.md").read_text()))
    keys = {field.name for kind in (Deployment, Resources, ResourceRule, Volume) for field in fields(kind)}
    assert keys <= documented


# Tasks


def test_a_task_has_the_default_and_every_rule_that_applies() -> None:
    deployment = parse(FULL)
    plain = deployment.for_task([step("read")])
    assert (plain.resources, plain.retries, plain.timeout) == (deployment.resources, 5, 1800)
    both = deployment.for_task([step("fit_all", tags=["big"], namespace="reports.weekly")])
    assert both.resources == Resources(
        cpu="0.5", memory="16Gi", node_selector={"disk": "ssd"}, tolerations=({"key": "big", "operator": "Exists"},)
    ), "its name is reports.weekly.fit_all, which fit* does not match"
    assert both.timeout == 60
    fit = deployment.for_task([step("fit")])
    assert (fit.resources.cpu, fit.resources.memory, fit.resources.gpu) == ("4", "2Gi", 1)
    assert (fit.retries, fit.timeout) == (0, 7200)


def test_the_later_rule_wins() -> None:
    rules = [{"nodes": "fit", "resources": {"cpu": 1}}, {"nodes": "*", "resources": {"cpu": 2}}]
    assert parse({"tasks": rules}).for_task([step()]).resources.cpu == "2"


def test_several_nodes_get_the_largest_of_each() -> None:
    rules = [
        {"nodes": "a", "resources": {"cpu": "1500m", "memory": "1G"}, "timeout": "1h", "retries": 1},
        {"nodes": "b", "resources": {"cpu": 1, "memory": "1Gi", "gpu": 2}, "timeout": "2h"},
    ]
    task = parse({"tasks": rules, "retries": 0, "timeout": 1}).for_task([step("a"), step("b"), step("c")])
    assert task.resources == Resources(cpu="1500m", memory="1Gi", gpu=2)
    assert (task.retries, task.timeout) == (1, 7200)


def test_a_node_without_a_limit_leaves_the_task_without_one() -> None:
    task = parse({"tasks": [{"nodes": "a", "timeout": "1h"}]}).for_task([step("a"), step("b")])
    assert task.timeout is None


def test_nodes_that_need_different_machines_cannot_share_a_task() -> None:
    rules = [{"nodes": each, "resources": {"node_selector": {"zone": each}}} for each in "ab"]
    with pytest.raises(SettingsError, match="'a', 'b' are to share a task, but 'b' .* zone=b .* zone=a"):
        parse({"tasks": rules}).for_task([step("a"), step("b")])


def test_nodes_that_need_different_cards_cannot_share_a_task() -> None:
    rules = [{"nodes": each, "resources": {"gpu": 1, "gpu_resource": f"{each}.com/gpu"}} for each in "ab"]
    with pytest.raises(SettingsError, match=r"a.com/gpu and b.com/gpu"):
        parse({"tasks": rules}).for_task([step("a"), step("b")])


def test_rules_take_the_name_of_cards_from_the_default() -> None:
    deployment = parse(
        {"resources": {"gpu_resource": "amd.com/gpu"}, "tasks": [{"nodes": "*", "resources": {"gpu": 1}}]}
    )
    assert deployment.for_task([step()]).resources.gpu_resource == "amd.com/gpu"


@pytest.mark.parametrize(
    ("smaller", "larger"),
    [("999m", "1"), ("1G", "1Gi"), ("1000Mi", "1Gi"), ("1023Mi", "1Gi"), ("1k", "1Ki"), ("2T", "2Ti")],
)
def test_quantities_are_compared_by_what_they_stand_for(smaller, larger) -> None:
    assert amount(smaller) < amount(larger)


def test_a_limit_of_cpu_holds_for_a_task_if_all_its_nodes_have_one():
    def limit(*rules):
        tasks = [{"nodes": name, "resources": resources} for name, resources in rules]
        deployment = parse({"resources": {"cpu": 1}, "tasks": tasks})
        return deployment.for_task([node(len, "x", "y", name="a"), node(len, "y", "z", name="b")]).resources.cpu_limit

    assert limit(("a", {"cpu_limit": 2}), ("b", {"cpu_limit": "2500m"})) == "2500m"
    assert limit(("a", {"cpu_limit": 2})) is None
    with pytest.raises(SettingsError, match="cpu_limit of 500m"):
        limit(("*", {"cpu_limit": "500m"}))


@pytest.mark.parametrize("sub_path", ["/etc/passwd", "../up", "a/../b", 3])
def test_a_part_of_a_volume_lies_within_it(sub_path):
    volume = {"name": "v", "mount_path": "/v", "source": {"emptyDir": {}}, "sub_path": sub_path}
    with pytest.raises(SettingsError, match="sub_path"):
        parse({"volumes": [volume]})
    volume["sub_path"] = "conf/bodega.yml"
    (parsed,) = parse({"volumes": [volume]}).volumes
    assert parsed.sub_path == "conf/bodega.yml"
