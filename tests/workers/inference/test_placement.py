"""Where streams go, and how many move when replicas or streams come and go."""

from __future__ import annotations

from collections import Counter

import pytest

from workers.inference.placement import Placement

CAMERAS = [f"cam-{number}" for number in range(1000)]
REPLICAS = [f"replica-{number}" for number in range(20)]


@pytest.fixture
def placement() -> Placement:
    placement = Placement()
    placement.use_streams(CAMERAS)
    placement.use_replicas(REPLICAS)
    return placement


def where(placement: Placement) -> dict[str, str | None]:
    return {camera: placement.of(camera) for camera in CAMERAS}


def moved(before: dict[str, str | None], after: dict[str, str | None]) -> set[str]:
    return {camera for camera in CAMERAS if before[camera] != after[camera]}


def fullest_over_mean(placed: dict[str, str | None]) -> float:
    counts = Counter(placed.values())
    return max(counts.values()) / (len(placed) / len(counts))


def test_the_fullest_of_twenty_has_at_most_1_15_times_the_mean(placement: Placement) -> None:
    placed = where(placement)
    assert len(set(placed.values())) == 20
    assert fullest_over_mean(placed) <= 1.15


def test_a_replica_that_comes_gets_its_part_and_few_other_streams_move(placement: Placement) -> None:
    before = where(placement)
    placement.use_replicas([*REPLICAS, "new"])
    after = where(placement)
    others = {camera for camera in moved(before, after) if after[camera] != "new"}
    assert 35 <= list(after.values()).count("new") <= 55
    assert len(others) <= 20
    assert fullest_over_mean(after) <= 1.15


def test_streams_of_a_replica_that_goes_are_shared_out_and_few_others_move(placement: Placement) -> None:
    before = where(placement)
    placement.use_replicas(REPLICAS[1:])
    after = where(placement)
    orphans = {camera for camera in CAMERAS if before[camera] == REPLICAS[0]}
    assert orphans <= moved(before, after)
    assert len(moved(before, after) - orphans) <= 20
    assert len({after[camera] for camera in orphans}) >= 10
    assert fullest_over_mean(after) <= 1.15


def test_a_stream_that_comes_moves_next_to_none(placement: Placement) -> None:
    moves, before = 0, where(placement)
    for number in range(50):
        placement.use_streams([*CAMERAS, *(f"new-{other}" for other in range(number + 1))])
        after = where(placement)
        moves, before = moves + len(moved(before, after)), after
    assert moves <= 50


def test_without_replicas_no_stream_has_one_and_all_have_when_they_are_back(placement: Placement) -> None:
    before = where(placement)
    placement.use_replicas([])
    assert set(where(placement).values()) == {None}
    placement.use_replicas(REPLICAS)
    assert where(placement) == before
