"""When a result or status is of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def seconds_of(seen: Mapping[str, Any]) -> float | None:
    """Seconds by which durations go: Unix time of a live source, presentation time of a file; None where
    the container gives none."""
    for key in ("at", "captured_at", "pts_s"):
        if (seconds := seen.get(key)) is not None:
            return float(seconds)
    return None


def clock_of(seen: Mapping[str, Any]) -> float | None:
    """Unix seconds; None of a file, whose frames have no time of day."""
    for key in ("at", "captured_at"):
        if (seconds := seen.get(key)) is not None:
            return float(seconds)
    return None
