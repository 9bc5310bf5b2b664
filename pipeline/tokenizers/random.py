"""Drops patches at random: the control that every other way to drop has to beat."""

from __future__ import annotations

import torch

from pipeline.tokenizers.base import Alike
from pipeline.tokenizers.dropping import keep_best
from pipeline.tokenizers.plan import TokenPlan
from pipeline.tokenizers.registry import TOKENIZERS

# Odd multipliers near 2**63 divided by the golden ratio and by its square, as Fibonacci hashing takes them.
_GOLDEN, _OTHER = 0x4F1BBCDCBFA53E0B, 0x30E44323405AC1F5


class RandomTokenizer(Alike):
    """Keeps a random choice of patches, in raster order.

    The choice follows from the frame's own pixels: the same frame always keeps the same patches, alone or in
    any batch, and two frames that differ anywhere keep others.

    Args:
        drop: share of patches to drop, 0 <= drop < 1; of N patches N - int(N * drop) stay.
            None for the default.

    Raises:
        UsageError: when `drop` is out of range.
    """

    name = "random"
    vocab_version = None

    def __init__(self, drop: float | None = None) -> None:
        self.drop = TOKENIZERS[self.name].value("drop", drop)

    def plan(self, images: torch.Tensor, patch_size: int, prefix: int = 1) -> TokenPlan:
        """Plans a batch; see `Tokenizer.plan`."""
        patches = (images.shape[2] // patch_size) * (images.shape[3] // patch_size)
        # The sum of the pixels' bits as integers is exact, so it does not depend on how it was added up.
        seed = images.float().view(torch.int32).sum(dim=(1, 2, 3), dtype=torch.int64)
        number = torch.arange(1, patches + 1, device=images.device)
        drawn = _mixed(_mixed(seed)[:, None] + number * _GOLDEN)
        return keep_best(drawn, patches - int(patches * self.drop), prefix)

    def flops(self, patches: int, patch_size: int) -> int:
        """Operations of planning one frame; see `Tokenizer.flops`."""
        return patches * 3 * patch_size**2


def _mixed(values: torch.Tensor) -> torch.Tensor:
    """A hash of int64: multiplications that overflow, and shifts that bring the high bits down again."""
    for factor in (_GOLDEN, _OTHER):
        values = (values ^ (values >> 31)) * factor
    return values ^ (values >> 31)
