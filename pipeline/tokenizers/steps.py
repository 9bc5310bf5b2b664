"""What a tokenizer may do between the blocks of the encoder, with keys and attention to judge by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from pipeline.tokenizers.plan import TokenPlan


@dataclass(frozen=True, slots=True, eq=False)
class PackedTokens:
    """The tokens of some images between two blocks, packed image after image: T of them, prefix tokens first.

    Attributes:
        tokens: (T, C) output of the block.
        keys: (T, H, D) what its attention compared, normalised where the model does so, not rotated.
        attention: (T,) float32, what the first prefix token paid to each token of its image in that block,
            mean over heads; None where no step wants it or the model has no prefix tokens.
        sizes: (T,) float32, patches each token stands for; 1 for prefix tokens.
        lengths: tokens per image, prefix included, on the host.
        prefix: prefix tokens per image.
    """

    tokens: torch.Tensor
    keys: torch.Tensor
    attention: torch.Tensor | None
    sizes: torch.Tensor
    lengths: Sequence[int]
    prefix: int

    @property
    def kept(self) -> list[int]:
        """Patch tokens per image."""
        return [length - self.prefix for length in self.lengths]

    def images(self, which: slice) -> PackedTokens:
        """Some of the images, which lie side by side."""
        start = sum(self.lengths[: which.start])
        rows = slice(start, start + sum(self.lengths[which]))
        attention = None if self.attention is None else self.attention[rows]
        return PackedTokens(
            self.tokens[rows],
            self.keys[rows],
            attention,
            self.sizes[rows],
            self.lengths[which],
            self.prefix,
        )

    def patches(self, values: torch.Tensor) -> torch.Tensor:
        """(T, ...) -> (B, kept, ...): the rows of the patch tokens, for images of equal lengths."""
        return values.reshape(len(self.lengths), -1, *values.shape[1:])[:, self.prefix :]


class BlockStep(Protocol):
    """Merges or drops tokens after a block; a plan names one per image (`TokenPlan.steps`).

    It runs after every block but the last, behind which nothing is left to save. Images whose steps are equal
    (`==`) are given to one of them together, so a step is a value: it holds options and no state.

    Attributes:
        wants_attention: whether `PackedTokens.attention` is to be there.
    """

    @property
    def wants_attention(self) -> bool: ...

    def __call__(self, layer: int, layers: int, packed: PackedTokens) -> TokenPlan | None:
        """Decides without waiting for the device. An image's decision must not depend on the others.

        Args:
            layer: index of the block that has just run, from 0.
            layers: blocks of the model.
            packed: what it left.

        Returns:
            The token each patch token goes to, as if they were the N patches of a plan: N is the largest
            number of patch tokens of an image, and beyond an image's last one the group is -1. `kept` has to
            be known on the host (`uniform` or `known`). None where all stay as they are.
        """
        ...

    def flops(self, kept: int, heads: int, width: int) -> int:
        """Floating-point operations of one call for an image.

        Args:
            kept: its patch tokens before the step.
            heads, width: of a key, (heads, width).
        """
        ...
