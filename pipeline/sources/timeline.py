"""Presentation times that a consumer can rely on."""

from __future__ import annotations

# A live picture cannot be this much newer than its arrival says: the peer's clock was set anew.
_JUMP_S = 10.0


class LiveTimeline:
    """Times of a live source: start at 0 and always grow, also when the peer or its clock restarts.

    Within a connection they are the container's own. Where those break, the arrival clock says how much
    time has passed.
    """

    def __init__(self) -> None:
        self._shift_s: float | None = None
        self._last: tuple[float, float] | None = None

    def reconnected(self) -> None:
        """The next time comes from a new connection and says nothing about the ones before."""
        self._shift_s = None

    def place(self, pts_s: float | None, arrival_s: float) -> float | None:
        """Where a picture lies in time.

        Args:
            pts_s: the container's presentation time in seconds; None where it has none.
            arrival_s: a clock that only grows, in seconds, when the picture arrived.
        """
        if pts_s is None:
            return None
        if self._last is None:
            self._shift_s = -pts_s
        else:
            last_s, last_arrival_s = self._last
            passed_s = arrival_s - last_arrival_s
            step_s = None if self._shift_s is None else pts_s + self._shift_s - last_s
            if step_s is None or step_s <= 0 or step_s > passed_s + _JUMP_S:
                # A millisecond at least: two pictures may arrive within one tick of the clock.
                self._shift_s = last_s + max(passed_s, 0.001) - pts_s
        assert self._shift_s is not None
        placed = pts_s + self._shift_s
        self._last = (placed, arrival_s)
        return placed
