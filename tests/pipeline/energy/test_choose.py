from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pipeline.energy import EstimateMeter, MeterError, NoMeter, NvmlMeter, RaplMeter, ReadError, open_meter
from pipeline.errors import UsageError
from tests.pipeline.energy.fake_nvml import FakeNvml


@pytest.fixture(autouse=True)
def powercap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of RAPL's counters, with none in it."""
    monkeypatch.setattr("pipeline.energy.rapl.POWERCAP", tmp_path)
    return tmp_path


@pytest.fixture
def rapl(powercap: Path) -> None:
    zone = powercap / "intel-rapl:0"
    zone.mkdir()
    for file, text in (("name", "package-0"), ("energy_uj", "5"), ("max_energy_range_uj", "1000000")):
        (zone / file).write_text(text)


def install(gpu: FakeNvml, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes it the machine's GPU, to torch and to NVML's binding."""
    monkeypatch.setitem(sys.modules, "pynvml", gpu)
    monkeypatch.setattr("pipeline.energy.nvml._torch_uuid", lambda _: gpu.uuid)


def test_auto_on_cuda_takes_the_cards_counter(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = FakeNvml()
    install(gpu, monkeypatch)
    meter = open_meter("auto", "cuda:0")
    assert isinstance(meter, NvmlMeter)
    meter.close()
    assert gpu.initialised == 0


@pytest.mark.usefixtures("rapl")
@pytest.mark.parametrize("gpu", [FakeNvml(mig=1), FakeNvml(counter=False), FakeNvml(init_error="no driver")])
def test_auto_on_cuda_without_a_usable_counter_is_no_meter_and_never_the_cpu_estimate(
    gpu: FakeNvml, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(gpu, monkeypatch)
    meter = open_meter("auto", "cuda")
    assert isinstance(meter, NoMeter)
    assert meter.reason


@pytest.mark.usefixtures("rapl")
def test_auto_on_the_cpu_prefers_rapl() -> None:
    assert isinstance(open_meter("auto", "cpu"), RaplMeter)


def test_auto_on_the_cpu_without_rapl_estimates_and_says_so() -> None:
    meter = open_meter("auto", "cpu", watts_per_core=7)
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
    kind: str, device: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_device(device: str) -> str:
        raise MeterError(f"torch has no device {device}")

    monkeypatch.setattr("pipeline.energy.nvml._torch_uuid", no_device)
    with pytest.raises(UsageError) as error:
        open_meter(kind, device)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize("watts", [0, -1, float("nan")])
def test_watts_per_core_must_be_a_positive_number(watts: float) -> None:
    with pytest.raises(UsageError, match="watts per core cannot be"):
        open_meter("estimate", watts_per_core=watts)
