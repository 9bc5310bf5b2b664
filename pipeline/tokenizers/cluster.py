"""Clusters neighbouring tokens once, and makes every patch anew out of the clusters it was nearest to.

The method is that of Liang et al. for dense prediction without fine-tuning (arXiv 2210.01035): soft k-means
among neighbours on the grid after some blocks, then the rest of the blocks on the clusters, then for every
patch the mean of its nearest clusters. The paper sets one temperature for each model; here it follows from
the spread of the image's own tokens. Other than in the paper, a cluster counts as often as it has patches
when others attend to it, as in `merge`; in models with rotary embeddings it turns like the patch in the
middle of where it began.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional as F

from pipeline.tokenizers.base import FromWhole
from pipeline.tokenizers.plan import TokenPlan
from pipeline.tokenizers.registry import TOKENIZERS
from pipeline.tokenizers.steps import PackedTokens, plan_equal

# As in the paper: passes of the clustering, neighbours to each side that a patch may go to (5x5 clusters in
# all), and clusters that a patch is made of.
_PASSES, _REACH, _NEAREST = 5, 2, 20
# Temperature of squared distances, as a share of the mean one between patches and where they begin. From 0.02
# to 2, those around 0.1 and 0.2 left the bundled model's outputs nearest to what they are without clustering.
TEMPERATURE = 0.2


class ClusterTokenizer(FromWhole):
    """Starts with every patch and clusters once, after 10 of 24 blocks or as large a part of others.

    Args:
        shrink: how many times fewer clusters than patches there are along each side of the grid, at least 1.
            None for the default.

    Raises:
        UsageError: when `shrink` is out of range.
    """

    name = "cluster"

    def __init__(self, shrink: float | None = None) -> None:
        self.shrink = TOKENIZERS[self.name].value("shrink", shrink)

    def step(self, rows: int, columns: int) -> ClusterStep | None:
        """See `FromWhole.step`."""
        clusters = max(1, round(rows / self.shrink)), max(1, round(columns / self.shrink))
        return ClusterStep((rows, columns), clusters) if clusters != (rows, columns) else None


@dataclass(frozen=True, slots=True)
class ClusterStep:
    """Clusters images in which every patch still is a token; leaves others alone.

    Attributes:
        grid: patches (rows, columns) of an image.
        clusters: (rows, columns) of them, at most as many.
    """

    grid: tuple[int, int]
    clusters: tuple[int, int]

    @property
    def wants_attention(self) -> bool:
        return False

    def __call__(self, layer: int, layers: int, packed: PackedTokens) -> TokenPlan | None:
        """See `BlockStep`."""
        rows, columns = self.grid
        if layer != max(1, round(layers * 10 / 24)) - 1 or set(packed.kept) != {rows * columns}:
            return None
        return plan_equal(packed, self._cluster)

    def flops(self, kept: int, heads: int, width: int) -> int:
        """Operations of clustering and of the way back; see `BlockStep.flops`."""
        pairs = kept * self.clusters[0] * self.clusters[1] * heads * width
        # A pass compares and takes means; the way back compares once more and mixes.
        return 2 * pairs * (2 * _PASSES + 2)

    def _cluster(self, packed: PackedTokens) -> TokenPlan:
        # In double precision, since distances are divided by little and go through an exponential.
        patches = packed.patches(packed.tokens).double()
        batch, count, channels = patches.shape
        near, cell = self._neighbours(patches.device)
        grid = patches.transpose(1, 2).unflatten(2, self.grid)
        # What all patches have in common says nothing, and would cost digits of distances.
        common = patches.mean(dim=1, keepdim=True)
        patches = patches - common
        clusters = F.adaptive_avg_pool2d(grid, self.clusters).flatten(2).transpose(1, 2) - common
        spread = (patches - clusters[:, cell]).square().sum(dim=2).mean(dim=1)
        temperature = (TEMPERATURE * spread).clamp_min(torch.finfo(torch.float32).tiny)[:, None, None]
        for _ in range(_PASSES):
            closeness = -distances(patches, clusters) / temperature
            share = closeness.masked_fill(~near, -torch.inf).softmax(dim=2).transpose(1, 2)
            mass = share.sum(dim=2, keepdim=True)
            clusters = share @ patches / mass
        closeness = -distances(patches, clusters) / temperature
        best = closeness.topk(min(_NEAREST, closeness.shape[2]), dim=2)
        mix = torch.zeros_like(closeness).scatter_(2, best.indices, best.values.softmax(dim=2)).float()
        prefix = packed.rows(packed.tokens)[:, : packed.prefix]
        tokens = torch.cat([prefix, (clusters + common).to(prefix.dtype)], dim=1).view(-1, channels)
        sizes = torch.cat([packed.rows(packed.sizes)[:, : packed.prefix], mass[..., 0].float()], dim=1)
        left = clusters.shape[1]
        kept = torch.full((batch,), left, device=patches.device)
        group = cell.expand(batch, count)
        return TokenPlan(group, kept, packed.prefix, left, mix=mix, made=(tokens, sizes.flatten()))

    def _neighbours(self, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """(N, M) bool, the clusters that each patch may go to, and (N,) int64, the one it begins in."""
        (rows, columns), (down, across) = self.grid, self.clusters
        row = torch.arange(rows, device=device) * down // rows
        column = torch.arange(columns, device=device) * across // columns
        beside = [
            (torch.arange(count, device=device) - at[:, None]).abs() <= _REACH
            for count, at in ((down, row), (across, column))
        ]
        near = (beside[0][:, None, :, None] & beside[1][None, :, None]).flatten(2).flatten(0, 1)
        return near, (row[:, None] * across + column).flatten()


def distances(patches: torch.Tensor, clusters: torch.Tensor) -> torch.Tensor:
    """Squared Euclidean distances: (B, N, C) and (B, M, C) -> (B, N, M)."""
    squares = patches.square().sum(dim=2, keepdim=True) + clusters.square().sum(dim=2)[:, None]
    return squares - 2 * patches @ clusters.transpose(1, 2)
