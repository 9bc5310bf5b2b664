"""What a packed model asks of a runtime, and what that is made of."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol, cast, runtime_checkable

import torch
from torch import nn

from pipeline.models.context import AttentionContext
from pipeline.runtimes import Computed

OnNotice = Callable[[str], None]
# (B, C, rows, columns) -> what the layers make of it.
Dense = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class Blocks:
    """The part of a model that runtimes compute.

    Attributes:
        layers: timm's blocks, their attention wrapped by `adapters.adapt`.
        norm: what comes behind the last.
        width: channels of a token.
        rotary: width of the rotary embedding per token, 2*D; 0 where the model has none.
        dtype: of the tokens that come in and go out.
        between: whether something is added between the blocks, so that they are only run one by one.
    """

    layers: nn.ModuleList
    norm: nn.Module
    width: int
    rotary: int
    dtype: torch.dtype
    between: bool = False

    @classmethod
    def of(cls, model: nn.Module, between: bool = False) -> Blocks:
        """Those of an adapted timm model; they are still the model's own."""
        parts = cast(Any, model)
        turns = getattr(parts, "rope", None) is not None
        rotary = 2 * parts.blocks[0].attn.inner.head_dim if turns else 0
        return cls(parts.blocks, parts.norm, parts.embed_dim, rotary, next(model.parameters()).dtype, between)

    def copy(self) -> Blocks:
        """The same with weights of its own."""
        return replace(self, layers=copy.deepcopy(self.layers))


class Runtime(Protocol):
    """Computes a model's blocks and the norm behind them on packed tokens of any lengths.

    Attributes:
        computed: its name and precision, as results give them.
        dtype: what other parts of the model, such as a dense decoder, are to compute in.
        stepwise: takes plans with steps between the blocks.
    """

    @property
    def computed(self) -> Computed: ...

    @property
    def dtype(self) -> torch.dtype: ...

    @property
    def stepwise(self) -> StepwiseRuntime: ...

    def dense(self, layers: nn.Sequential) -> Dense:
        """A decoder of patch grids, computed in what the blocks are.

        Args:
            layers: convolutions with ReLU between them; they are used, not copied, and may get another type.
        """
        ...

    def takes(self, context: AttentionContext) -> bool:
        """Whether `forward` is its own work; of other contexts it is the work of `stepwise`."""
        ...

    def forward(
        self, tokens: torch.Tensor, context: AttentionContext, rope: torch.Tensor | None
    ) -> torch.Tensor:
        """All blocks in a row, and the norm.

        Args:
            tokens: (T, C) packed.
            context: of all of them, without a capture.
            rope: (T, 2*D) rotary embedding per token; None where the model has none.

        Returns:
            (T, C) of `Blocks.dtype`.
        """
        ...


@runtime_checkable
class Preparing(Protocol):
    """What a runtime also is that has something to make before the first frames."""

    def prepare(self, sequences: int, longest: int, rope: torch.Tensor | None) -> None:
        """Makes it, in the thread that frames will run in.

        Args:
            sequences: in a batch at most.
            longest: tokens of a sequence at most.
            rope: (N, 2*D) like the rotary embedding of tokens to come; None where the model has none.
        """
        ...


class StepwiseRuntime(Runtime, Protocol):
    """A runtime that also runs block by block, and takes whatever an `AttentionContext` holds."""

    def block(
        self, layer: int, tokens: torch.Tensor, context: AttentionContext, rope: torch.Tensor | None
    ) -> torch.Tensor:
        """One block; leaves in `context.capture` what that wants.

        Args:
            layer: index of the block.
            tokens, context, rope: as for `forward`; the tokens may be of the type that `block` gave.
        """
        ...

    def norm(self, tokens: torch.Tensor) -> torch.Tensor:
        """The norm behind the last block, on what `block` gave."""
        ...
