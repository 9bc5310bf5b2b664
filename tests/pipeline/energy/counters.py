"""True energy over time, and what a counter that ticks now and then would have shown of it."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise

from pipeline.energy import Reading


class TruePower:
    """A device whose power is constant between the given times (seconds); watts[i] from times[i] on."""

    def __init__(self, times: Sequence[float], watts: Sequence[float]) -> None:
        self.times = list(times)
        self.watts = list(watts)
        steps = [w * (b - a) for w, (a, b) in zip(self.watts, pairwise(self.times), strict=False)]
        self._joules = [0.0, *accumulate(steps)]

    def joules(self, t_s: float) -> float:
        """Energy used from the first time until `t_s`."""
        i = bisect_right(self.times, t_s) - 1
        return self._joules[i] + self.watts[i] * (t_s - self.times[i])


def constant(watts: float) -> TruePower:
    return TruePower([-10.0], [watts])


def bursts(rng: random.Random, seconds: float, low: float, high: float) -> TruePower:
    times, watts = [-10.0], [low]
    while times[-1] < seconds:
        times.append(max(times[-1], 0.0) + rng.uniform(0.003, 0.2))
        watts.append(rng.uniform(low, high))
    return TruePower(times, watts)


def ticking(
    power: TruePower,
    rng: random.Random,
    seconds: float,
    *,
    tick_s: tuple[float, float] = (0.02, 0.1),
    poll_s: tuple[float, float] = (0.005, 0.015),
    fails: Callable[[float], bool] = lambda _: False,
    resets_at_s: Sequence[float] = (),
) -> list[Reading | None]:
    """Readings from 0 to `seconds`: ticks at random times show the energy at the tick, until the next.

    At each of `resets_at_s` the counter starts again from zero. A reading for which `fails` is None.
    """
    ticks = [-rng.uniform(*tick_s)]
    while ticks[-1] < seconds:
        ticks.append(ticks[-1] + rng.uniform(*tick_s))
    readings: list[Reading | None] = []
    t_s = 0.0
    while t_s < seconds:
        shown = power.joules(ticks[bisect_right(ticks, t_s) - 1])
        past = [at for at in resets_at_s if at <= t_s]
        if past:
            shown = max(0.0, shown - power.joules(past[-1]))
        readings.append(None if fails(t_s) else Reading(t_s, shown))
        t_s += rng.uniform(*poll_s)
    return readings
