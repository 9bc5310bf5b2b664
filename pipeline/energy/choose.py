"""Which meter a run gets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pynvml

from pipeline.energy.estimate import EstimateMeter
from pipeline.energy.meter import Meter, MeterError, NoMeter
from pipeline.energy.nvml import open_nvml
from pipeline.energy.rapl import POWERCAP, open_rapl
from pipeline.errors import UsageError

METER_KINDS = ("auto", "nvml", "rapl", "estimate", "none")


def open_meter(
    kind: str = "auto",
    device: str = "cpu",
    watts_per_core: float = 5.0,
    *,
    nvml: Any = pynvml,
    uuid_of: Callable[[str], str] | None = None,
    powercap: Path = POWERCAP,
) -> Meter:
    """Opens the meter for a torch device. A measured figure and an estimate are never mixed.

    `auto` takes the GPU's counter for CUDA, and no meter with the reason where it has none; for the CPU
    RAPL where readable, else the estimate; for other devices no meter.

    Args:
        kind: one of `METER_KINDS`.
        device: "cpu", "cuda", "cuda:1".
        watts_per_core: for the estimate.
        nvml, uuid_of: see `open_nvml`.
        powercap: see `open_rapl`.

    Raises:
        UsageError: an unknown kind, or one asked for by name that cannot be had here.
    """
    if kind not in METER_KINDS:
        raise UsageError(f"there is no meter {kind!r}: choose one of {', '.join(METER_KINDS)}")
    on = device.partition(":")[0]
    if kind == "none":
        return NoMeter()
    if kind == "auto":
        if on == "cuda":
            try:
                return open_nvml(device, nvml=nvml, uuid_of=uuid_of)
            except MeterError as error:
                return NoMeter(str(error))
        if on != "cpu":
            return NoMeter(f"no energy counter is known for device {device}")
        try:
            return open_rapl(powercap)
        except MeterError:
            return EstimateMeter(watts_per_core)
    measures = "cuda" if kind == "nvml" else "cpu"
    if on != measures:
        raise UsageError(f"the {kind} meter measures {measures} only, not device {device}: use auto")
    try:
        if kind == "nvml":
            return open_nvml(device, nvml=nvml, uuid_of=uuid_of)
        if kind == "rapl":
            return open_rapl(powercap)
    except MeterError as error:
        raise UsageError(f"the {kind} meter cannot be had: {error}; or use --meter auto") from error
    return EstimateMeter(watts_per_core)
