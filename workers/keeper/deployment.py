"""The deployment `VocabularyKeeper`."""

from __future__ import annotations

import logging
from typing import Any

from ray import serve
from ray.exceptions import RayError, RayTaskError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

from pipeline.errors import ServiceError, VwtError
from workers.contract.messages import ModelFacts
from workers.contract.sealing import use_keys
from workers.deployment import keep_to_loopback
from workers.keeper.keepers import Keepers
from workers.settings.schema import ServiceSettings
from workers.telemetry.logs import log_from_replica, serve_logging

_DESCRIBE_S = 10.0
_log = logging.getLogger(__name__)


class KeeperService:
    """A replica: learns the words of every scope in use; of several, each scope has one at work.

    Args:
        settings: of the service; its `redis` is a URL.
        inference: who knows the models.
    """

    def __init__(self, settings: dict[str, Any], inference: DeploymentHandle[Any]) -> None:
        known = ServiceSettings(**settings)
        assert known.redis is not None
        log_from_replica(known.log_format)
        use_keys(known.key_file)
        keep_to_loopback()
        self._inference = inference
        self._facts: dict[str, ModelFacts] = {}
        self._keepers = Keepers(known.redis, known.keeper, self._describe, _log.info)
        self._keepers.start()

    def scopes(self) -> list[dict[str, Any]]:
        """See `Keepers.scopes`."""
        return self._keepers.scopes()

    def __del__(self) -> None:
        # Serve calls it when the replica is to go; the constructor may have failed.
        if "_keepers" in self.__dict__:
            self._keepers.stop()

    def _describe(self, model: str) -> ModelFacts:
        if model not in self._facts:
            try:
                self._facts[model] = self._inference.describe.remote(model).result(timeout_s=_DESCRIBE_S)
            except (RayError, RayServeException, TimeoutError) as error:
                cause = error.cause if isinstance(error, RayTaskError) else None
                if isinstance(cause, VwtError):
                    raise cause from None
                why = type(cause or error).__name__
                raise ServiceError(f"nobody can say what {model} needs now ({why})") from error
        return self._facts[model]


def keeper_deployment(settings: ServiceSettings) -> serve.Deployment:
    """The deployment; bind it to the settings as a dict and the handle of Inference."""
    return serve.deployment(
        name="VocabularyKeeper",
        num_replicas=settings.keeper.replicas,
        ray_actor_options={"num_cpus": settings.keeper.num_cpus},
        logging_config=serve_logging(settings.log_format),
    )(KeeperService)
