"""When frames of a stream are due that gets a share of them."""

from __future__ import annotations

import pytest

from workers.ingest.pace import Pace


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def sent(pace: Pace, clock: Clock, seconds: float, every_s: float, interval_s: float | None) -> int:
    """Frames sent of those that come at a rate."""
    count = 0
    for _ in range(round(seconds / every_s)):
        clock.now += every_s
        if not pace.wait_s():
            pace.sent(1, interval_s)
            count += 1
    return count


def test_a_rate_is_kept_though_frames_come_at_times_of_their_own() -> None:
    clock = Clock()
    # Frames come every 0.1 s, and 6.25 of them a second are due.
    assert sent(Pace(clock), clock, 160, 0.1, 0.16) == pytest.approx(1000, abs=2)


def test_without_a_share_all_frames_go() -> None:
    clock = Clock()
    assert sent(Pace(clock), clock, 10, 0.1, None) == 100


def test_what_was_not_sent_for_a_while_is_not_made_up_for() -> None:
    clock = Clock()
    pace = Pace(clock)
    pace.sent(1, 1.0)
    clock.now = 100.0
    assert sent(pace, clock, 10, 0.1, 1.0) <= 12


def test_a_message_of_many_frames_is_waited_for_as_long_as_all_of_them() -> None:
    clock = Clock()
    pace = Pace(clock)
    pace.sent(16, 0.5)
    assert 7.5 <= pace.wait_s() <= 8


def test_a_stream_that_gives_way_sends_after_the_usual_time_of_an_answer() -> None:
    clock = Clock()
    pace = Pace(clock)
    pace.sent(4, None)
    pace.answered(7.0)
    for _ in range(100):
        pace.sent(1, None, most=1)
        clock.now += pace.wait_s() + 0.05
        for seconds in (0.1, 0.3):
            pace.answered(seconds)
    pace.sent(1, None, most=1)
    assert pace.wait_s() == pytest.approx(0.15, abs=0.02)
    pace.sent(1, None, most=2)
    assert pace.wait_s() == pytest.approx(0.25, abs=0.02)
    pace.sent(1, None)
    assert pace.wait_s() == 0


def test_nobody_waits_for_ever() -> None:
    clock = Clock()
    pace = Pace(clock)
    pace.sent(16, 1000.0)
    assert pace.wait_s() == 30
