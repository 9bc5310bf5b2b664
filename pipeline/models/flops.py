"""Floating-point operations a frame costs, counted from the model's own layers.

A multiply-add counts as two. Norms, activations and softmax are left out: under one percent of a ViT.
"""

from __future__ import annotations

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
        patches = parts.patch_embed.num_patches
        self._prefix: int = parts.num_prefix_tokens
        self._embed: int = 2 * patches * sum(p.numel() for p in parts.patch_embed.parameters() if p.ndim > 1)
        linears = [module for module in parts.blocks.modules() if isinstance(module, nn.Linear)]
        self._per_token: int = 2 * sum(layer.weight.numel() for layer in linears)
        attentions = [cast(Any, m.inner) for m in parts.blocks.modules() if isinstance(m, PackedAttention)]
        # Scores and their weighted sum: T x T x width multiply-adds each.
        self._per_pair: int = 4 * sum(a.num_heads * a.head_dim for a in attentions)
        self._fixed: int = 2 * sum(m.weight.numel() for m in (parts.head,) if isinstance(m, nn.Linear))

    def __call__(self, kept: int) -> int:
        """Operations for one frame of `kept` patch tokens (all patches are embedded in any case)."""
        tokens = kept + self._prefix
        return self._embed + self._per_token * tokens + self._per_pair * tokens**2 + self._fixed
