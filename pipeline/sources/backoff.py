"""How long to wait before the next attempt."""

from __future__ import annotations

import random


class Backoff:
    """Exponential backoff with full jitter, so that many streams of one lost camera do not return in step.

    Each wait is uniform between 0 and a bound that starts at `initial_s` and doubles up to `cap_s`.
    """

    def __init__(self, *, initial_s: float, cap_s: float, seed: int | None = None) -> None:
        self._initial_s = initial_s
        self._cap_s = cap_s
        self._bound_s = initial_s
        self._random = random.Random(seed)

    def next_s(self) -> float:
        """The next wait in seconds."""
        wait = self._random.uniform(0.0, self._bound_s)
        self._bound_s = min(self._bound_s * 2, self._cap_s)
        return wait

    def reset(self) -> None:
        """Starts from the initial bound again."""
        self._bound_s = self._initial_s
