"""What tokenizers share that drop patches: which stay, and how many after which block."""

from __future__ import annotations

import torch

from pipeline.tokenizers.plan import TokenPlan


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
