"""Where there is no counter: CPU seconds of this process times stated watts per core."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable

from pipeline.energy.meter import Meter, MeterOptions, Reading
from pipeline.errors import UsageError


class EstimateMeter(Meter):
    """Estimates energy as CPU seconds x watts per core. It is never mixed with measured figures.

    Only this process counts (child processes do not), memory and the rest of the machine do not. Idle
    watts are 0 by construction: a process that does not run costs nothing in this model. Cores of servers
    and laptops draw about 2.5 to 7.5 W under load, so a figure with the default 5 W is off by up to half,
    which is stated as its uncertainty.

    Args:
        watts_per_core: what one busy core draws.
        clock: monotonic seconds.
        cpu_time: CPU seconds of the process so far.

    Raises:
        UsageError: `watts_per_core` is not a positive number.
    """

    method = "estimate"
    up_to_date = True
    poll_interval_s = 0.05
    relative_uncertainty = 0.5

    def __init__(
        self,
        watts_per_core: float = 5.0,
        *,
        clock: Callable[[], float] = time.monotonic,
        cpu_time: Callable[[], float] = time.process_time,
    ) -> None:
        if not (math.isfinite(watts_per_core) and watts_per_core > 0):
            raise UsageError(f"watts per core cannot be {watts_per_core}: give a positive number, such as 5")
        self.idle_watts = 0.0
        self.max_watts = watts_per_core * (os.cpu_count() or 1)
        self._watts_per_core = watts_per_core
        self._clock = clock
        self._cpu_time = cpu_time

    def describe(self) -> str:
        """One line for a person."""
        return f"estimate: CPU seconds of this process x {self._watts_per_core:g} W per core"

    def read(self) -> Reading:
        """CPU seconds so far, in joules."""
        return Reading(self._clock(), self._cpu_time() * self._watts_per_core)

    def close(self) -> None:
        """Nothing to give back."""


def open_estimate(options: MeterOptions) -> EstimateMeter:
    """The estimate for this process.

    Raises:
        UsageError: see `EstimateMeter`.
    """
    return EstimateMeter(options.watts_per_core)
