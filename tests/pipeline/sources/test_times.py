"""The time line of a live source, and the waits before it is opened again."""

import itertools

import pytest

from pipeline.sources.backoff import Backoff
from pipeline.sources.timeline import LiveTimeline


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
