"""What a run came to: counted as it goes, in memory that does not grow with its length."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.quantiles import LogHistogram
from pipeline.results import Energy, FrameResult

# Frames whose energy may be provisional at one time. Counters tick ten times a second or faster, so even at
# 1,000 frames/s a few hundred wait; past the cap the oldest provisional figure counts as it stands.
_MAX_PENDING = 4096


@dataclass(slots=True)
class _Sum:
    """A total and how many frames are in it."""

    joules: float = 0.0
    frames: int = 0

    def add(self, joules: float | None) -> None:
        if joules is not None:
            self.joules += joules
            self.frames += 1

    @property
    def mean(self) -> float | None:
        return self.joules / self.frames if self.frames else None


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergySummary:
    """The energy of a run.

    Attributes:
        joules_per_frame: mean over the frames that have a figure; None when unknown, then `reason` says why.
        above_idle_joules_per_frame: the part above idle power, mean over the frames that have that figure.
        joules: sum over the frames that have a figure; None when unknown.
        method: how it was metered; "none" without figures, "mixed" when methods changed within the run.
        frames: frames that have a figure.
        settled_share: settled frames / all frames; None before the first frame.
        reason: why a figure is null, or what to know of it (a shared device); None with nothing to say.
    """

    joules_per_frame: float | None
    above_idle_joules_per_frame: float | None
    joules: float | None
    method: str
    frames: int
    settled_share: float | None
    reason: str | None


class RunStats:
    """Counts the results of one run. Memory is bounded; quantiles are within 1 %.

    Attributes:
        frames: results so far.
        tokens_full, tokens_kept: patch tokens before and after the tokenizer, summed over frames.
        dropped: frames that were dropped, by reason.
        last: the newest result, None before the first.
        versions: vocabulary versions seen as (first, last, how many different in a row); None without one.
        warm_up_frames: results before the first vocabulary; None where no vocabulary was ever used.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Starts the clock: create it when the run begins."""
        self._clock = clock
        self._started = self._last_at = clock()
        self._pending: dict[int, Energy] = {}
        self._totals: dict[str, _Sum] = {}
        self._above_idle: dict[str, _Sum] = {}
        self._settled = 0
        self._energy_reason: str | None = None
        self.frames = 0
        self.tokens_full = 0
        self.tokens_kept = 0
        self.dropped: Counter[str] = Counter()
        self.last: FrameResult | None = None
        self.versions: tuple[int, int, int] | None = None
        self.warm_up_frames: int | None = None
        self._total_ms = LogHistogram()
        self._infer_ms = LogHistogram()

    def add(self, result: FrameResult) -> None:
        """Counts a result; its energy stays open to a settled figure (`energy`)."""
        self._last_at = self._clock()
        self._count_version(result.vocab_version)
        self.frames += 1
        if result.tokens_full is not None and result.tokens_kept is not None:
            self.tokens_full += result.tokens_full
            self.tokens_kept += result.tokens_kept
        self.last = result
        self.count_dropped(result.dropped)
        self._total_ms.add(result.total_ms)
        self._infer_ms.add(result.infer_ms)
        if result.energy.settled:
            self._count_energy(result.energy)
        else:
            self._pending[result.frame] = result.energy
            if len(self._pending) > _MAX_PENDING:
                self._count_energy(self._pending.pop(next(iter(self._pending))))

    def energy(self, frame: int, energy: Energy) -> None:
        """Replaces the provisional figure of `frame`; where there is none (any more), nothing changes."""
        if self._pending.pop(frame, None) is not None:
            self._count_energy(energy)

    def count_dropped(self, counts: Mapping[str, int]) -> None:
        """Counts frames dropped after the last result, which no result could carry."""
        for reason, count in counts.items():
            if count:
                self.dropped[reason] += count

    @property
    def wall_s(self) -> float:
        """Seconds from the start to the newest result."""
        return self._last_at - self._started

    @property
    def fps(self) -> float | None:
        """Results per second of wall time; None before the first."""
        return self.frames / self.wall_s if self.frames and self.wall_s > 0 else None

    @property
    def kept_share(self) -> float | None:
        """Patch tokens kept / patch tokens of the full grid, over all frames; None where there are none."""
        return self.tokens_kept / self.tokens_full if self.tokens_full else None

    def total_ms(self, q: float) -> float | None:
        """Quantile `q` (0..1) of the time from decoding to result, in ms; None before the first."""
        return self._total_ms.quantile(q)

    def infer_ms(self, q: float) -> float | None:
        """Quantile `q` (0..1) of the time in the model, in ms; None before the first."""
        return self._infer_ms.quantile(q)

    def energy_summary(self) -> EnergySummary:
        """Energy so far, provisional figures included. Figures of different methods are never added up."""
        totals = {k: _Sum(v.joules, v.frames) for k, v in self._totals.items()}
        above_idle = {k: _Sum(v.joules, v.frames) for k, v in self._above_idle.items()}
        reason = self._energy_reason
        for energy in self._pending.values():
            _tally(energy, totals, above_idle)
            reason = energy.reason or reason
        settled_share = self._settled / self.frames if self.frames else None
        if len(totals) == 1:
            ((method, total),) = totals.items()
            idle_mean = above_idle[method].mean if method in above_idle else None
            return EnergySummary(
                joules_per_frame=total.mean,
                above_idle_joules_per_frame=idle_mean,
                joules=total.joules,
                method=method,
                frames=total.frames,
                settled_share=settled_share,
                reason=reason,
            )
        frames = sum(t.frames for t in totals.values())
        if totals:
            parts = ", ".join(f"{t.frames} frames by {m}" for m, t in sorted(totals.items()))
            reason = f"the method changed within the run ({parts}); different methods are not added up"
        elif not self.frames:
            reason = "no frame was processed"
        else:
            reason = reason or "no frame carried an energy figure"
        return EnergySummary(
            joules_per_frame=None,
            above_idle_joules_per_frame=None,
            joules=None,
            method="mixed" if totals else "none",
            frames=frames,
            settled_share=settled_share,
            reason=reason,
        )

    def to_dict(self) -> dict[str, Any]:
        """The object of `--json-summary`: what is unknown is null beside a `reason`."""
        last = self.last
        return {
            "stream": last and last.stream,
            "model": last and last.model,
            "runtime": last and last.computed.runtime,
            "precision": last and last.computed.precision,
            "tokenizer": last and last.tokenizer,
            "prediction": last and last.prediction.kind,
            "frames": self.frames,
            "wall_s": round(self.wall_s, 3),
            "fps": _rounded(self.fps, 3),
            "tokens": self._tokens_dict(),
            "energy": self._energy_dict(),
            "latency_ms": {
                "total": {"p50": _rounded(self.total_ms(0.5), 3), "p99": _rounded(self.total_ms(0.99), 3)},
                "infer": {"p50": _rounded(self.infer_ms(0.5), 3), "p99": _rounded(self.infer_ms(0.99), 3)},
            },
            "dropped": dict(self.dropped),
            "vocabulary": self._vocabulary_dict(),
        } | ({} if last else {"reason": "no frame was processed"})

    def _tokens_dict(self) -> dict[str, Any]:
        if not self.tokens_full:
            return {"full": None, "kept": None, "kept_share": None, "reason": "no frame was cut into patches"}
        return {
            "full": self.tokens_full,
            "kept": self.tokens_kept,
            "kept_share": _rounded(self.kept_share, 4),
        }

    def _energy_dict(self) -> dict[str, Any]:
        summary = self.energy_summary()
        out: dict[str, Any] = {
            "joules_per_frame": _rounded(summary.joules_per_frame, 6),
            "above_idle_joules_per_frame": _rounded(summary.above_idle_joules_per_frame, 6),
            "joules": _rounded(summary.joules, 6),
            "method": summary.method,
            "frames": summary.frames,
            "settled_share": _rounded(summary.settled_share, 4),
        }
        if summary.reason is not None:
            out["reason"] = summary.reason
        elif summary.above_idle_joules_per_frame is None:
            out["reason"] = "the idle power of the device is not known"
        return out

    def _vocabulary_dict(self) -> dict[str, Any]:
        if self.versions is None:
            return {
                "first_version": None,
                "last_version": None,
                "versions": 0,
                "warm_up_frames": None,
                "reason": "no frame was processed with a vocabulary",
            }
        first, last, count = self.versions
        return {
            "first_version": first,
            "last_version": last,
            "versions": count,
            "warm_up_frames": self.warm_up_frames,
        }

    def _count_version(self, version: int | None) -> None:
        if version is None:
            return
        if self.versions is None:
            self.versions = (version, version, 1)
            self.warm_up_frames = self.frames
        elif version != self.versions[1]:
            self.versions = (self.versions[0], version, self.versions[2] + 1)

    def _count_energy(self, energy: Energy) -> None:
        self._settled += energy.settled
        _tally(energy, self._totals, self._above_idle)
        self._energy_reason = energy.reason or self._energy_reason


def _tally(energy: Energy, totals: dict[str, _Sum], above_idle: dict[str, _Sum]) -> None:
    if energy.joules is not None:
        totals.setdefault(energy.method, _Sum()).add(energy.joules)
    if energy.above_idle_joules is not None:
        above_idle.setdefault(energy.method, _Sum()).add(energy.above_idle_joules)


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
