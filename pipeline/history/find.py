"""Finds moments of a history that look like a picture, or like what a text says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.history.moments import Moment, Records, moments, times_s, unit
from pipeline.history.nearest import nearest

DEFAULT_TOP = 10
# Frames nearer than this to a better one are the same moment.
DEFAULT_APART_S = 2.0
# How many frames to look at for each moment wanted, and by how much more if those were too few.
_LOOK_AT, _MORE = 32, 8


@dataclass(frozen=True, slots=True, eq=False)
class Wanted:
    """What is looked for.

    Attributes:
        vector: (C,) of any length but 0.
        part: whether it is of a part of a picture, and compared with parts.
    """

    vector: npt.NDArray[np.floating[Any]]
    part: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """A moment, and the cosine of its embedding to what was looked for."""

    moment: Moment
    score: float


def find(
    records: Records,
    wanted: Wanted,
    top: int = DEFAULT_TOP,
    since_s: float | None = None,
    until_s: float | None = None,
    apart_s: float = DEFAULT_APART_S,
) -> list[Found]:
    """The moments most alike what is looked for, best first; of a moment's parts the best counts.

    Args:
        records: the history of one stream.
        wanted: as wide as theirs.
        top: how many moments.
        since_s, until_s: from when to before when, by `Moment.time_s`; what has no time then is left out.
        apart_s: of frames nearer to each other than this the best stands for all; 0 for every frame.
    """
    times = times_s(records)
    within = np.ones(len(records), bool)
    if since_s is not None:
        within &= times >= since_s
    if until_s is not None:
        within &= times < until_s
    rows = np.flatnonzero(within)
    kept_vectors = records["parts" if wanted.part else "vector"][rows]
    vectors = kept_vectors.reshape(-1, kept_vectors.shape[-1])
    each = len(vectors) // max(len(rows), 1)
    looked_at = top * _LOOK_AT
    while True:
        best, cosines = nearest(vectors, unit(wanted.vector), looked_at)
        of = rows[best // max(each, 1)]
        kept = _apart(of, times[of], top, apart_s)
        if len(kept) == top or looked_at >= len(vectors):
            break
        looked_at *= _MORE
    when = moments(records[of[kept]])
    return [Found(moment, float(cosines[at])) for moment, at in zip(when, kept, strict=True)]


def _apart(of: npt.NDArray[np.int64], times: npt.NDArray[np.float64], top: int, apart_s: float) -> list[int]:
    """The first `top` that lie apart from all before them; what has no time lies apart from all others."""
    kept: list[int] = []
    for at, (one, time_s) in enumerate(zip(of, times, strict=True)):
        if not any(one == of[other] or abs(time_s - times[other]) < apart_s for other in kept):
            kept.append(at)
            if len(kept) == top:
                break
    return kept
