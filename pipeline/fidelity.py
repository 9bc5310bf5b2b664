"""How near the answers of a cheaper way come to those of the full model, frame by frame.

A mean cosine alone is embarrassingly kind to whoever repeats an old answer. Hence the low percentile, and the
change score: whether the answer moves from frame to frame as the full model's does.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch.nn import functional as F

from pipeline.boxes import Box, f1

# A full model whose output moved by less, relative to its length, says nothing of where an answer should go.
_STILL = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What a model made of one frame, as far as it is compared.

    Attributes:
        embedding: (C,) class token or pooled features.
        patches: (N, C) output token of every patch, zeros where it was dropped; None where there are none.
        scores: (classes,) before softmax; None for a model that does not classify.
        saliency: (H, W) probabilities; None for a model without.
        boxes: of a detector, best first; None for other models.
    """

    embedding: torch.Tensor
    patches: torch.Tensor | None = None
    scores: torch.Tensor | None = None
    saliency: torch.Tensor | None = None
    boxes: Sequence[Box] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FidelityFigures:
    """Answers against those of the full model, over the frames of a clip. None where nothing was to compare.

    Attributes:
        frames: how many were compared.
        cosine_mean, cosine_p5, cosine_min: cosine of the embedding; mean, 5th percentile and lowest.
        change: mean cosine between the differences of the embedding from frame to frame and those of the full
            model's; 0 for a frame whose answer did not move while the full model's did.
        patch_cosine: mean cosine of the patches' tokens; 0 for a dropped patch.
        agreement: share of frames with the same best class; of a detector the mean F1 of its boxes, see
            `boxes.f1`.
        kl: mean Kullback-Leibler divergence of the classes from the full model's, in nats.
        saliency_error: mean squared error of the saliency over the variance of the full model's, all frames
            together.
    """

    frames: int
    cosine_mean: float | None
    cosine_p5: float | None
    cosine_min: float | None
    change: float | None
    patch_cosine: float | None
    agreement: float | None
    kl: float | None
    saliency_error: float | None


class Fidelity:
    """Collects the answers of consecutive frames of one clip."""

    def __init__(self) -> None:
        self._cosines: list[float] = []
        self._changes: list[float] = []
        self._patches: list[float] = []
        self._agrees: list[float] = []
        self._kl: list[float] = []
        self._error = 0.0
        self._saliencies: list[tuple[float, float, int]] = []
        self._before: tuple[torch.Tensor, torch.Tensor] | None = None

    def add(self, answer: Answer, full: Answer) -> None:
        """Compares the next frame's answer with the full model's, both on the host."""
        ours, theirs = answer.embedding.double(), full.embedding.double()
        self._cosines.append(_cosine(ours, theirs))
        if self._before is not None:
            moved, should = ours - self._before[0], theirs - self._before[1]
            if float(should.norm()) > _STILL * float(theirs.norm()):
                self._changes.append(_cosine(moved, should))
        self._before = ours, theirs
        if answer.patches is not None and full.patches is not None:
            similar = F.cosine_similarity(answer.patches.float(), full.patches.float(), dim=-1)
            self._patches.append(float(similar.mean()))
        if answer.scores is not None and full.scores is not None:
            self._agrees.append(float(answer.scores.argmax() == full.scores.argmax()))
            ours, theirs = (x.double().log_softmax(dim=-1) for x in (answer.scores, full.scores))
            self._kl.append(float(F.kl_div(ours, theirs, log_target=True, reduction="sum")))
        if answer.boxes is not None and full.boxes is not None:
            self._agrees.append(f1(answer.boxes, full.boxes))
        if answer.saliency is not None and full.saliency is not None:
            theirs = full.saliency.double()
            self._error += float((answer.saliency.double() - theirs).square().sum())
            self._saliencies.append((float(theirs.sum()), float(theirs.square().sum()), theirs.numel()))

    def figures(self) -> FidelityFigures:
        """All frames so far."""
        cosines = self._cosines
        return FidelityFigures(
            frames=len(cosines),
            cosine_mean=_mean(cosines),
            cosine_p5=float(np.quantile(cosines, 0.05)) if cosines else None,
            cosine_min=min(cosines, default=None),
            change=_mean(self._changes),
            patch_cosine=_mean(self._patches),
            agreement=_mean(self._agrees),
            kl=_mean(self._kl),
            saliency_error=self._relative_error(),
        )

    def _relative_error(self) -> float | None:
        if not self._saliencies:
            return None
        total, squares, count = (sum(values) for values in zip(*self._saliencies, strict=True))
        spread = squares - total**2 / count
        return self._error / spread if spread > 0 else None


def _cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(F.cosine_similarity(a, b, dim=0))


def _mean(values: list[float]) -> float | None:
    return statistics.fmean(values) if values else None


@dataclass(frozen=True, slots=True)
class Point:
    """One setting of a method: what it computes, as a share of the full model, and its 5th percentile."""

    share: float
    cosine_p5: float


def compute_for(points: list[Point], target: float) -> float | None:
    """The least share of the full model's operations at which a method keeps a target.

    Args:
        points: its settings that were measured; the full model itself (all of it, 1.0) ends the line.
        target: of the 5th percentile of the cosine.

    Returns:
        Interpolated between neighbours by share; where the cheapest setting already keeps the target, its
        share, and it may need less. None without points.
    """
    if not points:
        return None
    line = sorted({*points, Point(1.0, 1.0)}, key=lambda point: point.share)
    if line[0].cosine_p5 >= target:
        return line[0].share
    for below, above in pairwise(line):
        if below.cosine_p5 < target <= above.cosine_p5:
            part = (target - below.cosine_p5) / (above.cosine_p5 - below.cosine_p5)
            return below.share + part * (above.share - below.share)
    return None
