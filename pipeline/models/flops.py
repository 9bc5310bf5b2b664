"""Floating-point operations a frame costs, counted from the model's own layers.

A multiply-add counts as two. Norms, activations and softmax are left out: under one percent of a ViT.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from torch import nn

from pipeline.models.adapters import PackedAttention


class EncoderFlops:
    """Cost of a Vision Transformer as a function of the tokens it runs on.

    Args:
        model: an adapted timm model (see `adapters.adapt`).
    """

    def __init__(self, model: nn.Module) -> None:
        parts = cast(Any, model)
        self._prefix: int = parts.num_prefix_tokens
        self._embed: int = 2 * sum(p.numel() for p in parts.patch_embed.parameters() if p.ndim > 1)
        self._blocks = [_block_costs(block) for block in parts.blocks]
        self.head: int = 2 * sum(m.weight.numel() for m in (parts.head,) if isinstance(m, nn.Linear))

    def __call__(self, kept: int | Sequence[int], patches: int) -> int:
        """Operations for one frame of `patches` patches, which are all embedded in any case.

        Args:
            kept: patch tokens that run through every block, or through each of them.
            patches: see above.
        """
        return self.tokens(kept, patches) + self.head

    def tokens(self, kept: int | Sequence[int], patches: int, keys: int | None = None) -> int:
        """Operations without the head.

        Args:
            kept: see above.
            patches: that are embedded.
            keys: patches that are attended to; None for those that run through the block.
        """
        counts = [kept] * len(self._blocks) if isinstance(kept, int) else kept
        flops = patches * self._embed
        for count, (per_token, per_pair) in zip(counts, self._blocks, strict=True):
            tokens = count + self._prefix
            others = tokens if keys is None else keys + self._prefix
            flops += per_token * tokens + per_pair * tokens * others
        return flops


def _block_costs(block: nn.Module) -> tuple[int, int]:
    """Operations of a block per token, and per pair of tokens."""
    linears = [module for module in block.modules() if isinstance(module, nn.Linear)]
    attentions = [cast(Any, m.inner) for m in block.modules() if isinstance(m, PackedAttention)]
    # Scores and their weighted sum: T x T x width multiply-adds each.
    per_pair = 4 * sum(a.num_heads * a.head_dim for a in attentions)
    return 2 * sum(layer.weight.numel() for layer in linears), per_pair
