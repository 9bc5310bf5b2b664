"""The energy counters of CPU packages (RAPL), through Linux's powercap files."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from pathlib import Path

from pipeline.energy.idle import IdleFloor
from pipeline.energy.meter import Meter, MeterError, MeterOptions, ReadError, Reading

POWERCAP = Path("/sys/class/powercap")
# A counter that went back was either wrapped or reset (suspend). No package draws more than this, so a
# wrap that implies more is a reset.
PLAUSIBLE_WATTS = 5000.0
OVERSHOOT = 1.5
IDLE_WINDOW_S = 0.25


class _Package:
    """One package's counter, unwrapped."""

    def __init__(self, zone: Path) -> None:
        self.name = (zone / "name").read_text().strip()
        self.limit_watts = max(
            (int(f.read_text()) / 1e6 for f in zone.glob("constraint_*_power_limit_uw")), default=None
        )
        self._file = zone / "energy_uj"
        self._range = int((zone / "max_energy_range_uj").read_text())
        self._last = int(self._file.read_text())
        self._joules = 0.0

    def read(self, seconds: float) -> float:
        """Joules since it was opened; `seconds` have passed since the last read."""
        microjoules = int(self._file.read_text())
        step = microjoules - self._last
        self._last = microjoules
        if step < 0:
            step += self._range
            if step / 1e6 > PLAUSIBLE_WATTS * max(seconds, 0.001):
                raise ReadError(f"the counter of {self.name} was reset")
        self._joules += step / 1e6
        return self._joules


class RaplMeter(Meter):
    """The sum of all CPU packages; use `open_rapl`.

    Idle power is the mean of a quarter second when the meter was opened, or less if any later second
    needed less.

    Args:
        zones: package folders under powercap.
        clock: monotonic seconds.
        sleep: waits for the idle window.
    """

    method = "rapl"
    shared = True
    hardware = "cpu"
    poll_interval_s = 0.02
    tick_s = 0.002  # the hardware updates about every millisecond
    reason = "the counter covers whole CPU packages: every process of the machine is included"

    def __init__(
        self,
        zones: list[Path],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._last_s = clock()
        self._packages = [_Package(zone) for zone in zones]
        limits = [p.limit_watts for p in self._packages if p.limit_watts]
        if len(limits) == len(self._packages):
            self.max_watts = OVERSHOOT * sum(limits)
        self._floor = IdleFloor()
        first = self.read()
        sleep(IDLE_WINDOW_S)
        second = self.read()
        self._floor.watts = (second.joules - first.joules) / (second.t_s - first.t_s)
        self.idle_watts = self._floor.watts

    def describe(self) -> str:
        """One line for a person."""
        return f"RAPL energy counter of {', '.join(p.name for p in self._packages)}"

    def read(self) -> Reading:
        """Reads all packages.

        Raises:
            ReadError: a counter could not be read or was reset.
        """
        with self._lock:
            now_s = self._clock()
            try:
                joules = sum(p.read(now_s - self._last_s) for p in self._packages)
            except (OSError, ValueError) as error:
                raise ReadError(f"RAPL could not be read: {error}") from error
            finally:
                self._last_s = now_s
            reading = Reading(now_s, joules)
            self._floor.add(reading)
            self.idle_watts = self._floor.watts
            return reading

    def close(self) -> None:
        """Nothing to give back."""


def open_rapl(
    _options: MeterOptions | None = None,
    *,
    powercap: Path | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> RaplMeter:
    """The meter of this machine's CPU packages.

    Args:
        powercap: the folder of the counters; `POWERCAP` when not given.
        clock, sleep: see `RaplMeter`.

    Raises:
        MeterError: there are none, or this user may not read them.
    """
    powercap = powercap or POWERCAP
    # Only top-level zones: parts of a package (core, dram) and the platform (psys) would count twice.
    zones = [
        zone
        for zone in sorted(powercap.glob("intel-rapl:*"))
        if re.fullmatch(r"intel-rapl:\d+", zone.name)
        and (zone / "name").read_text().strip().startswith("package")
    ]
    if not zones:
        raise MeterError(f"no RAPL counter under {powercap}, as in most virtual machines")
    try:
        return RaplMeter(zones, clock, sleep)
    except PermissionError as error:
        raise MeterError(
            f"{error.filename} is readable for root only: run as root, or allow it with chmod a+r"
        ) from error
    except (OSError, ValueError, ReadError) as error:
        raise MeterError(f"RAPL cannot be read: {error}") from error
