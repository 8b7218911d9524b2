"""Workflows: what is in them, for which settings."""

import json

import pytest
import yaml
from kedro.pipeline import node, pipeline
from tests.argo._schema import make_manifest
from tests.argo.conftest import identity

from bodega.argo.lint import lint_manifest
from bodega.argo.manifest import to_yaml
from bodega.argo.workflow import Details
from bodega.errors import SettingsError
from bodega.kubernetes.deployment import Deployment, ResourceRule, Resources, Secret, Volume


def template(manifest, name):
    return next(each for each in manifest["spec"]["templates"] if each["name"] == name)


def tasks(manifest):
    return {task["name"]: task for task in template(manifest, "pipeline")["dag"]["tasks"]}


def arguments(task):
    return {each["name"]: each["value"] for each in task["arguments"]["parameters"]}


def environment(manifest, name="task"):
    return {each["name"]: each for each in template(manifest, name)["container"]["env"]}


def test_each_task_waits_for_what_it_reads_and_prefers_those_hosts(make):
    found = tasks(make_manifest(make()))
    assert {name: task.get("depends") for name, task in found.items()} == {
        "make": None, "double": "make", "halve": "make", "add": "double && halve",
    }  # fmt: skip
    assert arguments(found["add"])["sources"] == (
        '[{"host": "{{tasks.double.outputs.parameters.host}}", "bytes": {{tasks.double.outputs.parameters.bytes}}, '
        '"reads": ["doubled"]}, {"host": "{{tasks.halve.outputs.parameters.host}}", '
        '"bytes": {{tasks.halve.outputs.parameters.bytes}}, "reads": ["halved"]}]'
    )
    filled = arguments(found["add"])["sources"]
    for task in ("double", "halve"):
        filled = filled.replace(f"{{{{tasks.{task}.outputs.parameters.host}}}}", "a")
        filled = filled.replace(f"{{{{tasks.{task}.outputs.parameters.bytes}}}}", '{"doubled": 1}')
    assert [source["reads"] for source in json.loads(filled)] == [["doubled"], ["halved"]]


def test_a_task_is_told_its_nodes_and_what_others_read(make):
    manifest = make_manifest(make(grouping={"all": ["double", "halve", "add"]}))
    given = arguments(tasks(manifest)["all"])
    assert json.loads(given["nodes"]) == ["double", "halve", "add"]
    assert json.loads(given["shared"]) == ["total"]
    assert json.loads(given["stored"]) == ["total"]
    assert environment(manifest)["BODEGA_SHARED"]["value"] == "{{=replace(inputs.parameters['shared'], '$', '$$')}}"


def test_the_run_is_the_workflows_uid_and_what_failed_goes_on(make):
    found = environment(make_manifest(make()))
    assert found["BODEGA_RUN"]["value"] == (
        "{{=replace((workflow.parameters['run'] == '' ? workflow.uid : workflow.parameters['run']), '$', '$$')}}"
    )
    assert found["BODEGA_RESUME"]["value"] == "1"
    assert found["BODEGA_HOST"]["valueFrom"]["fieldRef"]["fieldPath"] == "spec.nodeName"


def test_every_command_gets_the_projects_settings_and_parameters(make):
    details = {
        "make": Details(("size", "a.b"), ("a", "b"), ("numbers",)), "double": Details(("a.b",)),
        "halve": Details(), "add": Details(),
    }  # fmt: skip
    request = make(env="prod", conf_source="/conf", parameters={"size": "007", "a.b": "[1, 2]"}, details=details)
    manifest = make_manifest(request)
    assert template(manifest, "task")["container"]["args"] == [
        "--nodes", "{{=replace(inputs.parameters['nodes'], '$', '$$')}}",
        "--stored", "{{=replace(inputs.parameters['stored'], '$', '$$')}}",
        "--params", "{{=replace(inputs.parameters['params'], '$', '$$')}}",
        "--pipelines", "{{=replace(inputs.parameters['pipelines'], '$', '$$')}}",
        "--env", "prod", "--conf-source", "/conf",
    ]  # fmt: skip
    given = {name: arguments(task) for name, task in tasks(manifest).items()}
    assert [given[name]["params"] for name in ("make", "double", "halve")] == [
        "{{=toJson({'size': workflow.parameters['size'], 'a.b': workflow.parameters['a-b']})}}",
        "{{=toJson({'a.b': workflow.parameters['a-b']})}}",
        "{}",
    ]
    assert [given[name]["pipelines"] for name in ("make", "double")] == ["a,b", ""]
    assert [given[name]["stored"] for name in ("make", "double")] == ['["numbers"]', "[]"]
    parameters = {each["name"]: each["value"] for each in manifest["spec"]["arguments"]["parameters"]}
    assert parameters == {"image": "shop:1", "run": "", "size": "007", "a-b": "[1, 2]"}
    assert template(manifest, "drop-on-host")["container"]["args"][:2] == ["--env", "prod"]


def test_pods_say_what_they_do(make):
    manifest = make_manifest(
        make(grouping={"Both ends": ["double", "halve"]}, details={"make": Details((), ("a", "b"))})
    )
    labels = template(manifest, "task")["metadata"]["labels"]
    assert labels == {f"bodega/{each}": f"{{{{inputs.parameters.{each}}}}}" for each in ("task", "node", "pipeline")}
    assert template(manifest, "task")["metadata"]["annotations"] == {"bodega/nodes": "{{inputs.parameters.nodes}}"}
    given = {name: arguments(task) for name, task in tasks(manifest).items()}
    assert [[told[name] for name in ("task", "node", "pipeline")] for told in given.values()] == [
        ["make", "make", "a-b"], ["both-ends", "", "default"], ["add", "add", "default"],
    ]  # fmt: skip


def test_dollars_reach_the_pod_as_they_are(make):
    # Kubernetes takes $(NAME) for a variable, and $$ for a dollar.
    pipe = pipeline([node(identity, None, "in $(HOME)", name="cost"), node(identity, "in $(HOME)", "b", name="b")])
    deployment = Deployment(image="shop:1", env={"WORD": "$(AWS_SECRET_ACCESS_KEY) $$"}, host_root="/mnt/$(A)")
    manifest = make_manifest(
        make(deployment, pipe=pipe, parameters={"a '$(B)}}": "$(C)"}, env="$(D)", conf_source="/conf/$E")
    )
    assert lint_manifest(manifest) == []
    container = template(manifest, "task")["container"]
    assert container["args"][-4:] == ["--env", "$$(D)", "--conf-source", "/conf/$$E"]
    for arg in container["args"][1:8:2]:
        assert arg.startswith("{{=replace(inputs.parameters['") and arg.endswith("'], '$', '$$')}}")
    variables = environment(manifest)
    assert variables["WORD"]["value"] == "$$(AWS_SECRET_ACCESS_KEY) $$$$"
    assert variables["BODEGA_ROOT"]["value"] == "/mnt/$$(A)/{{workflow.namespace}}/1000"
    # What is mounted is taken as it is.
    assert container["volumeMounts"][0]["mountPath"] == "/mnt/$(A)/{{workflow.namespace}}"
    assert template(manifest, "task")["initContainers"][0]["command"][-1] == "/mnt/$$(A)/{{workflow.namespace}}/1000"
    first, _ = tasks(manifest).values()
    assert json.loads(arguments(first)["nodes"]) == ["cost"]
    # A name that would end the expression is written by its characters' numbers.
    assert "\\U00000027\\U00000024\\U00000028B\\U00000029\\U0000007d\\U0000007d'" in arguments(first)["params"]
    (value,) = (each["value"] for each in manifest["spec"]["arguments"]["parameters"][2:])
    assert value == "$(C)"  # Doubled by Argo, whoever gives it.


@pytest.mark.parametrize(
    "options",
    [
        {"env": "{{workflow.name}}"},
        {"conf_source": "{{=1}}"},
        {"parameters": {"{{a}}": "1"}},
        {"parameters": {"a": "{{workflow.uid}}"}},
        {"deployment": Deployment(image="shop:1", env={"A": "x{{workflow.uid}}"})},
        {"deployment": Deployment(image="shop:1", annotations={"a": "{{workflow.uid}}"})},
        {
            "deployment": Deployment(
                image="shop:1", volumes=(Volume("v", "/v", source={"hostPath": {"path": "{{a}}"}}),)
            )
        },
        {"deployment": Deployment(image="shop:1", resources=Resources(tolerations=({"key": "{{a}}"},)))},
        {"pipe": pipeline([node(identity, None, "{{workflow-name}}", name="a")])},
    ],
)
def test_what_argo_would_fill_in_is_refused_in_every_text(make, options):
    with pytest.raises(SettingsError, match=r"\{\{.* holds '\{\{'"):
        make_manifest(make(**options))


def test_every_container_asks_for_what_a_quota_wants(make):
    resources = Resources(cpu="1", cpu_limit="2", memory="1Gi", gpu=1)
    manifest = make_manifest(make(Deployment(image="shop:1", resources=resources)))
    pod = template(manifest, "task")
    assert pod["container"]["resources"] == {
        "requests": {"cpu": "1", "memory": "1Gi", "nvidia.com/gpu": "1"},
        "limits": {"cpu": "2", "memory": "1Gi", "nvidia.com/gpu": "1"},
    }
    assert pod["initContainers"][0]["resources"] == {
        "requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "2", "memory": "1Gi"},
    }  # fmt: skip
    with_asking = [each for each in manifest["spec"]["templates"] if "container" in each]
    assert all(each["initContainers"][0]["resources"]["limits"]["memory"] for each in with_asking)


def test_a_part_of_a_volume_is_mounted(make):
    volume = Volume("conf", "/conf/base/bodega.yml", "bodega.yml", source={"configMap": {"name": "conf"}})
    manifest = make_manifest(make(Deployment(image="shop:1", volumes=(volume,))))
    assert template(manifest, "task")["container"]["volumeMounts"][1] == {
        "name": "conf", "mountPath": "/conf/base/bodega.yml", "subPath": "bodega.yml",
    }  # fmt: skip


def test_a_parameter_of_the_project_may_be_called_image(make):
    manifest = make_manifest(make(parameters={"image": "cat.png"}))
    image, _, other = manifest["spec"]["arguments"]["parameters"]
    assert image["value"] == "shop:1" and other["value"] == "cat.png" and other["name"].startswith("image-")
    told = arguments(tasks(manifest)["make"])["params"]
    assert told == f"{{{{=toJson({{'image': workflow.parameters['{other['name']}']}})}}}}"


def test_tasks_with_the_same_settings_share_a_template(make):
    deployment = Deployment(
        image="shop:1",
        resources=Resources(cpu="500m", memory="1Gi"),
        tasks=(
            ResourceRule(
                tags=("heavy",),
                resources=Resources(memory="8Gi", gpu=1, node_selector={"disk": "ssd"}, tolerations=({"key": "gpu"},)),
                retries=0,
                timeout=3600.0,
            ),
        ),
    )
    manifest = make_manifest(make(deployment))
    assert {name: task["template"] for name, task in tasks(manifest).items()} == {
        "make": "task", "double": "task-double", "halve": "task", "add": "task",
    }  # fmt: skip
    light, heavy = template(manifest, "task"), template(manifest, "task-double")
    assert light["container"]["resources"] == {
        "requests": {"cpu": "500m", "memory": "1Gi"},
        "limits": {"memory": "1Gi"},
    }
    assert light["retryStrategy"]["limit"] == 2 and light["retryStrategy"]["retryPolicy"] == "Always"
    assert heavy["container"]["resources"] == {
        "requests": {"cpu": "500m", "memory": "8Gi", "nvidia.com/gpu": "1"},
        "limits": {"memory": "8Gi", "nvidia.com/gpu": "1"},
    }
    assert heavy["nodeSelector"] == {"disk": "ssd"} and heavy["tolerations"] == [{"key": "gpu"}]
    assert heavy["activeDeadlineSeconds"] == 3600 and "retryStrategy" not in heavy


def test_pods_are_one_user_and_get_no_more_rights(make):
    manifest = make_manifest(make(Deployment(image="shop:1", user=4242, group=100, host_root="/mnt/bodega")))
    assert (
        manifest["spec"]["securityContext"]["runAsUser"] == 4242 and manifest["spec"]["securityContext"]["runAsNonRoot"]
    )
    (volume,) = manifest["spec"]["volumes"]
    assert volume["hostPath"] == {"path": "/mnt/bodega/{{workflow.namespace}}", "type": "DirectoryOrCreate"}
    pods = [each for each in manifest["spec"]["templates"] if "container" in each]
    assert {each["name"] for each in pods} == {"task", "drop-on-host"}
    for pod in pods:
        (first,) = pod["initContainers"]
        assert first["command"][-5:] == ["-o", "4242", "-g", "100", "/mnt/bodega/{{workflow.namespace}}/4242"]
        assert first["securityContext"]["capabilities"] == {"add": ["CHOWN", "FOWNER"], "drop": ["ALL"]}
        for container in (first, pod["container"]):
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert [mount["mountPath"] for mount in container["volumeMounts"]] == ["/mnt/bodega/{{workflow.namespace}}"]
        assert environment(manifest, pod["name"])["BODEGA_ROOT"]["value"] == first["command"][-1]


def test_environment_secrets_and_volumes_reach_every_pod(make):
    deployment = Deployment(
        image="shop:1",
        env={"MODE": "fast"},
        secrets={"TOKEN": Secret("keys", "token")},
        env_from=("storage",),
        volumes=(Volume("data", "/data", read_only=True, source={"persistentVolumeClaim": {"claimName": "data"}}),),
        image_pull_secrets=("registry",),
        service_account="runner",
    )
    manifest = make_manifest(make(deployment))
    assert manifest["spec"]["volumes"][1] == {"name": "data", "persistentVolumeClaim": {"claimName": "data"}}
    assert manifest["spec"]["imagePullSecrets"] == [{"name": "registry"}]
    assert manifest["spec"]["serviceAccountName"] == "runner"
    for name in ("task", "drop-on-host"):
        variables = environment(manifest, name)
        assert variables["MODE"]["value"] == "fast"
        assert variables["TOKEN"]["valueFrom"] == {"secretKeyRef": {"name": "keys", "key": "token"}}
        container = template(manifest, name)["container"]
        assert container["envFrom"] == [{"secretRef": {"name": "storage"}}]
        assert container["volumeMounts"][1] == {"name": "data", "mountPath": "/data", "readOnly": True}


def test_how_long_the_first_try_took_takes_no_other_away(make):
    manifest = make_manifest(make(Deployment(image="shop:1", timeout=3600.0)))
    found = [each["retryStrategy"] for each in manifest["spec"]["templates"] if "retryStrategy" in each]
    # Argo's maxDuration is no limit of the wait: it ends all tries so long after the first began.
    assert [each["backoff"] for each in found] == [{"duration": "10s", "factor": 2, "cap": "10m"}] * 2
    assert template(manifest, "task")["activeDeadlineSeconds"] == 3600


@pytest.mark.parametrize("one_host", [False, True])
def test_the_end_drops_the_run_on_every_host_at_once_and_cannot_fail_the_workflow(make, one_host):
    manifest = make_manifest(make(one_host=one_host))
    assert manifest["spec"]["onExit"] == "finish"
    ((first,),) = template(manifest, "finish")["steps"]
    assert first["when"] == "{{workflow.status}} == Succeeded"
    ((drop,),) = template(manifest, "drop-run")["steps"]
    for step in (first, drop):
        assert step["continueOn"] == {"error": True, "failed": True}
    pod = template(manifest, drop["template"])
    assert pod["container"]["command"][-1] == "drop"
    # What every task says of its host, each under a name of its own.
    assert drop["withParam"] == "{{=toJson(sort(uniq(values(workflow.outputs.parameters))))}}"
    for each in {task["template"] for task in tasks(manifest).values()}:
        global_names = [parameter.get("globalName") for parameter in template(manifest, each)["outputs"]["parameters"]]
        assert global_names in (["host-{{tasks.name}}", None], ["host-{{tasks.name}}"])
    # A pod whose host is gone runs elsewhere, and one that fails is tried again, but not for ever.
    assert pod["retryStrategy"]["limit"] == 4 and pod["retryStrategy"]["retryPolicy"] == "Always" and "timeout" in pod
    ((kind, (preference,)),) = json.loads(pod["podSpecPatch"])["affinity"]["nodeAffinity"].items()
    (term,) = preference["preference"]["matchFields"]
    assert kind == "preferredDuringSchedulingIgnoredDuringExecution"
    assert term == {"key": "metadata.name", "operator": "In", "values": ["{{inputs.parameters.host}}"]}


def test_without_a_tier_for_many_hosts_all_tasks_need_one(make):
    deployment = Deployment(
        image="shop:1", tasks=(ResourceRule(tags=("heavy",), resources=Resources(node_selector={"disk": "ssd"})),)
    )
    manifest = make_manifest(make(deployment, one_host=True))
    found = tasks(manifest)
    assert found["make"]["depends"] == "choose-host"
    for name in ("make", "double", "halve", "add"):
        assert arguments(found[name])["host"] == "{{tasks.choose-host.outputs.parameters.host}}"
        assert "requiredDuringScheduling" in template(manifest, found[name]["template"])["podSpecPatch"]
    # A host that fits the first task only would not do.
    assert template(manifest, "choose-host")["nodeSelector"] == {"disk": "ssd"}


def test_kinds(make):
    deployment = Deployment(
        image="shop:1", schedule="0 6 * * *", timezone="Europe/Zurich", namespace="ml", labels={"team": "prices"},
        workflow_timeout=7200.0, time_to_live=3600.0, parallelism=3, keep_pods=60.0,
    )  # fmt: skip
    request = make(deployment)
    workflow = make_manifest(request)
    assert workflow["metadata"] == {
        "generateName": "little-shop-", "namespace": "ml",
        "labels": {"app.kubernetes.io/managed-by": "bodega", "team": "prices"},
    }  # fmt: skip
    assert workflow["spec"]["activeDeadlineSeconds"] == 7200 and workflow["spec"]["parallelism"] == 3
    assert workflow["spec"]["ttlStrategy"] == {"secondsAfterCompletion": 3600}
    assert workflow["spec"]["podGC"] == {"strategy": "OnWorkflowSuccess", "deleteDelayDuration": "60s"}
    assert workflow["spec"]["podMetadata"] == {"labels": {"bodega/workflow": "little-shop", "team": "prices"}}
    of_template = make_manifest(request, "WorkflowTemplate")
    assert of_template["metadata"]["name"] == "little-shop"
    labels = of_template["spec"].pop("workflowMetadata")["labels"]
    assert labels == workflow["metadata"]["labels"] and of_template["spec"] == workflow["spec"]
    cron = make_manifest(request, "CronWorkflow")
    assert cron["spec"]["schedules"] == ["0 6 * * *"] and cron["spec"]["timezone"] == "Europe/Zurich"
    assert cron["spec"]["workflowSpec"] == workflow["spec"]
    assert cron["spec"]["workflowMetadata"]["labels"] == labels


def test_names_are_valid_whatever_kedro_calls_things(make):
    pipe = pipeline([
        node(identity, None, "ä x", name="Ä"),
        node(identity, "ä x", "y", name="2" + "n" * 120),
        node(identity, "ä x", "z", name="a.b"),
        node(identity, "y", "w", name="a_b"),
    ])  # fmt: skip
    manifest = make_manifest(make(pipe=pipe, name="Ü Shop.2"))
    assert lint_manifest(manifest) == []
    assert len(tasks(manifest)) == 4


def test_yaml_is_the_same_again_and_reads_back(make):
    manifest = make_manifest(make(one_host=True))
    text = to_yaml(manifest, heading="Made by hand.")
    assert text == to_yaml(make_manifest(make(one_host=True)), heading="Made by hand.")
    assert text.startswith("# Made by hand.\napiVersion: argoproj.io/v1alpha1\nkind: Workflow\n")
    assert yaml.safe_load(text) == manifest


@pytest.mark.parametrize(
    ("deployment", "kind", "words"),
    [
        (Deployment(), "Workflow", ["no image", "--image"]),
        (Deployment(image="shop:1"), "CronWorkflow", ["deployment.schedule"]),
        (
            Deployment(image="shop:1", volumes=(Volume("data", "/data", source={"persistantVolumeClaim": {}}),)),
            "Workflow",
            ["'data'", "'persistantVolumeClaim'"],
        ),
    ],
)
def test_what_is_missing_is_named(make, deployment, kind, words):
    with pytest.raises(SettingsError) as error:
        make_manifest(make(deployment), kind)
    assert all(word in str(error.value) for word in words)
