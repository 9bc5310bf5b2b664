"""The energy counter of an NVIDIA GPU, through NVML.

Facts this leans on (NVML documentation and drivers as met in the field):
- `nvmlDeviceGetTotalEnergyConsumption` counts millijoules since the driver was loaded, on Volta and later;
  it stands still for 10 to 100 ms between updates. On Grace Hopper it counts the module, CPU included.
- `nvmlDeviceGetPowerUsage` is a mean over 1 s on Ampere and later (GA100: instant).
- Under MIG both cover the whole card; no instance can be told apart.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from pipeline.energy.idle import IdleFloor
from pipeline.energy.meter import Meter, MeterError, MeterOptions, ReadError, Reading
from pipeline.energy.nvml_checks import PowerCheck, other_processes

POWER_EVERY_S = 0.2
PROCESSES_EVERY_S = 5.0
# Draws of a few milliseconds overshoot the limit, which is kept on average only.
OVERSHOOT = 1.5

_open: dict[str, NvmlMeter] = {}
_open_lock = threading.Lock()


class NvmlMeter(Meter):
    """The energy counter of one physical GPU; `open_nvml` hands out one per GPU and process.

    Idle power is what the card drew when the meter was opened, or less if any later second needed less.

    Args:
        nvml: the `pynvml` module, initialised.
        handle: NVML's device handle.
        uuid: the GPU's UUID, "GPU-…".
        ours: see `MeterOptions`.
        clock: monotonic seconds.
    """

    method = "nvml"
    shared = True
    hardware = "gpu"
    poll_interval_s = 0.01

    def __init__(
        self,
        nvml: Any,
        handle: Any,
        uuid: str,
        ours: Callable[[], set[int]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.device_id: str = uuid
        self.users = 1
        self._nvml = nvml
        self._handle = handle
        self._ours = ours
        self._clock = clock
        self._lock = threading.Lock()
        self._name = str(self._ask("nvmlDeviceGetName", handle))
        self._driver = str(self._ask("nvmlSystemGetDriverVersion"))
        self._module = "GH200" in self._name or "Grace Hopper" in self._name
        self._last: Reading | None = None
        self._floor = IdleFloor(self._watts())
        self._power_check = PowerCheck()
        self._shared: str | None = None
        self._power_due_s = self._processes_due_s = clock()
        limit_watts = self._watts("nvmlDeviceGetEnforcedPowerLimit")
        if limit_watts is not None and not self._module:
            self.max_watts = limit_watts * OVERSHOOT
        self.read()

    def describe(self) -> str:
        """One line for a person."""
        return f"NVML energy counter of {self._name} ({self.device_id}), driver {self._driver}"

    def read(self) -> Reading:
        """Reads the counter, or repeats the last reading when that is fresh: users share one reader.

        Raises:
            ReadError: NVML refused.
        """
        with self._lock:
            before_s = self._clock()
            if self._last is not None and before_s - self._last.t_s < self.poll_interval_s / 2:
                return self._last
            millijoules = self._ask("nvmlDeviceGetTotalEnergyConsumption", self._handle)
            self._last = Reading((before_s + self._clock()) / 2, millijoules / 1000)
            self._watch(self._last)
            return self._last

    def close(self) -> None:
        """Gives the reader back; the last user shuts NVML down."""
        with _open_lock:
            self.users -= 1
            if self.users == 0:
                _open.pop(self.device_id, None)
                self._nvml.nvmlShutdown()

    def _watch(self, reading: Reading) -> None:
        self._floor.add(reading)
        self.idle_watts = self._floor.watts
        if reading.t_s >= self._power_due_s:
            self._power_due_s = reading.t_s + POWER_EVERY_S
            self._power_check.add(reading, self._watts())
        if reading.t_s >= self._processes_due_s:
            self._processes_due_s = reading.t_s + PROCESSES_EVERY_S
            others = other_processes(self._nvml, self._handle, self._ours())
            plural = "" if others == 1 else "es"
            self._shared = f"the GPU is shared with {others} other process{plural}" if others else None
        module = "the counter covers the whole Grace Hopper module, CPU included" if self._module else None
        self.reason = "; ".join(r for r in (self._shared, module, self._power_check.warning) if r) or None

    def _watts(self, call: str = "nvmlDeviceGetPowerUsage") -> float | None:
        try:
            return float(self._ask(call, self._handle)) / 1000
        except ReadError:
            return None

    def _ask(self, call: str, *args: Any) -> Any:
        try:
            return getattr(self._nvml, call)(*args)
        except self._nvml.NVMLError as error:
            raise ReadError(f"{call} failed: {error}") from error


def open_nvml(
    options: MeterOptions,
    *,
    nvml: Any = None,
    clock: Callable[[], float] = time.monotonic,
) -> NvmlMeter:
    """The meter of the GPU behind a torch device; the same object while one is open for that GPU.

    Args:
        options: `device` is "cuda" or "cuda:1", as torch counts devices (CUDA_VISIBLE_DEVICES applies);
            `device_id` is the UUID.
        nvml: the binding; `pynvml` when not given.
        clock: monotonic seconds.

    Raises:
        MeterError: no such device, no NVML, no counter, or a card split by MIG.
    """
    uuid = options.device_id or _torch_uuid(options.device)
    nvml = nvml or _pynvml()
    with _open_lock:
        meter = _open.get(uuid)
        if meter is not None:
            meter.users += 1
            return meter
        try:
            nvml.nvmlInit()
        except nvml.NVMLError as error:
            raise MeterError(
                f"NVML cannot be loaded ({error}): install the NVIDIA driver or pass it into the container"
            ) from error
        try:
            meter = _open_counter(nvml, uuid, options.ours, clock)
        except BaseException:
            nvml.nvmlShutdown()
            raise
        _open[uuid] = meter
        return meter


def _open_counter(
    nvml: Any, uuid: str, ours: Callable[[], set[int]], clock: Callable[[], float]
) -> NvmlMeter:
    try:
        handle = nvml.nvmlDeviceGetHandleByUUID(uuid)
    except nvml.NVMLError as error:
        raise MeterError(f"NVML does not know GPU {uuid} ({error}): is it visible here?") from error
    if uuid.startswith("MIG-") or _mig_enabled(nvml, handle):
        raise MeterError(
            f"GPU {uuid} is split by MIG (Multi-Instance GPU: one card made into several smaller ones) "
            "and its counter covers all of them: meter a card that is not split"
        )
    try:
        return NvmlMeter(nvml, handle, uuid, ours, clock)
    except ReadError as error:
        raise MeterError(
            f"GPU {uuid} has no readable energy counter ({error}): Volta or later is needed"
        ) from error


def _mig_enabled(nvml: Any, handle: Any) -> bool:
    try:
        current, _pending = nvml.nvmlDeviceGetMigMode(handle)
    except nvml.NVMLError:
        return False  # cards that cannot be split do not support the question
    return bool(current == nvml.NVML_DEVICE_MIG_ENABLE)


def _pynvml() -> Any:
    # Only who has a GPU needs the binding.
    try:
        import pynvml
    except ImportError as error:
        raise MeterError("the binding to NVML is not installed: pip install nvidia-ml-py") from error
    return pynvml


def _torch_uuid(device: str) -> str:
    import torch

    try:
        index = torch.device(device).index
        properties = torch.cuda.get_device_properties(torch.cuda.current_device() if index is None else index)
    except (RuntimeError, AssertionError) as error:
        raise MeterError(f"torch has no device {device} ({str(error).splitlines()[0]})") from error
    uuid = str(properties.uuid)
    # torch strips the prefix that NVML asks for.
    return uuid if uuid.startswith(("GPU-", "MIG-")) else f"GPU-{uuid}"
