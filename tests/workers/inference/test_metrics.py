"""What a replica tells Ray, and what Prometheus gets of it; without a cluster nobody exports what is told."""

from __future__ import annotations

import time

import httpx
import pytest
import ray
from ray.util import metrics as ray_metrics

from tests.small_ray import small_ray
from tests.vocab.servers import eventually
from tests.workers.telemetry.exposition import parsed
from workers.inference.metrics import PassMetrics, RecallMetrics, WriteMetrics
from workers.ingest.metrics import IngestMetrics
from workers.keeper.metrics import KeeperMetrics
from workers.telemetry.metrics import INFERENCE, INGEST, KEEPER, REPLICA, SETTLE


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
    passes, writes, recall = PassMetrics(), WriteMetrics(), RecallMetrics()
    recall.keeps(5_000_000)
    recall.forgot()
    passes.left(3)
    passes.began(8, 0.02)
    passes.ended(0.06)
    writes.wrote("gate", 7, 0.0, energy_follows=True)
    writes.settled("gate", range(8))
    assert {name for name, _ in recorded} == {metric.name for metric in INFERENCE}
    assert ("vwt_inference_frames_total", 8) in recorded


def tell_of_ingest() -> None:
    metrics = IngestMetrics()
    metrics.decoded(0.003)
    metrics.answered(0.2)
    metrics.reconnecting()
    metrics.lease("taken")
    metrics.looked(2, 16, 0.04)
    metrics.event("box", "alarm")
    metrics.open_events("gate", 1)
    metrics.without("clip")


def tell_of_the_keeper() -> None:
    metrics = KeeperMetrics()
    metrics.learned(1.5)
    metrics.published()
    metrics.failed()
    metrics.matched("gate", 0.97)


def test_ingest_and_the_keeper_tell_theirs(recorded: list[tuple[str, float]]) -> None:
    tell_of_ingest()
    assert {name for name, _ in recorded} == {metric.name for metric in INGEST}
    recorded.clear()
    tell_of_the_keeper()
    assert {name for name, _ in recorded} == {metric.name for metric in KEEPER}


def test_scopes_beyond_a_bound_have_no_gauge(recorded: list[tuple[str, float]]) -> None:
    metrics = KeeperMetrics()
    for round_ in range(2):
        for number in range(100):
            metrics.matched(f"scope-{number}", round_ / 2)
    assert len(recorded) == 2 * 64


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


def test_prometheus_finds_them_at_the_metrics_port_of_ray() -> None:
    @ray.remote
    def a_pass_of(frames: int) -> str:
        passes, writes, recall = PassMetrics(), WriteMetrics(), RecallMetrics()
        recall.keeps(5_000_000)
        recall.forgot()
        passes.left(3)
        passes.began(frames, 0.02)
        passes.ended(0.06)
        writes.wrote("gate", 7, time.monotonic(), energy_follows=True)
        writes.settled("gate", [7])
        tell_of_ingest()
        tell_of_the_keeper()
        return ray.get_runtime_context().get_worker_id()

    with small_ray() as running:
        teller = ray.get(a_pass_of.remote(8))

        def told() -> dict[str, list[float]]:
            """What that process told; others, as this one, tell theirs."""
            everybody = parsed(httpx.get(f"http://127.0.0.1:{running.metrics_port}/metrics").text)
            ours = {
                name: [sample.value for sample in samples if sample.labels.get("WorkerId") == teller]
                for name, samples in everybody.items()
            }
            return {name: values for name, values in ours.items() if values}

        names = {f"ray_{metric.name}" for metric in REPLICA}
        # A histogram has no sample of its own name.
        eventually(lambda: names <= {name.removesuffix("_count") for name in told()})
        found = told()
    assert found["ray_vwt_inference_frames_total"] == [8.0]
    assert found["ray_vwt_inference_pass_seconds_count"] == [1.0]
