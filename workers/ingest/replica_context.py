"""What the streams of a replica have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vocab.connection import RedisClient
from workers.contract.messages import FrameBatch
from workers.inference.placement import Placement
from workers.ingest.metrics import IngestMetrics
from workers.ingest.sender import Answer
from workers.settings.schema import ServiceSettings

if TYPE_CHECKING:
    from workers.telemetry.tracing import Tracing


@dataclass(frozen=True, slots=True)
class ReplicaContext:
    """What every stream of a replica needs.

    Attributes:
        settings: of the service.
        client: of Redis, for all but the sinks.
        sinks_client: of Redis, for what waits for sinks: however many there are and however slow, they never
            take the connections by which leases are kept.
        infer: gives a batch of a stream (by its id) to Inference.
        describe: asks Inference what a model wants.
        where: {"replica", "node", "pid"} of this replica.
        tracing: traces messages; None for no traces.
        metrics: told what happens.
        gpu: that decodes, where one does; see `SourceOptions`.
        placement: knows which replica of Inference has which stream.
    """

    settings: ServiceSettings
    client: RedisClient
    sinks_client: RedisClient
    infer: Callable[[str, FrameBatch], Answer]
    describe: Callable[[str], Answer]
    where: dict[str, Any]
    tracing: Tracing | None = None
    metrics: IngestMetrics = field(default_factory=IngestMetrics)
    gpu: int | None = None
    placement: Placement = field(default_factory=Placement)


def gpu_for(replica: int, gpus: int) -> int | None:
    """The GPU on which a replica decodes: those of a node take turns. Ray hides none from who asks for none.

    Args:
        replica: its number among those of its node.
        gpus: that it sees.
    """
    return replica % gpus if gpus else None
