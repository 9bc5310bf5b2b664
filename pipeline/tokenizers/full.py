"""Every patch is a token: the plain Vision Transformer, the baseline of everything else."""

from __future__ import annotations

import torch

from pipeline.tokenizers.base import identity_groups
from pipeline.tokenizers.plan import TokenPlan


class FullTokenizer:
    """Keeps all patches in place."""

    name = "full"
    vocab_version = None

    def plan(self, images: torch.Tensor, patch_size: int, prefix: int = 1) -> TokenPlan:
        """Plans a batch; see `Tokenizer.plan`."""
        group = identity_groups(images, patch_size)
        count = group.shape[1]
        return TokenPlan(group, torch.full((len(group),), count, device=group.device), prefix, count)

    def flops(self, patches: int, patch_size: int) -> int:  # noqa: ARG002
        """Operations of planning one frame; see `Tokenizer.flops`."""
        return 0
