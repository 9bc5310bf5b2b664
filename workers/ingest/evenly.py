"""Which of the frames that wait is sent, of a stream that sends one at a time."""

from __future__ import annotations

from collections.abc import Sequence

# How fast the usual distance follows, and the lag what it should be.
_FOLLOWS, _CORRECTS = 0.1, 0.3
# What is picked lies so many of these distances behind the newest: as a rule, and at most. So an answer that
# comes early finds a frame that is late enough, and one that comes late an earlier one.
_LAG, _MOST_LAG = 0.25, 1.0


class Evenly:
    """Picks frames at even distances though answers come at uneven ones."""

    def __init__(self) -> None:
        self._last_s: float | None = None
        self._distance_s: float | None = None

    def pick(self, times_s: Sequence[float | None]) -> int:
        """Which one to send; those before it are dropped, those behind it wait.

        Args:
            times_s: presentation times of the frames that wait, oldest first, at least one; where one has
                none the newest is picked.
        """
        known = [time_s for time_s in times_s if time_s is not None]
        if len(known) < len(times_s):
            self._last_s = self._distance_s = None
            return len(times_s) - 1
        wanted_s = self._wanted_s(known[-1])
        picked = min(range(len(known)), key=lambda at: abs(known[at] - wanted_s))
        self._note(known[picked])
        return picked

    def _wanted_s(self, newest_s: float) -> float:
        if self._last_s is None or self._distance_s is None:
            return newest_s
        next_s, distance_s = self._last_s + self._distance_s, self._distance_s
        wanted_s = next_s + _CORRECTS * (newest_s - next_s - _LAG * distance_s)
        return max(wanted_s, newest_s - _MOST_LAG * distance_s)

    def _note(self, picked_s: float) -> None:
        last_s, self._last_s = self._last_s, picked_s
        if last_s is None:
            return
        distance_s = picked_s - last_s
        if distance_s <= 0:
            # Its clock went back.
            self._distance_s = None
        elif self._distance_s is None:
            self._distance_s = distance_s
        else:
            self._distance_s += _FOLLOWS * (distance_s - self._distance_s)
