"""Holds results back, in order, until their energy is settled; never for long."""

from __future__ import annotations

import dataclasses
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from pipeline.results import Energy, FrameResult

T = TypeVar("T")


@dataclass(slots=True)
class _Held(Generic[T]):
    result: FrameResult
    payload: T
    since: float


class Settling(Generic[T]):
    """An ordered buffer of results that wait for their energy.

    Args:
        patience_s: a result leaves with its provisional figure after this long.
        capacity: at most this many wait; the oldest leave early.
        clock: seconds, monotonic.
    """

    def __init__(
        self, patience_s: float = 0.5, capacity: int = 256, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._patience_s = patience_s
        self._capacity = capacity
        self._clock = clock
        self._held: deque[_Held[T]] = deque()

    def add(self, result: FrameResult, payload: T) -> None:
        """Takes in a result (numbered after those before it) and whatever travels with it."""
        self._held.append(_Held(result, payload, self._clock()))

    def settle(self, energies: Iterable[tuple[Hashable, Energy]]) -> None:
        """Puts settled figures, keyed by frame number, into the results that still wait."""
        figures = dict(energies)
        if not figures:
            return
        for held in self._held:
            if held.result.frame in figures:
                held.result = dataclasses.replace(held.result, energy=figures[held.result.frame])

    def ready(self, everything: bool = False) -> Iterator[tuple[FrameResult, T]]:
        """Results that may leave, in order: settled, out of patience, or over capacity."""
        now = self._clock()
        while self._held:
            head = self._held[0]
            patient = now - head.since < self._patience_s and len(self._held) <= self._capacity
            waits = not head.result.energy.settled and head.result.energy.joules is not None
            if waits and patient and not everything:
                return
            self._held.popleft()
            yield head.result, head.payload
