"""What a tokenizer is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch

from pipeline.tokenizers.plan import TokenPlan

if TYPE_CHECKING:
    from pipeline.tokenizers.steps import BlockStep


class Tokenizer(Protocol):
    """Decides which tokens the patches of a frame become.

    Two that are equal decide alike of every frame: one of them plans the frames of both.

    Attributes:
        name: what `--tokenizer` and results call it.
        vocab_version: version of the words it uses; None where it uses none.
    """

    name: str

    @property
    def vocab_version(self) -> int | None: ...

    def plan(self, images: torch.Tensor, patch_size: int, prefix: int = 1) -> TokenPlan:
        """Plans a batch without waiting for the device.

        What is to go on between the blocks is in the plan as well: see `TokenPlan.steps`.

        Args:
            images: (B, 3, H, W) normalised frames.
            patch_size: side of a patch in pixels.
            prefix: prefix tokens of the model.
        """
        ...

    def flops(self, patches: int, patch_size: int) -> int:
        """Floating-point operations of planning one frame of `patches` patches."""
        ...


def identity_groups(images: torch.Tensor, patch_size: int) -> torch.Tensor:
    """(B, N) int64: every patch a group of its own, in raster order."""
    patches = (images.shape[2] // patch_size) * (images.shape[3] // patch_size)
    return torch.arange(patches, device=images.device).expand(len(images), -1)


class Alike:
    """What tokenizers share that are equal where they are of one kind and have the same options and words."""

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((type(self), *vars(self).values()))


class FromWhole(Alike):
    """The part that tokenizers share that begin with every patch as a token, in place.

    What they do is between the blocks, and costs nothing before them.
    """

    vocab_version = None

    def step(self, rows: int, columns: int) -> BlockStep | None:  # noqa: ARG002
        """What goes on between the blocks for an image of so many patches; None for nothing."""
        return None

    def plan(self, images: torch.Tensor, patch_size: int, prefix: int = 1) -> TokenPlan:
        """Plans a batch; see `Tokenizer.plan`."""
        group = identity_groups(images, patch_size)
        batch, count = group.shape
        kept = torch.full((batch,), count, device=images.device)
        step = self.step(images.shape[2] // patch_size, images.shape[3] // patch_size)
        return TokenPlan(group, kept, prefix, count, steps=() if step is None else (step,) * batch)

    def flops(self, patches: int, patch_size: int) -> int:  # noqa: ARG002
        """Operations of planning one frame before the blocks; see `Tokenizer.flops`."""
        return 0
