"""Token merging by several criteria: after every block tokens merge that are alike, little attended, small.

The method is MCTF of Lee et al. (arXiv 2403.10030) without its training. It differs in where it stands: the
paper looks ahead to the attention of the next block, whose projections run for it; here it is that of the
block that has just run on the same tokens, which the paper compares itself with. A merged token counts as
often as it has patches when others attend to it, as in `merge`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

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
        batch, count, prefix = len(packed.lengths), packed.kept[0], packed.prefix
        pairs = min(self.r, count // 2)
        into = position = torch.arange(count, device=packed.tokens.device).expand(batch, -1)
        tokens = _Tokens(
            position,
            packed.patches(packed.tokens).float(),
            packed.attention().mean(dim=(1, 2))[:, prefix:],
            packed.patches(packed.sizes),
        )
        asking, asked = tokens.every(slice(0, None, 2)), tokens.every(slice(1, None, 2))
        for merges in (pairs - pairs // 2, pairs // 2):
            if merges:
                first, rest, best = _match(asking, asked, merges)
                come, asking = asking.at(first), asking.at(rest)
                into = position.scatter(1, come.position, asked.position.gather(1, best)).gather(1, into)
                asked = asked.fused(come, best)
            asking, asked = asked, asking
        left = asking.beside(asked)
        kept = torch.full((batch,), count - pairs, device=into.device)
        before = packed.rows(packed.tokens)[:, :prefix], packed.rows(packed.sizes)[:, :prefix]
        values = torch.cat([before[0], left.values.to(before[0].dtype)], dim=1).flatten(0, 1)
        made = values, torch.cat([before[1], left.sizes], dim=1).flatten()
        return TokenPlan(groups_into(into), kept, prefix, count - pairs, made=made)


class _Tokens(NamedTuple):
    """Patch tokens of images of equal lengths, and what they are judged by.

    Attributes:
        position: (B, N) int64, where they stood before any merged.
        values: (B, N, C).
        attention: (B, N), what they are paid on average: how informative they are.
        sizes: (B, N), patches each stands for.
    """

    position: torch.Tensor
    values: torch.Tensor
    attention: torch.Tensor
    sizes: torch.Tensor

    @property
    def light(self) -> torch.Tensor:
        """(B, N): the larger, the less a token is attended to and the smaller it is."""
        return self.attention**-_OF_ATTENTION * self.sizes**-_OF_SIZE

    def every(self, which: slice) -> _Tokens:
        """The same ones of every image."""
        return _Tokens(*(some[:, which] for some in self))

    def at(self, index: torch.Tensor) -> _Tokens:
        """Those of an index (B, M)."""
        values = self.values.gather(1, index[..., None].expand(-1, -1, self.values.shape[2]))
        flat = (self.attention.gather(1, index), self.sizes.gather(1, index))
        return _Tokens(self.position.gather(1, index), values, *flat)

    def beside(self, others: _Tokens) -> _Tokens:
        """These and the others in the order in which they stood."""
        both = _Tokens(*(torch.cat(some, dim=1) for some in zip(self, others, strict=True)))
        return both.at(both.position.argsort(dim=1))

    def fused(self, come: _Tokens, index: torch.Tensor) -> _Tokens:
        """What they are once others have gone to those of an index (B, M), which several may share.

        A token is the mean weighted by attention and size; both add up.
        """
        weight = come.attention * come.sizes
        whole = (self.attention * self.sizes).scatter_add(1, index, weight)
        target = self.at(index).values
        # What the mean moves by: so a token that nothing comes to stays what it is to the bit.
        moved = (come.values - target) * (weight / whole.gather(1, index))[..., None]
        return _Tokens(
            self.position,
            self.values.scatter_add(1, index[..., None].expand_as(moved), moved),
            self.attention.scatter_add(1, index, come.attention),
            self.sizes.scatter_add(1, index, come.sizes),
        )


def _match(asking: _Tokens, asked: _Tokens, merges: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Finds each token of one half its best of the other; the pairs that attract each other most merge.

    Args:
        asking, asked: the halves, of M and L tokens.
        merges: pairs to merge, at most M.

    Returns:
        (B, merges) of those asking that merge, (B, M - merges) of the others, (B, merges) of those asked that
        the first go to; all int64.
    """
    cosine = F.normalize(asking.values, dim=-1) @ F.normalize(asked.values, dim=-1).transpose(1, 2)
    best = ((cosine + 1) / 2 * asking.light[..., None] * asked.light[:, None]).max(dim=2)
    order = best.values.argsort(dim=1, descending=True, stable=True)
    first, rest = order[:, :merges], order[:, merges:]
    return first, rest, best.indices.gather(1, first)
