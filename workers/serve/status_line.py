"""How the streams of a service are doing, for the person who started it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

from vocab.errors import StoreUnavailable
from workers.contract.stream_status import StreamStatus
from workers.contract.stream_store import StreamStore


class StatusLine:
    """Sums up all streams, and says when the state of one changes.

    Args:
        store: of the streams.
        say: told of each change, once.
    """

    def __init__(self, store: StreamStore, say: Callable[[str], None]) -> None:
        self._store = store
        self._say = say
        self._states: dict[str, tuple[str, str | None, float | None]] = {}
        self._away = False

    def look(self) -> str:
        """The status in one line. Never raises for a Redis that is away."""
        try:
            ids = sorted(self._store.all())
            statuses = dict(zip(ids, self._store.statuses(ids), strict=True))
        except StoreUnavailable as error:
            if not self._away:
                self._say(f"{error}; trying again")
            self._away = True
            return "Redis is away"
        if self._away:
            self._say("Redis answers again")
        self._away = False
        self._tell(statuses)
        return _line(statuses)

    def _tell(self, statuses: dict[str, StreamStatus]) -> None:
        for stream, status in statuses.items():
            if status.state == "failed" and status.ingest is not None and status.retry_at is None:
                # Who reads it is about to say when it is tried again.
                continue
            state, reason = status.shown
            # A share that changes a little is no news.
            told = (state, None if state == "degraded" else reason, status.retry_at)
            if self._states.get(stream) != told:
                self._say(f"{stream}: {state}{_why(status)}")
            self._states[stream] = told
        for stream in set(self._states) - set(statuses):
            self._say(f"{stream}: removed")
            del self._states[stream]


def _why(status: StreamStatus) -> str:
    _, reason = status.shown
    parts = [] if reason is None else [reason]
    if status.retry_at is not None:
        parts.append(f"trying again at {time.strftime('%H:%M:%S', time.localtime(status.retry_at))}")
    return f" ({'; '.join(parts)})" if parts else ""


def _line(statuses: dict[str, StreamStatus]) -> str:
    if not statuses:
        return "no streams yet"
    counts = Counter(status.shown[0] for status in statuses.values())
    running = [status for status in statuses.values() if status.state == "running"]
    states = ", ".join(f"{count} {state}" for state, count in counts.most_common())
    known = [status.fps for status in running if status.fps is not None]
    latencies = [status.latency_ms for status in running if status.latency_ms is not None]
    fps = f"  {sum(known):.1f} fps" if known else ""
    latency = f"  {max(latencies):.0f} ms" if latencies else ""
    return f"{len(statuses)} stream{'s' if len(statuses) > 1 else ''}: {states}{fps}{latency}"
