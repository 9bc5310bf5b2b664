"""When a stream gives way, and when it tries again."""

from __future__ import annotations

from itertools import pairwise

from workers.ingest.overload import Overload


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_stream_gives_way_from_the_first_late_frame_on() -> None:
    overload = Overload(Clock())
    overload.sent(0)
    assert not overload.gives_way
    overload.sent(2)
    assert overload.gives_way


def test_it_tries_again_ever_more_rarely_while_frames_are_lost() -> None:
    clock = Clock()
    overload = Overload(clock)
    tried = []
    for _ in range(6000):
        clock.now += 0.1
        if not overload.gives_way:
            tried.append(clock.now)
        overload.sent(late=1)
    pauses = [round(later - earlier) for earlier, later in pairwise(tried[1:])]
    assert pauses[:4] == [20, 40, 80, 160]
    assert set(pauses[4:]) <= {160}


def test_a_try_that_loses_nothing_ends_it_and_forgets_what_was() -> None:
    clock = Clock()
    overload = Overload(clock)
    overload.sent(1)
    clock.now = 10.0
    assert not overload.gives_way
    overload.sent(1)
    clock.now = 30.0
    assert not overload.gives_way
    clock.now = 36.0
    overload.sent(0)
    assert not overload.gives_way
    overload.sent(1)
    clock.now = 46.0
    assert not overload.gives_way


def test_it_does_not_try_while_inference_has_no_time_for_more() -> None:
    clock = Clock()
    overload = Overload(clock)
    overload.sent(1)
    clock.now = 1000.0
    overload.room = False
    assert overload.gives_way
    overload.room = True
    assert not overload.gives_way
