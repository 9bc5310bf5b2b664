"""From counter readings to energy over time: edges, the straight lines between them, and error bounds.

A counter such as NVML's stands still for 10 to 100 ms and then jumps. Its value is true only at the
moment it changes: an edge. Between two edges the energy is known as a whole and not how it was spread,
so E(t) is drawn as a straight line and every part taken of it carries a bound:

- A part of d seconds of a segment (T seconds, J joules) is between max(0, J - P(T - d)) and min(J, P d),
  where P is more than the device can draw (`max_watts`), and unlimited when that is unknown.
- The edge itself lies somewhere between the reading that shows the change and the one before: half that
  time, at the mean power around it, is the edge's slack. It cancels for a span that covers both sides.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from pipeline.energy.meter import Reading


@dataclass(frozen=True, slots=True)
class Segment:
    """The energy between two edges.

    Attributes:
        start_s, end_s: monotonic seconds of the two edges.
        joules: energy used between them.
        start_slack_joules, end_slack_joules: energy that may lie on the other side of the edge.
        broken: why the segment cannot be trusted for attribution; None for a good one.
    """

    start_s: float
    end_s: float
    joules: float
    start_slack_joules: float = 0.0
    end_slack_joules: float = 0.0
    broken: str | None = None

    @property
    def seconds(self) -> float:
        """Length in seconds, above 0."""
        return self.end_s - self.start_s

    @property
    def watts(self) -> float:
        """Mean power."""
        return self.joules / self.seconds

    def part(self, seconds: float, max_watts: float | None) -> tuple[float, float]:
        """Energy of `seconds` somewhere in the segment: (joules, half-width of its bound), slack excluded."""
        joules = self.joules * seconds / self.seconds
        rest = self.seconds - seconds
        if seconds <= 0 or rest <= 1e-9 * self.seconds:
            return joules, 0.0
        if max_watts is None:
            return joules, max(joules, self.joules - joules)
        peak = max(max_watts, self.watts)
        high = min(self.joules, peak * seconds)
        low = max(0.0, self.joules - peak * rest)
        return joules, max(high - joules, joules - low)

    def split(self, at_s: float, max_watts: float | None) -> tuple[Segment, Segment]:
        """Cuts at a moment inside; the new edge's slack is the bound of the part before it."""
        joules, slack = self.part(at_s - self.start_s, max_watts)
        left = Segment(self.start_s, at_s, joules, self.start_slack_joules, slack, self.broken)
        rest = self.joules - joules
        return left, Segment(at_s, self.end_s, rest, slack, self.end_slack_joules, self.broken)


class EnergyCurve:
    """Piecewise-linear E(t) of one counter.

    Segments are contiguous in time from the first reading on. What cannot be trusted (before the first
    edge, around a failed reading or a reset, while the counter stands still) is a broken segment.

    Args:
        up_to_date: every reading is an edge (see `Meter.up_to_date`).
        tick_s: see `Meter.tick_s`.
        max_watts: see `Meter.max_watts`.
        stall_s: a counter without a change for so long is taken for stuck.

    Attributes:
        segments: those not discarded, oldest first.
        start_s: time of the first reading; None before it.
        joules: what the counter has counted since the first reading, resets excluded.
        trouble: the last thing that broke a segment after the first edge; None if nothing did.
    """

    def __init__(
        self,
        *,
        up_to_date: bool = False,
        tick_s: float | None = None,
        max_watts: float | None = None,
        stall_s: float = 5.0,
    ) -> None:
        self.segments: deque[Segment] = deque()
        self.start_s: float | None = None
        self.joules = 0.0
        self.trouble: str | None = None
        self._up_to_date = up_to_date
        self._tick_s = tick_s
        self._max_watts = max_watts
        self._stall_s = stall_s
        self._last: Reading | None = None
        self._after_failure = False
        self._edge_s = 0.0
        self._edge_slack_s = 0.0
        self._edge_joules = 0.0
        self._broken: str | None = None
        self._watts: float | None = None

    @property
    def last_s(self) -> float | None:
        """Time of the last reading; None before the first."""
        return None if self._last is None else self._last.t_s

    @property
    def watts(self) -> float | None:
        """Mean power of the newest good segment; None before there is one."""
        return self._watts

    @property
    def open_joules(self) -> float:
        """Counted since the last edge, so in no segment yet."""
        return self.joules - self._edge_joules

    def add(self, reading: Reading) -> None:
        """Takes the next reading; one that is not newer than the last is ignored."""
        last, after_failure = self._last, self._after_failure
        if last is not None and reading.t_s <= last.t_s:
            return
        self._last, self._after_failure = reading, False
        if last is None:
            if self.start_s is None:
                self._begin(reading.t_s, None if self._up_to_date else "the counter had not ticked yet")
            elif self._up_to_date:
                self._edge(reading.t_s, 0.0)
            return
        if reading.joules < last.joules:
            self._break("the counter was reset")
            after_failure = True
        step = max(reading.joules - last.joules, 0.0)
        self.joules += step
        if self._up_to_date:
            self._edge(reading.t_s, 0.0)
        elif step > 0 and not after_failure:
            window = reading.t_s - last.t_s
            if self._tick_s is not None:
                window = min(window, self._tick_s)
            self._edge(reading.t_s - window / 2, window / 2)
        else:
            self._stall(reading.t_s, self._broken or f"the counter stood still for {self._stall_s:g} s")

    def fail(self, t_s: float, why: str) -> None:
        """Notes that the counter could not be read at `t_s`."""
        if self.start_s is None:
            self._begin(t_s, why)
        self._after_failure = True
        self._break(why)
        self._stall(t_s, why)

    def energy_between(self, start_s: float, end_s: float) -> tuple[float, float] | None:
        """Energy of a span: (joules, half-width of its bound); None where edges do not bound it.

        Only segments not yet discarded count.
        """
        if not self.segments or start_s < self.segments[0].start_s or end_s > self.segments[-1].end_s:
            return None
        joules = uncertainty = fraction = slack = 0.0
        for segment in self.segments:
            seconds = min(end_s, segment.end_s) - max(start_s, segment.start_s)
            if seconds <= 0:
                continue
            if segment.broken is not None:
                return None
            part, bound = segment.part(seconds, self._max_watts)
            edge = abs(seconds / segment.seconds - fraction) * max(slack, segment.start_slack_joules)
            fraction, slack = seconds / segment.seconds, segment.end_slack_joules
            joules += part
            uncertainty += bound + edge
        return joules, uncertainty + fraction * slack

    def _begin(self, t_s: float, broken: str | None) -> None:
        self.start_s = self._edge_s = t_s
        self._broken = broken

    def _break(self, why: str) -> None:
        self._broken = self.trouble = why

    def _stall(self, t_s: float, why: str) -> None:
        # Without this, what waits for the next edge would wait for ever, and pile up.
        if t_s - self._edge_s > self._stall_s:
            self._break(why)
            self._edge(t_s, 0.0)
            self._broken = why

    def _edge(self, t_s: float, slack_s: float) -> None:
        seconds, joules = t_s - self._edge_s, self.open_joules
        if seconds <= 0:
            return
        watts = joules / seconds
        slacks = self._edge_slack_s * watts, slack_s * watts
        self.segments.append(Segment(self._edge_s, t_s, joules, *slacks, broken=self._broken))
        if self._broken is None:
            self._watts = watts
        self._edge_s, self._edge_slack_s, self._edge_joules = t_s, slack_s, self.joules
        self._broken = None
