"""Energies of several replicas on one device, over a made-up GPU."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from queue import Queue
from typing import Any

import pytest

from pipeline.energy import MeterOptions, NoMeter, open_nvml
from pipeline.frame import FrameTimes
from pipeline.results import Energy, FrameResult, Prediction
from tests.pipeline.energy.fake_nvml import FakeNvml
from tests.vocab.servers import Server
from tests.workers.inference.examples import batch
from vocab.connection import connect
from workers.contract.keys import StreamKeys
from workers.contract.stream_store import StreamStore
from workers.inference.metering import LATER, DeviceLedger, Figures, MeteredSpan, OwnMetering, SharedMetering
from workers.inference.record import StreamRecord

WAIT_S = 60


@pytest.fixture
def gpu() -> FakeNvml:
    return FakeNvml(tick_s=0.05)


@pytest.fixture
def ledger(gpu: FakeNvml) -> Iterator[DeviceLedger]:
    meter = open_nvml(MeterOptions("cuda", gpu.uuid), nvml=gpu, clock=gpu.clock)
    yield DeviceLedger(meter, gpu.clock)
    meter.close()


def advance(gpu: FakeNvml, ledger: DeviceLedger, seconds: float, watts: float) -> None:
    """Time goes by at some power while the ledger reads the counter, as its thread would."""
    for _ in range(round(seconds * 100)):
        gpu.pass_time(0.01, watts)
        ledger.ledger.poll()


def test_what_two_replicas_get_and_what_nobody_used_add_up_to_the_counter(
    gpu: FakeNvml, ledger: DeviceLedger
) -> None:
    ledger.ledger.poll()
    start_mj = gpu.nvmlDeviceGetTotalEnergyConsumption("handle")
    figures: dict[str, list[Any]] = {"a": [], "b": []}
    advance(gpu, ledger, 1.0, 90)
    for number in range(10):
        begun = gpu.now_s
        advance(gpu, ledger, 0.2, 300)
        # Both ran at once for a while, and each tells of its own span only.
        figures["a"] += ledger.exchange(
            "a", [MeteredSpan(begun, gpu.now_s, (2e9, 1e9), (number, -1 - number))]
        )
        advance(gpu, ledger, 0.1, 250)
        figures["b"] += ledger.exchange("b", [MeteredSpan(begun + 0.1, gpu.now_s, (3e9,), (number,))])
        advance(gpu, ledger, 0.1, 90)
    advance(gpu, ledger, 3.0, 90)
    for replica, known in figures.items():
        known += ledger.exchange(replica, [])

    assert sorted(key for key, _ in figures["a"]) == sorted([*range(10), *range(-10, 0)])
    assert sorted(key for key, _ in figures["b"]) == list(range(10))
    energies = [energy for known in figures.values() for _, energy in known]
    assert all(energy.settled and energy.method == "nvml" for energy in energies)
    totals = ledger.ledger.totals()
    assert totals.counter_joules is not None
    counted = (gpu.nvmlDeviceGetTotalEnergyConsumption("handle") - start_mj) / 1000
    assert totals.counter_joules == pytest.approx(counted, abs=1e-6)
    assert totals.idle_joules is not None
    assert totals.unattributed_joules is not None
    frames = sum(energy.joules or 0.0 for energy in energies)
    assert frames == pytest.approx(totals.frames_joules)
    assert frames + totals.idle_joules + totals.unattributed_joules == pytest.approx(counted)
    for key, energy in figures["a"]:
        if key >= 0:
            (half,) = [other for name, other in figures["a"] if name == -1 - key]
            assert energy.joules == pytest.approx(2 * (half.joules or 0.0))


def test_a_span_that_cannot_be_right_costs_only_its_own_figures(gpu: FakeNvml, ledger: DeviceLedger) -> None:
    advance(gpu, ledger, 0.2, 90)
    wrong, right = (
        MeteredSpan(5.0, 4.0, (1.0,), ("wrong",)),
        MeteredSpan(gpu.now_s - 0.1, gpu.now_s, (1.0,), ("r",)),
    )
    ((key, energy),) = ledger.exchange("a", [wrong, right])
    assert key == "wrong"
    assert energy.joules is None
    assert "must end after it starts" in (energy.reason or "")
    advance(gpu, ledger, 3.0, 90)
    assert [name for name, _ in ledger.exchange("a", [])] == ["r"]


class Told:
    """What a replica was told, as it comes."""

    def __init__(self) -> None:
        self.queue: Queue[tuple[Any, Energy]] = Queue()

    def __call__(self, figures: Figures) -> None:
        for figure in figures:
            self.queue.put(figure)


def test_recording_never_waits_for_the_ledger_and_figures_follow() -> None:
    told, go = Told(), threading.Event()

    def slow(spans: Sequence[MeteredSpan]) -> Figures:
        assert go.wait(WAIT_S)
        return [(key, Energy(1.5, method="nvml", settled=True)) for span in spans for key in span.keys]

    metering = SharedMetering("nvml", slow, told)
    now = [metering.record(n, n + 1, [1.0, 1.0], [("a", 2 * n), ("a", 2 * n + 1)]) for n in range(3)]
    assert all(
        (energy.joules, energy.settled, energy.reason) == (None, False, LATER)
        for one in now
        for energy in one
    )
    go.set()
    assert [told.queue.get(timeout=WAIT_S)[0] for _ in range(6)] == [("a", number) for number in range(6)]
    metering.close()


def test_figures_that_went_with_the_ledger_are_null_with_the_reason() -> None:
    told = Told()
    answers: Queue[Figures | Exception] = Queue()

    def exchange(_spans: Sequence[MeteredSpan]) -> Figures:
        answer = answers.get(timeout=WAIT_S)
        if isinstance(answer, Exception):
            raise answer
        return answer

    metering = SharedMetering("nvml", exchange, told)
    metering.record(0, 1, [1.0], ["lost"])
    # To what it sends at the start, and to what it sends then.
    answers.put([])
    answers.put(RuntimeError("the actor died\nwith a long story"))
    key, energy = told.queue.get(timeout=WAIT_S)
    assert (key, energy.joules, energy.method) == ("lost", None, "nvml")
    assert energy.reason == "the ledger of the device was lost (the actor died)"

    metering.record(1, 2, [1.0], ["found"])
    answers.put([("found", Energy(2.0, method="nvml", settled=True))])
    assert told.queue.get(timeout=WAIT_S)[0] == "found"
    # To what it sends at the end.
    answers.put([])
    metering.close()


def test_without_a_meter_every_figure_is_null_with_the_reason_at_once() -> None:
    metering = OwnMetering(NoMeter("there is none here"))
    (energy,) = metering.record(0, 1, [1.0], ["a"])
    assert (energy.joules, energy.method, energy.reason) == (None, "none", "there is none here")
    assert not metering.later
    metering.close()


def late_result(frame: int) -> FrameResult:
    energy = Energy(method="nvml", reason=LATER)
    return FrameResult(
        stream="a",
        frame=frame,
        times=FrameTimes(pts_s=0.1 * frame, decode_ms=1),
        model="null",
        tokenizer="full",
        tokens_full=256,
        tokens_kept=256,
        prediction=Prediction("none"),
        queue_ms=1,
        infer_ms=1,
        total_ms=3,
        energy=energy,
    )


def test_late_energies_reach_redis_once_each_and_only_for_frames_that_count() -> None:
    server = Server("valkey")
    try:
        redis: Any = connect(server.url)
        record = StreamRecord(redis, "a", 1, 1000, {"replica": "r"}, later=True)
        settled = Energy(0.5, 0.25, "nvml", settled=True, uncertainty_joules=0.1)
        # Frame 1 settles before its result is written: it needs no second message.
        record.settle([(1, settled)])
        record.append(batch("a", 0, 3), [late_result(number) for number in range(3)])
        record.settle([(0, settled), (2, settled)])
        # Sent again and run again: what it costs then is not the frame's any more.
        record.append(batch("a", 0, 3), [late_result(number) for number in range(3)])
        record.settle([(0, settled), (1, settled), (2, settled)])

        told = [json.loads(fields[b"energy"]) for _, fields in redis.xrange(StreamKeys("a").energy)]
        assert told == [{"frame": frame, "energy": settled.to_dict()} for frame in (0, 2)]
        results = [json.loads(fields[b"result"]) for _, fields in redis.xrange(StreamKeys("a").results)]
        assert [one["energy"]["joules"] for one in results] == [None, 0.5, None]
        assert StreamStore(redis).status("a").joules == pytest.approx(1.5)
    finally:
        server.close()


def test_late_energies_wait_for_a_redis_that_is_away() -> None:
    server = Server("valkey")
    try:
        redis: Any = connect(server.url)
        record = StreamRecord(redis, "a", 1, 1000, {"replica": "r"}, later=True)
        record.append(batch("a", 0, 2), [late_result(number) for number in range(2)])
        settled = Energy(0.5, method="nvml", settled=True)
        server.kill()
        with pytest.raises(Exception, match="cannot"):
            record.settle([(0, settled)])
        server.start()
        record.settle([(1, settled)])
        assert [json.loads(f[b"energy"])["frame"] for _, f in redis.xrange(StreamKeys("a").energy)] == [0, 1]
    finally:
        server.close()
