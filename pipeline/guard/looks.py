"""Looks beside the audits: what these leave of their budget shows a guard more answers.

They are evidence of their own. A look is drawn at random too, but how many there are depends on what was
found before: a stream that misses is looked at more. A mean over them would lean to the times when it misses,
so the bounds, and all that is proven, are of the audits alone, whose share never changes; looks only steer.
"""

from __future__ import annotations

import numpy as np

# Share of the frames that are looked at where the budget allows it: as a rule, and of a stream that is young
# or alarmed.
_USUAL, _OFTEN = 0.1, 0.25
# So many frames is a stream young, and may spend so many full runs in advance.
_YOUNG, _ADVANCE = 100, 4.0
# How many times its share an alarmed stream may spend.
_ALARMED = 2.0


class Looks:
    """When the frames of one stream are looked at, within a budget that its audits come out of as well.

    Args:
        share: of the operations of `full` that may be spent, twice that while alarmed.
        seed: of the draws; those of `Draw` with the same one are independent of them.
    """

    def __init__(self, share: float, seed: int) -> None:
        self._share = share
        self._random = np.random.default_rng([seed, 1])
        self._frames = 0
        # Full runs that may be spent; none are saved up beyond the advance.
        self._credit = _ADVANCE

    def of(self, count: int, alarmed: bool) -> int | None:
        """Which of the next frames is looked at; None for none.

        Args:
            count: of the frames.
            alarmed: whether the stream missed of late.
        """
        rate = _OFTEN if alarmed or self._frames < _YOUNG else _USUAL
        drawn = np.flatnonzero(self._random.random(count) < rate)
        self._frames += count
        earned = count * self._share * (_ALARMED if alarmed else 1)
        self._credit = min(self._credit + earned, _ADVANCE)
        # No look takes more than a full run.
        return int(drawn[0]) if len(drawn) and self._credit >= 1 else None

    def took(self, share: float) -> None:
        """Counts what a check of any kind took, as a share of a full run."""
        self._credit -= share
