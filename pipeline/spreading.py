"""Work on the host that would hold up the thread which feeds a GPU."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

# More bring little: what is spread takes a third of a millisecond for each frame.
MOST_THREADS = 4
# Fewer items are done sooner than they are handed over.
_FEW = 4


def spread(work: Callable[[T], R], items: Sequence[T], threads: int) -> list[R]:
    """[work(item) for item in items], by several threads of the process where there are many.

    Args:
        work: safe to run in several threads; lets other threads run, as OpenCV and NumPy do.
        items: any number.
        threads: how many, at most `MOST_THREADS`; 1 for the caller's own alone.
    """
    threads = min(threads, MOST_THREADS, len(items) // _FEW)
    if threads <= 1:
        return [work(item) for item in items]
    parts = [items[len(items) * n // threads : len(items) * (n + 1) // threads] for n in range(threads)]
    done = _pool().map(lambda part: [work(item) for item in part], parts)
    return [one for part in done for one in part]


def readers(device: str) -> int:
    """Threads that read what a device of that type has computed; a CPU has none to spare."""
    return min(MOST_THREADS, os.cpu_count() or 1) if device == "cuda" else 1


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(MOST_THREADS, thread_name_prefix="vwt-read")
