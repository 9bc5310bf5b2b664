"""Bounds that hold however often one looks, and that close in."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from pipeline.guard.bounds import ALPHA, Interval, MeanBound, RecentBound

RUNS, LOOKS = 2000, 60


def share_ever_wrong(draw: npt.NDArray[np.float64], mean: float) -> float:
    """Share of runs (rows) whose bounds exclude the mean after any of their values."""
    wrong = 0
    for values in draw:
        bound = MeanBound()
        for value in values:
            bound.add(value)
        # A mean that was given up once stays so.
        interval = bound.interval
        wrong += not interval.low <= mean <= interval.high
    return wrong / len(draw)


def test_looked_at_after_every_frame_at_most_one_run_in_twenty_is_ever_wrong() -> None:
    misses = np.random.default_rng(7).random((RUNS, LOOKS)) < 0.05
    assert share_ever_wrong(misses.astype(float), 0.05) <= ALPHA


def test_a_mean_that_was_given_up_stays_so() -> None:
    bound = MeanBound()
    for value in [1.0] * 20 + [0.0] * 20:
        before = bound.interval
        bound.add(value)
        assert bound.interval.low >= before.low
        assert bound.interval.high <= before.high


def test_small_errors_of_any_size_are_bounded_too() -> None:
    errors = np.random.default_rng(8).beta(1, 30, (RUNS, LOOKS))
    assert share_ever_wrong(errors, 1 / 31) <= ALPHA


def test_an_interval_of_a_fixed_size_is_wrong_far_more_often_when_looked_at_all_the_time() -> None:
    # That the simulation can fail: the usual 95 % interval for a number of looks fixed beforehand.
    misses = (np.random.default_rng(9).random((RUNS, LOOKS)) < 0.4).astype(float)
    counts = np.arange(1, LOOKS + 1)
    means = misses.cumsum(axis=1) / counts
    wide = 1.96 * np.sqrt(0.4 * 0.6 / counts)
    assert (np.abs(means - 0.4) > wide).any(axis=1).mean() > 3 * ALPHA


def test_bounds_close_in_on_the_mean() -> None:
    bound, generator = MeanBound(), np.random.default_rng(3)
    widths = []
    for _ in range(4):
        for _ in range(250):
            bound.add(float(generator.random() < 0.05))
        interval = bound.interval
        widths.append(interval.high - interval.low)
    assert widths == sorted(widths, reverse=True)
    assert interval.low < 0.05 < interval.high < 0.09
    assert interval.count == 1000


def test_before_the_first_value_anything_is_possible() -> None:
    assert MeanBound().interval == Interval(0.0, 1.0, None, 0)


@pytest.mark.parametrize("value", [-0.01, 1.01, float("nan")])
def test_values_beyond_the_bounds_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match=r"in 0\.\.1"):
        MeanBound().add(value)


def test_of_late_forgets_what_is_older_than_its_period() -> None:
    recent = RecentBound(period_s=100)
    for second in range(100):
        recent.add(1.0, now_s=float(second))
    assert recent.interval(99.0).mean == 1.0
    for second in range(100, 200):
        recent.add(0.0, now_s=float(second))
    interval = recent.interval(199.0)
    assert interval.mean == 0.0
    assert 50 <= interval.count <= 100


def test_of_late_says_nothing_after_a_long_silence() -> None:
    recent = RecentBound(period_s=100)
    recent.add(1.0, now_s=0.0)
    assert recent.interval(1000.0) == Interval()
