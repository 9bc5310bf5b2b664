"""Batches under way on a device: no more than are worth having at once, finished in the order they began."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class InFlight(Generic[T]):
    """Batches that were started and not taken in yet; leaving the `with` block takes in all of them.

    Args:
        finish: waits for the oldest batch and takes in what came of it.
    """

    def __init__(self, finish: Callable[[T], None]) -> None:
        self._finish = finish
        self._batches: deque[T] = deque()

    def __enter__(self) -> InFlight[T]:
        return self

    def __exit__(self, *_: object) -> None:
        self.drain()

    def __len__(self) -> int:
        return len(self._batches)

    def add(self, batch: T, depth: int) -> None:
        """Takes in a batch that was started, and finishes older ones until there is room for the next.

        Args:
            batch: just started.
            depth: how many are worth having under way, see `Engine.depth`.
        """
        self._batches.append(batch)
        while len(self._batches) >= depth:
            self._finish(self._batches.popleft())

    def drain(self) -> None:
        """Finishes all: nothing new is there that the device could work on meanwhile."""
        while self._batches:
            self._finish(self._batches.popleft())
