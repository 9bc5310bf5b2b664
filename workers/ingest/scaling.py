"""How many replicas read sources. Serve carries this file to its controller: it imports nothing of ours."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ray.serve.config import AutoscalingContext

# Names of what replicas report: streams of all replicas that are to be read; those that one reads, and the
# part of a core that each of these takes.
STREAMS = "streams"
HELD = "held"
STREAM_CORES = "stream_cores"

# A replica less has to leave the others so full at most, or it would soon be started again.
_FULL_ENOUGH = 0.8


def streams_that_fit(cores: float, stream_cores: float, most: int) -> int:
    """How many streams a replica takes.

    Args:
        cores: that it is to use.
        stream_cores: the part of a core that a stream takes.
        most: streams, however little they take.
    """
    return min(most, max(1, math.floor(cores / stream_cores)))


class StreamPolicy:
    """As many replicas as it takes for all streams; Serve adds bounds and delays.

    Args:
        cores_per_replica, streams_per_replica: what one takes, see `streams_that_fit`.
    """

    def __init__(self, cores_per_replica: float, streams_per_replica: int) -> None:
        self._cores = cores_per_replica
        self._most = streams_per_replica

    def __call__(self, context: AutoscalingContext) -> tuple[float, dict[str, Any]]:
        """The replicas wanted, and no state."""
        metrics, current = context.aggregated_metrics or {}, context.target_num_replicas
        if not metrics.get(STREAMS) or not metrics.get(STREAM_CORES):
            return current, {}
        # Each reports the streams of all; one that has just started may not have looked yet.
        streams = max(metrics[STREAMS].values())
        each, held = metrics[STREAM_CORES], metrics.get(HELD, {})
        # What those that read nothing say is what they take for granted: it counts where nobody knows better.
        weights = {name: held.get(name, 0.0) for name in each}
        if not any(weights.values()):
            weights = dict.fromkeys(each, 1.0)
        stream_cores = sum(each[name] * weight for name, weight in weights.items()) / sum(weights.values())
        wanted = math.ceil(streams / streams_that_fit(self._cores, stream_cores, self._most))
        fewer = math.ceil(streams / streams_that_fit(_FULL_ENOUGH * self._cores, stream_cores, self._most))
        return max(wanted, min(current, fewer)), {}
