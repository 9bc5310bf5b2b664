"""How many batches are under way at once, and in which order they end."""

from __future__ import annotations

import pytest

from pipeline.in_flight import InFlight


@pytest.mark.parametrize(("depth", "left"), [(1, 0), (2, 1), (3, 2)])
def test_room_is_kept_for_the_next_batch(depth: int, left: int) -> None:
    finished: list[int] = []
    in_flight = InFlight(finished.append)
    for number in range(5):
        in_flight.add(number, depth)
    assert len(in_flight) == left
    assert finished == list(range(5 - left))

    in_flight.drain()
    assert finished == list(range(5))
    assert len(in_flight) == 0


def test_a_batch_that_needs_the_device_for_itself_waits_for_those_before_it() -> None:
    finished: list[str] = []
    in_flight = InFlight(finished.append)
    in_flight.add("overlapping", 2)
    in_flight.add("alone", 1)
    assert finished == ["overlapping", "alone"]


def test_what_is_under_way_is_taken_in_when_the_work_ends_with_an_error() -> None:
    finished: list[int] = []

    def work() -> None:
        with InFlight(finished.append) as in_flight:
            in_flight.add(1, 3)
            in_flight.add(2, 3)
            raise OSError("lost")

    with pytest.raises(OSError, match="lost"):
        work()
    assert finished == [1, 2]


def test_a_batch_that_fails_is_not_finished_again() -> None:
    tried: list[int] = []

    def finish(number: int) -> None:
        tried.append(number)
        if number == 1:
            raise OSError("failed")

    with InFlight(finish) as in_flight:
        in_flight.add(1, 2)
        with pytest.raises(OSError, match="failed"):
            in_flight.add(2, 2)
    assert tried == [1, 2]
