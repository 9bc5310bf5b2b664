"""Token merging by several criteria: after every block tokens merge that are alike, little attended, small.

The method is MCTF of Lee et al. (arXiv 2403.10030) without its training. It differs in where it stands: the
paper looks ahead to the attention of the next block, whose projections run for it; here it is that of the
block that has just run on the same tokens, which the paper compares itself with. A merged token counts as
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

# Exponents of the criteria that are not similarity, whose own is 1.
_OF_ATTENTION, _OF_SIZE = 1 / 20, 1 / 40


class MctfTokenizer(FromWhole):
    """Starts with every patch and merges r pairs of tokens after every block but the last.

    Args:
        r: pairs to merge, at least 0; never more than half of an image's patch tokens. None for the default.

    Raises:
        UsageError: when `r` is out of range.
    """

    name = "mctf"

    def __init__(self, r: int | None = None) -> None:
        self.r = int(TOKENIZERS[self.name].value("r", r))

    def step(self, rows: int, columns: int) -> MctfStep | None:  # noqa: ARG002
        """See `FromWhole.step`."""
        return MctfStep(self.r) if self.r else None


@dataclass(frozen=True, slots=True)
class MctfStep:
    """Bidirectional bipartite matching: half of the pairs one way, the rest the other way.

    Attributes:
        r: pairs to merge.
    """

    r: int

    @property
    def wants_attention(self) -> bool:
        return True

    def __call__(self, layer: int, layers: int, packed: PackedTokens) -> TokenPlan | None:  # noqa: ARG002
        """See `BlockStep`."""
        if min(self.r, max(packed.kept) // 2) == 0:
            return None
        return plan_equal(packed, self._merge)

    def flops(self, kept: int, heads: int, width: int) -> int:
        """Operations of the attention, and of comparing the tokens of two halves twice."""
        half = kept // 2
        return 2 * kept**2 * heads * width + 4 * half * (kept - half) * heads * width

    def _merge(self, packed: PackedTokens) -> TokenPlan:
        """Plans images of equal lengths."""
        batch, count = len(packed.lengths), packed.kept[0]
        pairs = min(self.r, count // 2)
        tokens = _Tokens(
            packed.patches(packed.tokens).float(),
            packed.attention().mean(dim=(1, 2))[:, packed.prefix :],
            packed.patches(packed.sizes),
        )
        into = position = torch.arange(count, device=packed.tokens.device).expand(batch, -1)
        asking, asked = position[:, ::2], position[:, 1::2]
        for merges in (pairs - pairs // 2, pairs // 2):
            if merges:
                sources, targets, asking = _match(tokens, asking, asked, merges)
                tokens = tokens.fused(sources, targets)
                into = position.scatter(1, sources, targets).gather(1, into)
            asking, asked = asked, asking
        group = groups_into(into)
        left = (into != position).long().argsort(dim=1, stable=True)[:, : count - pairs]
        kept = torch.full((batch,), count - pairs, device=group.device)
        prefix = packed.rows(packed.tokens)[:, : packed.prefix]
        values = tokens.values.gather(1, left[..., None].expand(-1, -1, tokens.values.shape[2]))
        sizes = torch.cat(
            [packed.rows(packed.sizes)[:, : packed.prefix], tokens.sizes.gather(1, left)], dim=1
        )
        made = torch.cat([prefix, values.to(prefix.dtype)], dim=1).flatten(0, 1), sizes.flatten()
        return TokenPlan(group, kept, packed.prefix, count - pairs, made=made)


@dataclass(frozen=True, slots=True, eq=False)
class _Tokens:
    """Patch tokens of images of equal lengths, by the criteria that they are judged by.

    Attributes:
        values: (B, N, C).
        attention: (B, N), what they are paid on average: how informative they are.
        sizes: (B, N), patches each stands for.
    """

    values: torch.Tensor
    attention: torch.Tensor
    sizes: torch.Tensor

    def at(self, index: torch.Tensor) -> _Tokens:
        """Those of an index (B, M)."""
        values = self.values.gather(1, index[..., None].expand(-1, -1, self.values.shape[2]))
        return _Tokens(values, self.attention.gather(1, index), self.sizes.gather(1, index))

    def fused(self, sources: torch.Tensor, targets: torch.Tensor) -> _Tokens:
        """What they are once sources (B, M) have gone to targets (B, M), which several may share.

        A token is the mean weighted by attention and size; both add up.
        """
        come = self.at(sources)
        across = targets[..., None].expand_as(come.values)
        own, weight = self.attention * self.sizes, come.attention * come.sizes
        whole = own.scatter_add(1, targets, weight)
        values = (self.values * own[..., None]).scatter_add(1, across, come.values * weight[..., None])
        return _Tokens(
            # A target that nothing comes to keeps its value to the bit.
            torch.where((whole == own)[..., None], self.values, values / whole[..., None]),
            self.attention.scatter_add(1, targets, come.attention),
            self.sizes.scatter_add(1, targets, come.sizes),
        )


def _match(
    tokens: _Tokens, asking: torch.Tensor, asked: torch.Tensor, merges: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Finds each token of one half its best of the other; the pairs that attract each other most merge.

    Args:
        tokens: all.
        asking, asked: (B, M) and (B, L) int64, the halves.
        merges: pairs to merge, below M.

    Returns:
        (B, merges) those that merge, (B, merges) what they go to, (B, M - merges) the others that asked.
    """
    ours, theirs = tokens.at(asking), tokens.at(asked)
    cosine = F.normalize(ours.values, dim=-1) @ F.normalize(theirs.values, dim=-1).transpose(1, 2)
    attraction = (cosine + 1) / 2 * _light(ours)[..., None] * _light(theirs)[:, None]
    best = attraction.max(dim=2)
    order = best.values.argsort(dim=1, descending=True, stable=True)
    first, rest = order[:, :merges], order[:, merges:]
    return asking.gather(1, first), asked.gather(1, best.indices.gather(1, first)), asking.gather(1, rest)


def _light(tokens: _Tokens) -> torch.Tensor:
    """(B, N): the larger, the less a token is attended to and the smaller it is."""
    return tokens.attention**-_OF_ATTENTION * tokens.sizes**-_OF_SIZE
