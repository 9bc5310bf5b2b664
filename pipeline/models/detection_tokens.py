"""Which prefix tokens answer with boxes, and what they come to in one vector."""

from __future__ import annotations

import torch

# Any will do, as long as it is always the same: vectors of two runs are compared.
_SEED = 0


class DetectionTokens:
    """Those of a detector.

    Args:
        first: index of the first of them among the prefix tokens.
        count: how many D, side by side.
        width: channels C of a token.

    Attributes:
        rows: of the prefix tokens.
        count: of them.
    """

    def __init__(self, first: int, count: int, width: int) -> None:
        self.rows = slice(first, first + count)
        self.count = count
        coins = torch.randint(0, 2, (count, width), generator=torch.Generator().manual_seed(_SEED))
        self._signs = 2.0 * coins - 1

    def to(self, device: torch.device) -> DetectionTokens:
        """The same, their sums taken on a device."""
        self._signs = self._signs.to(device)
        return self

    def pooled(self, tokens: torch.Tensor) -> torch.Tensor:
        """One vector per image, by which answers are compared: (B, D, C) -> (B, C).

        All tokens side by side are too long a vector to remember for every patch, and in their plain mean
        what one of them says drowns. Each channel of each token is added with a sign drawn once instead
        (count sketch; Charikar et al. 2002, Weinberger et al. 2009, arXiv 0902.2206): dot products of such
        sums are those of the long vectors on average, and 1 - cosine is off by about 2 / sqrt(C) of itself.
        """
        return (tokens * self._signs.to(tokens)).sum(dim=1) * tokens.shape[1] ** -0.5
