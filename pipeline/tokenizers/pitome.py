"""Token merging that protects what is rare: after every block the most crowded tokens become fewer.

The method is PiToMe of Tran et al. (arXiv 2405.16148), except that it merges after a whole block, where the
paper does so between its attention and its MLP: here timm's blocks run as they are. A merged token counts as
often as it has patches when others attend to it, as in `merge`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional as F

from pipeline.tokenizers.base import FromWhole
from pipeline.tokenizers.merge import groups_into
from pipeline.tokenizers.plan import TokenPlan
from pipeline.tokenizers.registry import TOKENIZERS
from pipeline.tokenizers.steps import PackedTokens, plan_equal

# In front of the first block; it falls in a line to 0 behind the last.
_FIRST_MARGIN = 0.75


class PitomeTokenizer(FromWhole):
    """Starts with every patch and merges after every block but the last.

    Args:
        merge_share: share of an image's patch tokens that merges away each time, 0 to 0.5; the paper's ratio
            is 1 less this. None for the default.

    Raises:
        UsageError: when `merge_share` is out of range.
    """

    name = "pitome"

    def __init__(self, merge_share: float | None = None) -> None:
        self.merge_share = TOKENIZERS[self.name].value("merge_share", merge_share)

    def step(self, rows: int, columns: int) -> PitomeStep | None:  # noqa: ARG002
        """See `FromWhole.step`."""
        return PitomeStep(self.merge_share) if self.merge_share else None


@dataclass(frozen=True, slots=True)
class PitomeStep:
    """Merges pairs among the tokens of the highest energy, which have many like themselves.

    Attributes:
        share: of the patch tokens that merge away.
    """

    share: float

    @property
    def wants_attention(self) -> bool:
        return False

    def __call__(self, layer: int, layers: int, packed: PackedTokens) -> TokenPlan | None:
        """See `BlockStep`."""
        if self._pairs(max(packed.kept)) == 0:
            return None
        margin = _FIRST_MARGIN * (1 - layer / layers)
        return plan_equal(packed, lambda images: self._merge(images, margin))

    def flops(self, kept: int, heads: int, width: int) -> int:
        """Operations of the mean over heads and of comparing every token with every other."""
        return kept * heads * width + 2 * kept**2 * width

    def _pairs(self, tokens: int) -> int:
        return int(tokens * self.share)

    def _merge(self, packed: PackedTokens, margin: float) -> TokenPlan:
        """Algorithm 1 of the paper, for images of equal lengths."""
        keys = F.normalize(packed.patches(packed.keys.float().mean(dim=1)), dim=-1)
        similarity = keys @ keys.transpose(1, 2)
        pairs = self._pairs(keys.shape[1])
        # The paper leaves out each token itself, which is equally near to all of them.
        energy = F.elu(similarity - margin).mean(dim=2)
        crowded = energy.argsort(dim=1, descending=True, stable=True)[:, : 2 * pairs]
        sources, targets = crowded[:, ::2], crowded[:, 1::2]
        among = similarity.gather(1, sources[..., None].expand(-1, -1, similarity.shape[2]))
        among = among.gather(2, targets[:, None].expand(-1, pairs, -1))
        into = targets.gather(1, among.argmax(dim=2)) if pairs else targets
        batch, tokens, _ = keys.shape
        token = torch.arange(tokens, device=keys.device).expand(batch, -1)
        kept = torch.full((batch,), tokens - pairs, device=keys.device)
        group = groups_into(token.scatter(1, sources, into))
        return TokenPlan(group, kept, packed.prefix, tokens - pairs)
