"""NVML as its Python binding shows it, over a made-up GPU: the outermost edge, and the only fake."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from itertools import count
from types import SimpleNamespace

_serial = count()


class NVMLError(Exception):
    """What the binding raises."""


@dataclass
class FakeNvml:
    """One GPU. Its counter ticks every `tick_s` of `now_s` with the energy used by then."""

    now_s: float = 50.0
    tick_s: float = 0.1
    watts: float = 90.0
    power_reading_watts: float | None = None
    name: str = "NVIDIA H200"
    mig: int | None = None
    pids: list[int] = field(default_factory=lambda: [os.getpid()])
    limit_watts: float = 700.0
    counter: bool = True
    init_error: str | None = None
    lost: bool = False
    initialised: int = 0
    counter_reads: int = 0

    NVMLError = NVMLError
    NVML_DEVICE_MIG_ENABLE = 1

    def __post_init__(self) -> None:
        self.uuid = f"GPU-{next(_serial):08d}"
        self._joules = 1000.0
        self._shown_mj = 1_000_000
        self._since_tick = 0.0

    def clock(self) -> float:
        return self.now_s

    def pass_time(self, seconds: float, watts: float | None = None) -> None:
        """Lets the GPU draw power for a while, in steps of a millisecond."""
        self.watts = self.watts if watts is None else watts
        for _ in range(round(seconds * 1000)):
            self.now_s += 0.001
            self._joules += self.watts * 0.001
            self._since_tick += 0.001
            if self._since_tick >= self.tick_s - 1e-9:
                self._since_tick = 0.0
                self._shown_mj = round(self._joules * 1000)

    def nvmlInit(self) -> None:  # noqa: N802
        if self.init_error:
            raise NVMLError(self.init_error)
        self.initialised += 1

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.initialised -= 1

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:  # noqa: N802
        if uuid != self.uuid:
            raise NVMLError("Not Found")
        return "handle"

    def nvmlDeviceGetName(self, handle: str) -> str:  # noqa: N802, ARG002
        return self.name

    def nvmlSystemGetDriverVersion(self) -> str:  # noqa: N802
        return "580.0"

    def nvmlDeviceGetMigMode(self, handle: str) -> list[int]:  # noqa: N802, ARG002
        if self.mig is None:
            raise NVMLError("Not Supported")
        return [self.mig, self.mig]

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: str) -> int:  # noqa: N802, ARG002
        self.counter_reads += 1
        if not self.counter:
            raise NVMLError("Not Supported")
        if self.lost:
            raise NVMLError("GPU is lost")
        return self._shown_mj

    def nvmlDeviceGetPowerUsage(self, handle: str) -> int:  # noqa: N802, ARG002
        watts = self.watts if self.power_reading_watts is None else self.power_reading_watts
        return round(watts * 1000)

    def nvmlDeviceGetEnforcedPowerLimit(self, handle: str) -> int:  # noqa: N802, ARG002
        return round(self.limit_watts * 1000)

    def nvmlDeviceGetComputeRunningProcesses(self, handle: str) -> list[SimpleNamespace]:  # noqa: N802, ARG002
        return [SimpleNamespace(pid=pid) for pid in self.pids]
