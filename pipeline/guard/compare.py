"""One frame answered in two ways: how near the answers are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.results import Prediction, Region

# Boxes that overlap by this much are the same thing; usual for detection (PASCAL VOC).
_SAME_IOU = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """What the check of a frame found.

    Attributes:
        given: (C,) float32 pooled features of the answer.
        other: the same of the other way.
        agreement: see `agreement`.
        flops: operations of the other way.
    """

    given: npt.NDArray[np.float32]
    other: npt.NDArray[np.float32]
    agreement: float | None
    flops: int

    @property
    def cosine(self) -> float:
        """Of the pooled features."""
        return cosine(self.given, self.other)


def cosine(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> float:
    """Cosine of two vectors."""
    x, y = a.astype(np.float64), b.astype(np.float64)
    return float(x @ y / (np.linalg.norm(x) * np.linalg.norm(y)))


def agreement(given: Prediction, other: Prediction) -> float | None:
    """Whether two predictions of a frame say the same, 0..1.

    Of labels: whether the best one is the same. Of regions: F1 of the boxes that overlap by half or more, 1
    where neither has any. None where there is nothing but a vector.
    """
    if given.kind != other.kind:
        return 0.0
    if given.kind == "labels":
        return float(given.labels[0].label == other.labels[0].label)
    if given.kind == "regions":
        return _f1(given.regions, other.regions)
    return None


def _f1(ours: Sequence[Region], theirs: Sequence[Region]) -> float:
    if not ours and not theirs:
        return 1.0
    left = list(theirs)
    for region in ours:
        best = max(left, key=lambda other: _iou(region, other), default=None)
        if best is not None and _iou(region, best) >= _SAME_IOU:
            left.remove(best)
    return 2 * (len(theirs) - len(left)) / (len(ours) + len(theirs))


def _iou(a: Region, b: Region) -> float:
    width = min(a.x + a.w, b.x + b.w) - max(a.x, b.x)
    height = min(a.y + a.h, b.y + b.h) - max(a.y, b.y)
    shared = max(width, 0.0) * max(height, 0.0)
    return shared / (a.w * a.h + b.w * b.h - shared) if shared else 0.0
