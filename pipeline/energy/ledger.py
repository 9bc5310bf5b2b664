"""The ledger: splits what a meter counted among the frames computed meanwhile, and loses nothing.

A sampler thread reads the counter; recording a batch never does (except for meters that are always
up to date, where one read is cheap and settles the batch at once). Segments of the energy curve are booked in
order: each to the spans in flight during it, the rest to idle. A segment waits until every batch of its time
can be expected to be recorded; a batch is settled when the last segment it overlaps is booked.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Self

from pipeline.energy.curve import EnergyCurve, Segment
from pipeline.energy.meter import Meter, ReadError
from pipeline.energy.span import Span, share_seconds
from pipeline.results import Energy

# Batches whose duration says how long the next may take.
_RECENT = 16


@dataclass(frozen=True, slots=True)
class LedgerTotals:
    """Where the energy went: frames + idle + unattributed = counter.

    Attributes:
        frames_joules: settled figures of frames.
        idle_joules: while no batch was in flight.
        unattributed_joules: what cannot be given to a frame: before the first counter edge, around failed
            readings, of batches without a settled figure; before a `flush` also what waits for an edge.
        counter_joules: what the counter counted since the first reading.
        span_s: seconds from the first to the last reading.
        settled_frames, unsettled_frames: frames with and without a settled figure (those waiting excluded).
        method: "nvml", "rapl", "estimate" or "none".
        reason: why figures are null, shared or incomplete; None when there is nothing to say.

    All joules are None without a meter.
    """

    frames_joules: float | None
    idle_joules: float | None
    unattributed_joules: float | None
    counter_joules: float | None
    span_s: float
    settled_frames: int
    unsettled_frames: int
    method: str
    reason: str | None


class Ledger:
    """Energy per frame from one meter. Safe from any thread; replicas on one device share one ledger.

    Args:
        meter: what counts the energy; not closed by the ledger.
        clock: monotonic seconds; the time base of the spans recorded.
        lateness_s: how long after it began a batch may be recorded and still get its share, where recent
            batches did not take half as long or longer. Not used with meters that are up to date: there
            batches are recorded in the order they end and do not overlap.
        max_segments: segments kept waiting for late batches; beyond that the oldest are booked.
        max_unread: settled figures kept for `settled()`; beyond that the oldest are forgotten.
    """

    def __init__(
        self,
        meter: Meter,
        clock: Callable[[], float] = time.monotonic,
        *,
        lateness_s: float = 0.4,
        max_segments: int = 4096,
        max_unread: int = 65536,
    ) -> None:
        self.meter = meter
        self._clock = clock
        self._lateness_s = lateness_s
        self._max_segments = max_segments
        self._curve = EnergyCurve(up_to_date=meter.up_to_date, tick_s=meter.tick_s, max_watts=meter.max_watts)
        self._lock = threading.Lock()
        self._spans: list[Span] = []
        self._unread: deque[tuple[Hashable, Energy]] = deque(maxlen=max_unread)
        self._booked_until_s = -math.inf
        self._latest_end_s = -math.inf
        self._recent_s: deque[float] = deque(maxlen=_RECENT)
        self._frames_joules = 0.0
        self._idle_joules = 0.0
        self._unattributed_joules = 0.0
        self._settled_frames = 0
        self._unsettled_frames = 0
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Reads the counter once, then keeps reading it in a thread. Does nothing when already started."""
        if self.meter.method == "none" or self._thread is not None:
            return
        self.poll()
        self._stopping.clear()
        self._thread = threading.Thread(target=self._sample, name="vwt-energy", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the sampler thread; figures and totals remain. Call `flush` before, to settle the last."""
        if self._thread is not None:
            self._stopping.set()
            self._thread.join()
            self._thread = None

    def poll(self) -> None:
        """Reads the counter once and books what has become certain."""
        self._read()
        with self._lock:
            self._deliver(self._book(self._horizon_s()))

    def record(
        self, start_s: float, end_s: float, weights: Sequence[float], keys: Sequence[Hashable]
    ) -> list[Energy]:
        """Records a batch and says what is known of its energy by now.

        Args:
            start_s, end_s: when the device computed it, in seconds of the ledger's clock.
            weights: what each frame cost, in FLOPs; if all are 0 the batch is split evenly.
            keys: names the frames in `settled()`.

        Returns:
            One figure per frame. With a meter that is up to date it is settled, and final. Else it is
            provisional, and the final one, settled or null with a reason, comes through `settled()` under the
            frame's key.

        Raises:
            ValueError: the span or the weights cannot be right.
        """
        if not (math.isfinite(start_s) and math.isfinite(end_s) and start_s < end_s):
            raise ValueError(f"a batch cannot run from {start_s} to {end_s} s: it must end after it starts")
        if len(weights) == 0 or len(weights) != len(keys):
            raise ValueError(f"a batch needs one weight per key, not {len(weights)} for {len(keys)}")
        total = math.fsum(weights)
        if not math.isfinite(total) or min(weights) < 0:
            raise ValueError(f"weights are FLOPs, finite and not below 0, not {list(weights)}")
        if self.meter.method == "none":
            return [Energy(method="none", reason=self.meter.reason) for _ in keys]
        shares = [w / total for w in weights] if total > 0 else [1 / len(keys)] * len(keys)
        span = Span(start_s, end_s, tuple(keys), tuple(shares), rate=total / (end_s - start_s))
        if self.meter.up_to_date:
            self._read()
        with self._lock:
            if start_s < self._booked_until_s:
                span.void = "recorded too late: the energy of its time was already booked"
            self._spans.append(span)
            self._latest_end_s = max(self._latest_end_s, end_s)
            self._recent_s.append(self._clock() - start_s)
            finished = self._book(self._horizon_s())
            self._deliver([s for s in finished if s is not span or s.void is not None])
            if span.void is not None or span in finished:
                return span.energies(self.meter)
            return span.provisional(self._curve.watts, self._booked_until_s, self.meter)

    def settled(self) -> list[tuple[Hashable, Energy]]:
        """Takes the final figures that have come in since the last call, oldest first."""
        with self._lock:
            out = list(self._unread)
            self._unread.clear()
            return out

    def flush(self, timeout_s: float = 0.5) -> None:
        """Settles what was recorded so far, waiting up to `timeout_s` for the counter to tick once more.

        Call it when no batch is in flight: all energy up to now is booked, so one recorded later for that
        time would come too late. What no edge bounds by then is handed out through `settled()` as
        provisional, with the reason.
        """
        interval_s = self.meter.poll_interval_s
        for attempt in range(1 + math.ceil(timeout_s / interval_s)):
            with self._lock:
                self._deliver(self._book(math.inf))
                if not self._spans:
                    return
            if attempt:
                time.sleep(interval_s)
            self._read()
        reason = f"not settled: the counter did not tick within {timeout_s:g} s after the batch"
        with self._lock:
            self._deliver(self._book(math.inf))
            for span in self._spans:
                self._unattributed_joules += span.joules
                self._unsettled_frames += len(span.keys)
                energies = (
                    span.energies(self.meter)
                    if span.void is not None
                    else span.provisional(self._curve.watts, self._booked_until_s, self.meter, reason)
                )
                self._unread.extend(zip(span.keys, energies, strict=True))
            self._spans.clear()

    def totals(self) -> LedgerTotals:
        """Where the energy went so far."""
        with self._lock:
            curve = self._curve
            waiting = sum(s.joules for s in self._spans) + sum(s.joules for s in curve.segments)
            known = self.meter.method != "none" and curve.last_s is not None
            span_s = 0.0 if curve.last_s is None or curve.start_s is None else curve.last_s - curve.start_s
            reasons = (self.meter.reason, curve.trouble)
            return LedgerTotals(
                frames_joules=self._frames_joules if known else None,
                idle_joules=self._idle_joules if known else None,
                unattributed_joules=(
                    self._unattributed_joules + waiting + curve.open_joules if known else None
                ),
                counter_joules=curve.joules if known else None,
                span_s=span_s,
                settled_frames=self._settled_frames,
                unsettled_frames=self._unsettled_frames,
                method=self.meter.method,
                reason="; ".join(r for r in reasons if r) or None,
            )

    def watts(self) -> float | None:
        """The latest power known; None before the counter ticked twice."""
        with self._lock:
            return self._curve.watts

    def _sample(self) -> None:
        while not self._stopping.wait(self.meter.poll_interval_s):
            self.poll()

    def _read(self) -> None:
        # Outside the lock: a driver may take milliseconds, and `record` must not wait for it.
        try:
            reading = self.meter.read()
        except ReadError as error:
            with self._lock:
                self._curve.fail(self._clock(), str(error))
        else:
            with self._lock:
                self._curve.add(reading)

    def _horizon_s(self) -> float:
        """No batch that starts before this moment is expected any more."""
        if self.meter.up_to_date:
            return self._latest_end_s
        # Until the first batch nobody knows how long batches take, and the first is the slowest.
        if not self._recent_s:
            return -math.inf
        usual_s = 2 * max(self._recent_s)
        # While batches come in, their ends show how far things are, however long one of them takes.
        return max(self._latest_end_s - usual_s, self._clock() - max(self._lateness_s, usual_s))

    def _book(self, horizon_s: float) -> list[Span]:
        """Books the segments before the horizon; returns the spans this finished."""
        segments, max_watts = self._curve.segments, self.meter.max_watts
        while segments and (segments[0].end_s <= horizon_s or len(segments) > self._max_segments):
            self._book_segment(segments.popleft())
        if self.meter.up_to_date and segments and segments[0].start_s < horizon_s:
            # The next batch may already be running: what comes after the horizon stays open for it.
            before, after = segments.popleft().split(horizon_s, max_watts)
            segments.appendleft(after)
            self._book_segment(before)
        finished = [s for s in self._spans if s.end_s <= self._booked_until_s]
        if finished:
            self._spans = [s for s in self._spans if s.end_s > self._booked_until_s]
        for span in finished:
            self._finish(span)
        return finished

    def _book_segment(self, segment: Segment) -> None:
        spans = [s for s in self._spans if s.start_s < segment.end_s and s.end_s > segment.start_s]
        self._booked_until_s = segment.end_s
        if segment.broken is not None:
            self._unattributed_joules += segment.joules
            for span in spans:
                span.void = span.void or segment.broken
            return
        claims = share_seconds(segment, spans)
        for span, seconds in zip(spans, claims, strict=True):
            span.book(segment, seconds, self.meter.max_watts)
        self._idle_joules += segment.part(segment.seconds - sum(claims), None)[0]

    def _finish(self, span: Span) -> None:
        if self._curve.start_s is not None and span.start_s < self._curve.start_s:
            span.void = "began before the meter was started"
        if span.void is None:
            self._frames_joules += span.joules
            self._settled_frames += len(span.keys)
        else:
            self._unattributed_joules += span.joules
            self._unsettled_frames += len(span.keys)

    def _deliver(self, finished: Sequence[Span]) -> None:
        for span in finished:
            self._unread.extend(zip(span.keys, span.energies(self.meter), strict=True))
