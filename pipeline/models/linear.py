"""Linear layers that will not change any more."""

from __future__ import annotations

import torch
from torch import nn

from vocab.linear import linear_map


class FixedLinear(nn.Module):
    """An `nn.Linear` whose weights are laid out for speed (see `vocab.linear`) and no parameters any more.

    Args:
        layer: whose weights are taken.
    """

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        bias = None if layer.bias is None else layer.bias.detach()
        self._map = linear_map(layer.weight.detach(), bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., inputs) -> (..., outputs)."""
        return self._map(x)


def fix_linears(module: nn.Module) -> None:
    """Replaces the linear layers anywhere in `module`; from then on it can be run, not trained or moved."""
    for parent in module.modules():
        for name, child in parent.named_children():
            # EVA's attention adds its biases itself and reads the weights of its layer.
            if type(child) is nn.Linear and getattr(parent, "q_bias", None) is None:
                setattr(parent, name, FixedLinear(child))
