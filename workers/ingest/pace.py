"""When the next frames of a stream are due that cannot have all of them."""

from __future__ import annotations

import time
from collections.abc import Callable

# However small its share is, a stream sends something now and then.
_LONGEST_S = 30.0
# How fast the usual time of an answer follows.
_FOLLOWS = 0.1


class Pace:
    """Of one stream. A frame that comes later than it was due does not put off those after it.

    A stream that gives way sends when the usual time of an answer is over, not when an answer happens to come
    early: so its frames lie at even distances. What that leaves free goes to others, answers come the sooner,
    and the usual time follows them, so that nothing is given away for good.

    Args:
        clock: seconds that do not go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._due = clock()
        self._gives_way = False
        self._usual_s: float | None = None

    def wait_s(self) -> float:
        """How long there is to wait for the next turn; 0 for not at all."""
        return min(max(self._due - self._clock(), 0.0), _LONGEST_S)

    def sent(self, frames: int, interval_s: float | None, most: int | None = None) -> None:
        """Takes in that frames were sent.

        Args:
            frames: how many.
            interval_s: from one to the next, at least; None for none.
            most: messages under way at once, of a stream that gives way; None of others.
        """
        now = self._clock()
        if most is None:
            self._usual_s = None
        self._gives_way = most is not None
        if interval_s is None and most is not None and self._usual_s is not None:
            interval_s = self._usual_s / most / frames
        if interval_s is None:
            self._due = now
        else:
            self._due = max(self._due, now - interval_s) + frames * interval_s

    def answered(self, seconds: float) -> None:
        """Takes in how long an answer took."""
        if self._gives_way:
            usual_s = seconds if self._usual_s is None else self._usual_s
            self._usual_s = usual_s + _FOLLOWS * (seconds - usual_s)
