"""What one stream's results add up to."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from pipeline.results import Energy, FrameResult
from pipeline.stats.phases import cost_in_full, lacked_words
from workers.contract.bill import Figures, day_of
from workers.contract.stream_status import StreamStatus

# Frames in full whose joules are kept, to measure the others against.
_FULL_KEPT = 32


@dataclass(slots=True, kw_only=True)
class Sums:
    """Sums over all durable results of a stream; the fields of `StreamStatus` of the same names.

    Joules of different methods are never added up: with another method their sums begin anew.

    Attributes:
        next_frame: number after the last of the results.
        tokens_full, tokens_kept: of models with patches.
        warm_up_frames, warm_up_tokens: results that ran in full for lack of words, and their patch tokens.
        decisions: results by how a tokenizer that recalls decided.
        full_joules: what the latest results cost in full of which that is known, by audits or as they ran so.
        full_of: model and input that those are of; with another they begin anew.
        saved_joules: what the metered results would have cost more in full, by the median of `full_joules`
            when each became known; None before there was one.
        joules, above_idle_joules: of results whose energy is known; None before the first.
        metered_frames: how many results `joules` is of.
        day, day_energy: see `StreamStatus`.
        energy_method: how `joules` was found; before there are any, what the results say; None before.
        dropped: frames dropped, by reason.
    """

    next_frame: int = 0
    tokens_full: int = 0
    tokens_kept: int = 0
    warm_up_frames: int = 0
    warm_up_tokens: int = 0
    decisions: Counter[str] = field(default_factory=Counter)
    joules: float | None = None
    above_idle_joules: float | None = None
    metered_frames: int = 0
    energy_method: str | None = None
    day: str | None = None
    day_energy: dict[str, dict[str, Any]] = field(default_factory=dict)
    full_joules: list[float] = field(default_factory=list)
    full_of: str | None = None
    saved_joules: float | None = None
    dropped: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, status: StreamStatus) -> Sums:
        """Goes on where whoever ran the stream before left off."""
        known = {one.name: getattr(status, one.name) for one in fields(cls)}
        return cls(**known)._apart()

    def plus(self, results: Sequence[FrameResult], day: str | None = None) -> Sums:
        """The sums with results that are not durable yet; those that are already do not count again.

        Args:
            results: of the stream.
            day: that they count to, as `bill.day_of` has it; None for today.
        """
        sums = self._apart()
        for result in results:
            if result.frame < sums.next_frame:
                continue
            sums.next_frame = result.frame + 1
            sums.tokens_full += result.tokens_full or 0
            sums.tokens_kept += result.tokens_kept or 0
            if lacked_words(result):
                sums.warm_up_frames += 1
                sums.warm_up_tokens += result.tokens_full or 0
            if result.decision is not None:
                sums.decisions[result.decision] += 1
            sums.look_at(result)
            sums.add(result.energy, cost_in_full(result), day)
            sums.dropped.update(result.dropped)
        return sums

    def look_at(self, result: FrameResult) -> None:
        """Forgets what frames cost in full where this one's model or input is another."""
        runtime, precision = result.computed
        now = f"{result.model} {runtime} {precision} {result.tokens_full}"
        if now != self.full_of:
            self.full_of = now
            self.full_joules.clear()

    def add(self, energy: Energy, whole: float | None = None, day: str | None = None) -> None:
        """Adds what one frame cost.

        Args:
            energy: of the frame.
            whole: what it costs in full over what it cost, see `cost_in_full`.
            day: that it counts to, see `plus`.
        """
        if energy.joules is None:
            self.energy_method = self.energy_method or energy.method
            return
        if energy.method != self.energy_method:
            self.joules, self.above_idle_joules, self.metered_frames = None, None, 0
            self.saved_joules = None
            self.full_joules.clear()
            self.energy_method = energy.method
        self.joules = (self.joules or 0.0) + energy.joules
        self.metered_frames += 1
        if whole is not None:
            self.full_joules = [*self.full_joules, whole * energy.joules][-_FULL_KEPT:]
        saved = None
        if self.full_joules:
            saved = statistics.median(self.full_joules) - energy.joules
            self.saved_joules = (self.saved_joules or 0.0) + saved
        self._bill(Figures(1, energy.joules, saved), energy.method, day or day_of(time.time()))
        if energy.above_idle_joules is not None:
            # Of a short frame it may come out below zero; a counter never falls.
            self.above_idle_joules = (self.above_idle_joules or 0.0) + max(energy.above_idle_joules, 0.0)

    def _bill(self, figures: Figures, method: str, day: str) -> None:
        # The clock of another machine may be behind; a day that is over stays so.
        if self.day is None or day > self.day:
            self.day, self.day_energy = day, {}
        before = Figures(**self.day_energy.get(method, {}))
        self.day_energy[method] = before.plus(figures).to_dict()

    def energy_fields(self) -> dict[str, Any]:
        """The fields of `StreamStatus` that energies change."""
        return {
            "joules": self.joules,
            "above_idle_joules": self.above_idle_joules,
            "metered_frames": self.metered_frames,
            "energy_method": self.energy_method,
            "day": self.day,
            "day_energy": dict(self.day_energy),
            "full_joules": list(self.full_joules),
            "saved_joules": self.saved_joules,
        }

    def fields(self) -> dict[str, Any]:
        """The fields of `StreamStatus` they are."""
        return {
            "tokens_full": self.tokens_full,
            "tokens_kept": self.tokens_kept,
            "warm_up_frames": self.warm_up_frames,
            "warm_up_tokens": self.warm_up_tokens,
            "decisions": dict(self.decisions),
            "full_of": self.full_of,
            "dropped": dict(self.dropped),
            **self.energy_fields(),
        }

    def _apart(self) -> Sums:
        """A copy that shares nothing."""
        return replace(
            self,
            decisions=Counter(self.decisions),
            dropped=Counter(self.dropped),
            day_energy=dict(self.day_energy),
            full_joules=list(self.full_joules),
        )
