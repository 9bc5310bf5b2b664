"""Which frames of a stream are looked at, decided on presentation time."""

from __future__ import annotations

import math

from pipeline.errors import UsageError

# Containers round times to the millisecond and cameras jitter: a frame this early is still on time.
_EARLY_S = 0.01
# A step back of more than this is a new timeline (a wrapped or restarted clock), not frames out of order.
_STEP_BACK_S = 2.0


class RateSampler:
    """Takes the first frame at or after each point of the grid t0 + k / fps, t0 being the first frame's time.

    The grid is fixed, so the rate does not drift with the source's rate, and a gap in the source is not made
    up for by a burst after it.

    Args:
        fps: frames per second to take; None takes every frame.

    Raises:
        UsageError: fps is not a positive number.
    """

    def __init__(self, fps: float | None) -> None:
        if fps is not None and not (math.isfinite(fps) and fps > 0):
            raise UsageError(f"cannot sample at {fps} frames per second: give a number above 0")
        self._fps = fps
        self._start_s: float | None = None
        self._latest_s = 0.0
        self._next = 0

    def wants(self, pts_s: float | None) -> bool:
        """Whether to take the frame of that presentation time; ask once per frame, in order.

        A frame without a time is taken only when every frame is.
        """
        if self._fps is None:
            return True
        if pts_s is None:
            return False
        if self._start_s is None or pts_s < self._latest_s - _STEP_BACK_S:
            self._start_s, self._latest_s, self._next = pts_s, pts_s, 0
        self._latest_s = max(self._latest_s, pts_s)
        # A quarter of the interval at most, or a high rate would take two frames for one grid point.
        early = min(_EARLY_S * self._fps, 0.25)
        point = math.floor((pts_s - self._start_s) * self._fps + early)
        if point < self._next:
            return False
        self._next = point + 1
        return True
