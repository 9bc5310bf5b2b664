"""The deployment `Ingest`: reads streams for Inference."""

from __future__ import annotations

from typing import Any

from ray import serve
from ray.serve.handle import DeploymentHandle

from pipeline.errors import ServiceError
from pipeline.sources.hardware import gpus_visible
from vocab.connection import connect
from workers.contract.messages import FrameBatch
from workers.contract.sealing import use_keys
from workers.deployment import by_size, keep_to_loopback, scaled, where
from workers.inference.placement import PLACEMENT
from workers.ingest.inference_calls import InferenceCalls
from workers.ingest.replica_context import ReplicaContext, gpu_for
from workers.ingest.scaling import HELD, STREAM_CORES, STREAMS, StreamPolicy
from workers.ingest.sender import Answer
from workers.ingest.supervisor import Supervisor
from workers.settings.schema import ServiceSettings
from workers.telemetry.logs import log_from_replica, serve_logging
from workers.telemetry.opening import open_tracing
from workers.threads import one_thread

# So that the number of replicas follows the streams within seconds; by default it takes most of a minute.
_LOOK_BACK_S = 2.0
_SHUTDOWN_S = 5.0


class Ingest:
    """Reads the streams it holds a lease for.

    Args:
        settings: `ServiceSettings` as JSON; `redis` is a URL.
        inference: handle of the deployment `Inference`.

    Raises:
        StoreUnavailable: Redis does not answer.
    """

    def __init__(self, settings: dict[str, Any], inference: DeploymentHandle[Any]) -> None:
        one_thread()
        self._settings = ServiceSettings.model_validate(settings)
        log_from_replica(self._settings.log_format)
        use_keys(self._settings.key_file)
        keep_to_loopback()
        assert self._settings.redis is not None
        # Once, before threads share it: it is set up by its first use.
        self._inference: Any = inference.options()
        self._calls = InferenceCalls(self._by_serve, PLACEMENT.of)
        self._where = where()
        self._tracing = open_tracing(self._settings.trace, "Ingest", self._where)
        context = ReplicaContext(
            settings=self._settings,
            client=connect(self._settings.redis),
            sinks_client=connect(self._settings.redis),
            infer=self._calls.infer,
            describe=self._describe,
            where=self._where,
            tracing=self._tracing,
            gpu=gpu_for(serve.get_replica_context().rank.local_rank, gpus_visible()),
            placement=PLACEMENT,
        )
        self._supervisor = Supervisor(context)

    async def streams(self) -> list[str]:
        """Ids of the streams read here."""
        return self._supervisor.streams()

    async def where(self) -> dict[str, Any]:
        """{"replica", "node", "pid"}."""
        return self._where

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """What `StreamPolicy` goes by."""
        supervisor = self._supervisor
        return {
            STREAMS: float(supervisor.wanted),
            HELD: float(len(supervisor.streams())),
            STREAM_CORES: supervisor.stream_cores,
        }

    async def check_health(self) -> None:
        """Called by Serve.

        Raises:
            ServiceError: nobody looks after the streams any more.
        """
        if not self._supervisor.alive:
            raise ServiceError("the supervisor of the streams has ended; see the log of this replica")

    def __del__(self) -> None:
        """Called by Serve when the replica is to end."""
        supervisor = getattr(self, "_supervisor", None)
        if supervisor is not None:
            supervisor.close()
            self._calls.close()
        tracing = getattr(self, "_tracing", None)
        if tracing is not None:
            tracing.close()

    def _by_serve(self, batch: FrameBatch) -> Answer:
        inference: Any = by_size(self._inference, batch.images.nbytes).options(session_id=batch.stream)
        answer: Answer = inference.infer.remote(batch)
        return answer

    def _describe(self, model: str) -> Answer:
        answer: Answer = self._inference.describe.remote(model)
        return answer


def ingest_deployment(settings: ServiceSettings) -> serve.Deployment:
    """The deployment, with what it may use and how many replicas it may have."""
    ingest = settings.ingest
    deployed = serve.deployment(
        name="Ingest",
        autoscaling_config=scaled(
            ingest.scaling,
            _LOOK_BACK_S,
            StreamPolicy,
            cores_per_replica=ingest.cores_per_replica,
            streams_per_replica=ingest.streams_per_replica,
        ),
        ray_actor_options={"num_cpus": ingest.num_cpus},
        logging_config=serve_logging(settings.log_format, calls=False),
        # There are only short questions to wait for.
        graceful_shutdown_wait_loop_s=0.2,
        graceful_shutdown_timeout_s=_SHUTDOWN_S,
        health_check_period_s=5.0,
        health_check_timeout_s=10.0,
    )
    return deployed(Ingest)
