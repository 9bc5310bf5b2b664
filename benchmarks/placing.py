"""How evenly streams lie on replicas of Inference and how many move, before and after bounded loads.

Part of `python -m benchmarks.scale`; nothing runs but the product's `Placement`, Ray's own ring, which routed
before, and the scaling policies. Counted are streams: each is taken to cost the same.

- fullest over mean; streams that move when a replica comes, when one goes, and per stream that is added;
- growing: frames of all streams are a tenth too much for the replicas, which follow until the number holds.
  Every step tells each replica to be behind or not by the streams it has.
"""

from __future__ import annotations

import logging
import math
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ray.serve._private.common import DeploymentID, ReplicaID
from ray.serve.experimental.consistent_hash_router import ConsistentHashRouter

from workers.inference.placement import Placement
from workers.inference.scaling import BACKLOG_S, BUSY, STREAMS, replicas_wanted

_TARGET_S = 0.5
_ADDED = 50
_STEPS = 12

Placed = Mapping[str, Any]
Place = Callable[[Sequence[str], Sequence[str]], Placed]
Policy = Callable[[int, Mapping[str, list[float]], float], int]


def bounded(streams: Sequence[str], replicas: Sequence[str]) -> Placed:
    """As it is now."""
    placement = Placement()
    placement.use_replicas(replicas)
    placement.use_streams(streams)
    return {stream: placement.of(stream) for stream in streams}


def ring(streams: Sequence[str], replicas: Sequence[str]) -> Placed:
    """As it was: Ray's consistent hashing with 100 points for each replica."""
    router: Any = ConsistentHashRouter.__new__(ConsistentHashRouter)
    router._deployment_id = DeploymentID("Inference")
    router._num_virtual_nodes, router._num_fallback_replicas = 100, 0
    router._rebuild_ring(frozenset(ReplicaID(name, router._deployment_id) for name in replicas))
    return {stream: router._lookup_ranked_replicas(stream)[0].unique_id for stream in streams}


def doubling(current: int, reports: Mapping[str, list[float]], target_s: float) -> int:
    """The policy as it was: the hottest decides, and a step at most doubles."""
    backlog_s = max(reports[BACKLOG_S])
    if backlog_s > target_s:
        return math.ceil(current * min(backlog_s / target_s, 2.0))
    if backlog_s < target_s / 2:
        return min(current, max(1, math.ceil(sum(reports[BUSY]) / 0.7)))
    return current


def placing(streams: int, replicas: int, draws: int = 5) -> dict[str, dict[str, Any]]:
    """The figures of both ways, the worst balance and the mean moves of `draws` sets of names."""
    ways: dict[str, tuple[Place, Policy]] = {"before": (ring, doubling), "after": (bounded, replicas_wanted)}
    # Ray tells of every ring that it builds.
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    return {name: _figures(*way, streams, replicas, draws) for name, way in ways.items()}


def _figures(place: Place, policy: Policy, streams: int, replicas: int, draws: int) -> dict[str, Any]:
    chance = random.Random(0)
    balance, moves = [], defaultdict[str, float](float)
    for _ in range(draws):
        cameras = [f"cam-{chance.getrandbits(32):08x}" for _ in range(streams)]
        names = [f"{chance.getrandbits(32):08x}" for _ in range(3 * replicas + 1)]
        before = place(cameras, names[:replicas])
        balance.append(_fullest_over_mean(before, replicas))
        moves["when_one_comes"] += _moved(before, place(cameras, names[: replicas + 1]))
        if replicas > 1:
            moves["when_one_goes"] += _moved(before, place(cameras, names[1:replicas]))
        new = [f"new-{chance.getrandbits(32):08x}" for _ in range(_ADDED)]
        last = before
        for number in range(_ADDED):
            found = place([*cameras, *new[: number + 1]], names[:replicas])
            moves["per_stream_added"] += _moved(last, found) / _ADDED
            last = found
    # Of the last names.
    steps, moved = _grown(place, policy, cameras, names, replicas)
    return {
        "most_over_mean": round(max(balance), 3),
        **{f"moved_{name}": round(count / draws, 2) for name, count in moves.items()},
        "replicas_when_growing": steps,
        "moved_when_growing": moved,
    }


def _grown(
    place: Place, policy: Policy, cameras: Sequence[str], names: Sequence[str], replicas: int
) -> tuple[list[int], int]:
    """The number of replicas step by step, and how often a stream moved."""
    # What a replica can do, in streams.
    most = len(cameras) / (1.1 * replicas)
    counts, moved, placed = [replicas], 0, place(cameras, names[:replicas])
    for _ in range(_STEPS):
        loads = Counter(placed.values())
        own = [loads[name] for name in names[: counts[-1]]]
        reports = {
            BACKLOG_S: [9.0 if load > most else 0.05 for load in own],
            BUSY: [min(load / most, 1.0) for load in own],
            STREAMS: [float(load) for load in own],
        }
        wanted = min(policy(counts[-1], reports, _TARGET_S), len(names))
        if wanted == counts[-1]:
            break
        after = place(cameras, names[:wanted])
        moved, placed = moved + _moved(placed, after), after
        counts.append(wanted)
    return counts, moved


def _fullest_over_mean(placed: Placed, replicas: int) -> float:
    return max(Counter(placed.values()).values()) / (len(placed) / replicas)


def _moved(before: Placed, after: Placed) -> int:
    return sum(replica != after[stream] for stream, replica in before.items())
