"""What a replica tells Ray; recording works without a cluster, only nobody exports it."""

from __future__ import annotations

import pytest
from ray.util import metrics as ray_metrics

from workers.metrics.catalog import REPLICA, SETTLE
from workers.metrics.replica import PassMetrics, WriteMetrics


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, float]]:
    """What goes to Ray's own recorder, the outermost edge."""
    told: list[tuple[str, float]] = []
    record = ray_metrics.Metric._record

    def noting(metric: ray_metrics.Metric, value: float, tags: dict[str, str] | None = None) -> None:
        told.append((metric.info["name"], value))
        record(metric, value, tags)

    monkeypatch.setattr(ray_metrics.Metric, "_record", noting)
    return told


def test_every_metric_of_a_replica_is_told_under_the_name_it_has(recorded: list[tuple[str, float]]) -> None:
    passes, writes = PassMetrics(), WriteMetrics()
    passes.left(3)
    passes.began(8, 0.02)
    passes.ended(0.06)
    writes.wrote("gate", 7, 0.0, energy_follows=True)
    writes.settled("gate", range(8))
    assert {name for name, _ in recorded} == {metric.name for metric in REPLICA}
    assert ("vwt_inference_batch_frames", 8) in recorded


def test_settling_is_told_once_for_a_batch_and_only_where_energy_follows(
    recorded: list[tuple[str, float]],
) -> None:
    writes = WriteMetrics()
    writes.wrote("gate", 7, 0.0, energy_follows=True)
    writes.wrote("yard", 7, 0.0, energy_follows=False)
    for stream in ("gate", "gate", "yard"):
        writes.settled(stream, range(8))
    assert [name for name, _ in recorded].count(SETTLE.name) == 1


def test_batches_that_never_settle_take_no_memory_without_end(recorded: list[tuple[str, float]]) -> None:
    writes = WriteMetrics()
    for number in range(5000):
        writes.wrote("gate", number, 0.0, energy_follows=True)
    writes.settled("gate", range(5000))
    assert [name for name, _ in recorded].count(SETTLE.name) == 4096
