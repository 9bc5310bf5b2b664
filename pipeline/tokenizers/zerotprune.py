"""Drops patches by their rank in the graph of attention, and those that a more important one resembles.

The method is Zero-TPrune of Wang et al. (arXiv 2305.17328) in its order I'-S-I: a first ranking, then
dropping by similarity, then dropping by a second ranking of what is left. It does so in the three stages of
`prune`, where the paper tunes its layers and rates to every model.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional as F

from pipeline.tokenizers.base import FromWhole
from pipeline.tokenizers.dropping import keep_best, left_after
from pipeline.tokenizers.plan import TokenPlan
from pipeline.tokenizers.registry import TOKENIZERS
from pipeline.tokenizers.steps import PackedTokens, plan_equal

# Passes of the ranking: the attention of the last quarter of the depth is so even that one is enough. (In the
# first quarter, where no stage lies, the paper takes 30.)
_PASSES, _LAST_PASSES = 5, 1
# Heads count whose scores, 1 on average, vary by so much.
_LEAST_VARIANCE, _MOST_VARIANCE = 0.01, 0.7
# Of what a stage drops, a quarter goes for similarity.
_SIMILAR = 4


class ZeroTPruneTokenizer(FromWhole):
    """Starts with every patch and drops in three stages.

    Args:
        drop: share of patches that are dropped in the end, 0 <= drop < 1. None for the default.

    Raises:
        UsageError: when `drop` is out of range.
    """

    name = "zerotprune"

    def __init__(self, drop: float | None = None) -> None:
        self.drop = TOKENIZERS[self.name].value("drop", drop)

    def step(self, rows: int, columns: int) -> ZeroTPruneStep | None:
        """See `FromWhole.step`."""
        return ZeroTPruneStep(self.drop, rows * columns) if self.drop else None


@dataclass(frozen=True, slots=True)
class ZeroTPruneStep:
    """Ranks, drops by similarity, ranks again and drops the rest.

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
        passes = _LAST_PASSES if layer >= layers - layers // 4 else _PASSES
        return plan_equal(packed, lambda images: _prune(images, left, passes))

    def flops(self, kept: int, heads: int, width: int) -> int:
        """Operations of the attention, of two rankings and of comparing two halves; see `BlockStep.flops`."""
        half = kept // 2
        ranking = 2 * _PASSES * kept**2 * heads
        compared = kept * heads * width + 2 * half * (kept - half) * width
        return 2 * kept**2 * heads * width + 2 * ranking + compared


def _prune(packed: PackedTokens, left: int, passes: int) -> TokenPlan:
    """Plans images of equal lengths."""
    attention, prefix = packed.attention(), packed.prefix
    keys = F.normalize(packed.patches(packed.keys.float().mean(dim=1)), dim=-1)
    importance = combined(ranked(attention, passes))[:, prefix:]
    similar = most_similar(importance, keys, (keys.shape[1] - left) // _SIMILAR)
    stays = torch.ones(attention.shape[0], attention.shape[2], device=attention.device)
    stays[:, prefix:].scatter_(1, similar, 0)
    attention = attention * stays[:, None, None]
    attention = attention / attention.sum(dim=-1, keepdim=True)
    importance = combined(ranked(attention, passes, stays))[:, prefix:]
    return keep_best(importance.masked_fill(stays[:, prefix:] == 0, -1), left, prefix)


def ranked(attention: torch.Tensor, passes: int, stays: torch.Tensor | None = None) -> torch.Tensor:
    """The paper's weighted page rank: a token is important that important tokens attend to.

    Args:
        attention: (B, H, T, T), what each token pays to each; the sum over the last axis is 1.
        passes: how often every token passes its score on.
        stays: (B, T), 0 for tokens that are gone and 1 for the others; None where all are there.

    Returns:
        (B, H, T) scores, 1 on average over the tokens there are.
    """
    batch, heads, tokens, _ = attention.shape
    everyone = torch.ones(batch, tokens, device=attention.device) if stays is None else stays
    scores = everyone[:, None, None].expand(-1, heads, -1, -1)
    for _ in range(passes):
        # Scores add up to the same after every pass, as every token passes on all it has.
        scores = scores @ attention
    return scores[:, :, 0]


def combined(scores: torch.Tensor) -> torch.Tensor:
    """One score per token out of those of the heads.

    The root of the mean square lets tokens count that are important in some heads only. Heads that find all
    tokens alike or just a few of them important are left out, unless all heads are such.

    Args:
        scores: (B, H, T), 1 on average.

    Returns:
        (B, T).
    """
    there = scores > 0
    away = torch.where(there, scores - 1, 0).square().sum(dim=2) / there.sum(dim=2)
    counts = (away >= _LEAST_VARIANCE) & (away <= _MOST_VARIANCE)
    counts = (counts | ~counts.any(dim=1, keepdim=True))[..., None].float()
    return ((scores.square() * counts).sum(dim=1) / counts.sum(dim=1)).sqrt()


def most_similar(importance: torch.Tensor, keys: torch.Tensor, count: int) -> torch.Tensor:
    """Of the less important half, the patches that one of the more important half resembles most.

    Args:
        importance: (B, N).
        keys: (B, N, D), of length 1.
        count: how many, at most N // 2.

    Returns:
        (B, count) int64.
    """
    order = importance.argsort(dim=1, descending=True, stable=True)
    more, less = order.tensor_split([(order.shape[1] + 1) // 2], dim=1)
    ours, theirs = (keys.gather(1, half[..., None].expand(-1, -1, keys.shape[2])) for half in (less, more))
    best = (ours @ theirs.transpose(1, 2)).amax(dim=2)
    return less.gather(1, best.topk(count, dim=1).indices)
