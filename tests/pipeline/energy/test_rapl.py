"""RAPL over a real folder tree laid out as Linux lays it out."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.energy import Ledger, MeterError, RaplMeter, ReadError, open_rapl


class Machine:
    """A powercap tree and a clock that moves when someone sleeps."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.now_s = 100.0
        self.idle_watts = 10.0

    def zone(self, folder: str, name: str, microjoules: int, span: int = 1_000_000_000) -> None:
        path = self.root / folder
        path.mkdir()
        (path / "name").write_text(f"{name}\n")
        (path / "max_energy_range_uj").write_text(f"{span}\n")
        self.set(folder, microjoules)

    def set(self, folder: str, microjoules: int) -> None:
        (self.root / folder / "energy_uj").write_text(f"{microjoules}\n")

    def clock(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        energy = self.root / "intel-rapl:0" / "energy_uj"
        energy.write_text(str(int(energy.read_text()) + int(self.idle_watts * seconds * 1e6)))

    def open(self) -> RaplMeter:
        return open_rapl(powercap=self.root, clock=self.clock, sleep=self.sleep)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_packages_are_summed_and_their_parts_and_the_platform_left_out(machine: Machine) -> None:
    machine.zone("intel-rapl:0", "package-0", 5_000_000)
    machine.zone("intel-rapl:0:0", "core", 0)
    machine.zone("intel-rapl:1", "package-1", 7_000_000)
    machine.zone("intel-rapl:2", "psys", 0)
    meter = machine.open()
    before = meter.read().joules
    machine.now_s += 1
    for folder, microjoules in (("0", 3), ("0:0", 100), ("1", 4), ("2", 100)):
        file = machine.root / f"intel-rapl:{folder}" / "energy_uj"
        file.write_text(str(int(file.read_text()) + microjoules * 1_000_000))
    assert meter.read().joules - before == pytest.approx(7)
    assert meter.describe() == "RAPL energy counter of package-0, package-1"


def test_a_counter_that_wraps_goes_on_counting(machine: Machine) -> None:
    machine.zone("intel-rapl:0", "package-0", 990_000_000, span=1_000_000_000)
    meter = machine.open()
    before = meter.read().joules
    machine.now_s += 1
    machine.set("intel-rapl:0", 20_000_000)
    # 7.5 J were left before the wrap: 10 J, less the 2.5 J of the idle window.
    assert meter.read().joules - before == pytest.approx(7.5 + 20)


def test_a_counter_that_was_reset_fails_one_reading_instead_of_inventing_energy(machine: Machine) -> None:
    machine.zone("intel-rapl:0", "package-0", 500_000_000, span=65_000_000_000)
    meter = machine.open()
    before = meter.read().joules
    machine.now_s += 1
    machine.set("intel-rapl:0", 1_000_000)
    with pytest.raises(ReadError, match="package-0 was reset"):
        meter.read()
    machine.now_s += 1
    machine.set("intel-rapl:0", 6_000_000)
    assert meter.read().joules - before == pytest.approx(5)


def test_idle_power_is_measured_when_the_meter_is_opened(machine: Machine) -> None:
    machine.zone("intel-rapl:0", "package-0", 0)
    assert machine.open().idle_watts == pytest.approx(10)


def test_idle_power_falls_when_a_quieter_second_is_seen(machine: Machine) -> None:
    machine.zone("intel-rapl:0", "package-0", 0)
    meter = machine.open()
    machine.idle_watts = 4.0
    for _ in range(30):
        machine.sleep(0.1)
        meter.read()
    assert meter.idle_watts == pytest.approx(4, rel=0.2)


def test_power_limits_bound_what_the_packages_can_draw(machine: Machine) -> None:
    machine.zone("intel-rapl:0", "package-0", 0)
    for i, watts in enumerate((65, 117)):
        (machine.root / "intel-rapl:0" / f"constraint_{i}_power_limit_uw").write_text(str(watts * 1_000_000))
    assert machine.open().max_watts == pytest.approx(1.5 * 117)


def test_a_machine_without_rapl_says_so(tmp_path: Path) -> None:
    with pytest.raises(MeterError, match=r"no RAPL counter under .*, as in most virtual machines"):
        open_rapl(powercap=tmp_path)


@contextmanager
def ordinary_user() -> Iterator[None]:
    """Root may read every file, so tests that run as root become nobody for a moment."""
    me = os.geteuid()
    if me == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(me)


def test_a_counter_for_root_only_says_how_to_allow_it() -> None:
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders are closed to other users
        machine = Machine(Path(folder))
        machine.root.chmod(0o755)
        machine.zone("intel-rapl:0", "package-0", 0)
        (machine.root / "intel-rapl:0" / "energy_uj").chmod(0)
        message = "readable for root only: run as root, or allow it with chmod"
        with ordinary_user(), pytest.raises(MeterError, match=message):
            machine.open()


def test_a_counter_that_disappears_fails_the_reading(machine: Machine) -> None:
    machine.zone("intel-rapl:0", "package-0", 0)
    meter = machine.open()
    (machine.root / "intel-rapl:0" / "energy_uj").unlink()
    with pytest.raises(ReadError, match="RAPL could not be read"):
        meter.read()


def test_a_ledger_over_rapl_splits_what_the_packages_used(machine: Machine) -> None:
    machine.zone("intel-rapl:0", "package-0", 0)
    meter = machine.open()
    ledger = Ledger(meter, clock=machine.clock)
    start = machine.now_s
    machine.idle_watts = 40.0
    for _ in range(100):
        ledger.poll()
        machine.sleep(0.02)
    ledger.record(start + 0.5, start + 1.5, [3.0, 1.0], ["a", "b"])
    ledger.flush()
    figures = dict(ledger.settled())
    assert figures["a"].joules == pytest.approx(30, rel=0.01)
    assert figures["a"].above_idle_joules == pytest.approx(22.5, rel=0.01)
    assert figures["b"].method == "rapl"
    assert (
        figures["b"].reason
        == "the counter covers whole CPU packages: every process of the machine is included"
    )
