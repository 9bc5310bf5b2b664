"""Which meters there are, a line for each; a meter's file is loaded when it is opened."""

from __future__ import annotations

from importlib import import_module
from typing import NamedTuple

from pipeline.energy.meter import Meter, MeterOptions


class Kind(NamedTuple):
    """A kind of meter.

    Attributes:
        name: what it is asked for by; the `method` of its figures.
        says: what is read, for help.
        device: the type of torch device that it measures: "cuda", "cpu".
        where: "module:function" that opens it with `MeterOptions`, or raises MeterError with the reason.
    """

    name: str
    says: str
    device: str
    where: str

    def open(self, options: MeterOptions) -> Meter:
        """Opens it.

        Raises:
            MeterError: it cannot be had here.
            UsageError: an option cannot be right.
        """
        module, _, function = self.where.partition(":")
        meter: Meter = getattr(import_module(module), function)(options)
        return meter


AUTO, NONE = "auto", "none"
# By name. `auto` takes the first that measures the device and can be had.
METERS = {
    kind.name: kind
    for kind in (
        Kind("nvml", "the counter of an NVIDIA GPU", "cuda", "pipeline.energy.nvml:open_nvml"),
        Kind("rapl", "the counters of the CPU packages", "cpu", "pipeline.energy.rapl:open_rapl"),
        Kind("estimate", "CPU seconds x --watts-per-core", "cpu", "pipeline.energy.estimate:open_estimate"),
    )
}


def meter_choices() -> tuple[str, ...]:
    """What may be asked for: every meter, `auto` and `none`."""
    return (AUTO, *METERS, NONE)


def no_such_meter(name: str) -> str:
    """Says that a name is none of the choices, and which those are."""
    return f"there is no meter {name!r}: choose one of {', '.join(meter_choices())}"


def meter_help() -> str:
    """What the choices mean, in one sentence."""
    meters = ", ".join(f"{kind.name} ({kind.says})" for kind in METERS.values())
    return f"{AUTO} takes the first that can be had of {meters}; {NONE} gives no figures."
