"""Whether an NVML energy figure can be taken at its word: who else uses the card, and does power agree."""

from __future__ import annotations

import os
from typing import Any

from pipeline.energy.meter import Reading


def other_processes(nvml: Any, handle: Any, ours: set[int]) -> int:
    """How many other processes compute on the card, as far as NVML shows them; 0 where it does not.

    In a container some drivers report process ids of the host. Then ours are among those that do not exist
    here.

    Args:
        nvml: the binding, initialised.
        handle: NVML's device handle.
        ours: ids of the processes that are no others.
    """
    try:
        pids = {process.pid for process in nvml.nvmlDeviceGetComputeRunningProcesses(handle)}
    except nvml.NVMLError:
        return 0
    if pids & ours:
        return len(pids - ours)
    unknown_here = sum(not _exists(pid) for pid in pids)
    return len(pids) - min(len(ours), unknown_here)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


class PowerCheck:
    """Compares the energy counter with the integral of the power reading, window after window.

    Args:
        window_s: length of a window; long against the 1 s over which drivers average power.
        tolerance: relative difference from which on a warning is given.

    Attributes:
        warning: what the last whole window showed; None when both agreed.
    """

    def __init__(self, window_s: float = 10.0, tolerance: float = 0.25) -> None:
        self.warning: str | None = None
        self._window_s = window_s
        self._tolerance = tolerance
        self._start: Reading | None = None
        self._last: tuple[float, float] | None = None
        self._joules = 0.0

    def add(self, reading: Reading, watts: float | None) -> None:
        """Takes a counter reading and the power read with it; a window with a gap is given up."""
        if watts is None or (self._start is not None and reading.joules < self._start.joules):
            self._start = self._last = None
            return
        if self._start is None or self._last is None:
            self._start, self._joules = reading, 0.0
        else:
            last_s, last_watts = self._last
            self._joules += (reading.t_s - last_s) * (watts + last_watts) / 2
        self._last = reading.t_s, watts
        seconds = reading.t_s - self._start.t_s
        if seconds >= self._window_s:
            self._judge((reading.joules - self._start.joules) / seconds, self._joules / seconds)
            self._start, self._joules = reading, 0.0

    def _judge(self, counter_watts: float, power_watts: float) -> None:
        if abs(counter_watts - power_watts) <= self._tolerance * max(counter_watts, power_watts):
            self.warning = None
        else:
            self.warning = (
                f"energy counter and power reading disagree: {counter_watts:.0f} against {power_watts:.0f} W"
            )
