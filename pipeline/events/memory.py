"""What rules remember of embeddings, as JSON: one vector each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.events.times import seconds_of

# Frames until the mean is one of something.
_FIRST = 10

_Vector = npt.NDArray[np.float64]


def distance_to_last(embedding: Sequence[float], memory: dict[str, Any]) -> float | None:
    """Cosine distance to the vector before; None for the first, and after the width changed."""
    now = _unit(embedding)
    last = memory.get("last")
    memory["last"] = [round(float(value), 6) for value in now]
    return None if last is None or len(last) != len(now) else _distance(np.asarray(last), now)


def distance_to_mean(
    embedding: Sequence[float], seen: Mapping[str, Any], memory: dict[str, Any], memory_s: float
) -> float | None:
    """Cosine distance to the mean of the vectors before, which forgets at the pace of `memory_s`.

    Args:
        embedding: of this result.
        seen: the result.
        memory: `mean`, `count`, `at`; changed in place.
        memory_s: time constant of the exponential mean.

    Returns:
        None for the first vectors.
    """
    now, at = _unit(embedding), seconds_of(seen)
    mean = np.asarray(memory.get("mean", ()), np.float64)
    count = memory.get("count", 0) if len(mean) == len(now) else 0
    before = memory.get("at")
    passed = 0.0 if at is None or before is None else max(at - before, 0.0)
    share = 1 - math.exp(-passed / memory_s)
    if count < _FIRST:
        # The plain mean at first.
        share = max(share, 1 / (count + 1))
    distance = None if count < _FIRST else _distance(mean, now)
    mixed = now if count == 0 else mean + share * (now - mean)
    memory |= {"mean": [float(value) for value in mixed], "count": min(count + 1, _FIRST), "at": at}
    return distance


def _unit(embedding: Sequence[float]) -> _Vector:
    vector = np.asarray(embedding, np.float64)
    norm = float(np.linalg.norm(vector))
    return vector / norm if norm else vector


def _distance(one: _Vector, other: _Vector) -> float:
    norm = float(np.linalg.norm(one) * np.linalg.norm(other))
    return 1 - float(one @ other) / norm if norm else 0.0
