"""The compose files: of the specification's form, and with nothing that leads nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from compose_spec import PyCompose, PyOptions

from pipeline.sources import parse_source
from tests.deploy.files import DEPLOY, document
from workers.settings.loading import load_settings

COMPOSE = DEPLOY / "compose.yaml"
CUDA = DEPLOY / "compose.cuda.yaml"


def services(path: Path = COMPOSE) -> dict:
    return document(path)["services"]


def given(option: str) -> str:
    """What an option of the service's command line is given."""
    (found,) = [word for word in services()["vwt"]["command"] if word.startswith(f"{option}=")]
    return found.partition("=")[2]


@pytest.mark.parametrize("path", [COMPOSE, CUDA], ids=lambda p: p.name)
def test_it_has_the_form_of_the_specification(path):
    options = PyOptions()
    options.apply_merge = True

    options.from_yaml(path.read_text()).validate()


def test_a_key_that_the_specification_does_not_know_is_found():
    # So that the test above can fail.
    with pytest.raises(ValueError, match="imagee"):
        PyCompose.from_yaml("services: {a: {imagee: b}}")


def test_what_a_service_waits_for_and_mounts_is_there():
    volumes = document(COMPOSE)["volumes"]
    for name, service in services().items():
        assert set(service.get("depends_on", ())) <= set(services()), name
        for mount in service.get("volumes", ()):
            source = mount.partition(":")[0]
            assert (DEPLOY / source).exists() if source.startswith(".") else source in volumes, mount


def test_a_service_waits_for_health_only_where_health_is_checked():
    for service in services().values():
        waits = service.get("depends_on", {})
        if isinstance(waits, dict):
            for name, on in waits.items():
                assert on["condition"] != "service_healthy" or "healthcheck" in services()[name]


def test_every_image_is_ours_or_of_a_named_version():
    for service in services().values():
        name, _, tag = service["image"].partition(":")
        assert name == "vwt-stream" or tag[:1] in "v0123456789", service["image"]
        assert tag


def test_redis_keeps_its_data_on_a_volume_and_forgets_nothing_when_it_is_full():
    redis = services()["redis"]

    command = " ".join(redis["command"])
    assert "--appendonly yes" in command
    assert "--maxmemory-policy noeviction" in command
    assert redis["volumes"] == ["redis:/data"]


def test_ports_are_open_to_this_machine_only():
    for service in services().values():
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:")


def test_the_service_uses_the_redis_and_the_camera_beside_it_and_asks_for_tokens():
    camera = services()["vwt"]["command"][-1]

    assert given("--redis").startswith("redis://redis:6379")
    assert parse_source(camera).location.startswith("rtsp://camera:8554/")
    folder, name = given("--token-file").rsplit("/", 1)
    assert f"tokens:{folder}" in services()["vwt"]["volumes"]
    assert name


def test_the_camera_publishes_where_it_is_read():
    (path,) = yaml.safe_load((DEPLOY / "camera.yaml").read_text())["paths"].items()
    name, settings = path

    assert services()["vwt"]["command"][-1].endswith(f":8554/{name}")
    assert settings["runOnInit"].endswith(f"rtsp://127.0.0.1:8554/{name}")
    assert "/clips/bikes.mp4" in settings["runOnInit"]
    assert "/clips/bikes.mp4" in services()["clip"]["entrypoint"][-1]


def test_the_clip_of_the_camera_ships_with_the_image(tmp_path):
    program, flag, code = services()["clip"]["entrypoint"]
    assert (program, flag) == ("python", "-c")

    exec(code.replace("/clips", str(tmp_path)), {})

    assert (tmp_path / "bikes.mp4").stat().st_size > 100_000


def test_prometheus_reads_the_service_with_a_token_that_it_is_given():
    (name,) = services()["prometheus"]["secrets"]
    config = document(DEPLOY / "compose.prometheus.yml")
    service, replicas = config["scrape_configs"]

    assert document(COMPOSE)["secrets"][name]["environment"] == "VWT_PROMETHEUS_TOKEN"
    assert service["authorization"]["credentials_file"] == f"/run/secrets/{name}"
    assert service["static_configs"] == [{"targets": ["vwt:8000"]}]
    port = services()["vwt"]["environment"]["VWT_RAY_METRICS_PORT"]
    assert replicas["static_configs"] == [{"targets": [f"vwt:{port}"]}]


def test_prometheus_finds_its_configuration_and_its_rules_where_they_are_mounted():
    prometheus = services()["prometheus"]
    inside = {mount.split(":")[1] for mount in prometheus["volumes"]}
    (config,) = [word.partition("=")[2] for word in prometheus["command"] if "--config.file" in word]

    assert {config, *document(DEPLOY / "compose.prometheus.yml")["rule_files"]} <= inside


def test_the_jobs_have_the_names_that_rules_and_dashboard_know():
    ours = {job["job_name"] for job in document(DEPLOY / "compose.prometheus.yml")["scrape_configs"]}
    known = {job["job_name"] for job in document(DEPLOY / "prometheus" / "prometheus.yml")["scrape_configs"]}

    assert ours <= known


def test_grafana_finds_prometheus_and_the_dashboard():
    grafana = services()["grafana"]
    content = document(COMPOSE)["configs"]
    given = {
        one["target"].split("/")[-2]: yaml.safe_load(content[one["source"]]["content"])
        for one in grafana["configs"]
    }

    (source,) = given["datasources"]["datasources"]
    assert source["url"] == "http://prometheus:9090"
    (provider,) = given["dashboards"]["providers"]
    (mount,) = [
        one.split(":") for one in grafana["volumes"] if one.split(":")[1] == provider["options"]["path"]
    ]
    assert list((DEPLOY / mount[0]).glob("*.json"))


def test_shared_memory_holds_the_objects_of_ray():
    from workers.serve.ray import _OBJECTS_BYTES

    assert int(services()["vwt"]["shm_size"].removesuffix("gb")) * 2**30 > _OBJECTS_BYTES


def test_the_service_stops_before_it_is_killed():
    from workers.serve.ray import _DRAIN_S

    assert float(services()["vwt"]["stop_grace_period"].removesuffix("s")) > _DRAIN_S


def test_the_gpu_file_changes_the_image_wherever_it_is_used_and_asks_for_gpus():
    ours = {name for name, service in services().items() if service["image"].startswith("vwt-stream:")}
    changed = services(CUDA)

    assert set(changed) == ours
    assert all(service["build"]["target"] == "cuda" for service in changed.values())
    (device,) = changed["vwt"]["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]


def test_the_settings_that_the_image_and_the_command_give_go_together(monkeypatch):
    monkeypatch.setenv("VWT_PORT", "8000")
    monkeypatch.setenv("VWT_DATA_FOLDER", "/var/lib/vwt")
    for name, value in services()["vwt"]["environment"].items():
        monkeypatch.setenv(name, value)

    settings = load_settings(None, {"host": given("--host"), "redis": given("--redis")})

    assert (settings.port, settings.host) == (8000, "0.0.0.0")
    assert settings.data_folder == Path("/var/lib/vwt")
    assert "127.0.0.1:8000:8000" in services()["vwt"]["ports"]
