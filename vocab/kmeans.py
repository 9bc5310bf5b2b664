"""Euclidean k-means, as the Visual Word Tokenizer learns its words (Gee et al., arXiv 2411.15397).

Seeding follows k-means++ (Arthur and Vassilvitskii, 2007), but draws many centres a round: a thousand
single draws would pass over all points a thousand times, while a few dozen rounds cost as much as one or
two Lloyd iterations, and those then even out what the coarser draw left.
"""

from __future__ import annotations

import torch

_SEED_ROUNDS = 32
_ROWS_AT_ONCE = 8192  # bounds the distance table to rows x words floats


def kmeans(
    points: torch.Tensor,
    clusters: int,
    initial: torch.Tensor | None = None,
    iterations: int = 10,
    tolerance: float = 1e-3,
    seed: int = 0,
) -> torch.Tensor:
    """Learns cluster centres; deterministic for a seed on one device.

    A cluster that no point is nearest to is re-seeded from the points farthest from their centres.

    Args:
        points: (M, D) float32.
        clusters: how many centres to learn.
        initial: (K, D) centres to start from, K <= clusters; the rest is drawn by k-means++. A centre keeps
            its index.
        iterations: Lloyd iterations at most.
        tolerance: stop when an iteration lowers the mean squared distance by less than this share.
        seed: of the random draws.

    Returns:
        (V, D) centres; V < clusters only when the points have fewer distinct values.
    """
    generator = torch.Generator(points.device).manual_seed(seed)
    centres = _seed_centres(points, clusters, initial, generator)
    last: float | None = None
    for _ in range(iterations):
        nearest, distance = _assign(points, centres)
        mean_distance = float(distance.mean())
        if last is not None and last - mean_distance <= tolerance * last:
            break
        last = mean_distance
        centres = _move(points, centres, nearest, distance)
    return centres


def _assign(points: torch.Tensor, centres: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Nearest centre (M,) and squared distance to it (M,)."""
    half_norm = 0.5 * centres.square().sum(dim=1)
    parts = [(chunk @ centres.T - half_norm).max(dim=1) for chunk in points.split(_ROWS_AT_ONCE)]
    nearest = torch.cat([part.indices for part in parts])
    score = torch.cat([part.values for part in parts])
    return nearest, (points.square().sum(dim=1) - 2 * score).clamp_min_(0)


def _move(
    points: torch.Tensor, centres: torch.Tensor, nearest: torch.Tensor, distance: torch.Tensor
) -> torch.Tensor:
    sums = torch.zeros_like(centres).index_add_(0, nearest, points)
    counts = torch.zeros(len(centres), device=points.device).index_add_(0, nearest, torch.ones_like(distance))
    moved = torch.where(counts[:, None] > 0, sums / counts.clamp_min(1)[:, None], centres)
    empty = (counts == 0).nonzero().flatten()
    if len(empty):
        worst = distance.topk(min(len(empty), len(points))).indices
        moved[empty[: len(worst)]] = points[worst]
    return moved


def _seed_centres(
    points: torch.Tensor, clusters: int, initial: torch.Tensor | None, generator: torch.Generator
) -> torch.Tensor:
    if initial is None:
        first = torch.randint(len(points), (1,), generator=generator, device=points.device)
        centres = points[first]
    else:
        centres = initial.to(points)
    distance = _assign(points, centres)[1]
    per_round = max(1, -(-clusters // _SEED_ROUNDS))
    while len(centres) < clusters:
        # Distances computed by expansion are never exactly zero; below this they are rounding.
        weight = torch.where(distance > 1e-6 * points.shape[1], distance, 0)
        candidates = int(weight.count_nonzero())
        if candidates == 0:
            break
        draw = min(per_round, clusters - len(centres), candidates)
        chosen = points[weight.multinomial(draw, generator=generator)]
        chosen = torch.unique(chosen, dim=0)
        centres = torch.cat([centres, chosen])
        distance = torch.minimum(distance, _assign(points, chosen)[1])
    return centres
