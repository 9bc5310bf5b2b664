"""What holds of every placement of streams on replicas."""

from __future__ import annotations

import math
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from workers.inference.placement import Placement, most_streams

NAMES = st.text("abcdef0123456789-", min_size=1, max_size=8)
STREAMS = st.sets(NAMES, max_size=80)
REPLICAS = st.sets(NAMES, min_size=1, max_size=12)


def placed(streams: set[str], replicas: set[str]) -> dict[str, str | None]:
    placement = Placement()
    placement.use_replicas(replicas)
    placement.use_streams(streams)
    return {stream: placement.of(stream) for stream in streams}


@given(STREAMS, REPLICAS)
def test_every_stream_has_a_replica_that_is_there_and_none_has_more_than_the_bound(
    streams: set[str], replicas: set[str]
) -> None:
    found = placed(streams, replicas)
    assert set(found.values()) <= replicas
    assert max(Counter(found.values()).values(), default=0) <= most_streams(len(streams), len(replicas))


@given(st.integers(0, 20_000), st.integers(1, 300))
def test_the_bound_has_room_for_all_and_is_at_most_a_seventh_above_the_mean_or_one(
    streams: int, replicas: int
) -> None:
    most, mean = most_streams(streams, replicas), streams / replicas
    assert most * replicas >= streams
    assert most <= max(1.15 * mean, math.ceil(mean))


@settings(max_examples=50)
@given(st.lists(st.tuples(STREAMS, REPLICAS), min_size=1, max_size=5))
def test_it_goes_by_who_is_there_and_not_by_how_that_came_about(
    history: list[tuple[set[str], set[str]]],
) -> None:
    placement = Placement()
    for streams, replicas in history:
        placement.use_streams(streams)
        placement.use_replicas(replicas)
    assert {stream: placement.of(stream) for stream in streams} == placed(streams, replicas)
    for streams_before, _ in history:
        assert all(placement.of(stream) is None for stream in streams_before - streams)
