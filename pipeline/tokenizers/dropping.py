"""What tokenizers share that drop patches: which stay, and how many after which block."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch

from pipeline.tokenizers.base import FromWhole
from pipeline.tokenizers.plan import TokenPlan
from pipeline.tokenizers.registry import TOKENIZERS
from pipeline.tokenizers.steps import PackedTokens, plan_equal


def keep_best(scores: torch.Tensor, count: int, prefix: int) -> TokenPlan:
    """Keeps the `count` patches of each image with the highest scores, in place, and drops the others.

    Args:
        scores: (B, N).
        count: at most N.
        prefix: prefix tokens of the model.
    """
    stays = torch.zeros_like(scores, dtype=torch.bool)
    stays.scatter_(1, scores.topk(count, dim=1).indices, True)
    group = torch.where(stays, stays.cumsum(dim=1) - 1, -1)
    return TokenPlan(group, torch.full((len(scores),), count, device=scores.device), prefix, count)


def left_after(layer: int, layers: int, patches: int, drop: float) -> int | None:
    """Patch tokens to be left after a block where a share is dropped in three stages.

    They follow a quarter, half and three quarters of the depth, after blocks 3, 6 and 9 of 12 (counted from
    0) as in EViT (Liang et al., arXiv 2202.07800). Each drops the same part of what the one before it left;
    after the last one `drop` of all patches is gone.

    Args:
        layer: the block, counted from 0.
        layers: blocks of the model.
        patches: patches of the image.
        drop: share of patches to drop, 0 <= drop < 1.

    Returns:
        None where no stage follows the block.
    """
    stages = sorted({layers * quarter // 4 for quarter in (1, 2, 3)} & set(range(layers - 1)))
    if layer not in stages:
        return None
    part = (stages.index(layer) + 1) / len(stages)
    return patches - int(patches * (1 - (1 - drop) ** part))


@dataclass(frozen=True, slots=True)
class StagedDrop(ABC):
    """A step that judges by attention which patches go at the next stage; see `left_after`.

    Attributes:
        drop: share of patches dropped in the end.
        patches: of an image, before any was dropped.
    """

    drop: float
    patches: int

    @property
    def wants_attention(self) -> bool:
        return True

    def __call__(self, layer: int, layers: int, packed: PackedTokens) -> TokenPlan | None:
        """See `BlockStep`."""
        left = left_after(layer, layers, self.patches, self.drop)
        if left is None or left >= min(packed.kept):
            return None
        return plan_equal(packed, lambda images: self.prune(images, left, layer, layers))

    @abstractmethod
    def prune(self, packed: PackedTokens, left: int, layer: int, layers: int) -> TokenPlan:
        """Leaves so many patches of images of equal lengths."""

    @abstractmethod
    def flops(self, kept: int, heads: int, width: int) -> int:
        """See `BlockStep.flops`."""


class StagedDropTokenizer(FromWhole):
    """Starts with every patch and drops in three stages.

    Args:
        drop: share of patches that are dropped in the end, 0 <= drop < 1. None for the default.

    Raises:
        UsageError: when `drop` is out of range.
    """

    name: str
    staged: ClassVar[type[StagedDrop]]

    def __init__(self, drop: float | None = None) -> None:
        self.drop = TOKENIZERS[self.name].value("drop", drop)

    def step(self, rows: int, columns: int) -> StagedDrop | None:
        """See `FromWhole.step`."""
        return self.staged(self.drop, rows * columns) if self.drop else None
