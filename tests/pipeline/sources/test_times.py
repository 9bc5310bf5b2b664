"""The time line of a live source, and the waits before it is opened again."""

import itertools

import pytest

from pipeline.sources.backoff import Backoff
from pipeline.sources.timeline import FileTimeline, LiveTimeline


def test_a_live_source_starts_at_zero_and_keeps_the_distances_of_its_container() -> None:
    line = LiveTimeline()
    assert [line.place(t, 50.0 + t) for t in (7.0, 7.04, 7.5)] == pytest.approx([0.0, 0.04, 0.5])


def test_after_a_reconnect_time_goes_on_by_what_has_passed() -> None:
    line = LiveTimeline()
    line.place(100.0, 10.0)
    line.place(101.0, 11.0)
    line.reconnected()
    assert [line.place(0.0, 31.0), line.place(0.5, 31.5)] == pytest.approx([21.0, 21.5])


def test_a_peer_whose_clock_goes_back_or_far_ahead_does_not_move_the_time_line() -> None:
    line = LiveTimeline()
    steps = [(5.0, 0.0), (6.0, 1.0), (0.0, 2.0), (1.0, 3.0), (90_000.0, 4.0), (90_001.0, 5.0)]
    assert [line.place(pts, arrival) for pts, arrival in steps] == pytest.approx([0, 1, 2, 3, 4, 5])


def test_time_grows_even_when_pictures_arrive_at_the_same_instant() -> None:
    line = LiveTimeline()
    placed = [line.place(0.0, 1.0) for _ in range(3)]
    assert all(a is not None and b is not None and a < b for a, b in itertools.pairwise(placed))


def test_a_picture_without_a_time_has_none_and_moves_nothing() -> None:
    line = LiveTimeline()
    assert line.place(None, 1.0) is None
    assert line.place(3.0, 2.0) == 0.0
    assert line.place(None, 2.5) is None
    assert line.place(4.0, 3.0) == 1.0


def test_waits_grow_to_their_cap_with_full_jitter_and_start_anew_after_a_reset() -> None:
    backoff = Backoff(initial_s=0.5, cap_s=4.0, seed=1)
    bounds = [0.5, 1, 2, 4, 4, 4]
    waits = [backoff.next_s() for _ in bounds]
    assert all(0 <= w <= b for w, b in zip(waits, bounds, strict=True))
    assert (
        max(Backoff(initial_s=8.0, cap_s=8.0, seed=2).next_s() for _ in range(50)) > 0.5
    )  # it is not all small
    backoff.reset()
    assert backoff.next_s() <= 0.5


def test_two_streams_do_not_wait_alike_unless_seeded_alike() -> None:
    def waits(seed: int) -> list[float]:
        backoff = Backoff(initial_s=0.5, cap_s=30.0, seed=seed)
        return [backoff.next_s() for _ in range(5)]

    assert waits(1) == waits(1)
    assert waits(1) != waits(2)


def placed(times: list[float]) -> list[float]:
    line = FileTimeline(0.04)
    return [line.place(t, n) for t, n in itertools.zip_longest(times, times[1:])]


def test_the_times_of_a_file_are_its_own_gaps_included_and_begin_at_zero_or_later() -> None:
    for times in ([0.0, 0.04, 0.5, 300.0, 300.04], [0.2, 0.2, 0.3], [0.0, 3600.0, 7200.0]):
        assert placed(times) == times
    assert placed([-0.5, -0.25, 0.0]) == [0.0, 0.25, 0.5]


def test_where_the_times_of_a_file_go_back_they_go_on_behind_the_last() -> None:
    assert placed([10.0, 10.04, 8.5, 8.54, 8.58]) == pytest.approx([10, 10.04, 10.08, 10.12, 10.16])


@pytest.mark.parametrize("stray", [36_000.0, 0.0])
def test_a_stamp_of_a_file_that_is_off_alone_is_replaced(stray: float) -> None:
    assert placed([20.0, 20.04, stray, 20.12, 20.16]) == pytest.approx([20, 20.04, 20.08, 20.12, 20.16])


def test_jumps_of_a_file_are_counted() -> None:
    line = FileTimeline(0.04)
    for time_s, next_s in [(0.0, 0.04), (0.04, 90.0), (90.0, 90.04), (90.04, 1.0), (1.0, 1.04), (1.04, None)]:
        line.place(time_s, next_s)
    assert line.jumps == 2
