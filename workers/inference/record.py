"""How one stream's results get into Redis, with what they add up to."""

from __future__ import annotations

import json
import statistics
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from pipeline.results import Energy, FrameResult
from pipeline.stats.phases import cost_in_full
from pipeline.stats.savings import Savings
from vocab.connection import RedisClient
from workers.contract.messages import FrameBatch
from workers.contract.result_log import ResultLog
from workers.contract.stream_store import StreamStore
from workers.inference.sums import Sums

# What "of late" means.
_LATE_S = 10.0
_LATE_FRAMES = 256
# A stream is degraded when more than this share of its frames was too late in so many seconds.
_LOST_SHARE, _LOST_S = 0.05, 30.0
# Frames whose energy is still to come, and figures that wait for Redis; the oldest go.
_MOST_OPEN = 16384
NOTHING: Mapping[str, Any] = MappingProxyType({})


class Pace:
    """Results per second, how late they are and what is lost, over the last few seconds."""

    def __init__(self) -> None:
        self._counts: deque[tuple[float, int]] = deque()
        self._latencies: deque[float] = deque(maxlen=_LATE_FRAMES)
        self._lost: deque[tuple[float, int, int]] = deque()

    def add(self, results: Sequence[FrameResult], now_s: float) -> None:
        """Takes in results that are durable at `now_s` (monotonic seconds)."""
        self._counts.append((now_s, len(results)))
        while self._counts[0][0] < now_s - _LATE_S:
            self._counts.popleft()
        self._latencies.extend(result.total_ms for result in results)
        self._lost.append((now_s, len(results), sum(result.dropped.get("late", 0) for result in results)))
        while self._lost[0][0] < now_s - _LOST_S:
            self._lost.popleft()

    def fields(self) -> dict[str, float | None]:
        """The fields of `StreamStatus` it is; None before there is anything to say."""
        fps = None
        if len(self._counts) > 1:
            (first_s, first), (last_s, _) = self._counts[0], self._counts[-1]
            fps = (sum(count for _, count in self._counts) - first) / max(last_s - first_s, 1.0)
        latency = statistics.median(self._latencies) if self._latencies else None
        return {
            "fps": None if fps is None else round(fps, 2),
            "latency_ms": None if latency is None else round(latency, 1),
            "lost": self._lost_share(),
        }

    def _lost_share(self) -> float | None:
        done, late = (sum(count) for count in zip(*(counts for _, *counts in self._lost), strict=True))
        share = late / (done + late)
        return round(share, 3) if share > _LOST_SHARE else None


class StreamRecord:
    """Writes the results of one stream under one fence. One call at a time.

    Every method raises StoreUnavailable when Redis cannot do it now.

    Args:
        client: of Redis.
        stream: id of the stream.
        fence: of its lease.
        kept: how many results Redis keeps.
        where: who writes, for the status.
        later: whether energies come after their results.
    """

    def __init__(
        self, client: RedisClient, stream: str, fence: int, kept: int, where: Mapping[str, Any], later: bool
    ) -> None:
        self.fence = fence
        self.used_at = time.monotonic()
        self._log = ResultLog(client, stream, kept)
        self._durable_sums = lambda: Sums.of(StreamStore(client).status(stream))
        self._sums = self._durable_sums()
        self._pace = Pace()
        self._where = dict(where)
        self._later = later
        self._savings = Savings()
        # Frames whose energy is still to come, and what they cost in full over what they cost.
        self._awaited: dict[int, float | None] = {}
        self._early: dict[int, Energy] = {}
        self._unsent: deque[str] = deque(maxlen=_MOST_OPEN)

    def append(
        self, batch: FrameBatch, results: Sequence[FrameResult], watched: Mapping[str, Any] = NOTHING
    ) -> int:
        """Makes the results of a batch durable.

        Args:
            batch, results: of the stream.
            watched: further fields of its status: what its answers are worth, and what is kept of its frames.

        Returns:
            The number of the frame after the last durable result.

        Raises:
            FencedError: a newer fence was given out.
            OutOfOrderError: results before these are missing.
        """
        self.used_at = time.monotonic()
        if self._early:
            results = [
                replace(result, energy=self._early.pop(result.frame, result.energy)) for result in results
            ]
        if batch.first > self._sums.next_frame:
            # The stream was elsewhere meanwhile.
            self._sums = self._durable_sums()
        sums, last = self._sums.plus(results), results[-1]
        fresh = [result for result in results if result.frame >= self._sums.next_frame]
        if fresh:
            self._pace.add(fresh, self.used_at)
        for result in fresh:
            self._savings.add(result)
            self._saved(result.frame, result.energy)
        status = {
            "inference": self._where,
            "weights": last.weights,
            "vocab_version": last.vocab_version,
            "pts_s": last.times.pts_s,
            "results_at": time.time(),
            **sums.fields(),
            **self._pace.fields(),
            "saving": self._savings.to_dict(),
            **watched,
            **batch.position,
        }
        lines = [result.to_json() for result in results]
        next_frame = self._log.append(batch.fence, batch.first, lines, status)
        self._sums = sums
        if self._later:
            self._awaited.update((r.frame, cost_in_full(r)) for r in fresh if r.energy.joules is None)
            _trim(self._awaited)
        return next_frame

    def settle(self, figures: Sequence[tuple[int, Energy]]) -> None:
        """Writes energies that became known after their results, and what they add up to.

        Raises:
            FencedError: a newer fence was given out.
        """
        for frame, energy in figures:
            if frame in self._awaited:
                self._sums.add(energy, self._awaited.pop(frame))
                self._saved(frame, energy)
                self._unsent.append(
                    json.dumps({"frame": frame, "energy": energy.to_dict()}, separators=(",", ":"))
                )
            elif frame >= self._sums.next_frame:
                self._early[frame] = energy
                _trim(self._early)
        if self._unsent:
            # Fenced, so that nothing is written for a stream that was removed meanwhile.
            self._log.settle(self.fence, list(self._unsent), self._sums.energy_fields())
            self._unsent.clear()

    def _saved(self, frame: int, energy: Energy) -> None:
        if energy.joules is not None:
            self._savings.energy(frame, energy.joules)


def _trim(values: dict[int, Any]) -> None:
    while len(values) > _MOST_OPEN:
        del values[next(iter(values))]
