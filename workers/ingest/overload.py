"""Whether a live stream gives more frames than Inference takes, and how it gives way."""

from __future__ import annotations

import time
from collections.abc import Callable

# So long without a late frame, and there is no overload any more.
_CLEAN_S = 5.0
# Seconds after which a stream that gave way tries whether there is time for more; each try that fills the
# device doubles them.
_FIRST_S, _LONGEST_S = 10.0, 160.0


class Overload:
    """Of one stream that drops what is late.

    While it gives way it sends one frame at a time, of the newest (`Evenly`), and as a rule only one
    is under way: none waits behind others of its stream. Where that leaves Inference with time to spare it
    has more of them under way, for as long as there is.

    Args:
        clock: seconds that do not go back.

    Attributes:
        room: whether Inference may have time for more; without it a try could only take from other streams.
        gives_way: whether it does so for the next message.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.room = True
        self.gives_way = False
        self._clock = clock
        self._hold_s = _FIRST_S
        self._alone_until = self._late_at = clock()
        self._tries = False

    @property
    def alone(self) -> bool:
        """Whether the next message waits for the answer to the last one."""
        if not self.gives_way:
            return False
        now = self._clock()
        if self._tries and not self.room:
            self._tries = False
            self._hold_s = min(2 * self._hold_s, _LONGEST_S)
            self._alone_until = now + self._hold_s
        elif not self._tries and self.room and now >= self._alone_until:
            self._tries = True
        return not self._tries

    def sent(self, late: int) -> None:
        """Takes in how many frames were dropped as late before a message."""
        now = self._clock()
        if late:
            self._late_at = now
            if not self.gives_way:
                self.gives_way, self._tries = True, False
                self._alone_until = now + self._hold_s
        elif self.gives_way and now - self._late_at >= _CLEAN_S:
            self.gives_way, self._hold_s = False, _FIRST_S
