"""Metrics of an Ingest replica, through Ray; they come out at the metrics port of its node."""

from __future__ import annotations

from typing import Literal

from ray.util.metrics import Counter, Gauge

from workers.telemetry.metrics import DECODE, HELD, LEASES, RECONNECTS, ROUND_TRIP, UNDER_WAY, histogram

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

    def looked(self, streams: int, frames: int) -> None:
        """So many streams are held, and so many of their frames under way."""
        self._held.set(streams)
        self._under_way.set(frames)
