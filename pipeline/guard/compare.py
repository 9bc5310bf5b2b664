"""One frame answered in two ways: how near the answers are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.boxes import f1
from pipeline.results import Prediction


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

    Of labels: whether the best one is the same. Of regions and boxes: F1 of those that overlap by half or
    more, boxes by the same name, see `boxes.f1`. None where there is nothing but a vector.
    """
    if given.kind != other.kind:
        return 0.0
    if given.kind == "labels":
        return float(given.labels[0].label == other.labels[0].label)
    if given.kind == "regions":
        return f1(given.regions, other.regions)
    if given.kind == "boxes":
        return f1(given.boxes, other.boxes)
    return None
