"""The ledger with its real thread, real clock and real meters."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from pipeline.energy import EstimateMeter, Ledger, Reading, ReplayMeter


class Turnstile(EstimateMeter):
    """The real estimate, that also lets a test wait for a number of readings."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = threading.Semaphore(0)
        self.poll_interval_s = 0.001

    def read(self) -> Reading:
        self.reads.release()
        return super().read()


def samplers() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name == "vwt-energy"]


def test_the_sampler_reads_on_its_own_and_ends_with_the_ledger() -> None:
    meter = Turnstile()
    with Ledger(meter) as ledger:
        ledger.start()
        assert len(samplers()) == 1
        for _ in range(5):
            assert meter.reads.acquire(timeout=60)
    assert samplers() == []


def test_a_stopped_ledger_can_be_started_again() -> None:
    meter = Turnstile()
    ledger = Ledger(meter)
    for _ in range(2):
        ledger.start()
        assert meter.reads.acquire(timeout=60)
        ledger.stop()
    ledger.stop()
    assert samplers() == []


def test_a_meter_that_always_fails_does_not_end_the_sampler() -> None:
    class Broken(Turnstile):
        def read(self) -> Reading:
            super().read()
            return ReplayMeter([]).read()

    meter = Broken()
    with Ledger(meter):
        for _ in range(5):
            assert meter.reads.acquire(timeout=60)
        assert samplers()[0].is_alive()


def test_cpu_work_costs_its_cpu_seconds_in_the_estimate_of_its_batch() -> None:
    with Ledger(EstimateMeter(watts_per_core=5)) as ledger:
        start = time.monotonic()
        cpu = time.thread_time()
        while time.thread_time() - cpu < 0.2:
            pass
        (energy,) = ledger.record(start, time.monotonic(), [1.0], ["work"])
    assert energy.settled
    # Other threads of the process may add to it, none can take from it.
    assert energy.joules >= 0.9 * 0.2 * 5
    assert energy.uncertainty_joules >= 0.5 * energy.joules


def test_recording_from_many_threads_loses_no_frame_and_no_joule() -> None:
    meter = Turnstile()
    finals: list[int] = []

    def work(first: int) -> None:
        for i in range(first, first + 50):
            start = time.monotonic()
            sum(range(2000))
            (energy,) = ledger.record(start, time.monotonic(), [1.0], [i])
            if energy.settled:
                finals.append(i)

    with Ledger(meter) as ledger:
        threads = [threading.Thread(target=work, args=(1000 * n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        ledger.flush()
    finals.extend(key for key, _ in ledger.settled())
    assert sorted(finals) == [1000 * n + i for n in range(4) for i in range(50)]
    totals = ledger.totals()
    parts = totals.frames_joules + totals.idle_joules + totals.unattributed_joules
    assert parts == pytest.approx(totals.counter_joules, rel=1e-9, abs=1e-9)
    assert totals.settled_frames + totals.unsettled_frames == 200


def test_a_recording_in_a_file_replays_with_its_failures(tmp_path: Path) -> None:
    path = tmp_path / "readings.csv"
    path.write_text("t_s,joules\n0,0\n1,10\n2,\n3,30\n4,40\n5,50\n")
    meter = ReplayMeter.from_csv(path)
    ledger = Ledger(meter, clock=meter.clock)
    for _ in range(6):
        ledger.poll()
    totals = ledger.totals()
    assert totals.counter_joules == 50
    assert totals.reason == "the recorded reading failed"
    assert totals.span_s == 5
