"""The Serve application: what `vwt serve` runs and `deploy/serve.yaml` names."""

from __future__ import annotations

from typing import Any

from ray import serve

from pipeline.errors import UsageError
from workers.gateway.deployment import gateway_deployment
from workers.inference.deployment import inference_deployment
from workers.ingest.deployment import ingest_deployment
from workers.keeper.deployment import keeper_deployment
from workers.settings.loading import settings_of
from workers.settings.schema import ServiceSettings


def build(args: dict[str, Any]) -> serve.Application:
    """Puts the deployments together.

    Args:
        args: settings, nested as `ServiceSettings` is; the environment gives what they leave out.

    Raises:
        UsageError: a setting cannot be right, or there is no Redis.
    """
    settings = settings_of(args)
    if settings.redis is None:
        raise UsageError("the service needs a Redis: give its URL as `redis` in the args, or in VWT_REDIS")
    return application(settings)


def application(settings: ServiceSettings, listens: bool = False) -> serve.Application:
    """The deployments, bound to each other.

    Args:
        settings: with a URL for Redis.
        listens: whether gateways take requests at the settings' address themselves; else Serve's proxies do.
    """
    values = settings.model_dump(mode="json")
    inference = inference_deployment(settings).bind(values)
    ingest = ingest_deployment(settings).bind(values, inference)
    keeper = keeper_deployment(settings).bind(values, inference)
    app: serve.Application = gateway_deployment(settings).bind(values, ingest, inference, keeper, listens)
    return app
