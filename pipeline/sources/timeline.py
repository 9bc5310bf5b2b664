"""Presentation times that a consumer can rely on."""

from __future__ import annotations

# A live picture cannot be this much newer than its arrival says: the peer's clock was set anew. In a file it
# is a gap, or a stamp that is off.
_JUMP_S = 10.0
# So many steps in a row make a rate steady, and a step of so many seconds breaks it.
_STEADY = 10
_GAP_S = 1.0


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


class FileTimeline:
    """Times of what is read to its end: they begin at 0 or later and never fall; gaps stay as they are.

    A stamp that is off alone (the next goes on from the one before) is replaced. Where times go back for good
    (pieces joined, a clock set anew) they go on behind the last. Give every frame in the order shown.

    Args:
        step_s: how long a frame is shown, where its times do not say.

    Attributes:
        jumps: how often times went back or far ahead.
        gaps: how often a second or more without a frame broke into a steady rate, or less where the container
            says that it is damaged.
    """

    def __init__(self, step_s: float) -> None:
        self.jumps = 0
        self.gaps = 0
        # How many steps in a row were no longer than a steady rate makes them.
        self._steady = 0
        self._step_s = step_s
        self._shift_s = 0.0
        # As the container has it.
        self._last_s: float | None = None
        self._damaged_s: float | None = None

    @property
    def shift_s(self) -> float:
        """What times are moved by now."""
        return self._shift_s

    def damaged(self, time_s: float | None) -> None:
        """A packet of the frame at `time_s`, as the container has it, is not whole."""
        self._damaged_s = time_s

    def jumps_to(self, time_s: float | None) -> bool:
        """Whether the next frame, at `time_s`, would be back or far ahead."""
        last_s = self._last_s
        return time_s is not None and last_s is not None and not 0 <= time_s - last_s <= _JUMP_S

    def place(self, time_s: float, next_s: float | None = None) -> float:
        """Where a frame lies in time.

        Args:
            time_s: of the frame as the container has it, in seconds since the start it states.
            next_s: the same of the next frame, which counts where this one jumps; None where it is not known.
        """
        last_s = self._last_s
        if last_s is None:
            self._shift_s = max(-time_s, 0.0)
        elif self.jumps_to(time_s):
            self.jumps += 1
            if next_s is not None and 0 < next_s - last_s <= _JUMP_S:
                time_s = last_s + min(self._step_s, (next_s - last_s) / 2)
            elif time_s < last_s:
                self._shift_s += last_s + self._step_s - time_s
        else:
            step_s = time_s - last_s
            broken = step_s >= max(_GAP_S, 5 * self._step_s) and self._steady >= _STEADY
            # What follows a packet that is not whole may not be the next frame.
            damaged_s = self._damaged_s
            if damaged_s is not None and last_s - self._step_s <= damaged_s < time_s:
                broken = broken or step_s > 1.5 * self._step_s
            self.gaps += broken
            self._steady = self._steady + 1 if step_s < 2 * self._step_s else 0
        self._last_s = time_s
        return time_s + self._shift_s


class BestTimes:
    """The better of two stamps of each frame: when it is shown, or when it was decoded.

    Some containers (AVI) have decoding times only, from which presentation times are made as if frames were
    not reordered; those go back and forth. FFmpeg's `best_effort_timestamp`, which no binding gives us, takes
    the kind that has gone back less often. Give every frame as it comes out of the decoder.
    """

    def __init__(self) -> None:
        self._shown: int | None = None
        self._decoded: int | None = None
        # How often each kind has gone back, the first without the second.
        self._faults = 0

    def choose(self, pts: int | None, dts: int | None) -> int | None:
        """The stamp to take, in the ticks of both; None where there is none."""
        self._faults += _goes_back(self._shown, pts) - _goes_back(self._decoded, dts)
        # Where one is missing, the other tells how far it would be.
        self._shown = pts if pts is not None else self._shown if dts is None else dts
        self._decoded = dts if dts is not None else self._decoded if pts is None else pts
        return pts if pts is not None and (self._faults <= 0 or dts is None) else dts


def _goes_back(last: int | None, now: int | None) -> int:
    return int(last is not None and now is not None and now <= last)
