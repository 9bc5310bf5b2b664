"""The Kubernetes files: of the right form, and true to the application they deploy."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import kubernetes_validate
import pytest
import yaml
from dockerfile_parse import DockerfileParser
from ray.serve._private.build_app import build_app
from ray.serve.schema import ServeDeploySchema

from tests.deploy.files import DEPLOY, KUBERAY, document, documents, pinned
from workers.app import build
from workers.settings.schema import ServiceSettings

KUBERNETES = "1.30"
PART_OF = {"app.kubernetes.io/part-of": "vwt"}


@cache
def rayservice() -> dict[str, Any]:
    return document(KUBERAY / "rayservice.yaml")


def cluster() -> dict[str, Any]:
    return rayservice()["spec"]["rayClusterConfig"]


def workers() -> dict[str, dict[str, Any]]:
    return {group["groupName"]: group for group in cluster()["workerGroupSpecs"]}


def groups() -> dict[str, dict[str, Any]]:
    return {"head": cluster()["headGroupSpec"], **workers()}


def container(group: dict[str, Any]) -> dict[str, Any]:
    (found,) = group["template"]["spec"]["containers"]
    return found


def others() -> list[dict[str, Any]]:
    """Everything but the RayService."""
    resources = document(KUBERAY / "kustomization.yaml")["resources"]
    return [one for name in resources for one in documents(KUBERAY / name) if one["kind"] != "RayService"]


def served() -> dict[str, Any]:
    return yaml.safe_load(rayservice()["spec"]["serveConfigV2"])


@cache
def deployments() -> dict[str, Any]:
    (app,) = served()["applications"]
    return {one.name: one for one in build_app(build(app["args"]), name="vwt").deployments}


def offers(group: dict[str, Any]) -> dict[str, float]:
    """What a worker of a group tells Ray that it has."""
    limits, told = container(group)["resources"]["limits"], group["rayStartParams"]
    return {
        "num_cpus": float(told.get("num-cpus", limits["cpu"])),
        "num_gpus": float(limits.get("nvidia.com/gpu", 0)),
    }


def test_the_application_is_the_one_of_the_serve_file():
    assert served() == document(DEPLOY / "serve.yaml")


def test_serve_takes_its_configuration():
    (app,) = ServeDeploySchema.model_validate(served()).applications

    assert app.import_path == "workers.app:build"
    ServiceSettings.model_validate(app.args)


def test_the_numbers_of_workers_go_together():
    for name, group in workers().items():
        assert 0 < group["minReplicas"] <= group["replicas"] <= group["maxReplicas"], name


@pytest.mark.parametrize("name", ["head", "cpu", "gpu"])
def test_kubernetes_takes_the_pods_of_each_group(name):
    template = {
        "apiVersion": "v1",
        "kind": "PodTemplate",
        "metadata": {"name": name},
        "template": groups()[name]["template"],
    }

    kubernetes_validate.validate(template, KUBERNETES, strict=True)


@pytest.mark.parametrize("resource", others(), ids=lambda one: f"{one['kind']} {one['metadata']['name']}")
def test_kubernetes_takes_what_stands_beside_them(resource):
    kubernetes_validate.validate(resource, KUBERNETES, strict=True)


def test_the_kustomization_names_every_file_and_the_secret_that_is_mounted():
    kustomization = document(KUBERAY / "kustomization.yaml")
    (secret,) = kustomization["secretGenerator"]

    assert {*kustomization["resources"], "kustomization.yaml"} == {p.name for p in KUBERAY.glob("*.yaml")}
    assert kustomization["generatorOptions"]["disableNameSuffixHash"] is True
    for group in groups().values():
        (volume,) = [one for one in group["template"]["spec"]["volumes"] if "secret" in one]
        assert volume["secret"]["secretName"] == secret["name"]
        (mount,) = [one for one in container(group)["volumeMounts"] if one["name"] == volume["name"]]
        (app,) = served()["applications"]
        assert app["args"]["access"]["token_file"] == f"{mount['mountPath']}/{secret['files'][0]}"


def test_the_file_of_tokens_is_not_committed():
    (secret,) = document(KUBERAY / "kustomization.yaml")["secretGenerator"]

    assert set(secret["files"]) <= set((KUBERAY / ".gitignore").read_text().split())


def test_nobody_may_write_to_the_mounted_tokens():
    # Or the service refuses them.
    for group in groups().values():
        for volume in group["template"]["spec"]["volumes"]:
            if "secret" in volume:
                assert volume["secret"]["defaultMode"] & 0o227 == 0


def test_no_service_of_the_namespace_gets_into_the_settings():
    # A Service called vwt would set VWT_PORT=tcp://...
    for group in groups().values():
        assert group["template"]["spec"]["enableServiceLinks"] is False


@pytest.mark.parametrize(
    ("deployment", "group"),
    [("Gateway", "cpu"), ("Ingest", "cpu"), ("VocabularyKeeper", "cpu"), ("Inference", "gpu")],
)
def test_a_replica_fits_on_workers_of_its_group_and_on_no_others(deployment, group):
    asks = deployments()[deployment].ray_actor_options

    fits = {
        name
        for name, one in groups().items()
        if all(asks.get(what, 0) <= has for what, has in offers(one).items())
    }

    assert fits == {group}


def test_the_largest_number_of_replicas_fits_on_the_largest_number_of_workers():
    settings = ServiceSettings.model_validate(served()["applications"][0]["args"])
    cpus = (
        settings.gateway.replicas * settings.gateway.num_cpus
        + settings.keeper.replicas * settings.keeper.num_cpus
        + settings.ingest.scaling.max_replicas * settings.ingest.num_cpus
    )
    gpus = settings.inference.scaling.max_replicas * settings.inference.num_gpus

    assert cpus <= workers()["cpu"]["maxReplicas"] * offers(workers()["cpu"])["num_cpus"]
    assert gpus <= workers()["gpu"]["maxReplicas"] * offers(workers()["gpu"])["num_gpus"]


def test_the_cluster_scales_and_its_head_may_die():
    assert cluster()["enableInTreeAutoscaling"] is True
    # Nothing but the address: two clusters, side by side in an upgrade, must not share a namespace.
    (redis,) = [one for one in others() if one["kind"] == "Service"]
    port = redis["spec"]["ports"][0]["port"]
    assert cluster()["gcsFaultToleranceOptions"] == {"redisAddress": f"{redis['metadata']['name']}:{port}"}
    assert served()["applications"][0]["args"]["redis"].startswith(
        f"redis://{redis['metadata']['name']}:{port}"
    )


def test_ray_is_of_the_version_in_the_image():
    assert cluster()["rayVersion"] == pinned("ray")


def test_every_pod_has_probes_limits_and_no_rights():
    for group in groups().values():
        one = container(group)
        assert one["livenessProbe"]["httpGet"]
        assert one["readinessProbe"]["httpGet"]
        assert one["resources"]["limits"]["memory"] == one["resources"]["requests"]["memory"]
        assert one["securityContext"]["allowPrivilegeEscalation"] is False
        assert group["template"]["spec"]["securityContext"]["runAsNonRoot"] is True


def test_pods_run_as_the_user_of_the_image():
    with (DEPLOY / "Dockerfile").open("rb") as file:
        (user,) = [
            int(one["value"])
            for one in DockerfileParser(fileobj=file).structure
            if one["instruction"] == "USER"
        ]

    assert {group["template"]["spec"]["securityContext"]["runAsUser"] for group in groups().values()} == {
        user
    }


def test_policies_and_budgets_select_pods_that_exist():
    pods = [group["template"]["metadata"]["labels"] for group in groups().values()]
    pods += [
        one["spec"]["template"]["metadata"]["labels"] for one in others() if one["kind"] == "StatefulSet"
    ]

    def selected(selector: dict[str, Any]) -> list[str]:
        wanted = selector.get("matchLabels", {}).items()
        either = {rule["key"]: rule["values"] for rule in selector.get("matchExpressions", ())}
        return [
            labels["app.kubernetes.io/component"]
            for labels in pods
            if wanted <= labels.items() and all(labels.get(key) in values for key, values in either.items())
        ]

    found = {
        one["metadata"]["name"]: selected(one["spec"].get("podSelector") or one["spec"]["selector"])
        for one in others()
        if one["kind"] in ("NetworkPolicy", "PodDisruptionBudget")
    }
    assert found == {"vwt-ray": ["head", "cpu", "gpu"], "vwt-redis": ["redis"], "vwt-cpu": ["cpu"]}
    assert all(PART_OF.items() <= labels.items() for labels in pods)


def test_a_drain_can_take_a_worker_that_the_budget_covers():
    (budget,) = [one for one in others() if one["kind"] == "PodDisruptionBudget"]

    assert budget["spec"]["minAvailable"] < workers()["cpu"]["minReplicas"]


def test_redis_keeps_its_data_on_a_volume_and_within_its_memory():
    (redis,) = [one for one in others() if one["kind"] == "StatefulSet"]
    one = redis["spec"]["template"]["spec"]["containers"][0]
    limit = int(one["resources"]["limits"]["memory"].removesuffix("Gi"))

    options = dict(zip(one["args"][1::2], one["args"][2::2], strict=True))
    assert (options["--appendonly"], options["--maxmemory-policy"]) == ("yes", "noeviction")
    # The rest is for the copy it makes when it rewrites its file, and for clients.
    assert int(options["--maxmemory"].removesuffix("gb")) < limit
    (mount,) = one["volumeMounts"]
    assert mount["name"] in json.dumps(redis["spec"]["volumeClaimTemplates"])
