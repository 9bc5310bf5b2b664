"""The RayService has the form that KubeRay knows, and the overlay builds."""

from __future__ import annotations

import shutil
import subprocess
from copy import deepcopy
from typing import Any, Literal

import kubernetes_validate
import pytest
import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from tests.deploy.files import DEPLOY, KUBERAY, document
from tests.deploy.test_kuberay import KUBERNETES


def form(name: str, **fields: Any) -> type[BaseModel]:
    """An object with these fields and no others; a type alone is a field that must be there."""
    all_fields = {key: (of, ...) if isinstance(of, type) else of for key, of in fields.items()}
    return create_model(name, __config__=ConfigDict(extra="forbid", strict=True), **all_fields)


# KubeRay's own types since 1.3, as far as they are used here; Kubernetes' own are plain dictionaries in them.
_PARAMS = (dict[str, str], ...)
_GCS = form(
    "GcsFaultToleranceOptions",
    redisAddress=str,
    redisPassword=(form("RedisCredential", valueFrom=dict) | None, None),
)
_AUTOSCALER = form(
    "AutoscalerOptions",
    idleTimeoutSeconds=int,
    resources=dict,
    version=(Literal["v1", "v2"] | None, None),
    upscalingMode=(Literal["Default", "Aggressive", "Conservative"] | None, None),
)
_HEAD = form("HeadGroupSpec", rayStartParams=_PARAMS, template=dict)
_WORKERS = form(
    "WorkerGroupSpec",
    groupName=str,
    replicas=int,
    minReplicas=int,
    maxReplicas=int,
    rayStartParams=_PARAMS,
    template=dict,
)
_CLUSTER = form(
    "RayClusterSpec",
    rayVersion=str,
    enableInTreeAutoscaling=bool,
    autoscalerOptions=_AUTOSCALER,
    gcsFaultToleranceOptions=_GCS,
    headGroupSpec=_HEAD,
    workerGroupSpecs=(list[_WORKERS], ...),
)
_SPEC = form("RayServiceSpec", serveConfigV2=str, rayClusterConfig=_CLUSTER)
SERVICE = form("RayService", apiVersion=str, kind=str, metadata=dict, spec=_SPEC)


def test_kuberay_knows_every_field_and_its_type():
    service = document(KUBERAY / "rayservice.yaml")

    assert (service["apiVersion"], service["kind"]) == ("ray.io/v1", "RayService")
    SERVICE.model_validate(service)


@pytest.mark.parametrize(
    ("where", "name", "value"),
    [("gcsFaultToleranceOptions", "redisAdress", "redis:6379"), ("autoscalerOptions", "version", 2)],
)
def test_a_field_that_it_does_not_know_or_of_another_type_is_found(where, name, value):
    service = deepcopy(document(KUBERAY / "rayservice.yaml"))
    service["spec"]["rayClusterConfig"][where][name] = value

    with pytest.raises(ValidationError, match=name):
        SERVICE.model_validate(service)


def test_kubernetes_takes_the_resources_of_the_autoscaler():
    given = document(KUBERAY / "rayservice.yaml")["spec"]["rayClusterConfig"]["autoscalerOptions"][
        "resources"
    ]
    container = {"name": "autoscaler", "image": "a:1", "resources": given}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": [container]}}

    kubernetes_validate.validate(pod, KUBERNETES, strict=True)


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> list[dict[str, Any]]:
    """What `kubectl apply` would send, with tokens as `vwt token` leaves them."""
    if shutil.which("kubectl") is None:
        pytest.skip("no kubectl on this machine, whose kustomize builds the overlay")
    folder = tmp_path_factory.mktemp("deploy")
    for name in ("kuberay", "overlay"):
        shutil.copytree(DEPLOY / name, folder / name)
    (folder / "kuberay" / "tokens").write_text("alice manage 0\n")
    done = subprocess.run(
        ["kubectl", "kustomize", folder / "overlay"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def test_the_overlay_builds_what_kubernetes_and_kuberay_take(built):
    for one in built:
        if one["kind"] == "RayService":
            SERVICE.model_validate(one)
        else:
            kubernetes_validate.validate(one, KUBERNETES, strict=True)
    assert {one["metadata"]["namespace"] for one in built} == {"vwt"}
    assert {"RayService", "StatefulSet", "NetworkPolicy", "PodDisruptionBudget", "Secret"} <= {
        one["kind"] for one in built
    }


def test_the_overlay_names_where_every_image_of_ours_is(built):
    (service,) = [one["spec"]["rayClusterConfig"] for one in built if one["kind"] == "RayService"]
    groups = [service["headGroupSpec"], *service["workerGroupSpecs"]]

    images = [one["image"] for group in groups for one in group["template"]["spec"]["containers"]]

    assert [image.rpartition("-")[2] for image in images] == ["cpu", "cpu", "cuda"]
    assert all(image.startswith("registry.example/vwt-stream:") for image in images)


def test_as_it_stands_the_overlay_changes_no_number(built):
    (service,) = [one["spec"]["rayClusterConfig"] for one in built if one["kind"] == "RayService"]
    base = document(KUBERAY / "rayservice.yaml")["spec"]["rayClusterConfig"]

    def most(cluster: dict[str, Any]) -> dict[str, int]:
        return {group["groupName"]: group["maxReplicas"] for group in cluster["workerGroupSpecs"]}

    assert most(service) == most(base)
