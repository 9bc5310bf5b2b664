"""When a stream gives way, when it has more under way, and when it is over."""

from __future__ import annotations

from itertools import pairwise

from workers.ingest.overload import Overload


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def given_way() -> tuple[Overload, Clock]:
    clock = Clock()
    overload = Overload(clock)
    overload.sent(1)
    return overload, clock


def test_a_stream_gives_way_from_the_first_late_frame_on() -> None:
    overload = Overload(Clock())
    overload.sent(0)
    assert not overload.gives_way
    assert not overload.alone
    overload.sent(2)
    assert overload.gives_way
    assert overload.alone


def test_it_tries_for_more_ever_more_rarely_where_that_fills_the_device() -> None:
    overload, clock = given_way()
    tried = [0.0]
    for _ in range(6000):
        clock.now += 0.1
        overload.room = True
        if not overload.alone:
            tried.append(clock.now)
            overload.room = False
            assert overload.alone
        overload.sent(late=1)
    pauses = [round(later - earlier) for earlier, later in pairwise(tried)]
    assert pauses[:5] == [10, 20, 40, 80, 160]
    assert set(pauses[5:]) <= {160}
    assert overload.gives_way


def test_it_has_more_under_way_for_as_long_as_there_is_room() -> None:
    overload, clock = given_way()
    clock.now = 10.0
    assert not overload.alone
    overload.sent(1)
    clock.now = 1000.0
    assert overload.gives_way
    assert not overload.alone
    overload.room = False
    assert overload.alone


def test_it_does_not_try_while_inference_has_no_time_for_more() -> None:
    overload, clock = given_way()
    overload.room = False
    clock.now = 1000.0
    assert overload.alone
    overload.room = True
    assert not overload.alone


def test_it_is_over_once_nothing_was_late_for_a_while() -> None:
    overload, clock = given_way()
    clock.now = 4.0
    overload.sent(0)
    assert overload.gives_way
    overload.sent(1)
    clock.now = 8.0
    overload.sent(0)
    assert overload.gives_way
    clock.now = 9.0
    overload.sent(0)
    assert not overload.gives_way
    assert not overload.alone
