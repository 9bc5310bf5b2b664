"""What a tokenizer may do between the blocks of the encoder, with keys and attention to judge by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from pipeline.tokenizers.plan import TokenPlan


@dataclass(frozen=True, slots=True, eq=False)
class Attended:
    """What the attention of a block was made of, packed like its tokens.

    Attributes:
        queries, keys: (T, H, D) as they were compared: rotated where the model does so, and with a key for
            every query.
        values: (T, H, D).
        bias: (T,) float32, what was added to the scores of each key; None for nothing.
    """

    queries: torch.Tensor
    keys: torch.Tensor
    values: torch.Tensor
    bias: torch.Tensor | None

    def rows(self, which: slice) -> Attended:
        """Of some of the tokens."""
        bias = None if self.bias is None else self.bias[which]
        return Attended(self.queries[which], self.keys[which], self.values[which], bias)


@dataclass(frozen=True, slots=True, eq=False)
class PackedTokens:
    """The tokens of some images between two blocks, packed image after image: T of them, prefix tokens first.

    Attributes:
        tokens: (T, C) output of the block.
        keys: (T, H, D) what its attention compared, normalised where the model does so, not rotated.
        attended: what its attention was made of; None where no step wants it.
        sizes: (T,) float32, patches each token stands for; 1 for prefix tokens.
        lengths: tokens per image, prefix included, on the host.
        prefix: prefix tokens per image.
    """

    tokens: torch.Tensor
    keys: torch.Tensor
    attended: Attended | None
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
        attended = None if self.attended is None else self.attended.rows(rows)
        return PackedTokens(
            self.tokens[rows],
            self.keys[rows],
            attended,
            self.sizes[rows],
            self.lengths[which],
            self.prefix,
        )

    def rows(self, values: torch.Tensor) -> torch.Tensor:
        """(T, ...) -> (B, prefix+kept, ...), for images of equal lengths."""
        return values.reshape(len(self.lengths), -1, *values.shape[1:])

    def patches(self, values: torch.Tensor) -> torch.Tensor:
        """(T, ...) -> (B, kept, ...): the rows of the patch tokens, for images of equal lengths."""
        return self.rows(values)[:, self.prefix :]

    def attention(self, asking: slice = slice(None)) -> torch.Tensor:
        """What tokens paid to those of their image in that block, for images of equal lengths.

        Args:
            asking: those that paid, counted in their image: `slice(1)` is the class token.

        Returns:
            (B, H, asking, prefix+kept) float32; the sum over the last axis is 1.
        """
        attended = self.attended
        assert attended is not None, "the step has to want attention"
        queries = self.rows(attended.queries)[:, asking].float().transpose(1, 2)
        keys = self.rows(attended.keys).float().permute(0, 2, 3, 1)
        scores = (queries * keys.shape[2] ** -0.5) @ keys
        if attended.bias is not None:
            scores += self.rows(attended.bias)[:, None, None]
        paid: torch.Tensor = scores.softmax(dim=-1)
        return paid


def plan_equal(packed: PackedTokens, plan: Callable[[PackedTokens], TokenPlan]) -> TokenPlan:
    """Asks a function that wants images of equal lengths: all at once, or one by one where they differ."""
    if len(set(packed.lengths)) == 1:
        return plan(packed)
    images = [packed.images(slice(index, index + 1)) for index in range(len(packed.lengths))]
    return TokenPlan.join([plan(image) for image in images])


class BlockStep(Protocol):
    """Merges or drops tokens after a block; a plan names one per image (`TokenPlan.steps`).

    It runs after every block but the last, behind which nothing is left to save. Images whose steps are equal
    (`==`) are given to one of them together, so a step is a value: it holds options and no state.

    Attributes:
        wants_attention: whether `PackedTokens.attended` is to be there.
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
            number of patch tokens of an image, and beyond an image's last one the group is -1. `kept` should
            be known on the host (`uniform` or `known`): else the host waits for the device after every such
            block. None where all stay as they are, which counts as no operations.
        """
        ...

    def flops(self, kept: int, heads: int, width: int) -> int:
        """Floating-point operations of one call for an image in which it decides something.

        Args:
            kept: its patch tokens before the step.
            heads, width: of a key, or of a query where the step wants attention.
        """
        ...
