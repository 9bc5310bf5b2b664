"""Blocks that will not change any more: folded into their linear layers, which are laid out for speed."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import nn

from vocab.linear import Activation, added, linear_map


class FixedLinear(nn.Module):
    """An `nn.Linear` whose weights are laid out for speed (see `vocab.linear`) and no parameters any more.

    Args:
        layer: whose weights are taken.
        activation: what follows it.
    """

    def __init__(self, layer: nn.Linear, activation: Activation = "none") -> None:
        super().__init__()
        bias = None if layer.bias is None else layer.bias.detach()
        self._map = linear_map(layer.weight.detach(), bias, activation)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., inputs) -> (..., outputs)."""
        return self._map(x)

    def added(self, x: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """What `forward` gives and `other`, (..., outputs), in one; for a layer without activation."""
        return added(self._map, x, other)


def fix_blocks(blocks: nn.Module) -> None:
    """Makes timm's blocks faster in place; from then on they can be run, not trained or moved.

    Layer scales and EVA's separate biases go into the linear layers beside them, GELU is computed with the
    layer before it, and all linear layers are fixed.

    Args:
        blocks: a list of blocks; their attention may be wrapped by `adapters.adapt`.
    """
    for block in cast(Any, blocks):
        _fold_scales(block)
    for parent in blocks.modules():
        _join_biases(parent)
        fused = _gelu_layer(parent)
        for name, child in parent.named_children():
            if type(child) is nn.Linear:
                setattr(parent, name, FixedLinear(child, "gelu" if child is fused else "none"))
        if fused is not None:
            parent.act = nn.Identity()


def _fold_scales(block: Any) -> None:
    from timm.layers import LayerScale

    attention = getattr(block.attn, "inner", block.attn)
    for own, theirs, part, last in (
        ("ls1", "gamma_1", attention, "proj"),
        ("ls2", "gamma_2", block.mlp, "fc2"),
    ):
        layer = getattr(part, last, None)
        if type(layer) is not nn.Linear:
            continue
        scale = getattr(block, own, None)
        if isinstance(scale, LayerScale):
            _scale(layer, scale.gamma)
            setattr(block, own, nn.Identity())
        elif getattr(block, theirs, None) is not None:
            _scale(layer, getattr(block, theirs))
            setattr(block, theirs, None)


def _scale(layer: nn.Linear, by: torch.Tensor) -> None:
    layer.weight = nn.Parameter(layer.weight.detach() * by.detach()[:, None], requires_grad=False)
    if layer.bias is not None:
        layer.bias = nn.Parameter(layer.bias.detach() * by.detach(), requires_grad=False)


def _join_biases(attention: Any) -> None:
    """Gives the layer of EVA's query, key and value the biases that lie beside it."""
    if getattr(attention, "q_bias", None) is None or attention.qkv is None:
        return
    bias = torch.cat([attention.q_bias, attention.k_bias, attention.v_bias]).detach()
    attention.qkv.bias = nn.Parameter(bias, requires_grad=False)
    attention.q_bias = None


def _gelu_layer(parent: Any) -> nn.Linear | None:
    """The layer that a module's exact GELU follows at once, where it has such a one."""
    from timm.layers import Mlp

    if type(parent) is not Mlp or type(parent.act) is not nn.GELU or parent.act.approximate != "none":
        return None
    return parent.fc1 if type(parent.fc1) is nn.Linear else None
