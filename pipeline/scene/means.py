"""Learns the states of a zone: the mean of each one's examples, judged by leaving out one after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from pipeline.errors import UsageError
from pipeline.scene.polygon import Polygon
from pipeline.scene.zones import Vector, Zone, check_states

# None of the states is what is farther from them than so many times the farthest example was from the others.
_FAR = 2.0
# Examples of a state.
FEWEST = 2


def learned(name: str, polygon: Polygon, examples: Mapping[str, Sequence[Vector]]) -> Zone:
    """A zone by examples of its states, judged by leaving out one after the other.

    Args:
        name: of the zone, for errors.
        polygon: where it is.
        examples: by state, (C,) of unit length each.

    Raises:
        UsageError: there are too few of a state, or of states.
    """
    check_states(name, list(examples))
    for state, own in examples.items():
        if len(own) < FEWEST:
            raise UsageError(
                f"zone {name} has {len(own)} moment of {state}: give {FEWEST} at least, better five from "
                "different times, or nobody can tell how far two of them may differ"
            )
    means = {state: _mean(own) for state, own in examples.items()}
    farthest, right = 0.0, []
    for state, own in examples.items():
        told = 0
        for left_out, example in enumerate(own):
            others = means | {state: _mean([one for row, one in enumerate(own) if row != left_out])}
            far = {other: 1 - float(example @ mean) for other, mean in others.items()}
            told += min(far, key=far.__getitem__) == state
            farthest = max(farthest, far[state])
        right.append(told / len(own))
    # Examples may all be of one moment; what is nearer than halfway to the next state is still the state.
    # Distances 1 - cosine grow with the square of those in space, so that halfway is a quarter.
    halfway = min(1 - float(one @ other) for one, other in combinations(means.values(), 2)) / 4
    counts = {state: len(own) for state, own in examples.items()}
    return Zone(polygon, means, counts, max(_FAR * farthest, halfway), float(np.mean(right)))


def _mean(examples: Sequence[Vector]) -> Vector:
    total: Vector = np.sum(examples, axis=0, dtype=np.float32)
    return total / np.linalg.norm(total)
