"""How many replicas the frames need: more while frames wait too long, fewer while devices stand idle.

Serve carries this file to its controller: it imports nothing of ours.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ray.serve.config import AutoscalingContext

# Names of what replicas report; see `record_autoscaling_stats`.
BACKLOG_S = "backlog_s"
BUSY = "busy"
STREAMS = "streams"

# Fewer replicas would be this busy at most.
_BUSY_ENOUGH = 0.7
# Replicas after a step over those before it, and the other way round: every step moves streams, and each that
# moves takes a full frame.
_STEP = 1.25


class BacklogPolicy:
    """Serve's autoscaling policy of `Inference`.

    A stream stays on one replica, so there are never more replicas than streams: a single file that is read
    as fast as can be waits however many there are.

    Args:
        target_backlog_s: replicas are added when frames wait longer than this.
        settle_s: for so long after a step what replicas tell may be of the time before it.
    """

    def __init__(self, target_backlog_s: float, settle_s: float) -> None:
        self._target_s = target_backlog_s
        self._settle_s = settle_s

    def __call__(self, context: AutoscalingContext) -> tuple[float, dict[str, Any]]:
        """Replicas wanted, and since when there are as many as now."""
        metrics = context.aggregated_metrics or {}
        current, now = context.current_num_replicas, time.time()
        kept = context.policy_state or {}
        since = kept["since"] if kept.get("replicas") == current else now
        state = {"replicas": current, "since": since}
        if not current or now - since < self._settle_s or not metrics.get(BUSY):
            return context.target_num_replicas, state
        reports = {name: list(metrics.get(name, {}).values()) for name in (BACKLOG_S, BUSY, STREAMS)}
        return replicas_wanted(current, reports, self._target_s), state


def replicas_wanted(current: int, reports: Mapping[str, list[float]], target_s: float) -> int:
    """How many replicas there should be.

    Frames must wait on average: one replica alone may have a stream that is too much for any.

    Args:
        current: how many there are.
        reports: by name, what each of them reported.
        target_s: the longest that frames should wait.
    """
    # One counts as twice the target at most, however far behind it is.
    backlog_s = statistics.fmean(min(one, 2 * target_s) for one in reports[BACKLOG_S] or [0.0])
    streams = max(1, math.ceil(sum(reports[STREAMS])))
    if backlog_s > target_s:
        wanted = max(current + 1, math.floor(current * min(backlog_s / target_s, _STEP)))
    elif max(reports[BACKLOG_S], default=0.0) < target_s / 2:
        enough = math.ceil(sum(reports[BUSY]) / _BUSY_ENOUGH)
        wanted = min(current, max(1, enough, min(current - 1, math.ceil(current / _STEP))))
    else:
        wanted = current
    return min(wanted, streams)
