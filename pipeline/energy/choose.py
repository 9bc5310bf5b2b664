"""Which meter a run gets."""

from __future__ import annotations

from pipeline.defaults import DEFAULT_WATTS_PER_CORE
from pipeline.energy.meter import Meter, MeterError, MeterOptions, NoMeter
from pipeline.energy.registry import AUTO, METERS, NONE, meter_choices, no_such_meter
from pipeline.errors import UsageError


def open_meter(
    name: str = AUTO, device: str = "cpu", watts_per_core: float = DEFAULT_WATTS_PER_CORE
) -> Meter:
    """Opens the meter for a torch device. A measured figure and an estimate are never mixed.

    `auto` takes the first of `METERS` that measures the device and can be had here, or no meter with the
    reasons.

    Args:
        name: one of `meter_choices()`.
        device: "cpu", "cuda", "cuda:1".
        watts_per_core: see `MeterOptions`.

    Raises:
        UsageError: an unknown name, or a meter asked for by name that cannot be had here.
    """
    if name not in meter_choices():
        raise UsageError(no_such_meter(name))
    options = MeterOptions(device, watts_per_core=watts_per_core)
    if name == NONE:
        return NoMeter()
    if name == AUTO:
        return _first(options)
    kind = METERS[name]
    if kind.device != _type(device):
        raise UsageError(f"the {name} meter measures {kind.device} only, not device {device}: use auto")
    try:
        return kind.open(options)
    except MeterError as error:
        raise UsageError(f"the {name} meter cannot be had: {error}; or use --meter auto") from error


def _first(options: MeterOptions) -> Meter:
    kinds = [kind for kind in METERS.values() if kind.device == _type(options.device)]
    if not kinds:
        return NoMeter(f"no energy counter is known for device {options.device}")
    why_not = []
    for kind in kinds:
        try:
            return kind.open(options)
        except MeterError as error:
            why_not.append(str(error))
    return NoMeter("; ".join(why_not))


def _type(device: str) -> str:
    return device.partition(":")[0]
