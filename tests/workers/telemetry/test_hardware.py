"""What devices take, as a real collector gets it by the names of OpenTelemetry's conventions."""

from pathlib import Path

import pytest

from pipeline.energy import Ledger, Meter, MeterOptions, open_nvml
from pipeline.energy.rapl import open_rapl
from tests.pipeline.energy.fake_nvml import FakeNvml
from tests.survival.service import until
from tests.workers.telemetry.collector import Point, collecting
from workers.inference.device_ledger import DeviceLedgerActor
from workers.telemetry.hardware import HardwareMetrics

# opentelemetry.io/docs/specs/semconv/hardware/common: names, units and required attributes.
ENERGY = ("hw.energy", "J", True)
POWER = ("hw.power", "W", False)


def told(ledger: Ledger) -> list[Point]:
    with collecting() as collector:
        HardwareMetrics(collector.url, "n1", ledger).close()
    assert collector.paths <= {"/v1/metrics"}
    return collector.points


def test_a_gpu_tells_all_it_took_and_what_it_draws_now() -> None:
    gpu = FakeNvml(tick_s=0.05)
    meter = open_nvml(MeterOptions("cuda", gpu.uuid), nvml=gpu, clock=gpu.clock)
    ledger = Ledger(meter, gpu.clock)
    for _ in range(200):
        gpu.pass_time(0.01, 300)
        ledger.poll()
    meter.close()
    energy, power = sorted(told(ledger), key=lambda point: point.name)
    assert (energy.name, energy.unit, energy.rises) == ENERGY
    assert (power.name, power.unit, power.rises) == POWER
    assert energy.labels == power.labels == {"hw.id": gpu.uuid, "hw.type": "gpu"}
    # Frames or none, all of it: 300 W for 2 s, but for what came before the first reading.
    assert energy.value == pytest.approx(600, abs=20)
    assert power.value == pytest.approx(300, rel=0.01)


def test_cpu_packages_are_told_as_one_component(tmp_path: Path) -> None:
    zone = tmp_path / "intel-rapl:0"
    zone.mkdir()
    for name, text in (("name", "package-0"), ("max_energy_range_uj", "262143328850"), ("energy_uj", "0")):
        (zone / name).write_text(text)
    now = iter(range(100))
    ledger = Ledger(open_rapl(powercap=tmp_path, clock=lambda: float(next(now)), sleep=lambda _: None))
    for joules in (0, 50, 100):
        (zone / "energy_uj").write_text(str(joules * 1_000_000))
        ledger.poll()
    (energy,) = (point for point in told(ledger) if point.name == "hw.energy")
    assert energy.labels == {"hw.id": "rapl", "hw.type": "cpu"}
    assert energy.value == pytest.approx(100)


def test_the_ledger_of_a_device_tells_by_itself_where_a_collector_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "50")
    gpu = FakeNvml()

    def opened(_: str, device_id: str | None, __: object) -> Meter:
        return open_nvml(MeterOptions("cuda", device_id), nvml=gpu, clock=gpu.clock)

    with collecting() as collector:
        actor = DeviceLedgerActor(opened, "nvml", gpu.uuid, "n1", collector.url)
        until(lambda: collector.points, 30)
        actor.close()
    assert {point.labels["hw.id"] for point in collector.points} == {gpu.uuid}


def test_before_the_first_reading_nothing_is_told() -> None:
    gpu = FakeNvml()
    meter = open_nvml(MeterOptions("cuda", gpu.uuid), nvml=gpu, clock=gpu.clock)
    assert told(Ledger(meter, gpu.clock)) == []
    meter.close()
