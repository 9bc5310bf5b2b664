"""What a device draws when nothing runs on it, learned from its own counter."""

from __future__ import annotations

from pipeline.energy.meter import Reading


class IdleFloor:
    """The lowest mean power seen over any window of about a second, starting from a first measurement.

    Args:
        watts: a first measurement, taken while the device was idle; None when there is none.
        window_s: shorter windows would mistake the gap between two ticks for idleness.
    """

    def __init__(self, watts: float | None = None, window_s: float = 1.0) -> None:
        self.watts = watts
        self._window_s = window_s
        self._start: Reading | None = None
        self._last: Reading | None = None

    def add(self, reading: Reading) -> None:
        """Takes a reading into account; only changes of the counter open and close a window."""
        last, self._last = self._last, reading
        if last is None or reading.joules == last.joules:
            return
        start = self._start
        if start is None or reading.joules < start.joules:
            self._start = reading
        elif reading.t_s - start.t_s >= self._window_s:
            watts = (reading.joules - start.joules) / (reading.t_s - start.t_s)
            self.watts = watts if self.watts is None else min(self.watts, watts)
            self._start = reading
