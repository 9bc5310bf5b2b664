from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from pipeline.energy import Ledger, MeterError, MeterOptions, NvmlMeter, ReadError, open_nvml
from tests.pipeline.energy.fake_nvml import FakeNvml


@pytest.fixture
def opened() -> Iterator[list[NvmlMeter]]:
    """Meters to close after the test: readers are shared by the whole process."""
    meters: list[NvmlMeter] = []
    yield meters
    for meter in meters:
        meter.close()


def options(gpu: FakeNvml) -> MeterOptions:
    return MeterOptions("cuda", gpu.uuid)


def meter_of(gpu: FakeNvml, opened: list[NvmlMeter]) -> NvmlMeter:
    meter = open_nvml(options(gpu), nvml=gpu, clock=gpu.clock)
    opened.append(meter)
    return meter


def watch(meter: NvmlMeter, gpu: FakeNvml, seconds: float, watts: float | None = None) -> None:
    for _ in range(round(seconds / 0.01)):
        gpu.pass_time(0.01, watts)
        meter.read()


def test_readings_are_joules_of_the_cards_own_counter(opened: list[NvmlMeter]) -> None:
    gpu = FakeNvml()
    meter = meter_of(gpu, opened)
    before = meter.read()
    gpu.pass_time(1.0, watts=200)
    after = meter.read()
    assert after.joules - before.joules == pytest.approx(200)
    assert after.t_s - before.t_s == pytest.approx(1)
    assert meter.describe() == f"NVML energy counter of NVIDIA H200 ({gpu.uuid}), driver 580.0"
    assert meter.reason is None


def test_one_physical_gpu_has_one_reader_until_its_last_user_closes_it(opened: list[NvmlMeter]) -> None:
    gpu = FakeNvml()
    first, second = meter_of(gpu, opened), meter_of(gpu, opened)
    assert first is second
    assert gpu.initialised == 1
    second.close()
    assert gpu.initialised == 1
    first.close()
    assert gpu.initialised == 0
    opened.clear()
    assert meter_of(gpu, opened) is not first


def test_users_that_read_together_cost_one_counter_read(opened: list[NvmlMeter]) -> None:
    gpu = FakeNvml()
    meter = meter_of(gpu, opened)
    gpu.pass_time(0.02)
    reads = gpu.counter_reads
    assert meter.read() == meter.read()
    assert gpu.counter_reads == reads + 1


def test_a_card_split_by_mig_gives_no_figure_and_says_why() -> None:
    gpu = FakeNvml(mig=1)
    with pytest.raises(
        MeterError, match=r"is split by MIG \(Multi-Instance GPU: .* meter a card that is not split"
    ):
        open_nvml(options(gpu), nvml=gpu)
    assert gpu.initialised == 0


def test_a_card_with_mig_switched_off_is_metered(opened: list[NvmlMeter]) -> None:
    assert meter_of(FakeNvml(mig=0), opened).read().joules > 0


def test_a_card_without_a_counter_gives_no_figure_and_says_why() -> None:
    gpu = FakeNvml(counter=False)
    with pytest.raises(MeterError, match=r"no readable energy counter .*Not Supported.*: Volta or later"):
        open_nvml(options(gpu), nvml=gpu)
    assert gpu.initialised == 0


def test_a_machine_without_the_driver_says_what_to_install() -> None:
    gpu = FakeNvml(init_error="NVML Shared Library Not Found")
    with pytest.raises(MeterError, match=r"NVML cannot be loaded \(NVML Shared Library Not Found\): install"):
        open_nvml(options(gpu), nvml=gpu)


def test_a_device_torch_does_not_have_is_named() -> None:
    with pytest.raises(MeterError, match="torch has no device cuda:7"):
        open_nvml(MeterOptions("cuda:7"), nvml=FakeNvml())


@pytest.mark.parametrize(
    ("others", "reason"),
    [
        ([], None),
        ([1], "the GPU is shared with 1 other process"),
        ([1, os.getppid()], "the GPU is shared with 2 other processes"),
    ],
)
def test_other_processes_on_the_card_are_counted(
    others: list[int], reason: str | None, opened: list[NvmlMeter]
) -> None:
    assert meter_of(FakeNvml(pids=[os.getpid(), *others]), opened).reason == reason


def test_in_a_container_that_shows_host_process_ids_one_of_them_is_this_process(
    opened: list[NvmlMeter],
) -> None:
    nowhere = 2**22 + 1  # above the highest process id Linux gives out
    assert meter_of(FakeNvml(pids=[nowhere]), opened).reason is None
    two = FakeNvml(pids=[nowhere, nowhere + 1])
    assert meter_of(two, opened).reason == "the GPU is shared with 1 other process"


@pytest.mark.parametrize("namespace", ["own", "host"])
def test_the_replicas_of_a_gpu_are_no_strangers_to_its_meter(namespace: str, opened: list[NvmlMeter]) -> None:
    nowhere = 2**22 + 1
    ours = {nowhere, nowhere + 1}
    shown = ours if namespace == "own" else {nowhere + 2, nowhere + 3}
    gpu = FakeNvml(pids=[*shown, 1])
    meter = open_nvml(MeterOptions("cuda", gpu.uuid, ours=lambda: ours), nvml=gpu, clock=gpu.clock)
    opened.append(meter)
    assert meter.reason == "the GPU is shared with 1 other process"


def test_a_process_that_joins_later_is_noticed(opened: list[NvmlMeter]) -> None:
    gpu = FakeNvml()
    meter = meter_of(gpu, opened)
    gpu.pids.append(1)
    watch(meter, gpu, 6.0)
    assert meter.reason == "the GPU is shared with 1 other process"


def test_a_counter_that_disagrees_with_the_power_reading_is_flagged_until_they_agree(
    opened: list[NvmlMeter],
) -> None:
    gpu = FakeNvml(watts=37, power_reading_watts=65)
    meter = meter_of(gpu, opened)
    watch(meter, gpu, 11.0)
    assert meter.reason == "energy counter and power reading disagree: 37 against 65 W"
    gpu.power_reading_watts = 38
    watch(meter, gpu, 21.0)
    assert meter.reason is None


def test_grace_hopper_figures_say_that_they_cover_the_module(opened: list[NvmlMeter]) -> None:
    meter = meter_of(FakeNvml(name="NVIDIA GH200 480GB"), opened)
    assert meter.reason == "the counter covers the whole Grace Hopper module, CPU included"
    assert meter.max_watts is None


def test_idle_power_is_what_the_card_drew_at_the_start_or_the_quietest_second_since(
    opened: list[NvmlMeter],
) -> None:
    gpu = FakeNvml(watts=90)
    meter = meter_of(gpu, opened)
    assert meter.idle_watts == pytest.approx(90)
    watch(meter, gpu, 3.0, watts=600)
    assert meter.idle_watts == pytest.approx(90)
    watch(meter, gpu, 3.0, watts=70)
    assert meter.idle_watts == pytest.approx(70, rel=0.02)


def test_a_driver_hiccup_fails_one_reading(opened: list[NvmlMeter]) -> None:
    gpu = FakeNvml()
    meter = meter_of(gpu, opened)
    gpu.pass_time(0.1)
    gpu.lost = True
    with pytest.raises(ReadError, match="nvmlDeviceGetTotalEnergyConsumption failed: GPU is lost"):
        meter.read()
    gpu.lost = False
    assert meter.read().joules > 0


def test_batches_of_five_milliseconds_get_their_energy_from_ticks_of_a_hundred(
    opened: list[NvmlMeter],
) -> None:
    gpu = FakeNvml(tick_s=0.1, watts=400)
    meter = meter_of(gpu, opened)
    ledger = Ledger(meter, clock=gpu.clock)
    batches = 0
    for _ in range(300):
        gpu.pass_time(0.01)
        ledger.poll()
        ledger.record(gpu.now_s - 0.007, gpu.now_s - 0.002, [1.0, 1.0], [batches, batches + 1])
        batches += 2
    ledger.flush(timeout_s=0.01)
    settled = [e for _, e in ledger.settled() if e.settled]
    assert len(settled) > 0.9 * batches
    for energy in settled:
        assert energy.joules == pytest.approx(1.0, rel=0.15)
        assert abs(energy.joules - 1.0) <= energy.uncertainty_joules < 3.0
