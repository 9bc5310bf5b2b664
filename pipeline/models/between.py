"""What some models add to their tokens behind each block but the last: positions once more."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn.functional import pad

from pipeline.models.positions import Place, kept, resized
from pipeline.tokenizers.plan import TokenPlan

# Grids that are remembered. One takes 130 MB for YOLOS-Base at its own size.
_KEPT_GRIDS = 2


class Between:
    """Positions that are added between the blocks.

    Args:
        prefix: (blocks-1, prefix, C) of prefix tokens.
        learned: (blocks-1, rows, columns, C) of patches, resized to other grids by plain bicubic.
    """

    def __init__(self, prefix: torch.Tensor, learned: torch.Tensor) -> None:
        self._prefix = prefix
        self._learned = learned
        self._added = kept(self._add, _KEPT_GRIDS)

    def to(self, device: torch.device, dtype: torch.dtype) -> Between:
        """The same elsewhere."""
        return Between(self._prefix.to(device, dtype), self._learned.to(device, dtype))

    def planned(
        self, layer: int, tokens: torch.Tensor, plan: TokenPlan, places: Sequence[Place]
    ) -> torch.Tensor:
        """Tokens of a batch behind a block, with what is added there.

        Args:
            layer: index of the block.
            tokens: (sum(prefix+kept), C) as the plan packs them. What stands for several patches gets the
                mean of what they get.
            plan: from the patches to these tokens.
            places: of the patches, one per image.
        """
        if layer == len(self._prefix):
            return tokens
        added = [self._added(place)[layer] for place in places]
        most = max(len(one) for one in added)
        whole = torch.stack([pad(one, (0, 0, 0, most - len(one))) for one in added])
        return tokens + plan.apply(whole).to(tokens.dtype)

    def picked(
        self,
        layer: int,
        tokens: torch.Tensor,
        places: Sequence[Place],
        rows: Sequence[torch.Tensor | None],
    ) -> torch.Tensor:
        """The same of some tokens of each image.

        Args:
            layer: index of the block.
            tokens: (T, C), image after image; tokens of none may lie behind them.
            places: of the patches, one per image.
            rows: (n,) which of its prefix tokens and patches they are, per image; None for all.
        """
        if layer == len(self._prefix):
            return tokens
        whole = [self._added(place)[layer] for place in places]
        added = torch.cat([one if own is None else one[own] for one, own in zip(whole, rows, strict=True)])
        return tokens + pad(added, (0, 0, 0, len(tokens) - len(added))).to(tokens.dtype)

    def _add(self, place: Place) -> torch.Tensor:
        """(blocks-1, prefix+patches, C)."""
        patches = [place.part(resized(one, place.whole, antialias=False)) for one in self._learned]
        return torch.cat([self._prefix, torch.stack(patches)], dim=1)
