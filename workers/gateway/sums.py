"""All streams together, for metrics: what they come to, and which of them something is wrong with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from workers.contract.sink_offsets import SinkOffset
from workers.contract.stream_spec import StreamSpec
from workers.contract.stream_status import StreamStatus

# As alerts have it, see deploy/prometheus/rules.yml.
_QUIET_S = 60.0
_MISSED = 0.05
_LAG = 1000
WRONGS = ("state", "quiet", "lost", "target", "sink")


@dataclass(frozen=True, slots=True)
class Seen:
    """A stream as one look found it.

    Attributes:
        spec: what it is asked to be.
        status: what it is doing.
        sinks: how far each sink has come that was tried, by name.
    """

    spec: StreamSpec
    status: StreamStatus
    sinks: Mapping[str, SinkOffset] = field(default_factory=dict)

    def lags(self) -> dict[str, int]:
        """Results that wait for each sink."""
        return {name: max(self.status.next_frame - at.frames, 0) for name, at in self.sinks.items()}

    def wrong(self, now: float) -> Iterator[str]:
        """What is wrong with it, of `WRONGS`.

        Args:
            now: Unix seconds.
        """
        status = self.status
        if status.state not in ("running", "paused", "ended"):
            yield "state"
        if status.state == "running":
            if now - max(status.results_at or 0.0, status.since) > _QUIET_S:
                yield "quiet"
            if status.lost:
                yield "lost"
        missed = None if status.fidelity is None else status.fidelity["missed_hour"]["low"]
        if (missed or 0.0) > _MISSED or (status.guard is not None and status.guard["state"] == "unable"):
            yield "target"
        if any(lag > _LAG for lag in self.lags().values()):
            yield "sink"


@dataclass(frozen=True, slots=True)
class Sums:
    """What streams come to.

    They are gauges, not sums of counters: a stream that is removed takes its counts along, and a counter that
    falls is taken for one that began anew.

    Attributes:
        fps: results per second of late.
        latency_ms: mean of those that run; None while none does.
        kept: tokens kept over those of the full grid, since each began; None before the first.
        lag: results that wait for sinks.
        wrong: how many something is wrong with, by what.
    """

    fps: float
    latency_ms: float | None
    kept: float | None
    lag: int
    wrong: dict[str, int]

    @classmethod
    def of(cls, streams: Iterable[Seen], now: float) -> Sums:
        """Adds streams up; `now` is Unix seconds."""
        seen = list(streams)
        statuses = [one.status for one in seen]
        latencies = [status.latency_ms for status in statuses if status.latency_ms is not None]
        full = sum(status.tokens_full for status in statuses)
        wrong = dict.fromkeys(WRONGS, 0)
        for what in (what for one in seen for what in one.wrong(now)):
            wrong[what] += 1
        return cls(
            fps=sum(status.fps or 0.0 for status in statuses),
            latency_ms=sum(latencies) / len(latencies) if latencies else None,
            kept=sum(status.tokens_kept for status in statuses) / full if full else None,
            lag=sum(sum(one.lags().values()) for one in seen),
            wrong=wrong,
        )


def told(streams: list[Seen], most: int, now: float) -> list[Seen]:
    """Those with metrics of their own: all, or of more than `most` those that something is wrong with."""
    if len(streams) <= most:
        return streams
    return [one for one in sorted(streams, key=lambda one: one.spec.id) if any(one.wrong(now))][:most]
