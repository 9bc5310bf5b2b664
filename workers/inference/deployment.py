"""The Serve deployment `Inference`. Free of heavy imports: torch comes with the first replica."""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING, Any

import ray
from ray import serve
from ray.serve.config import AutoscalingConfig, AutoscalingPolicy, RequestRouterConfig

from pipeline.frame import Geometry, Pixels
from workers.inference.scaling import BACKLOG_S, BUSY, STREAMS, BacklogPolicy
from workers.service.messages import BatchDone, FrameBatch, ModelFacts, TokenSettings
from workers.settings import ServiceSettings
from workers.threads import share_cores

if TYPE_CHECKING:
    from workers.inference.core import InferenceCore

_ROUTER: dict[str, Any] = {
    "request_router_class": "ray.serve.experimental.consistent_hash_router.ConsistentHashRouter",
    # A stream that is sent elsewhere for once would be out of order there.
    "request_router_kwargs": {"num_fallback_replicas": 0},
}
# Serve's own intervals (10 s to tell, 30 s to look back on) are long against a backlog of half a second.
_TELL_EVERY_S = 1.0
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

        replica = serve.get_replica_context().replica_id.unique_id
        node = ray.get_runtime_context().get_node_id()
        self._where = {"replica": replica, "node": node, "pid": os.getpid()}
        self._core: InferenceCore | None = InferenceCore(
            ServiceSettings.model_validate(settings),
            self._where,
            lambda uuid: shared_exchange(uuid, node, replica),
        )

    async def infer(self, batch: FrameBatch) -> BatchDone:
        """Predicts frames of a stream; returns when their results are durable.

        Raises:
            ModelError: the model cannot be had, or cannot run these frames.
            UsageError: the frames, the settings or the scope's words do not fit the model.
            FencedError: a newer fencing token was given out.
            OutOfOrderError: results before these are missing.
            StoreUnavailable: Redis cannot take them now.
            ServiceError: the replica stops.
        """
        return await self._running.infer(batch)

    async def describe(self, model: str) -> ModelFacts:
        """What others need to know of a model; loads it.

        Raises:
            ModelError: there is no such model, or its weights cannot be had.
        """
        return await self._running.describe(model)

    async def predict(self, image: Pixels, geometry: Geometry, settings: TokenSettings) -> dict[str, Any]:
        """The result of a single image, as `FrameResult.to_dict` gives it; nothing is stored.

        Args:
            image: (H, W, 3) uint8 RGB, of the model's input size.
            geometry: where the picture lies in it.
            settings: how to run it.

        Raises:
            ModelError, UsageError, StoreUnavailable, ServiceError: see `infer`.
        """
        return await self._running.predict(image, geometry, settings)

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
    return serve.deployment(
        name="Inference",
        ray_actor_options={"num_cpus": own.num_cpus, "num_gpus": own.num_gpus},
        # Every message that Ingest may have under way finds room: one that was turned away would overtake.
        max_ongoing_requests=settings.ingest.in_flight * settings.ingest.max_streams_per_replica,
        request_router_config=RequestRouterConfig(**_ROUTER),
        graceful_shutdown_wait_loop_s=0.2,
        graceful_shutdown_timeout_s=_STOP_WITHIN_S,
        health_check_period_s=_CHECK_EVERY_S,
        autoscaling_config=_scaling(settings),
    )(Inference)


def _scaling(settings: ServiceSettings) -> AutoscalingConfig:
    own = settings.inference.scaling
    with warnings.catch_warnings():
        # The field is said to go, but nothing else sets the interval per deployment yet.
        warnings.simplefilter("ignore")
        return AutoscalingConfig(
            min_replicas=own.min_replicas,
            max_replicas=max(own.max_replicas, own.min_replicas),
            upscale_delay_s=own.upscale_delay_s,
            downscale_delay_s=own.downscale_delay_s,
            metrics_interval_s=_TELL_EVERY_S,
            look_back_period_s=_LOOK_BACK_S,
            policy=AutoscalingPolicy(
                policy_function=BacklogPolicy,
                policy_kwargs={"target_backlog_s": settings.inference.target_backlog_s},
            ),
        )
