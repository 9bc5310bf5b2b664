"""Intra-image tokenizer: drop the flattest patches of each frame (Gee et al., arXiv 2411.15397)."""

from __future__ import annotations

import torch

from pipeline.tokenizers.base import Alike
from pipeline.tokenizers.dropping import keep_best
from pipeline.tokenizers.plan import TokenPlan
from pipeline.tokenizers.registry import TOKENIZERS
from vocab.patches import patchify


class IntraTokenizer(Alike):
    """Keeps the patches whose normalised pixels vary most, in raster order.

    Args:
        drop: share of patches to drop, 0 <= drop < 1; of N patches N - int(N * drop) stay.
            None for the default.

    Raises:
        UsageError: when `drop` is out of range.
    """

    name = "intra"
    vocab_version = None

    def __init__(self, drop: float | None = None) -> None:
        self.drop = TOKENIZERS[self.name].value("drop", drop)

    def plan(self, images: torch.Tensor, patch_size: int, prefix: int = 1) -> TokenPlan:
        """Plans a batch by the unbiased variance over all 3*P*P values of a patch."""
        pixels = patchify(images, patch_size).to(torch.float32)
        # Times P*P*3 - 1, which does not change the order; torch.var takes five times as long on the CPU.
        variance = (pixels - pixels.mean(dim=-1, keepdim=True)).square_().sum(dim=-1)
        patches = variance.shape[1]
        return keep_best(variance, patches - int(patches * self.drop), prefix)

    def flops(self, patches: int, patch_size: int) -> int:
        """Operations of planning one frame; see `Tokenizer.flops`."""
        return 3 * patches * 3 * patch_size**2
