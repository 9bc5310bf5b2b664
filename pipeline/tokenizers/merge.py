"""Token merging: after every block the r most similar pairs of tokens become one each.

The method is ToMe of Bolya et al. (arXiv 2210.09461), except that it merges after a whole block, where the
paper does so between its attention and its MLP: here timm's blocks run as they are. A merged token counts
as often as it has patches when others attend to it (proportional attention); in models with rotary embeddings
it turns like its medoid.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional as F

from pipeline.tokenizers.base import FromWhole
from pipeline.tokenizers.plan import TokenPlan
from pipeline.tokenizers.registry import TOKENIZERS
from pipeline.tokenizers.steps import PackedTokens, plan_equal


class MergeTokenizer(FromWhole):
    """Starts with every patch and merges r pairs of tokens after every block but the last.

    Args:
        r: pairs to merge, at least 0; never more than half of an image's patch tokens. None for the default.

    Raises:
        UsageError: when `r` is out of range.
    """

    name = "merge"

    def __init__(self, r: int | None = None) -> None:
        self.r = int(TOKENIZERS[self.name].value("r", r))

    def step(self, rows: int, columns: int) -> MergeStep | None:  # noqa: ARG002
        """See `FromWhole.step`."""
        return MergeStep(self.r) if self.r else None


@dataclass(frozen=True, slots=True)
class MergeStep:
    """Bipartite soft matching on the keys, mean over heads.

    Attributes:
        r: pairs to merge.
    """

    r: int

    @property
    def wants_attention(self) -> bool:
        return False

    def __call__(self, layer: int, layers: int, packed: PackedTokens) -> TokenPlan | None:  # noqa: ARG002
        """See `BlockStep`."""
        if min(self.r, max(packed.kept) // 2) == 0:
            return None
        return plan_equal(packed, self._merge)

    def flops(self, kept: int, heads: int, width: int) -> int:
        """Operations of the mean over heads and of comparing the two halves; see `BlockStep.flops`."""
        return kept * heads * width + 2 * (kept // 2) * (kept - kept // 2) * width

    def _merge(self, packed: PackedTokens) -> TokenPlan:
        """Plans images of equal lengths."""
        keys = packed.patches(packed.keys.float().mean(dim=1))
        batch, tokens, _ = keys.shape
        pairs = min(self.r, tokens // 2)
        kept = torch.full((batch,), tokens - pairs, device=keys.device)
        return TokenPlan(match_pairs(keys, pairs, packed.prefix), kept, packed.prefix, tokens - pairs)


def match_pairs(keys: torch.Tensor, r: int, first: int = 1) -> torch.Tensor:
    """Bipartite soft matching (section 3 of the paper).

    Tokens are numbered from `first` on. Each even one finds the odd one whose key is most similar by cosine,
    and the r most similar of these pairs merge; several even tokens may merge into one odd token.

    Args:
        keys: (B, N, D).
        r: pairs to merge, at most N // 2.
        first: number of the first patch token: tokens before it (class token, registers) never merge.

    Returns:
        (B, N) int64, the token 0..N-r-1 each goes to: first the even ones that stay, then the odd ones, as
        the paper leaves them. All stay in place where r is 0.
    """
    if r == 0:
        return torch.arange(keys.shape[1], device=keys.device).expand(len(keys), -1)
    keys = F.normalize(keys, dim=-1)
    even, odd = (slice((first + start) % 2, None, 2) for start in (0, 1))
    best = (keys[:, even] @ keys[:, odd].transpose(1, 2)).max(dim=2)
    order = best.values.argsort(dim=1, descending=True, stable=True)
    merges = torch.zeros_like(best.indices, dtype=torch.bool).scatter_(1, order[:, :r], True)
    stay = best.indices.shape[1] - r
    group = torch.empty(keys.shape[:2], dtype=torch.int64, device=keys.device)
    group[:, even] = torch.where(merges, stay + best.indices, (~merges).cumsum(dim=1) - 1)
    group[:, odd] = stay + torch.arange(keys.shape[1] - best.indices.shape[1], device=keys.device)
    return group


def groups_into(into: torch.Tensor) -> torch.Tensor:
    """Groups of a plan in which some tokens of each image go to others; those that stay keep their order.

    Args:
        into: (B, N) int64, the token each goes to; its own where it stays.
    """
    stays = into == torch.arange(into.shape[1], device=into.device)
    return (stays.cumsum(dim=1) - 1).gather(1, into)
