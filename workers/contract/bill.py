"""What the frames of a stream took, day by day.

The day that runs is in the stream's status, written with its results. When the first result of another day is
written, the one before moves to the stream's bill in the same step, so no frame counts twice or for no day.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Days that are over which a stream's bill keeps; the oldest go.
DAYS_KEPT = 62


def day_of(unix_s: float) -> str:
    """The UTC day of a time, as 2026-11-26."""
    return time.strftime("%Y-%m-%d", time.gmtime(unix_s))


@dataclass(frozen=True, slots=True)
class Figures:
    """What frames took whose joules were found in one way.

    Attributes:
        frames: how many.
        joules: of all of them, audits included.
        saved_joules: what they would have cost more in full; None where that is known of none.
    """

    frames: int = 0
    joules: float = 0.0
    saved_joules: float | None = None

    def plus(self, other: Figures) -> Figures:
        """Of both; only where both are of one method."""
        saved = [one.saved_joules for one in (self, other) if one.saved_joules is not None]
        return Figures(self.frames + other.frames, self.joules + other.joules, sum(saved) if saved else None)

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"frames": self.frames, "joules": self.joules, "saved_joules": self.saved_joules}


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a bill.

    Attributes:
        day: as `day_of` has it.
        stream: id.
        method: how joules were found.
        figures: of that day.
    """

    day: str
    stream: str
    method: str
    figures: Figures


def lines_of(stream: str, days: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> list[Line]:
    """The lines of a stream, the oldest first.

    Args:
        stream: id.
        days: each to its figures by method.
    """
    return [
        Line(day, stream, method, Figures(**figures))
        for day, methods in sorted(days.items())
        for method, figures in sorted(methods.items())
    ]


def days_over(values: Mapping[bytes, bytes]) -> dict[str, dict[str, Any]]:
    """The days that are over, as the hash `StreamKeys.bill` holds them: figures by method."""
    return {day.decode(): json.loads(energy) for day, energy in values.items()}
