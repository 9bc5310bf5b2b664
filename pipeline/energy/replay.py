"""Recorded readings played back as a meter, for tests and benchmarks on machines without a counter."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from pipeline.energy.meter import Meter, ReadError, Reading


class ReplayMeter(Meter):
    """Gives one recorded reading per `read()`, in order.

    Args:
        readings: the recording; None stands for a reading that failed.
        method, up_to_date, tick_s, idle_watts, max_watts, reason: as the meter that was recorded had them.
    """

    poll_interval_s = 0.001

    def __init__(
        self,
        readings: Iterable[Reading | None],
        *,
        method: str = "nvml",
        up_to_date: bool = False,
        tick_s: float | None = None,
        idle_watts: float | None = None,
        max_watts: float | None = None,
        reason: str | None = None,
    ) -> None:
        self._readings = iter(readings)
        self._now_s = 0.0
        self.method = method
        self.up_to_date = up_to_date
        self.tick_s = tick_s
        self.idle_watts = idle_watts
        self.max_watts = max_watts
        self.reason = reason

    @classmethod
    def from_csv(cls, path: Path, *, method: str = "nvml", up_to_date: bool = False) -> ReplayMeter:
        """A recording with the columns `t_s` and `joules`; empty joules stand for a failed reading."""
        with path.open(newline="") as file:
            rows = [
                Reading(float(row["t_s"]), float(row["joules"])) if row["joules"] else None
                for row in csv.DictReader(file)
            ]
        return cls(rows, method=method, up_to_date=up_to_date)

    def clock(self) -> float:
        """The recording's time: that of the last reading given, in seconds."""
        return self._now_s

    def describe(self) -> str:
        """One line for a person."""
        return f"recorded readings of a {self.method} meter"

    def read(self) -> Reading:
        """The next recorded reading.

        Raises:
            ReadError: the recorded reading failed, or the recording has ended.
        """
        try:
            reading = next(self._readings)
        except StopIteration:
            raise ReadError("the recording has ended") from None
        if reading is None:
            raise ReadError("the recorded reading failed")
        self._now_s = reading.t_s
        return reading

    def close(self) -> None:
        """Nothing to give back."""
