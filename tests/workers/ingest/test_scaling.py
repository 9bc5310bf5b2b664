"""How many replicas of Ingest there are to be."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest

from workers.ingest.claims import Claims
from workers.ingest.scaling import StreamPolicy
from workers.settings.schema import IngestSettings

POLICY = StreamPolicy(cores_per_replica=0.8, streams_per_replica=64)


def wanted(streams: float, each: float, current: int = 1) -> float:
    metrics = {
        # A replica that has just started has not looked yet, and takes its streams for granted.
        "streams": {"a": streams, "b": 0.0},
        "held": {"a": 10.0, "b": 0.0},
        "stream_cores": {"a": each, "b": 0.045},
    }
    context: Any = SimpleNamespace(aggregated_metrics=metrics, target_num_replicas=current)
    replicas, state = POLICY(context)
    assert state == {}
    return replicas


@pytest.mark.parametrize(
    ("streams", "each", "replicas"),
    [
        (0, 0.045, 0),
        (17, 0.045, 1),
        (18, 0.045, 2),
        # Cameras that take little: as many as a replica may have at most.
        (64, 0.001, 1),
        (65, 0.001, 2),
        # Those that take much.
        (8, 0.3, 4),
        (3, 5.0, 3),
    ],
)
def test_there_are_enough_replicas_for_what_the_streams_take(
    streams: int, each: float, replicas: int
) -> None:
    assert wanted(streams, each) == replicas


def test_a_replica_goes_only_where_the_others_have_room_to_spare() -> None:
    assert wanted(streams=17, each=0.045, current=2) == 2
    assert wanted(streams=14, each=0.045, current=2) == 1
    # Figures that waver about a bound start and end nothing.
    assert [wanted(streams=16, each=each, current=2) for each in (0.051, 0.049, 0.051)] == [2, 2, 2]


def test_where_nobody_reads_anything_it_is_what_they_take_for_granted() -> None:
    metrics = {"streams": {"a": 40.0}, "held": {"a": 0.0}, "stream_cores": {"a": 0.045}}
    context: Any = SimpleNamespace(aggregated_metrics=metrics, target_num_replicas=1)
    assert POLICY(context) == (3, {})


@pytest.mark.parametrize("metrics", [None, {}, {"streams": {}}, {"streams": {"a": 9.0}}])
def test_without_reports_the_number_of_replicas_stays(metrics: dict[str, Any] | None) -> None:
    context: Any = SimpleNamespace(aggregated_metrics=metrics, target_num_replicas=3)
    assert POLICY(context) == (3, {})


@pytest.mark.parametrize("each", [0.002, 0.013, 0.045, 0.3, 2.0])
@pytest.mark.parametrize("streams", [1, 20, 200, 1000])
def test_as_many_replicas_as_are_started_take_all_streams_at_once(streams: int, each: float) -> None:
    claims = Claims(IngestSettings())
    replicas = int(wanted(streams, each))
    claims.look(streams, replicas, each)
    assert replicas * claims.fits >= streams
    assert claims.fits == 1 or claims.fits * each <= IngestSettings().cores_per_replica
    assert replicas == math.ceil(streams / claims.fits)
