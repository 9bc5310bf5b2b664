"""Drops patches by their rank in the graph of attention, and those that a more important one resembles.

The method is Zero-TPrune of Wang et al. (arXiv 2305.17328) in its order I'-S-I: a first ranking, then
dropping by similarity, then dropping by a second ranking of what is left. It does so in the three stages of
`prune`, where the paper tunes its layers and rates to every model.
"""

from __future__ import annotations

import torch
from torch.nn import functional as F

from pipeline.tokenizers.dropping import StagedDrop, StagedDropTokenizer, keep_best
from pipeline.tokenizers.plan import TokenPlan
from pipeline.tokenizers.steps import PackedTokens

# Passes of the ranking: the attention of the last quarter of the depth is so even that one is enough. (In the
# first quarter, where no stage lies, the paper takes 30.)
_PASSES, _LAST_PASSES = 5, 1
# Heads count whose scores, 1 on average, vary by so much.
_LEAST_VARIANCE, _MOST_VARIANCE = 0.01, 0.7
# Of what a stage drops, a quarter goes for similarity.
_SIMILAR = 4


class ZeroTPruneStep(StagedDrop):
    """Ranks, drops by similarity, ranks again and drops the rest."""

    __slots__ = ()

    def prune(self, packed: PackedTokens, left: int, layer: int, layers: int) -> TokenPlan:
        """See `StagedDrop.prune`."""
        passes = _LAST_PASSES if layer >= layers - layers // 4 else _PASSES
        return _prune(packed, left, passes)

    def flops(self, kept: int, heads: int, width: int) -> int:
        """Operations of the attention, of two rankings and of comparing two halves; see `BlockStep.flops`."""
        half = kept // 2
        ranking = 2 * _PASSES * kept**2 * heads
        compared = kept * heads * width + 2 * half * (kept - half) * width
        return 2 * kept**2 * heads * width + 2 * ranking + compared


class ZeroTPruneTokenizer(StagedDropTokenizer):
    """See `StagedDropTokenizer`."""

    name = "zerotprune"
    staged = ZeroTPruneStep


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
