"""The gateway as a deployment of Ray Serve."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from fastapi import FastAPI
from ray import serve
from ray.exceptions import RayError, RayTaskError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

from pipeline.errors import ServiceError
from pipeline.history import Wanted
from pipeline.scene.polygon import Point
from workers.contract.messages import BoxExample, Example, TokenSettings
from workers.contract.sealing import use_keys
from workers.deployment import by_size, keep_to_loopback
from workers.direct.visitor import GoneError
from workers.gateway.api import build_api
from workers.gateway.listener import Listener
from workers.gateway.replicas import Replicas
from workers.settings.schema import ServiceSettings
from workers.telemetry.logs import log_from_replica, serve_logging

_READY_WITHIN_S = 3.0
# The first image of a model waits until it is loaded.
_IMAGE_WITHIN_S = 120.0
# Clients resume where they were: no need to wait for streams that never end.
_LEAVE_S = 3.0


class ServiceBackend:
    """Asks the other deployments; see `workers.gateway.backend.Backend`.

    Args:
        inference: predicts.
    """

    def __init__(self, inference: DeploymentHandle[Any]) -> None:
        self._inference = inference
        self._replicas = Replicas(self.ready)

    async def image(self, data: bytes, settings: TokenSettings) -> dict[str, Any]:
        """See `Backend`."""
        answer: dict[str, Any]
        if (replica := self._replicas.nearest()) is not None:
            # Serve knows who is there instead of one that has gone.
            with suppress(GoneError):
                answer = await _answer(replica.call("predict", data, settings), _IMAGE_WITHIN_S)
                return answer
        inference = by_size(self._inference, len(data))
        answer = await _answer(inference.predict.remote(data, settings), _IMAGE_WITHIN_S)
        return answer

    async def look(self, data: bytes, settings: TokenSettings, box: str | None) -> Wanted:
        """See `Backend`."""
        inference = by_size(self._inference, len(data))
        found: Wanted = await _answer(inference.look.remote(data, settings, box), _IMAGE_WITHIN_S)
        return found

    async def text(self, text: str, settings: TokenSettings) -> Wanted:
        """See `Backend`."""
        found: Wanted = await _answer(self._inference.text.remote(text, settings), _IMAGE_WITHIN_S)
        return found

    async def example(
        self, stream: str, inference: Mapping[str, Any] | None, polygon: Sequence[Point], frame: int | None
    ) -> Example:
        """See `Backend`."""
        asked = self._there(stream, inference).example.remote(stream, polygon, frame)
        found: Example = await _answer(asked, _IMAGE_WITHIN_S)
        return found

    async def box_example(
        self,
        stream: str,
        inference: Mapping[str, Any] | None,
        sides: Sequence[float],
        name: str,
        frame: int | None,
    ) -> BoxExample:
        """See `Backend`."""
        asked = self._there(stream, inference).box_example.remote(stream, sides, name, frame)
        found: BoxExample = await _answer(asked, _IMAGE_WITHIN_S)
        return found

    async def hold(self, stream: str, inference: Mapping[str, Any] | None, frame: int) -> None:
        """See `Backend`."""
        await _answer(self._there(stream, inference).hold.remote(stream, frame), _READY_WITHIN_S)

    def _there(self, stream: str, inference: Mapping[str, Any] | None) -> Any:
        # Only who reads streams knows where they are placed; a replica has its own name for a session.
        return self._inference.options(session_id=stream if inference is None else inference["replica"])

    async def ready(self) -> dict[str, Any]:
        """See `Backend`."""
        answer: dict[str, Any] = await _answer(self._inference.where.remote(), _READY_WITHIN_S)
        return answer


async def _answer(asked: Awaitable[Any], within_s: float) -> Any:
    try:
        async with asyncio.timeout(within_s):
            return await asked
    except TimeoutError:
        raise ServiceError(f"Inference did not answer within {within_s:.0f} s; look at its load") from None
    except (RayError, RayServeException) as error:
        cause: BaseException = error
        # What was raised there, maybe behind another call; Ray's own error is a traceback.
        while isinstance(cause, RayTaskError):
            cause = cause.cause
        if isinstance(cause, RayError | RayServeException):
            kind = type(cause).__name__
            raise ServiceError(f"Inference cannot be reached ({kind}); try again in a moment") from error
        raise cause from None


@serve.ingress()
class Gateway:
    """The replica: it builds the application, which Serve then calls, or which listens itself.

    Args:
        settings: `ServiceSettings` as JSON has it.
        ingest, inference, keeper: handles of the other deployments.
        listens: whether it takes requests at the settings' address, with no proxy of Serve before it.

    Raises:
        ServiceError: the address cannot be bound.
    """

    def __init__(
        self,
        settings: dict[str, Any],
        ingest: DeploymentHandle[Any],  # noqa: ARG002 - bound so that Serve deploys it, as the keeper is
        inference: DeploymentHandle[Any],
        keeper: DeploymentHandle[Any],  # noqa: ARG002
        listens: bool = False,
    ) -> None:
        known = ServiceSettings.model_validate(settings)
        log_from_replica(known.log_format)
        use_keys(known.key_file)
        keep_to_loopback()
        self._app = build_api(known, ServiceBackend(inference))
        self._listener: Listener | None = None
        if listens:
            # Beside those that are served there are some that begin, or are turned away.
            most = 2 * known.gateway.max_connections
            self._listener = Listener(self._app, known.host, known.port, most, _LEAVE_S)

    def __serve_build_asgi_app__(self) -> FastAPI:
        return self._app

    async def check_health(self) -> None:
        """Called by Serve.

        Raises:
            ServiceError: nobody takes requests any more.
        """
        if self._listener is not None and not self._listener.alive:
            raise ServiceError("the HTTP server of this replica has ended; see its log")

    def __del__(self) -> None:
        """Called by Serve when the replica is to end."""
        listener = getattr(self, "_listener", None)
        if listener is not None:
            self._listener = None
            listener.close()


def gateway_deployment(settings: ServiceSettings) -> serve.Deployment:
    """The deployment, still to be bound to the arguments of `Gateway`."""
    gateway = settings.gateway
    deployed = serve.deployment(
        name="Gateway",
        num_replicas=gateway.replicas,
        ray_actor_options={"num_cpus": gateway.num_cpus},
        logging_config=serve_logging(settings.log_format),
        max_ongoing_requests=gateway.max_connections,
        max_queued_requests=gateway.max_connections,
        graceful_shutdown_timeout_s=_LEAVE_S,
        graceful_shutdown_wait_loop_s=0.5,
    )
    return deployed(Gateway)
