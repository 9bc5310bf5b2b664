"""The time a batch was computed, and its share of the energy used in that time."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from pipeline.energy.curve import Segment
from pipeline.energy.meter import Meter
from pipeline.results import Energy


@dataclass(slots=True, eq=False)
class Span:
    """One batch in flight from `start_s` to `end_s` (monotonic seconds), and what was booked to it so far.

    Attributes:
        keys: one per frame, as the caller names them.
        shares: what part of the batch each frame is, from its FLOPs; they sum to 1.
        rate: FLOPs per second, which shares power with spans in flight at the same time.
        joules, uncertainty: booked so far.
        seconds: time booked so far; shared time counts for the part that is the span's.
        void: why the figure will be unknown; None while it can be known.
    """

    start_s: float
    end_s: float
    keys: tuple[Hashable, ...]
    shares: tuple[float, ...]
    rate: float
    joules: float = 0.0
    uncertainty: float = 0.0
    seconds: float = 0.0
    void: str | None = None
    _fraction: float = 0.0
    _slack: float = 0.0

    def book(self, segment: Segment, seconds: float, max_watts: float | None) -> None:
        """Adds the span's part of the next segment it overlaps: `seconds` of it."""
        joules, bound = segment.part(seconds, max_watts)
        fraction = seconds / segment.seconds
        edge = abs(fraction - self._fraction) * max(self._slack, segment.start_slack_joules)
        self._fraction, self._slack = fraction, segment.end_slack_joules
        self.joules += joules
        self.seconds += seconds
        self.uncertainty += bound + edge

    def energies(self, meter: Meter) -> list[Energy]:
        """The final figure of each frame, once every segment the span overlaps is booked."""
        if self.void is not None:
            return [Energy(method=meter.method, reason=self.void) for _ in self.keys]
        uncertainty = self.uncertainty + self._fraction * self._slack
        return self._split(self.joules, self.seconds, uncertainty, meter, settled=True, reason=meter.reason)

    def provisional(
        self, watts: float | None, booked_until_s: float, meter: Meter, reason: str | None = None
    ) -> list[Energy]:
        """A figure from what is booked plus `watts`, the latest known power, for the rest of the time."""
        if watts is None:
            unknown = reason or "no power is known yet: the counter has to tick twice"
            return [Energy(method=meter.method, reason=unknown) for _ in self.keys]
        rest_s = max(0.0, self.end_s - max(self.start_s, booked_until_s))
        joules, seconds = self.joules + watts * rest_s, self.seconds + rest_s
        uncertainty = None
        if meter.max_watts is not None:
            uncertainty = self.uncertainty + max(watts, meter.max_watts - watts) * rest_s
        return self._split(joules, seconds, uncertainty, meter, settled=False, reason=reason or meter.reason)

    def _split(
        self,
        joules: float,
        seconds: float,
        uncertainty: float | None,
        meter: Meter,
        *,
        settled: bool,
        reason: str | None,
    ) -> list[Energy]:
        above = None if meter.idle_watts is None else max(0.0, joules - meter.idle_watts * seconds)
        if uncertainty is not None:
            uncertainty += meter.relative_uncertainty * joules
        return [
            Energy(
                joules=joules * share,
                above_idle_joules=None if above is None else above * share,
                method=meter.method,
                settled=settled,
                uncertainty_joules=None if uncertainty is None else uncertainty * share,
                reason=reason,
            )
            for share in self.shares
        ]


def share_seconds(segment: Segment, spans: Sequence[Span]) -> list[float]:
    """How many of the segment's seconds are each span's.

    At any instant the spans in flight share it in proportion to their FLOPs per second (evenly where
    none of them computes anything). What is left of the segment's length is idle.
    """
    clipped = [(max(s.start_s, segment.start_s), min(s.end_s, segment.end_s)) for s in spans]
    cuts = sorted({t for pair in clipped for t in pair})
    seconds = [0.0] * len(spans)
    for start, end in pairwise(cuts):
        active = [i for i, (a, b) in enumerate(clipped) if a <= start and b >= end]
        total = sum(spans[i].rate for i in active)
        for i in active:
            seconds[i] += (end - start) * (spans[i].rate / total if total > 0 else 1 / len(active))
    return seconds
