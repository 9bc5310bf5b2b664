"""Merging by visual words inside the model: what `inter` does before the first block, done after it."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from pipeline.tokenizers.inter import word_groups
from pipeline.tokenizers.plan import TokenPlan
from pipeline.tokenizers.steps import PackedTokens
from vocab.words import Vocabulary


@dataclass(frozen=True, slots=True, eq=False)
class WordStep:
    """Merges, after the first block, patches of one image that have a word in common.

    Attributes:
        group: (1, N) int64 of its patches.
        kept: (1,) int64 groups there are.
        cost: operations of finding them.
    """

    group: torch.Tensor
    kept: torch.Tensor
    cost: int

    @classmethod
    def of(cls, patches: torch.Tensor, vocabulary: Vocabulary, threshold: float) -> WordStep:
        """The step for the (N, 3*P*P) patches of an image.

        Args:
            patches: normalised pixels.
            vocabulary: the visual words.
            threshold: cosine distance above which a patch stays a token of its own.
        """
        group, kept = word_groups(vocabulary.match(patches[None]), threshold, len(vocabulary))
        return cls(group, kept, 2 * patches.numel() * len(vocabulary))

    @property
    def wants_attention(self) -> bool:
        return False

    def __call__(self, layer: int, layers: int, packed: PackedTokens) -> TokenPlan | None:  # noqa: ARG002
        """See `BlockStep`."""
        # Groups are in the order of their words: the plan must not pass for one that keeps all in place.
        return TokenPlan(self.group, self.kept, packed.prefix) if layer == 0 else None

    def flops(self, kept: int, heads: int, width: int) -> int:  # noqa: ARG002
        """See `BlockStep.flops`."""
        return self.cost
