"""What one stream's results add up to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from pipeline.results import Energy, FrameResult
from workers.contract.stream_status import StreamStatus


@dataclass(slots=True, kw_only=True)
class Sums:
    """Sums over all durable results of a stream; the fields of `StreamStatus` of the same names.

    Joules of different methods are never added up: with another method their sums begin anew.

    Attributes:
        next_frame: number after the last of the results.
        tokens_full, tokens_kept: of models with patches.
        joules, above_idle_joules: of results whose energy is known; None before the first.
        metered_frames: how many results `joules` is of.
        energy_method: how `joules` was found; before there are any, what the results say; None before.
        dropped: frames dropped, by reason.
    """

    next_frame: int = 0
    tokens_full: int = 0
    tokens_kept: int = 0
    joules: float | None = None
    above_idle_joules: float | None = None
    metered_frames: int = 0
    energy_method: str | None = None
    dropped: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, status: StreamStatus) -> Sums:
        """Goes on where whoever ran the stream before left off."""
        known = {one.name: getattr(status, one.name) for one in fields(cls)}
        return cls(**known | {"dropped": Counter(status.dropped)})

    def plus(self, results: Sequence[FrameResult]) -> Sums:
        """The sums with results that are not durable yet; those that are already do not count again."""
        sums = replace(self, dropped=Counter(self.dropped))
        for result in results:
            if result.frame < sums.next_frame:
                continue
            sums.next_frame = result.frame + 1
            sums.tokens_full += result.tokens_full or 0
            sums.tokens_kept += result.tokens_kept or 0
            sums.add(result.energy)
            sums.dropped.update(result.dropped)
        return sums

    def add(self, energy: Energy) -> None:
        """Adds what one frame cost."""
        if energy.joules is None:
            self.energy_method = self.energy_method or energy.method
            return
        if energy.method != self.energy_method:
            self.joules, self.above_idle_joules, self.metered_frames = None, None, 0
            self.energy_method = energy.method
        self.joules = (self.joules or 0.0) + energy.joules
        self.metered_frames += 1
        if energy.above_idle_joules is not None:
            # Of a short frame it may come out below zero; a counter never falls.
            self.above_idle_joules = (self.above_idle_joules or 0.0) + max(energy.above_idle_joules, 0.0)

    def energy_fields(self) -> dict[str, Any]:
        """The fields of `StreamStatus` that energies change."""
        return {
            "joules": self.joules,
            "above_idle_joules": self.above_idle_joules,
            "metered_frames": self.metered_frames,
            "energy_method": self.energy_method,
        }

    def fields(self) -> dict[str, Any]:
        """The fields of `StreamStatus` they are."""
        return {
            "tokens_full": self.tokens_full,
            "tokens_kept": self.tokens_kept,
            "dropped": dict(self.dropped),
            **self.energy_fields(),
        }
