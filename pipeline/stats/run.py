"""Counts the results of one run."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pipeline.quantiles import LogHistogram
from pipeline.results import Energy, FrameResult
from pipeline.stats.energy import EnergyStats, EnergySummary
from pipeline.stats.phases import Phase, Saving, cost_in_full, lacked_words, ran_in_full, saving
from pipeline.stats.predictions import PredictionStats
from pipeline.stats.savings import Savings
from pipeline.stats.scene import SceneStats


class RunStats:
    """Counts the results of one run. Memory is bounded; quantiles are within 1 %.

    Attributes:
        frames: results so far.
        warm_up: frames that ran in full because the tokenizer had no words yet.
        steady: all others.
        in_full: frames of either that cost what they would in `full`; its joules are also of what audits
            found a frame to cost so.
        savings: what audits prove of it.
        predictions: what was predicted.
        scene: what was seen beside that, where it was asked for.
        decisions: frames by the decision of a tokenizer that recalls; empty for others.
        dropped: frames that were dropped, by reason.
        audit_joules: what audits took of the energy; None before the first whose energy is known.
        last: the newest result, None before the first.
        versions: vocabulary versions seen as (first, last, how many different in a row); None without one.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Starts the clock: create it when the run begins."""
        self._clock = clock
        self._started = self._last_at = clock()
        self._energy = EnergyStats()
        self._steady_from: int | None = None
        self.frames = 0
        self.warm_up = Phase()
        self.steady = Phase()
        self.in_full = Phase()
        self.savings = Savings()
        # What frames cost in full over what they cost, of those whose energy is not final.
        self._whole_open: dict[int, float] = {}
        self.predictions = PredictionStats()
        self.scene = SceneStats()
        self.decisions: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self.last: FrameResult | None = None
        self.versions: tuple[int, int, int] | None = None
        self.audit_joules: float | None = None
        # What part of them audits are, of frames whose energy is not final.
        self._audits: dict[int, float] = {}
        self._total_ms = LogHistogram()
        self._infer_ms = LogHistogram()

    def add(self, result: FrameResult) -> None:
        """Counts a result; its energy stays open to a settled figure (`energy`)."""
        self._last_at = self._clock()
        self._count_version(result.vocab_version)
        self.frames += 1
        if self._steady_from is None and not lacked_words(result):
            self._steady_from = result.frame
        self._phase(result.frame).add(result)
        if ran_in_full(result):
            self.in_full.add(result)
        self.savings.add(result)
        if (whole := cost_in_full(result)) is not None:
            self._whole_open[result.frame] = whole
        self.predictions.add(result.prediction)
        self.scene.add(result)
        if result.decision is not None:
            self.decisions[result.decision] += 1
        self.last = result
        self.count_dropped(result.dropped)
        self._total_ms.add(result.total_ms)
        self._infer_ms.add(result.infer_ms)
        if result.fidelity is not None:
            self._audits[result.frame] = result.fidelity.cost
        self._final(self._energy.add(result.frame, result.energy))

    def energy(self, frame: int, energy: Energy) -> None:
        """Replaces the provisional figure of `frame`; where there is none (any more), nothing changes."""
        self._final(self._energy.settle(frame, energy))

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
        full = self.warm_up.tokens_full + self.steady.tokens_full
        return (self.warm_up.tokens_kept + self.steady.tokens_kept) / full if full else None

    def total_ms(self, q: float) -> float | None:
        """Quantile `q` (0..1) of the time from decoding to result, in ms; None before the first."""
        return self._total_ms.quantile(q)

    def infer_ms(self, q: float) -> float | None:
        """Quantile `q` (0..1) of the time in the model, in ms; None before the first."""
        return self._infer_ms.quantile(q)

    def energy_summary(self) -> EnergySummary:
        """Energy so far, provisional figures included."""
        return self._energy.summary()

    def saving(self) -> Saving:
        """What a steady frame saves against one of this run that ran in full."""
        return saving(self.in_full, self.steady)

    def to_dict(self) -> dict[str, Any]:
        """The object of `--json-summary`: what is unknown is null beside a `reason`."""
        last = self.last
        return {
            "stream": last and last.stream,
            "model": last and last.model,
            "weights": last and last.weights,
            "runtime": last and last.computed.runtime,
            "precision": last and last.computed.precision,
            "tokenizer": last and last.tokenizer,
            "prediction": last and last.prediction.kind,
            "frames": self.frames,
            "wall_s": round(self.wall_s, 3),
            "fps": _rounded(self.fps, 3),
            "tokens": self._tokens_dict(),
            "warm_up": self.warm_up.to_dict(),
            "steady": self.steady.to_dict(),
            "in_full": self.in_full.to_dict(),
            "saving": self.saving().to_dict(),
            "saved": self.savings.to_dict(),
            "predicted": self.predictions.to_dict(),
            **self.scene.to_dict(),
            "decisions": dict(self.decisions),
            "energy": self._energy.to_dict() | {"audit_joules": _rounded(self.audit_joules, 6)},
            "latency_ms": {
                "total": {"p50": _rounded(self.total_ms(0.5), 3), "p99": _rounded(self.total_ms(0.99), 3)},
                "infer": {"p50": _rounded(self.infer_ms(0.5), 3), "p99": _rounded(self.infer_ms(0.99), 3)},
            },
            "dropped": dict(self.dropped),
            "vocabulary": self._vocabulary_dict(),
        } | ({} if last else {"reason": "no frame was processed"})

    def _tokens_dict(self) -> dict[str, Any]:
        if self.kept_share is None:
            return {"full": None, "kept": None, "kept_share": None, "reason": "no frame was cut into patches"}
        return {
            "full": self.warm_up.tokens_full + self.steady.tokens_full,
            "kept": self.warm_up.tokens_kept + self.steady.tokens_kept,
            "kept_share": _rounded(self.kept_share, 4),
        }

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
            "warm_up_frames": self.warm_up.frames,
        }

    def _phase(self, frame: int) -> Phase:
        warming = self._steady_from is None or frame < self._steady_from
        return self.warm_up if warming else self.steady

    def _final(self, figures: Iterable[tuple[int, Energy]]) -> None:
        for frame, energy in figures:
            audit, whole = self._audits.pop(frame, 0.0), self._whole_open.pop(frame, None)
            if energy.joules is None:
                continue
            own = (1 - audit) * energy.joules
            self._phase(frame).add_joules(own)
            self.savings.energy(frame, energy.joules)
            if whole is not None:
                self.in_full.add_joules(whole * energy.joules)
            if audit:
                self.audit_joules = (self.audit_joules or 0.0) + audit * energy.joules

    def _count_version(self, version: int | None) -> None:
        if version is None:
            return
        if self.versions is None:
            self.versions = (version, version, 1)
        elif version != self.versions[1]:
            self.versions = (self.versions[0], version, self.versions[2] + 1)


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
