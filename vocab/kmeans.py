"""Spherical k-means: the clusters whose directions lie nearest to the points' by cosine distance.

The words of the Visual Word Tokenizer (Gee et al., arXiv 2411.15397) are Euclidean centres, but are matched
by cosine distance. Learning them by that distance brings held-out patches nearer and merges more of them at
the same threshold; see `Vocabulary.learn` for the figures.

Seeding follows k-means++ (Arthur and Vassilvitskii, 2007) but draws an eighth of the centres at hand in a
round, so that a thousand centres take some fifty rounds. Then the points are swept in mini-batches. Each
remembers the cluster it was in, so a batch changes the sums by what moved and the centres are exact means of
all points all the time: no learning rate, and no batch can make the clustering worse (the incremental scheme
of Neal and Hinton, 1998, with hard assignments).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F

from vocab.linear import linear_map

_BATCH = 2048  # bounds the similarity table to this many points x clusters, and the time between looks up
_DRAWN_SHARE = 8
# Below this a distance is rounding: the points are the same to float32.
_SAME = 1e-6


def kmeans(
    points: torch.Tensor,
    clusters: int,
    initial: torch.Tensor | None = None,
    passes: int = 10,
    tolerance: float = 3e-3,
    seed: int = 0,
    should_stop: Callable[[], bool] = lambda: False,
) -> torch.Tensor:
    """Learns cluster centres; deterministic for a seed on one machine's CPU, whatever its threads do.

    A centre without a point is drawn anew like a first one: at random, the farther a point is from its
    centre the likelier.

    Args:
        points: (M, D) float32; those of length 0 have no direction and count for nothing.
        clusters: how many centres to learn.
        initial: (K, D) centres to start from, K <= clusters; the rest is drawn. A centre keeps its index.
        passes: over the points at most.
        tolerance: stop when a pass lowers the mean cosine distance by less than this share.
        seed: of the random draws.
        should_stop: asked between pieces of work of some ten milliseconds; it may wait to leave the
            processor to others. When it says True the centres are returned as they are.

    Returns:
        (V, D) centres, each as long as its points are in the mean; V < clusters only when the points have
        fewer distinct directions or learning was stopped during the draws.
    """
    lengths = points.norm(dim=1)
    directed = lengths > 0
    if not bool(directed.any()):
        return points.new_zeros(1, points.shape[1]) if initial is None else initial.to(points)
    if not bool(directed.all()):
        points, lengths = points[directed], lengths[directed]
    start = points.new_empty(0, points.shape[1]) if initial is None else initial.to(points)
    clustering = _Clustering(points / lengths[:, None], F.normalize(start, dim=1), should_stop)
    generator = torch.Generator().manual_seed(seed)
    before: float | None = None
    for _ in range(passes):
        clustering.fill(clusters, generator)
        distance = clustering.sweep()
        if should_stop() or (before is not None and before - distance <= tolerance * before):
            break
        before = distance
    return clustering.centres(lengths)


class _Clustering:
    """Directions, and which point belongs to which.

    Args:
        points: (M, D) of length 1.
        directions: (V, D) of length 1 to start from; V may be 0.
        should_stop: see `kmeans`.
    """

    def __init__(
        self, points: torch.Tensor, directions: torch.Tensor, should_stop: Callable[[], bool]
    ) -> None:
        self._points = points
        self._directions = directions
        self._should_stop = should_stop
        if len(directions):
            self._nearest, self._distance = _assign(points, directions)
        else:
            self._nearest = torch.zeros(len(points), dtype=torch.long, device=points.device)
            self._distance = points.new_ones(len(points))

    def fill(self, clusters: int, generator: torch.Generator) -> None:
        """Draws directions for clusters without points, and new clusters up to the number wanted."""
        known = len(self._directions)
        empty = (torch.bincount(self._nearest, minlength=known)[:known] == 0).nonzero().flatten()
        slots = torch.cat([empty, torch.arange(known, clusters, device=empty.device)])
        missing = self._points.new_zeros(max(clusters - known, 0), self._points.shape[1])
        directions = torch.cat([self._directions, missing])
        while len(slots):
            weight = torch.where(self._distance > _SAME, self._distance, 0).cpu()
            share = (len(directions) - len(slots)) // _DRAWN_SHARE
            draws = min(max(share, 1), len(slots), int(weight.count_nonzero()))
            if draws == 0:
                break
            drawn = _distinct(self._points[weight.multinomial(draws, generator=generator).to(slots.device)])
            taken, slots = slots[: len(drawn)], slots[len(drawn) :]
            directions[taken] = drawn
            nearest, distance = _assign(self._points, drawn)
            nearer = distance < self._distance
            self._nearest = torch.where(nearer, taken[nearest], self._nearest)
            self._distance = torch.where(nearer, distance, self._distance)
            if self._should_stop():
                break
        # Slots are taken in order, so new clusters that nothing was drawn for are the last ones.
        unfilled = int((slots >= known).count_nonzero())
        self._directions = directions[: len(directions) - unfilled]

    def sweep(self) -> float:
        """Moves every point to its nearest cluster, and the clusters along; returns the mean distance."""
        sums, counts = self._sums()
        for start in range(0, len(self._points), _BATCH):
            self._directions = self._means(sums, counts)
            points = self._points[start : start + _BATCH]
            before = self._nearest[start : start + _BATCH]
            nearest, self._distance[start : start + _BATCH] = _assign(points, self._directions)
            moved = nearest != before
            sums.index_add_(0, nearest[moved], points[moved])
            sums.index_add_(0, before[moved], points[moved], alpha=-1)
            counts += torch.bincount(nearest, minlength=len(counts))
            counts -= torch.bincount(before, minlength=len(counts))
            self._nearest[start : start + _BATCH] = nearest
            if self._should_stop():
                break
        return float(self._distance.mean())

    def centres(self, lengths: torch.Tensor) -> torch.Tensor:
        """The directions, each as long as the mean of its points, given the lengths (M,) of all points."""
        sums, counts = self._sums()
        total = torch.zeros_like(sums[:, 0]).index_add_(0, self._nearest, lengths)
        length = torch.where(counts > 0, total / counts.clamp_min(1), lengths.mean())
        return self._means(sums, counts) * length[:, None]

    def _sums(self) -> tuple[torch.Tensor, torch.Tensor]:
        sums = torch.zeros_like(self._directions).index_add_(0, self._nearest, self._points)
        return sums, torch.bincount(self._nearest, minlength=len(sums))

    def _means(self, sums: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
        return torch.where(counts[:, None] > 0, F.normalize(sums, dim=1), self._directions)


def _assign(points: torch.Tensor, directions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Nearest direction (M,) and cosine distance to it (M,)."""
    similarity = linear_map(directions)
    best = [similarity(batch).max(dim=1) for batch in points.split(_BATCH)]
    distance = 1 - torch.cat([part.values for part in best])
    return torch.cat([part.indices for part in best]), distance


def _distinct(directions: torch.Tensor) -> torch.Tensor:
    """Leaves out directions equal to one before them."""
    same = 1 - directions @ directions.T <= _SAME
    first = same.to(torch.uint8).argmax(dim=1)
    return directions[first == torch.arange(len(directions), device=first.device)]
