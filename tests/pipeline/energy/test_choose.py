from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.energy import EstimateMeter, MeterError, NoMeter, NvmlMeter, RaplMeter, ReadError, open_meter
from pipeline.errors import UsageError
from tests.pipeline.energy.fake_nvml import FakeNvml


@pytest.fixture
def rapl(tmp_path: Path) -> Path:
    zone = tmp_path / "intel-rapl:0"
    zone.mkdir()
    for file, text in (("name", "package-0"), ("energy_uj", "5"), ("max_energy_range_uj", "1000000")):
        (zone / file).write_text(text)
    return tmp_path


def test_auto_on_cuda_takes_the_cards_counter() -> None:
    gpu = FakeNvml()
    meter = open_meter("auto", "cuda:0", nvml=gpu, uuid_of=lambda _: gpu.uuid)
    assert isinstance(meter, NvmlMeter)
    meter.close()
    assert gpu.initialised == 0


@pytest.mark.parametrize("gpu", [FakeNvml(mig=1), FakeNvml(counter=False), FakeNvml(init_error="no driver")])
def test_auto_on_cuda_without_a_usable_counter_is_no_meter_and_never_the_cpu_estimate(
    gpu: FakeNvml, rapl: Path
) -> None:
    meter = open_meter("auto", "cuda", nvml=gpu, uuid_of=lambda _: gpu.uuid, powercap=rapl)
    assert isinstance(meter, NoMeter)
    assert meter.reason


def test_auto_on_the_cpu_prefers_rapl(rapl: Path) -> None:
    assert isinstance(open_meter("auto", "cpu", powercap=rapl), RaplMeter)


def test_auto_on_the_cpu_without_rapl_estimates_and_says_so(tmp_path: Path) -> None:
    meter = open_meter("auto", "cpu", watts_per_core=7, powercap=tmp_path)
    assert isinstance(meter, EstimateMeter)
    assert meter.describe() == "estimate: CPU seconds of this process x 7 W per core"


def test_auto_on_another_device_is_no_meter() -> None:
    meter = open_meter("auto", "mps")
    assert meter.reason == "no energy counter is known for device mps"
    with pytest.raises(ReadError):
        meter.read()


def test_none_is_no_meter() -> None:
    assert open_meter("none", "cuda").describe() == "no energy figures: energy metering is off"


@pytest.mark.parametrize(
    ("kind", "device", "message"),
    [
        (
            "joulemeter",
            "cpu",
            "there is no meter 'joulemeter': choose one of auto, nvml, rapl, estimate, none",
        ),
        ("nvml", "cpu", "the nvml meter measures cuda only, not device cpu: use auto"),
        ("rapl", "cuda", "the rapl meter measures cpu only, not device cuda: use auto"),
        ("estimate", "cuda:1", "the estimate meter measures cpu only, not device cuda:1: use auto"),
        ("rapl", "cpu", "the rapl meter cannot be had: no RAPL counter"),
        ("nvml", "cuda", "the nvml meter cannot be had: torch has no device cuda"),
    ],
)
def test_a_meter_asked_for_by_name_that_cannot_be_had_is_an_error(
    kind: str, device: str, message: str, tmp_path: Path
) -> None:
    def no_device(device: str) -> str:
        raise MeterError(f"torch has no device {device}")

    with pytest.raises(UsageError) as error:
        open_meter(kind, device, nvml=FakeNvml(), uuid_of=no_device, powercap=tmp_path)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize("watts", [0, -1, float("nan")])
def test_watts_per_core_must_be_a_positive_number(watts: float) -> None:
    with pytest.raises(UsageError, match="watts per core cannot be"):
        open_meter("estimate", watts_per_core=watts)
