"""What a meter is: something that says how many joules a device has used so far."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from pipeline.defaults import DEFAULT_WATTS_PER_CORE
from pipeline.errors import VwtError


class MeterError(VwtError):
    """A meter that cannot be had on this machine; the message says why and what to do."""


class ReadError(VwtError):
    """One reading that failed; the next may succeed."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One reading of an energy counter.

    Attributes:
        t_s: `time.monotonic()` seconds of the reading.
        joules: the counter; only differences mean anything. Lower than before means it was reset.
    """

    t_s: float
    joules: float


def _this_process() -> set[int]:
    return {os.getpid()}


@dataclass(frozen=True, slots=True)
class MeterOptions:
    """What a meter is opened with; each takes what concerns it.

    Attributes:
        device: the torch device: "cpu", "cuda", "cuda:1".
        device_id: the device by the name its meter gave it (`Meter.device_id`), for a process in which torch
            does not have it; None to go by `device`.
        watts_per_core: what an estimate takes a busy CPU core to draw.
        ours: gives the ids of the processes whose work is metered; others on the device are strangers.
    """

    device: str = "cpu"
    device_id: str | None = None
    watts_per_core: float = DEFAULT_WATTS_PER_CORE
    ours: Callable[[], set[int]] = _this_process


class Meter(Protocol):
    """An energy counter. Reading it never blocks for long and is safe from any thread.

    Attributes:
        method: its name in the registry, or "none", as results name it.
        reason: why figures are shared, doubtful or unknown; None when there is nothing to say. May change.
        poll_interval_s: how often the counter should be read.
        shared: whether it counts a whole device, whoever uses it. All processes on the device then need one
            reader: two that split the counter would count everything twice. One that counts this process
            only must be `up_to_date`.
        hardware: of a shared meter: what kind of component it counts, as OpenTelemetry's `hw.type` has it.
        device_id: of a shared meter: tells the device from others of its kind in the machine; None where
            there is one.
        up_to_date: True when every reading is up to date, so that any reading is an edge; False for counters
            that stand still and then jump: only a change is an edge.
        tick_s: upper bound of the time between two updates of the counter, where known.
        idle_watts: what the device draws when idle; None when unknown. May fall as lower draws are seen.
        max_watts: more than the device can draw on average over any few milliseconds; None when unknown.
        relative_uncertainty: share of a figure that the method itself may be off by (0 for counters,
            whose calibration is not judged).
    """

    method: str
    reason: str | None = None
    poll_interval_s: float = 0.05
    shared: bool = False
    hardware: str | None = None
    device_id: str | None = None
    up_to_date: bool = False
    tick_s: float | None = None
    idle_watts: float | None = None
    max_watts: float | None = None
    relative_uncertainty: float = 0.0

    def describe(self) -> str:
        """One line for a person: what is measured, and how."""
        ...

    def read(self) -> Reading:
        """Reads the counter.

        Raises:
            ReadError: the counter cannot be read at this moment.
        """
        ...

    def close(self) -> None:
        """Gives back what the meter holds."""
        ...


class NoMeter(Meter):
    """No energy figures, and the reason why."""

    method = "none"

    def __init__(self, reason: str = "energy metering is off") -> None:
        self.reason = reason

    def describe(self) -> str:
        """One line for a person."""
        return f"no energy figures: {self.reason}"

    def read(self) -> Reading:
        """Always fails: there is no counter."""
        raise ReadError(self.describe())

    def close(self) -> None:
        """Nothing to give back."""
