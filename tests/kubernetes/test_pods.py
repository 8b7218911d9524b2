"""What any pod with a store gets, as the API of Kubernetes has it: nothing of Argo is in it."""

from __future__ import annotations

import json

from bodega.kubernetes.deployment import Deployment, Resources, Secret, Volume
from bodega.kubernetes.pods import Pods, literal

PODS = Pods(
    Deployment(
        env={"PRICE": "5$"},
        secrets={"TOKEN": Secret("api", "token")},
        volumes=(Volume("data", "/data", read_only=True, source={"persistentVolumeClaim": {"claimName": "d"}}),),
    ),
    image="shop:1",
    namespace="shop",
)


def test_the_parts_of_a_pod_are_plain_json() -> None:
    resources = Resources(cpu="1", memory="2Gi", gpu=1)
    parts = [PODS.volumes(), PODS.security(), PODS.make_root(resources), PODS.container("run", [], resources=resources)]
    assert json.loads(json.dumps(parts)) == parts
    assert "{{" not in json.dumps(parts)


def test_the_root_is_one_users_in_one_namespace() -> None:
    assert PODS.root == "/dev/shm/bodega/shop/1000"
    container = PODS.container("run", [], resources=Resources())
    variables = {each["name"]: each.get("value") for each in container["env"]}
    assert variables["BODEGA_ROOT"] == PODS.root
    assert list(variables) == ["PRICE", "BODEGA_ROOT", "BODEGA_HOST", "TOKEN"]
    mounts = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
    assert mounts == {"bodega": "/dev/shm/bodega/shop", "data": "/data"}
    assert [each["name"] for each in PODS.volumes()] == list(mounts)


def test_a_text_of_the_deployment_stays_what_it_is() -> None:
    container = PODS.container("run", [], resources=Resources(), env={"OTHER": literal("$(PRICE)")})
    variables = {each["name"]: each.get("value") for each in container["env"]}
    assert (variables["PRICE"], variables["OTHER"]) == ("5$$", "$$(PRICE)")


def test_memory_and_graphics_cards_are_limited_and_cpu_only_where_that_is_asked_for() -> None:
    def asked(resources: Resources) -> object:
        return PODS.container("run", [], resources=resources)["resources"]

    assert asked(Resources(cpu="1", memory="2Gi", gpu=1)) == {
        "requests": {"cpu": "1", "memory": "2Gi", "nvidia.com/gpu": "1"},
        "limits": {"memory": "2Gi", "nvidia.com/gpu": "1"},
    }
    assert asked(Resources(cpu_limit="2")) == {"requests": None, "limits": {"cpu": "2"}}
    assert asked(Resources()) is None
    assert PODS.make_root(Resources(gpu=1))["resources"] is None, "making a folder takes no graphics card"
