"""The Serve deployment `Inference`. Free of heavy imports: torch comes with the first replica."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ray import serve
from ray.serve.config import RequestRouterConfig

from workers.contract.messages import BatchDone, BoxExample, Example, FrameBatch, ModelFacts, TokenSettings
from workers.contract.sealing import use_keys
from workers.deployment import keep_to_loopback, scaled, tell_every_s, where
from workers.direct.door import door
from workers.inference.scaling import BACKLOG_S, BUSY, STREAMS, BacklogPolicy
from workers.settings.schema import Scaling, ServiceSettings
from workers.telemetry.logs import log_from_replica, serve_logging
from workers.threads import share_cores

if TYPE_CHECKING:
    from pipeline.history import Wanted
    from pipeline.scene.polygon import Point
    from workers.inference.core import InferenceCore

_ROUTER: dict[str, Any] = {
    "request_router_class": "workers.inference.router.StreamRouter",
    # Sessions stay together.
    "request_router_kwargs": {"num_fallback_replicas": 0},
}
_LOOK_BACK_S = 3.0
_CHECK_EVERY_S = 5.0
_STOP_WITHIN_S = 20.0


class Inference:
    """Predicts for the streams whose ids lead here, and for single images.

    Args:
        settings: `ServiceSettings.model_dump(mode="json")`, with a URL for Redis.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        share_cores()
        from workers.inference.core import InferenceCore
        from workers.inference.device_ledger import shared_exchange

        known = ServiceSettings.model_validate(settings)
        log_from_replica(known.log_format)
        use_keys(known.key_file)
        keep_to_loopback()
        self._where = where()
        # Here is the event loop that calls through Serve run in, too.
        self._door = door(self._where["replica"], {"infer": self.infer, "predict": self.predict})
        self._core: InferenceCore | None = InferenceCore(
            known,
            self._where,
            lambda method, device_id: shared_exchange(
                method,
                device_id,
                self._where["node"],
                self._where["replica"],
                endpoint=known.trace.endpoint if known.trace.energy else None,
            ),
        )

    async def infer(self, batch: FrameBatch) -> BatchDone:
        """See `InferenceCore.infer`."""
        return await self._running.infer(batch)

    async def describe(self, model: str) -> ModelFacts:
        """See `InferenceCore.describe`."""
        return await self._running.describe(model)

    async def predict(self, image: bytes, settings: TokenSettings) -> dict[str, Any]:
        """See `Questions.predict`."""
        return await self._running.questions.predict(image, settings)

    async def look(self, image: bytes, settings: TokenSettings, box: str | None) -> Wanted:
        """See `Questions.look`."""
        return await self._running.questions.look(image, settings, box)

    async def text(self, text: str, settings: TokenSettings) -> Wanted:
        """See `Questions.text`."""
        return await self._running.questions.text(text, settings)

    async def example(self, stream: str, polygon: Sequence[Point], frame: int | None) -> Example:
        """See `Questions.example`."""
        return await self._running.questions.example(stream, polygon, frame)

    async def box_example(
        self, stream: str, sides: Sequence[float], name: str, frame: int | None
    ) -> BoxExample:
        """See `Questions.box_example`."""
        return await self._running.questions.box_example(stream, sides, name, frame)

    async def hold(self, stream: str, frame: int) -> None:
        """See `Questions.hold`."""
        self._running.questions.hold(stream, frame)

    async def where(self) -> dict[str, Any]:
        """The replica's id, its node's, and its process id."""
        return dict(self._where)

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """What `scaling.BacklogPolicy` goes by."""
        load = self._running.load()
        return {BACKLOG_S: load.backlog_s, BUSY: load.busy, STREAMS: float(load.streams)}

    async def check_health(self) -> None:
        """Raises ServiceError when only a new replica can help."""
        self._running.check()

    def __del__(self) -> None:
        opened = getattr(self, "_door", None)
        if opened is not None:
            opened.close()
        core = getattr(self, "_core", None)
        if core is not None:
            self._core = None
            core.close()

    @property
    def _running(self) -> InferenceCore:
        assert self._core is not None, "the replica was stopped"
        return self._core


def inference_deployment(settings: ServiceSettings) -> serve.Deployment:
    """The deployment, to be bound to `settings.model_dump(mode="json")`."""
    own = settings.inference
    # A budget is shared out in one place.
    scaling = own.scaling if settings.budget is None else Scaling()
    return serve.deployment(
        name="Inference",
        ray_actor_options={"num_cpus": own.num_cpus, "num_gpus": own.num_gpus},
        logging_config=serve_logging(settings.log_format, calls=False),
        # Every message that Ingest may have under way finds room: one that was turned away would overtake.
        max_ongoing_requests=settings.ingest.in_flight * settings.ingest.max_streams_per_replica,
        request_router_config=RequestRouterConfig(**_ROUTER),
        graceful_shutdown_wait_loop_s=0.2,
        graceful_shutdown_timeout_s=_STOP_WITHIN_S,
        health_check_period_s=_CHECK_EVERY_S,
        autoscaling_config=scaled(
            scaling,
            _LOOK_BACK_S,
            BacklogPolicy,
            target_backlog_s=own.target_backlog_s,
            settle_s=_LOOK_BACK_S + 2.5 * tell_every_s(scaling.max_replicas),
        ),
    )(Inference)
