"""Quantiles of a stream of numbers in fixed memory."""

from __future__ import annotations

import math
from bisect import bisect_left
from itertools import accumulate

# Bucket bounds grow by this factor; see `LogHistogram` for the error that follows from it.
_GROWTH = 1.02
_LOG_GROWTH = math.log(_GROWTH)
_SMALLEST = 1e-3
_BUCKETS = math.ceil(math.log(1e9) / _LOG_GROWTH)


class LogHistogram:
    """Counts values in buckets whose bounds grow by 2 %, so that any quantile is within 1 % of its value.

    A bucket (b, 1.02 b] is represented by 2.04 b / 2.02, which is at most 1 % away from everything in it
    (Masson, Rim and Lee, "DDSketch", VLDB 2019). It covers 0.001 to 1,000,000, for milliseconds one
    microsecond to a quarter of an hour; what lies outside counts in the nearest bucket. About 8 KiB,
    however long the run.
    """

    def __init__(self) -> None:
        self._counts = [0] * _BUCKETS
        self._total = 0
        self._least = math.inf
        self._most = -math.inf

    def add(self, value: float) -> None:
        """Counts one value (0 or more)."""
        index = math.ceil(math.log(max(value, _SMALLEST) / _SMALLEST) / _LOG_GROWTH) - 1
        self._counts[min(max(index, 0), _BUCKETS - 1)] += 1
        self._total += 1
        self._least = min(self._least, value)
        self._most = max(self._most, value)

    def quantile(self, q: float) -> float | None:
        """The value that a share `q` (0..1) of all values does not exceed; None without values."""
        if not self._total:
            return None
        rank = max(math.ceil(q * self._total), 1)
        index = bisect_left(list(accumulate(self._counts)), rank)
        middle = _SMALLEST * _GROWTH**index * 2 * _GROWTH / (1 + _GROWTH)
        # The extremes are known exactly; no answer lies beyond what was ever added.
        return min(max(middle, self._least), self._most)
