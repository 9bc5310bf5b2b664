from fractions import Fraction

import pytest

from pipeline.errors import UsageError
from pipeline.sampling import RateSampler


def taken(fps: float | None, times: list[float | None]) -> list[float | None]:
    sampler = RateSampler(fps)
    return [t for t in times if sampler.wants(t)]


def steady(rate: float | Fraction, seconds: float, start: float = 0.0) -> list[float]:
    return [start + float(n / Fraction(rate)) for n in range(int(rate * seconds))]


def test_without_a_rate_every_frame_is_taken_even_without_a_time():
    assert taken(None, [None, 0.0, 0.0, 5.0, -3.0]) == [None, 0.0, 0.0, 5.0, -3.0]


def test_a_frame_without_a_time_is_not_taken_when_sampling_by_rate():
    assert taken(10, [None, 0.0, None, 0.1]) == [0.0, 0.1]


@pytest.mark.parametrize(("rate", "fps"), [(30, 10), (25, 10), (30, 7), (24, 1), (60, 0.5), (30, 29)])
def test_each_point_of_the_grid_gets_the_first_frame_at_or_after_it(rate, fps):
    times = steady(rate, 20)
    points = [k / fps for k in range(int(20 * fps))]
    expected = []
    for point in points:
        after = [t for t in times if t >= point - min(0.01, 0.25 / fps)]
        if after and after[0] not in expected:
            expected.append(after[0])
    assert taken(fps, times) == expected
    assert len(expected) == len(points)


def test_the_grid_starts_at_the_first_frame():
    assert taken(2, steady(10, 2, start=1234.56)) == pytest.approx([1234.56, 1235.06, 1235.56, 1236.06])


@pytest.mark.parametrize("fps", [30, 29.97, 59.94, 1000])
def test_a_rate_at_or_above_the_sources_own_takes_every_frame(fps):
    times = steady(Fraction(30000, 1001), 600)
    assert len(taken(fps, times)) == len(times)


@pytest.mark.parametrize("rate", [24, 25, Fraction(30000, 1001), 50, 60, 120])
def test_times_rounded_to_the_millisecond_lose_no_frame_at_the_sources_rate(rate):
    times = [round(t, 3) for t in steady(rate, 60)]
    assert len(taken(float(rate), times)) == len(times)


def test_a_camera_that_jitters_by_a_few_milliseconds_loses_no_frame_at_its_own_rate():
    times = [n / 25 + (0.004 if n % 3 else -0.004) for n in range(1, 500)]
    assert taken(25, times) == times


def test_a_variable_rate_is_sampled_by_time_and_not_by_count():
    dense = [n / 60 for n in range(60)]
    sparse = [1 + n / 4 for n in range(8)]
    assert taken(10, dense + sparse) == pytest.approx([n / 10 for n in range(10)] + sparse)


def test_a_gap_is_not_made_up_for_by_a_burst():
    assert taken(10, [0.0, 60.0, 60.03, 60.06, 60.1, 60.13]) == [0.0, 60.0, 60.1]


def test_a_large_step_back_starts_a_new_grid_at_once():
    assert taken(1, [100.0, 100.5, 101.0, 3.3, 3.8, 4.3, 5.3]) == [100.0, 101.0, 3.3, 4.3, 5.3]


def test_steps_back_that_add_up_are_seen_as_one():
    times = [10.0, 11.0, 9.5, 8.2, 8.7, 9.2]
    assert taken(1, times) == [10.0, 11.0, 8.2, 9.2]


def test_a_small_step_back_keeps_the_grid():
    assert taken(10, [0.0, 0.1, 0.05, 0.08, 0.2]) == [0.0, 0.1, 0.2]


def test_a_jump_forward_and_back_goes_on_sampling():
    assert taken(1, [0.0, 1.0, 95443.7, 2.0, 2.5, 3.0]) == [0.0, 1.0, 95443.7, 2.0, 3.0]


@pytest.mark.parametrize("fps", [0, -5, float("nan"), float("inf")])
def test_a_rate_that_is_no_positive_number_is_refused(fps):
    with pytest.raises(UsageError, match="give a number above 0"):
        RateSampler(fps)
