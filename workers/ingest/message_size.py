"""How many frames go into one message to Inference."""

from __future__ import annotations

# What a file begins with and does not go below: fewer frames would make small passes.
_LEAST = 16
# Of a stream that drops what is late at most so many frames wait, and as many go into a message: more would
# only make results older.
_FRESH = 4
# An answer that took longer makes the next message smaller.
_SLOW_S = 0.25


class MessageSize:
    """Follows how quickly results come: many frames to a message cost less each, few are answered sooner.

    Args:
        drops: whether the stream drops frames that are late.
        most: frames in a message at most.

    Attributes:
        largest: what `frames` never exceeds.
        frames: for the next message.
    """

    def __init__(self, drops: bool, most: int) -> None:
        self.largest = min(most, _FRESH) if drops else most
        self._least = 1 if drops else min(most, _LEAST)
        self._drops = drops
        self.frames = self.largest if drops else self._least

    def answered(self, round_trip_s: float) -> None:
        """Takes in how long a message took until its results were durable."""
        if round_trip_s > _SLOW_S:
            wanted = self.frames // 2
        else:
            wanted = self.frames + 1 if self._drops else self.frames * 2
        self.frames = min(max(wanted, self._least), self.largest)
