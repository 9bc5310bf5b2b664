"""Confidence sequences: bounds of a mean that hold at every moment at once, however often one looks.

The betting sequence of Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting"
(JRSS B, 2023), with their hedged capital and predictable plug-in bets. For every mean m that is still
possible two gamblers bet against it, one that values come out above m, one below; a mean against which they
would have multiplied their stake 1 / alpha times is given up. By Ville's inequality that befalls the true
mean, at any time ever, with a probability of at most alpha.

What is bounded is the mean of values in 0..1 that were drawn at random, and whose expectation stays the same;
where a stream changes its ways, it is what the frames so far have in common. It says nothing of a single
frame.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

# Share of streams for which a bound may be wrong at some time.
ALPHA = 0.05
# Means held for possible at first; an interval is widened by one step to either side.
_STEPS = 500
# No bet may lose more than this part of the capital.
_CAUTION = 0.5
_MEANS = np.linspace(0.0, 1.0, _STEPS + 1)
with np.errstate(divide="ignore"):
    _MOST_ABOVE, _MOST_BELOW = _CAUTION / _MEANS, _CAUTION / (1 - _MEANS)


@dataclass(frozen=True, slots=True)
class Interval:
    """What is known of a mean.

    Attributes:
        low, high: bounds.
        mean: of the values so far; None before the first.
        count: how many values there were.
    """

    low: float = 0.0
    high: float = 1.0
    mean: float | None = None
    count: int = 0

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it; bounds are there from the first value on."""
        if self.mean is None:
            return {"mean": None, "low": None, "high": None, "reason": "nothing was audited"}
        return {"mean": round(self.mean, 5), "low": round(self.low, 4), "high": round(self.high, 4)}


class MeanBound:
    """The mean of values in 0..1, bounded.

    Args:
        alpha: probability with which the bounds may ever be wrong.
    """

    def __init__(self, alpha: float = ALPHA) -> None:
        self._alpha = alpha
        self._possible = np.ones(_STEPS + 1, dtype=bool)
        # Logarithms of what each of the two has made of half a stake.
        self._above = np.full(_STEPS + 1, math.log(0.5))
        self._below = self._above.copy()
        self._count = 0
        self._sum = 0.0
        self._squares = 0.0

    def add(self, value: float) -> None:
        """Takes in a value.

        Raises:
            ValueError: it is not in 0..1.
        """
        if not 0 <= value <= 1:
            raise ValueError(f"a bounded mean takes values in 0..1, not {value}")
        bet, surprise = self._bet(), value - _MEANS
        self._above += np.log1p(np.minimum(bet, _MOST_ABOVE) * surprise)
        self._below += np.log1p(-np.minimum(bet, _MOST_BELOW) * surprise)
        self._possible &= np.maximum(self._above, self._below) < -math.log(self._alpha)
        self._count += 1
        self._sum += value
        # Deviations from the mean as it is estimated now, this value included.
        self._squares += (value - self._estimate()) ** 2

    @property
    def interval(self) -> Interval:
        """What is known now."""
        if not self._count:
            return Interval()
        mean = self._sum / self._count
        left = np.flatnonzero(self._possible)
        if len(left) == 0:
            # The values changed their ways so much that no one mean explains them.
            return Interval(0.0, 1.0, mean, self._count)
        low = _MEANS[max(left[0] - 1, 0)]
        high = _MEANS[min(left[-1] + 1, _STEPS)]
        return Interval(float(low), float(high), mean, self._count)

    def _estimate(self) -> float:
        return (0.5 + self._sum) / (self._count + 1)

    def _bet(self) -> float:
        """The predictable plug-in of the paper, by the variance of the values before."""
        variance = (0.25 + self._squares) / (self._count + 1)
        turn = self._count + 1
        return math.sqrt(2 * math.log(2 / self._alpha) / (variance * turn * math.log(turn + 1)))


class RecentBound:
    """The mean of late: of values no older than a period, and of at least half of one once that much has
    passed.

    Two sequences, begun half a period apart; the older one is told, and ends when it is a period old. Each of
    them holds by itself.

    Args:
        period_s: seconds.
        alpha: see `MeanBound`.
    """

    def __init__(self, period_s: float, alpha: float = ALPHA) -> None:
        self._half_s = period_s / 2
        self._alpha = alpha
        self._sequences: list[tuple[float, MeanBound]] = []

    def add(self, value: float, now_s: float) -> None:
        """Takes in a value.

        Args:
            value: 0..1.
            now_s: by any clock that does not go back.
        """
        self._renew(now_s)
        for _, sequence in self._sequences:
            sequence.add(value)

    def interval(self, now_s: float) -> Interval:
        """What is known of late."""
        self._renew(now_s)
        return self._sequences[0][1].interval

    def _renew(self, now_s: float) -> None:
        if not self._sequences or now_s - self._sequences[-1][0] >= self._half_s:
            self._sequences.append((now_s, MeanBound(self._alpha)))
        while now_s - self._sequences[0][0] >= 2 * self._half_s:
            del self._sequences[0]
