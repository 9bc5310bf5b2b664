"""A fixed block without what torch's modules spend around a few tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import nn

from pipeline.models.adapters import PackedAttention
from pipeline.models.context import AttentionContext
from pipeline.models.linear import FixedLinear

BlockCall = Callable[[torch.Tensor, AttentionContext, torch.Tensor | None], torch.Tensor]


class LeanBlock:
    """timm's plain block in eval mode, fixed: residuals are added inside the linear layers.

    Args:
        block: for which `takes` is true.
    """

    def __init__(self, block: nn.Module) -> None:
        own = cast(Any, block)
        self._mix: Callable[..., torch.Tensor] = own.attn.mix
        self._norms = [
            (norm.normalized_shape, norm.weight, norm.bias, norm.eps) for norm in (own.norm1, own.norm2)
        ]
        self._project = own.attn.inner.proj
        self._widen, self._narrow = own.mlp.fc1.forward, own.mlp.fc2

    @staticmethod
    def takes(block: nn.Module) -> bool:
        """Whether a block is one; those of other kinds run as they are."""
        from timm.layers import LayerNorm, Mlp
        from timm.models.vision_transformer import Block

        own = cast(Any, block)
        if type(block) is not Block or block.training or type(own.mlp) is not Mlp:
            return False
        if not isinstance(own.attn, PackedAttention):
            return False
        alone = (own.ls1, own.ls2, own.mlp.act, own.mlp.norm)
        layers = (own.attn.inner.proj, own.mlp.fc1, own.mlp.fc2)
        return (
            all(type(part) is nn.Identity for part in alone)
            and all(type(norm) is LayerNorm for norm in (own.norm1, own.norm2))
            and all(type(layer) is FixedLinear for layer in layers)
            and getattr(own.attn.inner, "gate", None) is None
        )

    def __call__(
        self, tokens: torch.Tensor, context: AttentionContext, rope: torch.Tensor | None
    ) -> torch.Tensor:
        """(T, C) -> (T, C), see `StepwiseRuntime.block`."""
        before, between = self._norms
        tokens = self._project.added(self._mix(torch.layer_norm(tokens, *before), context, rope), tokens)
        return self._narrow.added(self._widen(torch.layer_norm(tokens, *between)), tokens)


def plainly(block: nn.Module) -> BlockCall:
    """A block of timm's as it is."""

    def run(tokens: torch.Tensor, context: AttentionContext, rope: torch.Tensor | None) -> torch.Tensor:
        rotation = {} if rope is None else {"rope": rope}
        return cast(torch.Tensor, block(tokens[None], attn_mask=context, **rotation)[0])

    return run
