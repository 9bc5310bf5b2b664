"""Drops the patches that the class token attends to least.

What EViT off the shelf (Liang et al., arXiv 2202.07800), FasterVLM (2412.01818), HiRED (2408.10945) and
VTC-CLS (2412.05819) share: the score of a patch is the attention that the class token pays to it, mean over
heads. As in EViT it drops in three stages inside the encoder; the others choose what a language model is to
see behind it, which saves the encoder nothing. EViT drops between attention and MLP: here it is after the
block, which gives the tokens that stay the same values. Its token made of all dropped ones is left out, as
the others do.
"""

from __future__ import annotations

from pipeline.tokenizers.dropping import StagedDrop, StagedDropTokenizer, keep_best
from pipeline.tokenizers.plan import TokenPlan
from pipeline.tokenizers.steps import PackedTokens


class PruneStep(StagedDrop):
    """Keeps what the class token attended to most in the block that has just run."""

    __slots__ = ()

    def flops(self, kept: int, heads: int, width: int) -> int:
        """Operations of the class token's attention; see `BlockStep.flops`."""
        return 2 * kept * heads * width

    def prune(self, packed: PackedTokens, left: int, layer: int, layers: int) -> TokenPlan:  # noqa: ARG002
        """See `StagedDrop.prune`."""
        paid = packed.attention(slice(1)).mean(dim=1)[:, 0, packed.prefix :]
        return keep_best(paid, left, packed.prefix)


class PruneTokenizer(StagedDropTokenizer):
    """See `StagedDropTokenizer`."""

    name = "prune"
    staged = PruneStep
