"""The energy of a run: figures of different methods are never added up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipeline.results import Energy

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


class EnergyStats:
    """Sums up the energy of frames, which may settle late. Memory is bounded."""

    def __init__(self) -> None:
        self._pending: dict[int, Energy] = {}
        self._totals: dict[str, _Sum] = {}
        self._above_idle: dict[str, _Sum] = {}
        self._frames = 0
        self._settled = 0
        self._reason: str | None = None

    def add(self, frame: int, energy: Energy) -> list[tuple[int, Energy]]:
        """Counts a frame's figure; a provisional one stays open (`settle`).

        Returns:
            What became final by it: frames and their figures.
        """
        self._frames += 1
        if energy.settled:
            return [self._count(frame, energy)]
        self._pending[frame] = energy
        if len(self._pending) <= _MAX_PENDING:
            return []
        oldest = next(iter(self._pending))
        return [self._count(oldest, self._pending.pop(oldest))]

    def settle(self, frame: int, energy: Energy) -> list[tuple[int, Energy]]:
        """Replaces the provisional figure of a frame; where there is none (any more), nothing changes."""
        return [] if self._pending.pop(frame, None) is None else [self._count(frame, energy)]

    def summary(self) -> EnergySummary:
        """Energy so far, provisional figures included. Figures of different methods are never added up."""
        totals = {k: _Sum(v.joules, v.frames) for k, v in self._totals.items()}
        above_idle = {k: _Sum(v.joules, v.frames) for k, v in self._above_idle.items()}
        reason = self._reason
        for energy in self._pending.values():
            _tally(energy, totals, above_idle)
            reason = energy.reason or reason
        settled_share = self._settled / self._frames if self._frames else None
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
        elif not self._frames:
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
        """What a JSON summary says of it: what is unknown is null beside a `reason`."""
        summary = self.summary()
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

    def _count(self, frame: int, energy: Energy) -> tuple[int, Energy]:
        self._settled += energy.settled
        _tally(energy, self._totals, self._above_idle)
        self._reason = energy.reason or self._reason
        return frame, energy


def _tally(energy: Energy, totals: dict[str, _Sum], above_idle: dict[str, _Sum]) -> None:
    if energy.joules is not None:
        totals.setdefault(energy.method, _Sum()).add(energy.joules)
    if energy.above_idle_joules is not None:
        above_idle.setdefault(energy.method, _Sum()).add(energy.above_idle_joules)


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
