"""The most alike of many vectors, exactly.

There is no approximate index: a history has a bound, and one of 80,000 embeddings of 384 numbers is searched
in 40 ms with numpy and in 7 ms with usearch (one thread). A graph over it would take 25 s to build, as long
as 4,000 searches. benchmarks/find.py measures it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

# With fewer numpy is done before anybody notices.
_MANY = 5000
# Rows that numpy widens to single precision at a time: they stay in the cache.
_ROWS = 4096


def nearest(
    vectors: npt.NDArray[np.float16], query: npt.NDArray[np.float32], count: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """The rows most alike a query.

    Args:
        vectors: (M, C) of unit length.
        query: (C,) of unit length.
        count: how many, at most.

    Returns:
        Their indices and cosines, best first.
    """
    count = min(count, len(vectors))
    if count == 0:
        return np.zeros(0, np.int64), np.zeros(0, np.float32)
    best = None if len(vectors) < _MANY else by_usearch(vectors, query, count)
    if best is None:
        best = by_numpy(vectors, query, count)
    # Those few in single precision, whoever found them.
    cosines = _cosines(vectors[best], query)
    order = np.argsort(-cosines, kind="stable")
    return best[order], cosines[order]


def by_numpy(
    vectors: npt.NDArray[np.float16], query: npt.NDArray[np.float32], count: int
) -> npt.NDArray[np.int64]:
    """The indices of the `count` most alike, in any order."""
    return np.argpartition(-_cosines(vectors, query), count - 1)[:count]


def _cosines(vectors: npt.NDArray[np.float16], query: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    parts = [
        vectors[first : first + _ROWS].astype(np.float32) @ query for first in range(0, len(vectors), _ROWS)
    ]
    return np.concatenate(parts)


def by_usearch(
    vectors: npt.NDArray[np.float16], query: npt.NDArray[np.float32], count: int
) -> npt.NDArray[np.int64] | None:
    """The same, multiplied in half precision: an eighth of the time. None where it is not installed."""
    try:
        from usearch.index import MetricKind, search
    except ImportError:
        return None
    rows = np.ascontiguousarray(vectors)
    found: Any = search(rows, query.astype(np.float16)[None], count, MetricKind.IP, exact=True, threads=1)
    return np.asarray(found.keys).ravel().astype(np.int64)
