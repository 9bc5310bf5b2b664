"""Known answers: readings whose split among frames can be worked out by hand."""

from __future__ import annotations

import pytest

from pipeline.energy import EstimateMeter, Ledger, NoMeter, Reading, ReplayMeter


def ledger_over(meter: ReplayMeter, polls: int) -> Ledger:
    """A ledger on the recording's own clock, after `polls` readings."""
    ledger = Ledger(meter, clock=meter.clock)
    for _ in range(polls):
        ledger.poll()
    return ledger


def steady(watts: float, seconds: int, **options: object) -> ReplayMeter:
    """Ticks every second (edges at 0.5, 1.5, ...) under constant power."""
    return ReplayMeter([Reading(t, watts * t) for t in range(seconds + 1)], **options)


def conserved(ledger: Ledger) -> bool:
    t = ledger.totals()
    parts = (t.frames_joules or 0) + (t.idle_joules or 0) + (t.unattributed_joules or 0)
    return parts == pytest.approx(t.counter_joules, rel=1e-12, abs=1e-9)


def test_the_joules_of_a_batch_are_split_by_the_flops_of_its_frames() -> None:
    ledger = ledger_over(steady(100, 10), polls=8)
    ledger.record(2.0, 4.0, weights=[3e9, 1e9], keys=["heavy", "light"])
    ledger.flush()
    figures = dict(ledger.settled())
    assert figures["heavy"].joules == pytest.approx(150)
    assert figures["light"].joules == pytest.approx(50)
    assert all(e.settled and e.method == "nvml" and e.reason is None for e in figures.values())
    assert conserved(ledger)


def test_a_batch_is_provisional_until_two_edges_bound_it_and_late_batches_had_their_chance() -> None:
    meter = steady(100, 12)
    ledger = ledger_over(meter, polls=5)
    (provisional,) = ledger.record(3.0, 4.0, [1.0], ["frame"])
    assert (provisional.joules, provisional.settled) == (100, False)
    ledger.poll()
    ledger.poll()
    assert ledger.settled() == []
    ledger.poll()
    ((key, energy),) = ledger.settled()
    assert (key, energy.joules, energy.settled) == ("frame", pytest.approx(100), True)
    assert ledger.settled() == []


def test_before_any_power_is_known_a_figure_is_null_with_a_reason() -> None:
    ledger = ledger_over(steady(100, 3), polls=1)
    (energy,) = ledger.record(0.0, 0.005, [1.0], ["first"])
    assert energy.joules is None
    assert energy.above_idle_joules is None
    assert energy.reason == "no power is known yet: the counter has to tick twice"


def test_recording_a_batch_never_reads_a_ticking_counter() -> None:
    meter = ReplayMeter([Reading(0, 0), Reading(1, 1)])
    ledger = ledger_over(meter, polls=1)
    for i in range(50):
        ledger.record(i * 0.01, i * 0.01 + 0.005, [1.0], [i])
    assert meter.read() == Reading(1, 1)


def test_what_no_batch_used_is_idle() -> None:
    ledger = ledger_over(steady(50, 10), polls=11)
    ledger.record(2.5, 4.5, [1.0], ["a"])
    ledger.flush()
    totals = ledger.totals()
    assert totals.frames_joules == pytest.approx(100)
    # Edges from 0.5 to 9.5; the first half second came before any edge.
    assert totals.idle_joules == pytest.approx(9 * 50 - 100)
    assert totals.unattributed_joules == pytest.approx(50)
    assert totals.counter_joules == 500
    assert totals.span_s == 10
    assert conserved(ledger)


def test_above_idle_is_what_the_device_would_not_have_drawn_anyway() -> None:
    ledger = ledger_over(steady(100, 8, idle_watts=30), polls=8)
    ledger.record(2.0, 4.0, [1.0, 1.0], ["a", "b"])
    ledger.flush()
    assert [e.above_idle_joules for _, e in ledger.settled()] == pytest.approx([70, 70])


def test_above_idle_is_unknown_with_the_idle_power_and_never_below_zero() -> None:
    for idle_watts, expected in ((None, None), (500, 0.0)):
        ledger = ledger_over(steady(100, 8, idle_watts=idle_watts), polls=8)
        ledger.record(2.0, 4.0, [1.0], ["a"])
        ledger.flush()
        assert ledger.settled()[0][1].above_idle_joules == expected


def test_batches_in_flight_together_share_power_by_their_flops_per_second() -> None:
    ledger = ledger_over(steady(90, 10, idle_watts=9), polls=10)
    # 2 FLOP/s against 1 FLOP/s while both run, from 3 s to 4 s.
    ledger.record(2.0, 4.0, [4.0], ["fast"])
    ledger.record(3.0, 5.0, [2.0], ["slow"])
    ledger.flush()
    figures = dict(ledger.settled())
    assert figures["fast"].joules == pytest.approx(90 + 60)
    assert figures["slow"].joules == pytest.approx(30 + 90)
    assert figures["fast"].above_idle_joules == pytest.approx(150 * 0.9)
    assert conserved(ledger)


def test_a_batch_without_flops_is_split_evenly() -> None:
    ledger = ledger_over(steady(100, 8), polls=8)
    ledger.record(2.0, 4.0, [0.0, 0.0], ["a", "b"])
    ledger.flush()
    assert [e.joules for _, e in ledger.settled()] == pytest.approx([100, 100])


def test_a_batch_that_covers_whole_ticks_is_exact_and_a_part_of_a_tick_is_not() -> None:
    ledger = ledger_over(steady(100, 10, tick_s=0.0, max_watts=150), polls=10)
    ledger.record(2.0, 4.0, [1.0], ["whole"])
    ledger.record(6.0, 6.5, [1.0], ["part"])
    ledger.flush()
    figures = dict(ledger.settled())
    assert figures["whole"].uncertainty_joules == 0
    # Half a second of a 100 J tick: at most 75 J, and at least 25 J because the rest is at most 75 J.
    assert figures["part"].uncertainty_joules == pytest.approx(25)


def test_frames_around_a_failed_reading_are_null_with_the_reason_and_their_energy_is_unattributed() -> None:
    readings = (
        [Reading(t, 100.0 * t) for t in range(5)] + [None] + [Reading(t, 100.0 * t) for t in range(6, 12)]
    )
    ledger = ledger_over(ReplayMeter(readings), polls=12)
    ledger.record(1.5, 2.5, [1.0], ["before"])
    ledger.record(4.0, 5.0, [1.0], ["during"])
    ledger.record(8.5, 9.5, [1.0], ["after"])
    ledger.flush()
    figures = dict(ledger.settled())
    assert figures["before"].joules == pytest.approx(100)
    assert figures["during"].joules is None
    assert figures["during"].reason == "the recorded reading failed"
    assert figures["after"].joules == pytest.approx(100)
    totals = ledger.totals()
    assert totals.reason == "the recorded reading failed"
    assert (totals.settled_frames, totals.unsettled_frames) == (2, 1)
    assert conserved(ledger)


def test_a_reset_counter_makes_its_frames_null_and_leaves_the_others() -> None:
    values = [100, 200, 300, 400, 0, 100, 200, 300, 400]
    ledger = ledger_over(ReplayMeter([Reading(t, j) for t, j in enumerate(values)]), polls=9)
    ledger.record(1.0, 2.0, [1.0], ["before"])
    ledger.record(3.0, 3.5, [1.0], ["across"])
    ledger.record(6.0, 7.0, [1.0], ["after"])
    ledger.flush()
    assert {k: e.joules for k, e in ledger.settled()} == {
        "before": pytest.approx(100),
        "across": None,
        "after": pytest.approx(100),
    }
    assert conserved(ledger)


def test_a_batch_recorded_after_its_time_was_booked_is_null_rather_than_too_small() -> None:
    ledger = ledger_over(steady(100, 60), polls=10)
    ledger.record(8.0, 8.5, [1.0], ["in time"])
    for _ in range(20):
        ledger.poll()
    ledger.record(2.0, 2.5, [1.0], ["late"])
    ledger.flush()
    figures = dict(ledger.settled())
    assert figures["in time"].joules == pytest.approx(50)
    assert figures["late"].joules is None
    assert figures["late"].reason == "recorded too late: the energy of its time was already booked"
    assert conserved(ledger)


def test_in_a_steady_flow_batches_settle_as_soon_as_the_next_ones_are_in() -> None:
    meter = ReplayMeter([Reading(t / 100, t // 5 * 5.0) for t in range(1000)])
    ledger = Ledger(meter, clock=meter.clock, lateness_s=60)
    settled_at = {}
    for _ in range(300):
        ledger.poll()
        now = meter.clock()
        if now >= 0.1:
            ledger.record(now - 0.01, now, [1.0], [now])
        settled_at.update({key: now - key for key, energy in ledger.settled() if energy.settled})
    assert len(settled_at) > 250
    # One tick of 50 ms, twice the 10 ms that batches take, and a reading.
    assert max(settled_at.values()) <= 0.05 + 0.02 + 0.011


def test_one_batch_much_slower_than_the_others_still_gets_its_energy() -> None:
    meter = steady(100, 60)
    ledger = Ledger(meter, clock=meter.clock, lateness_s=10)
    for i in range(30):
        ledger.poll()
        ledger.record(i - 0.9, i - 0.8, [1.0], [i])
    for _ in range(10):
        ledger.poll()
    ledger.record(30.0, 38.5, [1.0], ["hiccup"])
    ledger.flush()
    assert dict(ledger.settled())["hiccup"].joules == pytest.approx(850)


def test_a_slow_first_batch_still_gets_the_energy_of_its_whole_time() -> None:
    ledger = ledger_over(steady(100, 40), polls=31)
    ledger.record(1.5, 29.5, [1.0], ["warm-up"])
    ledger.flush()
    assert ledger.settled()[0][1].joules == pytest.approx(2800)


def test_a_batch_before_the_meter_was_started_is_null() -> None:
    meter = ReplayMeter([Reading(t, 100.0 * t) for t in range(10, 16)])
    ledger = ledger_over(meter, polls=5)
    ledger.record(8.0, 12.0, [1.0], ["early"])
    ledger.flush()
    assert ledger.settled()[0][1].reason == "began before the meter was started"
    assert conserved(ledger)


def test_a_batch_after_the_last_tick_stays_provisional_with_the_reason() -> None:
    ledger = ledger_over(steady(100, 5), polls=6)
    ledger.record(3.5, 4.8, [1.0], ["last"])
    ledger.flush(timeout_s=0.002)
    ((_, energy),) = ledger.settled()
    assert energy.joules == pytest.approx(130)
    assert not energy.settled
    assert energy.reason == "not settled: the counter did not tick within 0.002 s after the batch"
    assert ledger.totals().frames_joules == 0
    assert conserved(ledger)


def test_memory_stays_bounded_when_no_batch_is_ever_recorded() -> None:
    meter = steady(100, 100)
    ledger = Ledger(meter, clock=meter.clock, max_segments=10)
    for _ in range(101):
        ledger.poll()
    totals = ledger.totals()
    assert totals.idle_joules == pytest.approx((100 - 1 - 10) * 100)
    assert conserved(ledger)


def test_figures_nobody_takes_are_bounded_too() -> None:
    meter = steady(100, 20)
    ledger = Ledger(meter, clock=meter.clock, max_unread=3)
    for _ in range(15):
        ledger.poll()
    for i in range(10):
        ledger.record(2 + i, 2.5 + i, [1.0], [i])
    ledger.flush()
    assert [key for key, _ in ledger.settled()] == [7, 8, 9]


def test_the_reason_of_a_shared_meter_travels_with_every_figure() -> None:
    ledger = ledger_over(steady(100, 8, reason="the GPU is shared with 2 other processes"), polls=8)
    ledger.record(2.0, 4.0, [1.0], ["a"])
    ledger.flush()
    energy = ledger.settled()[0][1]
    assert energy.settled
    assert energy.reason == ledger.totals().reason == "the GPU is shared with 2 other processes"


def test_an_exact_meter_settles_a_batch_at_once_with_one_read() -> None:
    cpu_s = iter([0.0, 1.5, 4.0])
    now_s = iter([10.0, 11.0, 13.0])
    time_s = [0.0]

    def clock() -> float:
        time_s[0] = next(now_s, time_s[0])
        return time_s[0]

    meter = EstimateMeter(watts_per_core=4, clock=clock, cpu_time=lambda: next(cpu_s))
    ledger = Ledger(meter, clock=lambda: time_s[0])
    ledger.poll()
    (first,) = ledger.record(10.0, 11.0, [1.0], ["a"])
    (second,) = ledger.record(11.0, 12.0, [1.0], ["b"])
    assert (first.joules, first.settled, first.method) == (6.0, True, "estimate")
    assert first.above_idle_joules == first.joules
    assert first.uncertainty_joules == pytest.approx(0.5 * 6.0)
    assert second.joules == pytest.approx(5.0)
    assert second.uncertainty_joules > 0.5 * 5.0
    assert ledger.settled() == []
    assert conserved(ledger)


def test_an_exact_meter_keeps_the_time_of_the_next_batch_open() -> None:
    meter = ReplayMeter([Reading(0, 0), Reading(3, 30), Reading(5, 90)], up_to_date=True, method="rapl")
    ledger = ledger_over(meter, polls=1)
    # Recorded 1 s after its end, while the next batch has been running since 2.5 s.
    (first,) = ledger.record(1.0, 2.0, [1.0], ["a"])
    (second,) = ledger.record(2.5, 5.0, [1.0], ["b"])
    assert first.joules == pytest.approx(10)
    assert second.joules == pytest.approx(5 + 60)
    assert conserved(ledger)


def test_without_a_meter_every_figure_is_null_with_the_reason() -> None:
    with Ledger(NoMeter("energy metering is off")) as ledger:
        energies = ledger.record(0.0, 1.0, [1.0, 2.0], ["a", "b"])
        ledger.flush()
    assert [(e.joules, e.method, e.settled, e.reason) for e in energies] == [
        (None, "none", False, "energy metering is off")
    ] * 2
    totals = ledger.totals()
    assert (totals.frames_joules, totals.counter_joules) == (None, None)
    assert totals.reason == "energy metering is off"
    assert ledger.settled() == []


@pytest.mark.parametrize(
    ("span", "weights", "keys"),
    [
        ((2.0, 2.0), [1.0], ["a"]),
        ((3.0, 2.0), [1.0], ["a"]),
        ((1.0, float("nan")), [1.0], ["a"]),
        ((1.0, 2.0), [], []),
        ((1.0, 2.0), [1.0], ["a", "b"]),
        ((1.0, 2.0), [-1.0, 2.0], ["a", "b"]),
        ((1.0, 2.0), [float("nan")], ["a"]),
    ],
)
def test_a_batch_that_cannot_be_right_is_refused(
    span: tuple[float, float], weights: list[float], keys: list[str]
) -> None:
    ledger = Ledger(ReplayMeter([]))
    with pytest.raises(ValueError, match=r"batch|weights"):
        ledger.record(*span, weights, keys)
