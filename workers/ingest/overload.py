"""Whether a live stream gives more frames than Inference takes, and how it gives way."""

from __future__ import annotations

import time
from collections.abc import Callable

# Seconds after which a stream that gave way tries again whether all its frames are taken; each try that fails
# doubles them.
_FIRST_S, _LONGEST_S = 10.0, 160.0
# A try that has lost nothing for so long has succeeded.
_TRY_S = 5.0


class Overload:
    """Of one stream that drops what is late.

    While it gives way one frame is under way at a time, of the newest (`Evenly`), and none waits behind
    others of its stream.

    Args:
        clock: seconds that do not go back.

    Attributes:
        room: whether Inference may have time for more; without it a try could only take from other streams.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.room = True
        self._clock = clock
        self._hold_s = _FIRST_S
        self._until: float | None = None
        self._tried_at: float | None = None

    @property
    def gives_way(self) -> bool:
        """Whether it does so for the next message."""
        if self._until is not None and self.room and self._clock() >= self._until:
            self._until, self._tried_at = None, self._clock()
        return self._until is not None

    def sent(self, late: int) -> None:
        """Takes in how many frames were dropped as late before a message."""
        now = self._clock()
        if self._until is not None:
            return
        if late:
            if self._tried_at is not None:
                self._hold_s = min(2 * self._hold_s, _LONGEST_S)
            self._until, self._tried_at = now + self._hold_s, None
        elif self._tried_at is not None and now - self._tried_at >= _TRY_S:
            self._hold_s, self._tried_at = _FIRST_S, None
