"""What a tokenizer is."""

from __future__ import annotations

from typing import Protocol

import torch

from pipeline.tokenizers.plan import TokenPlan


class Tokenizer(Protocol):
    """Decides which tokens the patches of a frame become.

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
