"""How well a vocabulary covers patches, and whether that has got worse: drift, measured without labels."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch

from vocab.words import Vocabulary


@dataclass(frozen=True, slots=True)
class Coverage:
    """What a vocabulary does with some patches.

    Attributes:
        matched: share of the patches that are near a word.
        distance: mean cosine distance of those; None where none matched.
        usage: (V,) int64, how many patches matched each word.
    """

    matched: float
    distance: float | None
    usage: npt.NDArray[np.int64] = field(repr=False)

    @classmethod
    def of(cls, vocabulary: Vocabulary, patches: torch.Tensor, near: float) -> Coverage:
        """Measures normalised patches (M, 3*P*P), M > 0, on the device of the words.

        Args:
            vocabulary: the words.
            patches: see above.
            near: cosine distance up to which a patch counts as matched.
        """
        match = vocabulary.match(patches[None])
        matched = match.distance[0] <= near
        usage = torch.bincount(match.word[0][matched], minlength=len(vocabulary)).cpu().numpy()
        count = int(matched.sum())
        distance = float(match.distance[0][matched].clamp_min(0).mean()) if count else None
        return cls(count / len(patches), distance, usage)


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftLimits:
    """When coverage counts as worse than just after learning.

    Attributes:
        matched: below this part of the share matched then.
        distance: above this multiple of the mean distance then.
        checks: so many checks in a row; one bad moment is no drift.
    """

    matched: float = 0.8
    distance: float = 1.5
    checks: int = 2


class DriftDetector:
    """Compares coverage with its value just after learning, with hysteresis.

    Args:
        limits: what counts as drift.
    """

    def __init__(self, limits: DriftLimits) -> None:
        self._limits = limits
        self._start: Coverage | None = None
        self._worse = 0

    def learned(self, coverage: Coverage) -> None:
        """Takes the coverage just after learning as what is to be kept."""
        self._start, self._worse = coverage, 0

    def drifted(self, coverage: Coverage) -> bool:
        """Whether this check, with those before it, shows drift. The first one ever sets the mark."""
        if self._start is None:
            self.learned(coverage)
        self._worse = self._worse + 1 if self._is_worse(coverage) else 0
        return self._worse >= self._limits.checks

    def _is_worse(self, coverage: Coverage) -> bool:
        start, limits = self._start, self._limits
        assert start is not None
        if coverage.matched < limits.matched * start.matched:
            return True
        if coverage.distance is None or start.distance is None:
            return False
        # Words learned from still pictures match at almost no distance; rounding is no drift.
        return coverage.distance > max(limits.distance * start.distance, 1e-4)
