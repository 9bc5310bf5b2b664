"""Shares something scarce out: water-filling."""

from __future__ import annotations

from collections.abc import Mapping


def fill(limit: float, wanted: Mapping[str, float], weights: Mapping[str, float]) -> dict[str, float]:
    """What each gets of a limit: what it wants, or the same per weight as all others that get less.

    Args:
        limit: of the sum.
        wanted: by name; infinite for one that takes whatever there is.
        weights: by name, above 0.

    Returns:
        By name; where all that is wanted is less than the limit, just that.
    """
    got: dict[str, float] = {}
    left, heavy = limit, sum(weights[name] for name in wanted)
    # Who wants least per weight first: what it leaves raises the level of the others.
    for name in sorted(wanted, key=lambda name: wanted[name] / weights[name]):
        share = left * weights[name] / heavy if heavy > 0 else 0.0
        got[name] = min(wanted[name], max(share, 0.0))
        left, heavy = left - got[name], heavy - weights[name]
    return got
