"""How much a replica has to do; what the scaling goes by."""

from __future__ import annotations

import time
from dataclasses import dataclass

# A stream counts for this long after it sent something.
_REMEMBERED_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Since the last look.

    Attributes:
        backlog_s: the longest that frames waited for their pass, those that still wait included.
        busy: share of the time (0..1) in which there was something to run.
        streams: how many streams sent something lately.
    """

    backlog_s: float
    busy: float
    streams: int


class LoadMeter:
    """Collects what `Load` says. Not for several threads at once, but for `busy_for_s`."""

    def __init__(self) -> None:
        self._since = time.monotonic()
        self._idle_since: float | None = self._since
        self._busy_since = self._since
        self._idle_s = 0.0
        self._longest_s = 0.0
        self._streams: dict[str, float] = {}

    def arrived(self, stream: str) -> None:
        """Frames of a stream came."""
        self._streams[stream] = time.monotonic()

    def waited(self, seconds: float) -> None:
        """Frames waited so long for a pass that starts now."""
        self._busy_since = time.monotonic()
        self._longest_s = max(self._longest_s, seconds)

    def idle(self) -> None:
        """From now on there is nothing to do."""
        self._idle_since = time.monotonic()

    def busy(self) -> None:
        """From now on there is something to do."""
        self._busy_since = time.monotonic()
        if self._idle_since is not None:
            self._idle_s += self._busy_since - self._idle_since
            self._idle_since = None

    def busy_for_s(self) -> float:
        """Seconds since the last pass was begun; 0 while there is nothing to do."""
        return 0.0 if self._idle_since is not None else time.monotonic() - self._busy_since

    def take(self, oldest_at: float | None) -> Load:
        """The load since the last call.

        Args:
            oldest_at: when the request came (`time.monotonic()`) that waits for longest.
        """
        now = time.monotonic()
        if self._idle_since is not None:
            self._idle_s += now - self._idle_since
            self._idle_since = now
        elapsed = max(now - self._since, 1e-9)
        waiting_s = 0.0 if oldest_at is None else now - oldest_at
        self._streams = {name: at for name, at in self._streams.items() if now - at < _REMEMBERED_S}
        load = Load(
            backlog_s=max(self._longest_s, waiting_s),
            busy=min(max(1 - self._idle_s / elapsed, 0.0), 1.0),
            streams=len(self._streams),
        )
        self._since, self._idle_s, self._longest_s = now, 0.0, 0.0
        return load
