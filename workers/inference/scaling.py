"""How many replicas the frames need: more while frames wait too long, fewer while devices stand idle."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ray.serve.config import AutoscalingContext

# Names of what replicas report; see `record_autoscaling_stats`.
BACKLOG_S = "backlog_s"
BUSY = "busy"
STREAMS = "streams"

# Fewer replicas would be this busy at most; a step up at most doubles.
_BUSY_ENOUGH = 0.7
_STEP = 2.0


class BacklogPolicy:
    """Serve's autoscaling policy of `Inference`.

    A stream stays on one replica, so there are never more replicas than streams: a single file that is read
    as fast as can be waits however many there are.

    Args:
        target_backlog_s: replicas are added when frames wait longer than this.
    """

    def __init__(self, target_backlog_s: float) -> None:
        self._target_s = target_backlog_s

    def __call__(self, context: AutoscalingContext) -> tuple[float, dict[str, Any]]:
        """Replicas wanted, and nothing to remember."""
        metrics = context.aggregated_metrics or {}
        current = context.current_num_replicas
        if not current or not metrics.get(BUSY):
            return context.target_num_replicas, {}
        reports = {name: list(metrics.get(name, {}).values()) for name in (BACKLOG_S, BUSY, STREAMS)}
        return replicas_wanted(current, reports, self._target_s), {}


def replicas_wanted(current: int, reports: Mapping[str, list[float]], target_s: float) -> int:
    """How many replicas there should be.

    Args:
        current: how many there are.
        reports: by name, what each of them reported.
        target_s: the longest that frames should wait.
    """
    backlog_s = max(reports[BACKLOG_S], default=0.0)
    streams = max(1, math.ceil(sum(reports[STREAMS])))
    if backlog_s > target_s:
        wanted = math.ceil(current * min(backlog_s / target_s, _STEP))
    elif backlog_s < target_s / 2:
        wanted = min(current, max(1, math.ceil(sum(reports[BUSY]) / _BUSY_ENOUGH)))
    else:
        wanted = current
    return min(wanted, streams)
