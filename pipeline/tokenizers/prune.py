"""Drops the patches that the class token attends to least.

What EViT off the shelf (Liang et al., arXiv 2202.07800), FasterVLM (2412.01818), HiRED (2408.10945) and
VTC-CLS (2412.05819) share: the score of a patch is the attention that the class token pays to it, mean over
heads. As in EViT it drops in three stages inside the encoder; the others choose what a language model is to
see behind it, which saves the encoder nothing. EViT drops between attention and MLP: here it is after the
block, which gives the tokens that stay the same values. Its token made of all dropped ones is left out, as
the others do.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.tokenizers.base import FromWhole
from pipeline.tokenizers.dropping import keep_best, left_after
from pipeline.tokenizers.plan import TokenPlan
from pipeline.tokenizers.registry import TOKENIZERS
from pipeline.tokenizers.steps import PackedTokens, plan_equal


class PruneTokenizer(FromWhole):
    """Starts with every patch and drops in three stages.

    Args:
        drop: share of patches that are dropped in the end, 0 <= drop < 1. None for the default.

    Raises:
        UsageError: when `drop` is out of range.
    """

    name = "prune"

    def __init__(self, drop: float | None = None) -> None:
        self.drop = TOKENIZERS[self.name].value("drop", drop)

    def step(self, rows: int, columns: int) -> PruneStep | None:
        """See `FromWhole.step`."""
        return PruneStep(self.drop, rows * columns) if self.drop else None


@dataclass(frozen=True, slots=True)
class PruneStep:
    """Keeps what the class token attended to most in the block that has just run.

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
        return plan_equal(packed, lambda images: self._prune(images, left))

    def flops(self, kept: int, heads: int, width: int) -> int:
        """Operations of the class token's attention; see `BlockStep.flops`."""
        return 2 * kept * heads * width

    def _prune(self, packed: PackedTokens, left: int) -> TokenPlan:
        paid = packed.attention(slice(1)).mean(dim=1)[:, 0, packed.prefix :]
        return keep_best(paid, left, packed.prefix)
