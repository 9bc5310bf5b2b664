"""When the next frames of a stream are due that gets a share of them only."""

from __future__ import annotations

import time
from collections.abc import Callable

# However small its share is, a stream sends something now and then.
_LONGEST_S = 30.0


class Pace:
    """Of one stream. A frame that comes later than it was due does not put off those after it.

    Args:
        clock: seconds that do not go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._due = clock()

    def wait_s(self) -> float:
        """How long there is to wait for the next turn; 0 for not at all."""
        return min(max(self._due - self._clock(), 0.0), _LONGEST_S)

    def sent(self, frames: int, interval_s: float | None) -> None:
        """Takes in that frames were sent.

        Args:
            frames: how many.
            interval_s: from one to the next, at least; None for none.
        """
        now = self._clock()
        if interval_s is None:
            self._due = now
        else:
            self._due = max(self._due, now - interval_s) + frames * interval_s
