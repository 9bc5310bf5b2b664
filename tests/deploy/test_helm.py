"""The Helm chart renders, by Helm's own engine, what the Kustomize files say and values change of it."""

from __future__ import annotations

import json
from typing import Any

import kubernetes_validate
import pytest
import yaml
from pydantic import BaseModel

from tests.deploy.files import DEPLOY, KUBERAY, document, documents
from tests.deploy.test_kuberay import KUBERNETES
from tests.deploy.test_kuberay_form import SERVICE, form
from workers.settings.schema import ServiceSettings

helm = pytest.importorskip("helm_python", reason="no Helm here; make test-chart installs it")
CHART = DEPLOY / "helm" / "vwt"
PART_OF, COMPONENT = "app.kubernetes.io/part-of", "app.kubernetes.io/component"

# The Prometheus operator's own types, as far as they are used here.
_RULE = form("PrometheusRule", apiVersion=str, kind=str, metadata=dict, spec=form("Rules", groups=list))
_ENDPOINT = form(
    "PodMetricsEndpoint",
    port=str,
    path=(str, "/metrics"),
    authorization=(dict[str, Any] | None, None),
    relabelings=(list[dict[str, Any]], []),
)
_PODS = form("Pods", jobLabel=str, selector=dict, podMetricsEndpoints=(list[_ENDPOINT], ...))
_MONITOR = form("PodMonitor", apiVersion=str, kind=str, metadata=dict, spec=_PODS)
_FORMS: dict[str, type[BaseModel]] = {"RayService": SERVICE, "PrometheusRule": _RULE, "PodMonitor": _MONITOR}


def render(**values: Any) -> list[dict[str, Any]]:
    """What `helm install` would send."""
    chart = helm.Chart.load(CHART)
    chart.validate_schema(values)
    found = chart.render(values, name="vwt", namespace="vwt")
    texts = [text for path, text in sorted(found.items()) if path.endswith(".yaml")]
    return [one for text in texts for one in yaml.safe_load_all(text) if one]


def named(objects: list[dict[str, Any]], kind: str) -> dict[str, dict[str, Any]]:
    return {one["metadata"]["name"]: one for one in objects if one["kind"] == kind}


def settings_of(service: dict[str, Any]) -> dict[str, Any]:
    (app,) = yaml.safe_load(service["spec"]["serveConfigV2"])["applications"]
    args: dict[str, Any] = app["args"]
    return args


def groups_of(service: dict[str, Any]) -> dict[str, dict[str, Any]]:
    cluster = service["spec"]["rayClusterConfig"]
    return {group["groupName"]: group for group in cluster["workerGroupSpecs"]}


def pods_of(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Templates of all pods."""
    found = [one["spec"]["template"] for one in named(objects, "StatefulSet").values()]
    for service in named(objects, "RayService").values():
        head = service["spec"]["rayClusterConfig"]["headGroupSpec"]
        found += [group["template"] for group in (head, *groups_of(service).values())]
    return found


TWO_CELLS: dict[str, Any] = {
    "image": {"repository": "registry.example/vwt-stream"},
    "cells": [
        {
            "name": "north",
            "settings": {"ingest": {"scaling": {"max_replicas": 16}}},
            "cpu": {"min": 3, "max": 12, "nodeSelector": {"pool": "cpu"}},
            "gpu": {"max": 8, "tolerations": [{"key": "dedicated", "operator": "Exists"}]},
            "redis": {"maxmemory": "10gb", "memory": "13Gi", "storage": "40Gi", "storageClassName": "fast"},
        },
        {
            "name": "south",
            "gpu": {"enabled": False},
            "redis": {"external": "redis.example:6379", "secret": "login"},
        },
    ],
    "tokens": {"file": "alice manage 0\n"},
    "monitoring": {"enabled": True, "labels": {"release": "prometheus"}},
}


@pytest.mark.parametrize("values", [{}, TWO_CELLS], ids=["as it stands", "two cells"])
def test_kubernetes_kuberay_and_the_prometheus_operator_take_what_is_rendered(values):
    for one in render(**values):
        if one["kind"] in _FORMS:
            _FORMS[one["kind"]].model_validate(one)
        else:
            kubernetes_validate.validate(one, KUBERNETES, strict=True)


def test_as_it_stands_the_chart_says_what_the_kustomize_files_say():
    resources = document(KUBERAY / "kustomization.yaml")["resources"]
    base = json.dumps([one for name in resources for one in documents(KUBERAY / name)])
    # A cell's Redis bears its name.
    base = base.replace("redis:6379", "vwt-redis:6379")
    expected = {(one["kind"], one["metadata"]["name"]): one for one in json.loads(base)}
    for kind in ("Service", "StatefulSet"):
        one = expected[kind, "vwt-redis"] = expected.pop((kind, "redis"))
        one["metadata"]["name"] = "vwt-redis"
    expected["StatefulSet", "vwt-redis"]["spec"]["serviceName"] = "vwt-redis"

    found = {(one["kind"], one["metadata"]["name"]): one for one in render()}
    for objects in (expected, found):
        spec = objects["RayService", "vwt"]["spec"]
        spec["serveConfigV2"] = yaml.safe_load(spec["serveConfigV2"])

    assert found == expected


def test_cells_have_a_ray_and_a_redis_of_their_own_and_select_no_pods_of_others():
    objects = render(**TWO_CELLS)

    services = named(objects, "RayService")
    assert services.keys() == {"north", "south"}
    assert named(objects, "StatefulSet").keys() == {"north-redis"}
    assert settings_of(services["north"])["redis"] == "redis://north-redis:6379/0"
    assert {pod["metadata"]["labels"][PART_OF] for pod in pods_of(objects)} == {"north", "south"}
    for policy in named(objects, "NetworkPolicy").values():
        cell = policy["metadata"]["name"].partition("-")[0]
        assert policy["spec"]["podSelector"]["matchLabels"][PART_OF] == cell
        inside = [
            peer["podSelector"]
            for rule in policy["spec"]["ingress"]
            for peer in rule.get("from", ())
            if peer.keys() == {"podSelector"}
        ]
        assert [peer["matchLabels"] for peer in inside] == [{PART_OF: cell}]
    assert named(objects, "NetworkPolicy").keys() == {"north-ray", "north-redis", "south-ray"}


def test_values_say_where_images_are_how_many_workers_and_how_large_redis_is():
    objects = render(**TWO_CELLS)
    north = named(objects, "RayService")["north"]
    groups = groups_of(north)

    counts = {
        name: [group[key] for key in ("minReplicas", "replicas", "maxReplicas")]
        for name, group in groups.items()
    }
    assert counts == {"cpu": [3, 3, 12], "gpu": [1, 1, 8]}
    assert groups["cpu"]["template"]["spec"]["nodeSelector"] == {"pool": "cpu"}
    keys = [one["key"] for one in groups["gpu"]["template"]["spec"]["tolerations"]]
    assert keys == ["nvidia.com/gpu", "dedicated"]
    assert settings_of(north)["ingest"] == {
        "num_cpus": 1,
        "cores_per_replica": 0.8,
        "scaling": {"min_replicas": 1, "max_replicas": 16},
    }
    images = {container["image"] for pod in pods_of(objects) for container in pod["spec"]["containers"]}
    assert images == {
        "registry.example/vwt-stream:0.1.0-cpu",
        "registry.example/vwt-stream:0.1.0-cuda",
        "redis:7.4-bookworm",
    }
    (redis,) = named(objects, "StatefulSet").values()
    (container,) = redis["spec"]["template"]["spec"]["containers"]
    assert container["args"][container["args"].index("--maxmemory") + 1] == "10gb"
    assert (
        container["resources"]["limits"]["memory"] == container["resources"]["requests"]["memory"] == "13Gi"
    )
    claim = redis["spec"]["volumeClaimTemplates"][0]["spec"]
    assert (claim["resources"]["requests"]["storage"], claim["storageClassName"]) == ("40Gi", "fast")


def test_a_cell_without_gpus_runs_inference_on_its_cpu_workers():
    south = named(render(**TWO_CELLS), "RayService")["south"]

    assert groups_of(south).keys() == {"cpu"}
    inference = ServiceSettings.model_validate(settings_of(south)).inference
    assert (inference.num_cpus, inference.num_gpus) == (1, 0)


def test_the_login_of_a_redis_that_is_there_stays_in_its_secret():
    south = named(render(**TWO_CELLS), "RayService")["south"]
    cluster = south["spec"]["rayClusterConfig"]

    def of(key: str) -> dict[str, Any]:
        return {"valueFrom": {"secretKeyRef": {"name": "login", "key": key}}}

    assert "redis" not in settings_of(south)
    assert cluster["gcsFaultToleranceOptions"] == {
        "redisAddress": "redis.example:6379",
        "redisPassword": of("password"),
    }
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        (container,) = group["template"]["spec"]["containers"]
        assert container["env"] == [{"name": "VWT_REDIS", **of("url")}]
    # Without a login there is none to hide.
    cells = [{"name": "south", "redis": {"external": "redis.example:6379"}}]
    (open_one,) = named(render(cells=cells), "RayService").values()
    assert settings_of(open_one)["redis"] == "redis://redis.example:6379/0"


def test_tokens_are_a_file_or_a_secret_that_is_there():
    assert named(render(**TWO_CELLS), "Secret")["vwt-tokens"]["stringData"] == {"tokens": "alice manage 0\n"}
    objects = render(tokens={"secret": "ours"})
    assert not named(objects, "Secret")
    volumes = [volume for pod in pods_of(objects) for volume in pod["spec"].get("volumes", ())]
    assert {volume["secret"]["secretName"] for volume in volumes if volume["name"] == "tokens"} == {"ours"}


def test_alerts_and_the_dashboard_are_those_of_the_repository_for_these_cells():
    objects = render(**TWO_CELLS)

    (rules,) = named(objects, "PrometheusRule").values()
    told = json.dumps(rules["spec"]).replace('job=~\\"north|south\\"', 'job=\\"vwt\\"')
    assert json.loads(told) == document(DEPLOY / "prometheus" / "rules.yml")
    assert rules["metadata"]["labels"]["release"] == "prometheus"
    (dashboard,) = named(objects, "ConfigMap").values()
    assert dashboard["data"]["vwt.json"] == (DEPLOY / "grafana" / "vwt.json").read_text()
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"


def test_prometheus_finds_the_ports_of_pods_that_there_are_and_names_their_cell_as_the_job():
    objects = render(**TWO_CELLS)
    (monitor,) = named(objects, "PodMonitor").values()

    in_, of = (
        {one["key"]: one["values"] for one in monitor["spec"]["selector"]["matchExpressions"]}[key]
        for key in (PART_OF, COMPONENT)
    )
    pods = [pod for pod in pods_of(objects) if pod["metadata"]["labels"][COMPONENT] in of]
    assert {pod["metadata"]["labels"][PART_OF] for pod in pods} == set(in_)
    assert monitor["spec"]["jobLabel"] == PART_OF
    for pod in pods:
        ports = {port["name"] for container in pod["spec"]["containers"] for port in container["ports"]}
        assert {one["port"] for one in monitor["spec"]["podMetricsEndpoints"]} <= ports


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"cells": [{"name": "a"}, {"name": "a"}]}, "two cells are named a"),
        (
            {"cells": [{"name": name, "redis": {"external": "r:6379"}} for name in ("a", "b")]},
            "a Redis is of one cell alone",
        ),
        ({"cells": [{"name": "a", "gpus": 3}]}, "gpus"),
        ({"cells": []}, "cells"),
        ({"cell": {"redis": {"external": "redis://user:pass@r:6379"}}}, "external"),
    ],
)
def test_values_that_cannot_be_meant_are_refused(values, why):
    with pytest.raises(helm.HelmError, match=why):
        render(**values)
