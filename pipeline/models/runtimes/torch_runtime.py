"""timm's own blocks in torch: takes every plan, and in float32 is what others are held against."""

from __future__ import annotations

from typing import cast

import torch
from torch import nn

from pipeline.models.context import AttentionContext
from pipeline.models.lean import LeanBlock, plainly
from pipeline.models.linear import fix_blocks
from pipeline.models.runtimes.base import Blocks, Dense
from pipeline.runtimes import BF16, FP32, Computed, UnavailableError

_DTYPES = {FP32: torch.float32, BF16: torch.bfloat16}
_PRECISIONS = {dtype: name for name, dtype in _DTYPES.items()}
# As `torch.cpu.get_capabilities` calls them.
_BF16_CAPABILITIES = ("avx512_bf16", "amx_bf16", "bf16")


class TorchRuntime:
    """Runs blocks as they are; see `StepwiseRuntime`.

    Args:
        blocks: of one type, on one device; they are used, not copied.
        dtype: theirs; None to ask their parameters, which fixed ones may have none of.
    """

    def __init__(self, blocks: Blocks, dtype: torch.dtype | None = None) -> None:
        self._layers = [
            LeanBlock(block) if LeanBlock.takes(block) else plainly(block) for block in blocks.layers
        ]
        self._norm = blocks.norm
        self.dtype = dtype or next(blocks.layers.parameters()).dtype
        self._outside = blocks.dtype
        self.computed = computed_in(self.dtype)

    @property
    def stepwise(self) -> TorchRuntime:
        """Itself."""
        return self

    def dense(self, layers: nn.Sequential) -> Dense:
        """See `Runtime.dense`."""
        return in_type(layers, self.dtype)

    def takes(self, context: AttentionContext) -> bool:  # noqa: ARG002
        """See `Runtime.takes`: every one."""
        return True

    def forward(
        self, tokens: torch.Tensor, context: AttentionContext, rope: torch.Tensor | None
    ) -> torch.Tensor:
        """See `Runtime.forward`; takes every context."""
        for layer in range(len(self._layers)):
            tokens = self.block(layer, tokens, context, rope)
        return self.norm(tokens)

    def block(
        self, layer: int, tokens: torch.Tensor, context: AttentionContext, rope: torch.Tensor | None
    ) -> torch.Tensor:
        """See `StepwiseRuntime.block`."""
        return self._layers[layer](tokens.to(self.dtype), context, rope)

    def norm(self, tokens: torch.Tensor) -> torch.Tensor:
        """See `StepwiseRuntime.norm`."""
        return self._norm(tokens.to(self._outside))


def open_torch(blocks: Blocks, precision: str) -> TorchRuntime:
    """Lays the blocks out for speed on the CPU, in place.

    Raises:
        UnavailableError: bf16, and this processor does not compute in it.
    """
    if precision == BF16 and not cpu_has_bf16():
        raise UnavailableError("this CPU does not compute in bfloat16")
    dtype = _DTYPES[precision]
    blocks.layers.to(dtype)
    fix_blocks(blocks.layers)
    return TorchRuntime(blocks, dtype)


def in_type(layers: nn.Sequential, dtype: torch.dtype) -> Dense:
    """Layers in a type, which they get for it."""
    if next(layers.parameters()).dtype != dtype:
        layers.to(dtype)
    return lambda grid: cast(torch.Tensor, layers(grid.to(dtype)))


def cpu_has_bf16() -> bool:
    """Whether this processor multiplies in bfloat16; where not, torch emulates it and is slower for it."""
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name) for name in _BF16_CAPABILITIES)


def computed_in(dtype: torch.dtype) -> Computed:
    """By torch, in a type."""
    return Computed("torch", _PRECISIONS.get(dtype))
