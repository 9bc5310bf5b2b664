"""How many replicas read sources. Serve carries this file to its controller: it imports nothing of ours."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ray.serve.config import AutoscalingContext

# What a replica reports under this name: streams of all replicas that are to be read.
STREAMS = "streams"


class StreamPolicy:
    """As many replicas as it takes for all streams; Serve adds bounds and delays.

    Args:
        streams_per_replica: what one takes at once.
    """

    def __init__(self, streams_per_replica: int) -> None:
        self._streams_per_replica = streams_per_replica

    def __call__(self, context: AutoscalingContext) -> tuple[float, dict[str, Any]]:
        """The replicas wanted, and no state."""
        reported = (context.aggregated_metrics or {}).get(STREAMS)
        if not reported:
            return context.target_num_replicas, {}
        # Each reports the streams of all; one that has just started may not have looked yet.
        return math.ceil(max(reported.values()) / self._streams_per_replica), {}
