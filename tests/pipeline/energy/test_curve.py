from __future__ import annotations

import random

import pytest

from pipeline.energy import EnergyCurve, Reading, Segment
from tests.pipeline.energy.counters import bursts, constant, ticking


def curve_of(readings: list[Reading | None], **options: float | bool) -> EnergyCurve:
    curve = EnergyCurve(**options)
    t_s = 0.0
    for reading in readings:
        if reading is None:
            curve.fail(t_s, "the driver hiccuped")
        else:
            t_s = reading.t_s
            curve.add(reading)
    return curve


def test_a_change_between_two_readings_is_an_edge_half_way() -> None:
    curve = curve_of([Reading(t, j) for t, j in [(0, 5), (1, 5), (2, 7), (3, 7), (4, 13), (5, 13)]])
    before_the_first_tick, first = curve.segments
    assert (first.start_s, first.end_s, first.joules) == (1.5, 3.5, 6.0)
    assert first.broken is None
    assert (before_the_first_tick.joules, before_the_first_tick.end_s) == (2.0, 1.5)
    assert before_the_first_tick.broken == "the counter had not ticked yet"


def test_a_known_tick_time_narrows_where_the_edge_was() -> None:
    curve = curve_of([Reading(t, 10 * t) for t in range(4)], tick_s=0.002)
    assert [s.end_s for s in curve.segments] == pytest.approx([0.999, 1.999, 2.999])


def test_every_reading_of_an_exact_meter_is_an_edge() -> None:
    curve = curve_of([Reading(0, 1), Reading(1, 1), Reading(2, 4)], up_to_date=True)
    assert [(s.start_s, s.end_s, s.joules, s.broken) for s in curve.segments] == [
        (0, 1, 0, None),
        (1, 2, 3, None),
    ]


def test_energy_of_a_span_follows_straight_lines_between_edges() -> None:
    curve = curve_of([Reading(0, 0), Reading(1, 10), Reading(2, 30)], up_to_date=True)
    assert curve.energy_between(0.5, 1.25) == (10.0, 5.0 + 15.0)
    assert curve.energy_between(0, 2) == (30.0, 0.0)
    assert curve.energy_between(1, 2.5) is None


def test_a_part_of_a_tick_is_bounded_by_what_the_device_can_draw() -> None:
    segment = Segment(0, 10, joules=1000)
    assert segment.part(1, max_watts=None) == (100, 900)
    assert segment.part(1, max_watts=300) == (100, 200)
    assert segment.part(9, max_watts=300) == (900, 200)
    assert segment.part(10, max_watts=300) == (1000, 0)


@pytest.mark.parametrize("seed", range(20))
def test_true_energy_of_short_spans_under_constant_power_is_within_the_stated_bound(seed: int) -> None:
    rng = random.Random(seed)
    power = constant(watts=300)
    curve = curve_of(ticking(power, rng, seconds=5), max_watts=700)
    figures = []
    for _ in range(100):
        start = rng.uniform(0.3, 4.5)
        joules, bound = curve.energy_between(start, start + 0.005)
        assert abs(joules - 1.5) <= bound
        assert bound < 700 * 0.005 * 1.5
        figures.append(joules)
    assert sum(figures) / len(figures) == pytest.approx(1.5, rel=0.1)


@pytest.mark.parametrize("seed", range(5))
def test_true_energy_of_spans_under_bursty_power_is_within_the_stated_bound(seed: int) -> None:
    rng = random.Random(seed)
    power = bursts(rng, seconds=2, low=60, high=700)
    # Polled so often that the edges are sharp: what is left is how power was spread within a tick.
    curve = curve_of(ticking(power, rng, 2, poll_s=(1e-5, 2e-5)), max_watts=700)
    for _ in range(100):
        start = rng.uniform(0.3, 1.4)
        end = start + rng.uniform(0.002, 0.4)
        joules, bound = curve.energy_between(start, end)
        slack = 4 * 2e-5 * 700
        assert abs(joules - (power.joules(end) - power.joules(start))) <= bound + slack


def test_a_failed_reading_breaks_the_time_between_the_edges_around_it() -> None:
    readings = [Reading(t, 10.0 * t) for t in range(3)] + [None] + [Reading(t, 10.0 * t) for t in range(4, 8)]
    curve = curve_of(readings)
    assert [(s.start_s, s.end_s, s.broken) for s in curve.segments] == [
        (0, 0.5, "the counter had not ticked yet"),
        (0.5, 1.5, None),
        (1.5, 4.5, "the driver hiccuped"),
        (4.5, 5.5, None),
        (5.5, 6.5, None),
    ]
    assert curve.energy_between(0.7, 1.2) is not None
    assert curve.energy_between(1.2, 1.7) is None


def test_a_reset_counter_breaks_its_segment_and_counts_on_from_the_new_value() -> None:
    curve = curve_of([Reading(0, 100), Reading(1, 110), Reading(2, 3), Reading(3, 8), Reading(4, 9)])
    assert curve.joules == 10 + 5 + 1
    assert [s.broken for s in curve.segments][1:] == ["the counter was reset", None]
    assert curve.trouble == "the counter was reset"


def test_a_counter_that_stands_still_breaks_its_time_instead_of_holding_it_for_ever() -> None:
    curve = curve_of([Reading(0, 0), Reading(1, 5), *[Reading(t, 5) for t in range(2, 8)]], stall_s=5)
    assert curve.segments[-1].broken == "the counter stood still for 5 s"
    assert curve.segments[-1].end_s == 6


def test_a_counter_that_can_never_be_read_breaks_its_time() -> None:
    curve = EnergyCurve(stall_s=5)
    for t_s in range(7):
        curve.fail(t_s, "GPU is lost")
    assert [(s.start_s, s.end_s, s.joules, s.broken) for s in curve.segments] == [(0, 6, 0, "GPU is lost")]


def test_a_cut_segment_keeps_its_energy_and_says_how_sure_the_cut_is() -> None:
    left, right = Segment(0, 10, 1000).split(4, max_watts=None)
    assert (left.joules, right.joules) == (400, 600)
    assert left.end_slack_joules == right.start_slack_joules == 600
