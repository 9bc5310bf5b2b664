"""Metrics of an Ingest replica, through Ray; they come out at the metrics port of its node."""

from __future__ import annotations

import threading
from typing import Literal

from ray.util.metrics import Counter, Gauge

from workers.telemetry.metrics import (
    DECODE,
    EVENT_FAILURES,
    EVENTS,
    EVENTS_OPEN,
    HELD,
    LEASES,
    RECONNECTS,
    ROUND_TRIP,
    STREAM_CORES,
    UNDER_WAY,
    histogram,
)

EventPart = Literal["snapshot", "clip"]
LeaseChange = Literal["taken", "lost", "handed_over"]


class IngestMetrics:
    """What reading streams tells, at most some times per message; from any thread."""

    def __init__(self) -> None:
        self._decode_s = histogram(DECODE)
        self._round_trip_s = histogram(ROUND_TRIP)
        self._under_way = Gauge(UNDER_WAY.name, UNDER_WAY.help)
        self._reconnects = Counter(RECONNECTS.name, RECONNECTS.help)
        self._leases = Counter(LEASES.name, LEASES.help, LEASES.labels)
        self._held = Gauge(HELD.name, HELD.help)
        self._stream_cores = Gauge(STREAM_CORES.name, STREAM_CORES.help)
        self._events = Counter(EVENTS.name, EVENTS.help, EVENTS.labels)
        self._events_open = Gauge(EVENTS_OPEN.name, EVENTS_OPEN.help)
        self._event_failures = Counter(EVENT_FAILURES.name, EVENT_FAILURES.help, EVENT_FAILURES.labels)
        # By stream, those that have some.
        self._open: dict[str, int] = {}
        self._lock = threading.Lock()

    def decoded(self, mean_s: float) -> None:
        """The frames of a message took so long to decode, each."""
        self._decode_s.observe(mean_s)

    def answered(self, round_trip_s: float) -> None:
        """The results of a message are durable, so long after it was sent."""
        self._round_trip_s.observe(round_trip_s)

    def reconnecting(self) -> None:
        """A source was lost and is looked for again."""
        self._reconnects.inc()

    def lease(self, change: LeaseChange) -> None:
        """What happened to the lease of a stream."""
        self._leases.inc(tags={"change": change})

    def event(self, what: str, severity: str) -> None:
        """An event began, of a rule about this."""
        self._events.inc(tags={"what": what, "severity": severity})

    def open_events(self, stream: str, count: int) -> None:
        """So many events of a stream are under way."""
        with self._lock:
            if count:
                self._open[stream] = count
            else:
                self._open.pop(stream, None)
            self._events_open.set(sum(self._open.values()))

    def without(self, part: EventPart) -> None:
        """An event has none of what it was to have."""
        self._event_failures.inc(tags={"part": part})

    def looked(self, streams: int, frames: int, stream_cores: float) -> None:
        """So many streams are held, so many of their frames under way; each takes so much of a core."""
        self._held.set(streams)
        self._stream_cores.set(stream_cores)
        self._under_way.set(frames)
