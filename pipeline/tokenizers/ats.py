"""Adaptive token sampling: as many tokens stay as the frame needs, chosen by what the class token takes in.

The method is ATS of Fayyaz et al. (arXiv 2111.15667), off the shelf and from a quarter of the depth on, as
the paper has it (blocks 3 to 11 of 12). It drops tokens as queries of a block's attention: here it is after
the block, which gives the tokens that stay the same values. How many they are is known only once they are
chosen, so on a GPU the host waits for it after every block.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from pipeline.tokenizers.base import FromWhole
from pipeline.tokenizers.plan import TokenPlan
from pipeline.tokenizers.registry import TOKENIZERS
from pipeline.tokenizers.steps import PackedTokens, plan_equal


class AtsTokenizer(FromWhole):
    """Starts with every patch and samples among what is left after all blocks but the first and the last.

    Args:
        drop: share of patches that are dropped at least, 0 <= drop < 1: of N patches N - int(N * drop)
            samples are taken, and several may meet the same one. At 0 nothing is sampled.
            None for the default.

    Raises:
        UsageError: when `drop` is out of range.
    """

    name = "ats"

    def __init__(self, drop: float | None = None) -> None:
        self.drop = TOKENIZERS[self.name].value("drop", drop)

    def step(self, rows: int, columns: int) -> AtsStep | None:
        """See `FromWhole.step`."""
        patches = rows * columns
        return AtsStep(patches - int(patches * self.drop)) if self.drop else None


@dataclass(frozen=True, slots=True)
class AtsStep:
    """Keeps the tokens that evenly spaced samples of their significance meet.

    Attributes:
        samples: to take from an image, at least 1.
    """

    samples: int

    @property
    def wants_attention(self) -> bool:
        return True

    def __call__(self, layer: int, layers: int, packed: PackedTokens) -> TokenPlan | None:
        """See `BlockStep`; how many tokens are kept is not known on the host."""
        return plan_equal(packed, self._sample) if layer >= layers // 4 else None

    def flops(self, kept: int, heads: int, width: int) -> int:
        """Operations of the class token's attention and of the lengths of the values."""
        return 4 * kept * heads * width

    def _sample(self, packed: PackedTokens) -> TokenPlan:
        """Section 3.2 of the paper, for images of equal lengths."""
        cumulated = significance(packed).cumsum(dim=1)
        points = (torch.arange(self.samples, device=cumulated.device) + 0.5) / self.samples
        met = torch.searchsorted(cumulated, points.repeat(len(cumulated), 1))
        stays = torch.zeros_like(cumulated, dtype=torch.bool)
        stays.scatter_(1, met.clamp_max(cumulated.shape[1] - 1), True)
        rank = stays.cumsum(dim=1)
        return TokenPlan(torch.where(stays, rank - 1, -1), rank[:, -1], packed.prefix)


def significance(packed: PackedTokens) -> torch.Tensor:
    """What the class token took from every patch token: its attention times the length of the value.

    Args:
        packed: images of equal lengths.

    Returns:
        (B, N) float32, mean over heads; the sum over an image is 1.
    """
    assert packed.attended is not None
    paid = packed.attention(slice(1))[:, :, 0, packed.prefix :]
    taken: torch.Tensor = paid * packed.patches(packed.attended.values).float().norm(dim=-1).transpose(1, 2)
    return (taken / taken.sum(dim=2, keepdim=True)).mean(dim=1)
