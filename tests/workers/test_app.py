"""What is deployed; that it runs is shown in tests/e2e/test_serve.py."""

from pathlib import Path

import pytest
import yaml
from ray.serve._private.build_app import build_app
from ray.serve.schema import ServeDeploySchema

from pipeline.errors import UsageError
from workers.app import build
from workers.settings.loading import settings_of

DEPLOYED = Path(__file__).parents[2] / "deploy" / "serve.yaml"


def deployed():
    return ServeDeploySchema.model_validate(yaml.safe_load(DEPLOYED.read_text()))


def deployments(args):
    return {one.name: one for one in build_app(build(args), name="vwt").deployments}


def test_the_four_deployments_are_bound_under_their_names():
    assert set(deployments({"redis": "redis://host"})) == {
        "Gateway",
        "Ingest",
        "Inference",
        "VocabularyKeeper",
    }


def test_every_deployment_gets_all_settings_and_the_same(monkeypatch):
    monkeypatch.setenv("VWT_INGEST__LEASE_S", "3")
    args = {"redis": "redis://host", "port": 9}

    expected = settings_of(args).model_dump(mode="json")

    assert expected["ingest"]["lease_s"] == 3
    for one in deployments(args).values():
        assert one.init_args[0] == expected


@pytest.mark.parametrize(("replicas", "interval_s"), [(1, 1), (4, 2), (20, 10), (200, 10)])
def test_many_replicas_tell_serves_controller_less_often_each(replicas, interval_s):
    args = {"redis": "redis://host", "inference": {"scaling": {"max_replicas": replicas}}}

    scaling = deployments(args)["Inference"]._deployment_config.autoscaling_config

    assert scaling.metrics_interval_s == interval_s
    assert scaling.look_back_period_s > interval_s


def test_replicas_and_shares_are_those_of_the_settings():
    args = {
        "redis": "redis://host",
        "gateway": {"replicas": 3, "num_cpus": 0.3},
        "keeper": {"replicas": 2},
        "inference": {"num_gpus": 0.5},
    }

    found = deployments(args)

    assert found["Gateway"].num_replicas == 3
    assert found["Gateway"].ray_actor_options["num_cpus"] == 0.3
    assert found["VocabularyKeeper"].num_replicas == 2
    assert found["Inference"].ray_actor_options["num_gpus"] == 0.5


def test_it_is_not_built_without_a_redis(monkeypatch):
    monkeypatch.delenv("VWT_REDIS", raising=False)

    with pytest.raises(UsageError, match=r"needs a Redis: .*VWT_REDIS"):
        build({})


def test_it_is_not_built_with_a_setting_that_is_none():
    with pytest.raises(UsageError, match=r"there is no setting prot \(from the application's args\)"):
        build({"prot": 1})


def test_the_deployed_configuration_is_one_that_serve_takes():
    (app,) = deployed().applications

    assert app.import_path == "workers.app:build"
    assert deployed().http_options.request_timeout_s is None


def test_the_args_of_the_deployed_configuration_are_settings_that_build_the_application():
    (app,) = deployed().applications

    settings = settings_of(app.args)

    assert settings.access.token_file == Path("/etc/vwt/tokens")
    assert deployments(app.args)["VocabularyKeeper"].num_replicas == settings.keeper.replicas


def test_the_deployed_configuration_listens_to_others_only_with_tokens():
    assert deployed().http_options.host != "127.0.0.1"
    assert settings_of(deployed().applications[0].args).access.token_file is not None
