"""Finds moments of a history that look like a picture, or like what a text says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.history.moments import Moment, Records, has_things, moments, times_s, unit
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
        thing: (C,) of the same part, where it may be a thing: then it is compared with things, in a history
            that has some.
    """

    vector: npt.NDArray[np.floating[Any]]
    part: bool = False
    thing: npt.NDArray[np.floating[Any]] | None = None

    def among(self, records: Records) -> tuple[str, npt.NDArray[np.floating[Any]]]:
        """Which field of records it is compared with, and the vector that is."""
        if self.thing is not None and has_things(records):
            return "things", self.thing
        return "parts" if self.part else "vector", self.vector

    def fits(self, records: Records) -> bool:
        """Whether it is as wide as what it is compared with."""
        name, vector = self.among(records)
        return bool(records.dtype[name].shape[-1] == len(vector))


@dataclass(frozen=True, slots=True)
class Found:
    """A moment that was found.

    Attributes:
        score: cosine of its embedding to what was looked for.
        box: x, y, w, h of the thing that was found in it, in 0..1 of the picture; None for none.
    """

    moment: Moment
    score: float
    box: tuple[float, ...] | None = None


def find(
    records: Records,
    wanted: Wanted,
    top: int = DEFAULT_TOP,
    since_s: float | None = None,
    until_s: float | None = None,
    apart_s: float = DEFAULT_APART_S,
) -> list[Found]:
    """The moments most alike what is looked for, best first; of a moment's parts or things the best counts.

    Args:
        records: the history of one stream.
        wanted: that fits them.
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
    name, vector = wanted.among(records)
    kept_vectors = records[name][rows]
    vectors = kept_vectors.reshape(-1, kept_vectors.shape[-1])
    each = len(vectors) // max(len(rows), 1)
    boxes = records["boxes"][rows].reshape(-1, 4) if name == "things" else None
    # Which of them each row is, where some are of nothing.
    places = np.arange(len(vectors))
    if boxes is not None:
        places = np.flatnonzero(boxes.any(axis=1))
        vectors = vectors[places]
    looked_at = top * _LOOK_AT
    while True:
        best, cosines = nearest(vectors, unit(vector), looked_at)
        best = places[best]
        of = rows[best // max(each, 1)]
        kept = _apart(of, times[of], top, apart_s)
        if len(kept) == top or looked_at >= len(vectors):
            break
        looked_at *= _MORE
    when = moments(records[of[kept]])
    where = [None] * len(kept) if boxes is None else [tuple(box) for box in boxes[best[kept]].tolist()]
    return [Found(moment, float(cosines[at]), box) for moment, at, box in zip(when, kept, where, strict=True)]


def _apart(of: npt.NDArray[np.int64], times: npt.NDArray[np.float64], top: int, apart_s: float) -> list[int]:
    """The first `top` that lie apart from all before them; what has no time lies apart from all others."""
    kept: list[int] = []
    for at, (one, time_s) in enumerate(zip(of, times, strict=True)):
        if not any(one == of[other] or abs(time_s - times[other]) < apart_s for other in kept):
            kept.append(at)
            if len(kept) == top:
                break
    return kept
