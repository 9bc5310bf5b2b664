"""What a stream gets of a service that has not enough for all, for statuses and people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Of one stream, over the last seconds.

    Attributes:
        priority: its weight among the others.
        gflops: 10^9 operations a second it took, audits included.
        fps: frames a second it may have at most; None for all that come.
        target, own_target: the fidelity it is held to, and the one that was asked for; None without one.
        budget: of the service: {"unit", "limit", "used"}; None without one.
    """

    priority: float
    gflops: float
    fps: float | None = None
    target: float | None = None
    own_target: float | None = None
    budget: dict[str, Any] | None = None

    @property
    def lowered(self) -> bool:
        """Whether its fidelity gives way."""
        return self.target is not None and self.own_target is not None and self.target < self.own_target

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)

    def text(self) -> str:
        """In a line for people."""
        says = [f"{self.gflops:.3g} GFLOP/s"]
        if self.fps is not None:
            says.append(f"at most {self.fps:.3g} frames/s")
        if self.lowered:
            says.append(f"holding {self.target:.3g} instead of {self.own_target:g}")
        why = "to the load" if self.budget is None else f"to the budget of {budget_text(self.budget)}"
        gives = f", giving way {why}" if self.lowered or self.fps is not None else ""
        return f"{', '.join(says)}{gives} (priority {self.priority:g})"


def budget_text(budget: Mapping[str, Any]) -> str:
    """A budget in words."""
    return f"{budget['limit']:g} {budget['unit']}"
