"""What `GET /metrics` says, parsed as Prometheus does."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from pipeline.guard.audits import Audits
from pipeline.guard.compare import Compared
from pipeline.guard.promise import Promise
from pipeline.guard.stream_fidelity import GuardStatus
from tests.vocab.servers import Server
from tests.workers.gateway.serving import Api, Writer
from tests.workers.telemetry.exposition import parsed, samples_of, value
from vocab.connection import RedisClient, connect
from workers.access.bearer_tokens import add_token
from workers.contract.keys import StreamKeys
from workers.contract.sink_offsets import SinkOffset, SinkOffsets
from workers.contract.stream_spec import StreamSpec
from workers.contract.stream_status import STATES, StreamStatus, to_fields
from workers.contract.stream_store import StreamStore
from workers.gateway.metrics import ServiceCollector, look
from workers.gateway.sums import Seen
from workers.settings.schema import ServiceSettings
from workers.sinks.jsonl import JsonlSettings
from workers.telemetry.metrics import REASONS, SERVICE

_SECRET = "hunter2"
_RUNNING: dict[str, Any] = {
    "state": "running",
    "next_frame": 120,
    "results_at": 995.0,
    "dropped": {"late": 3, "corrupt": 1, "gap": 2, "solar flare": 5},
    "restarts": 1,
    "vocab_version": 7,
    "tokens_full": 30720,
    "tokens_kept": 9000,
    "joules": 41.5,
    "above_idle_joules": 20.25,
    "energy_method": "rapl",
    "latency_ms": 62.5,
}


@pytest.fixture(scope="module")
def redis() -> Iterator[Server]:
    server = Server("valkey")
    yield server
    server.close()


@pytest.fixture
def client(redis: Server) -> Iterator[RedisClient]:
    client = connect(redis.url)
    client.flushall()
    yield client
    client.close()


def add(client: RedisClient, stream: str, status: dict[str, Any], **spec: Any) -> None:
    source = f"rtsp://viewer:{_SECRET}@camera.example/{stream}"
    StreamStore(client).add(StreamSpec(id=stream, source=source, **spec))
    client.hset(StreamKeys(stream).state, mapping=to_fields(status))


def exposed(client: RedisClient, now: float = 1000.0) -> dict[str, list[Sample]]:
    return samples_of(ServiceCollector(look(client), now))


def test_a_running_stream_is_told_in_base_units(client: RedisClient) -> None:
    add(client, "gate", _RUNNING, model="dinov2_vits14", tokenizer="inter")
    found = exposed(client)
    assert value(found, "vwt_frames_total", stream="gate") == 120
    assert value(found, "vwt_stream_latency_seconds", stream="gate") == 0.0625
    assert value(found, "vwt_result_age_seconds", stream="gate") == 5.0
    assert value(found, "vwt_joules_total", stream="gate", method="rapl") == 41.5
    assert value(found, "vwt_joules_above_idle_total", stream="gate", method="rapl") == 20.25
    assert value(found, "vwt_tokens_full_total", stream="gate") == 30720
    assert value(found, "vwt_tokens_kept_total", stream="gate") == 9000
    assert value(found, "vwt_vocabulary_version", stream="gate") == 7
    assert value(found, "vwt_stream_restarts_total", stream="gate") == 1
    assert value(found, "vwt_stream_info", stream="gate", model="dinov2_vits14", tokenizer="inter") == 1
    assert value(found, "vwt_redis_up") == 1


def test_what_audits_found_is_told_with_its_bounds(client: RedisClient) -> None:
    audits = Audits(Promise(0.98))
    audits.add(Compared(np.ones(4, np.float32), np.ones(4, np.float32), 1.0, 90), 10)
    guard = GuardStatus(0.98, "cosine", "unable", "threshold", 0.005)
    shares = {"mean": 0.6, "low": 0.5, "high": 0.7}
    unknown = dict.fromkeys(shares)
    saving = {"audits": 1, "operations": shares, "time": shares, "joules": unknown}
    told = {"fidelity": audits.fidelity().to_dict(), "guard": guard.to_dict(), "saving": saving}
    add(client, "gate", _RUNNING | told)
    add(client, "yard", _RUNNING | {"fidelity": Audits().fidelity().to_dict()})
    found = exposed(client)
    assert value(found, "vwt_audits", stream="gate") == 1
    assert value(found, "vwt_saved_ratio", stream="gate", of="time", bound="low") == 0.5
    assert {sample.labels["of"] for sample in found["vwt_saved_ratio"]} == {"operations", "time"}
    assert value(found, "vwt_missed_ratio", stream="gate", bound="mean") == 0
    assert value(found, "vwt_missed_ratio", stream="gate", bound="high") > 0.5
    assert value(found, "vwt_guard_full", stream="gate") == 1
    assert not [sample for sample in found["vwt_missed_ratio"] if sample.labels["stream"] == "yard"]


def test_drops_are_told_by_reasons_of_a_fixed_set_and_breaks_apart_from_them(client: RedisClient) -> None:
    add(client, "gate", _RUNNING)
    found = exposed(client)
    drops = {sample.labels["reason"]: sample.value for sample in found["vwt_frames_dropped_total"]}
    assert drops == {"late": 3, "corrupt": 1, "other": 5}
    assert tuple(drops) == REASONS
    assert value(found, "vwt_stream_gaps_total", stream="gate") == 2


def test_a_stream_is_in_one_state_and_counted_there(client: RedisClient) -> None:
    add(client, "gate", _RUNNING)
    add(client, "yard", {"state": "failed"})
    add(client, "dock", {"state": "failed"})
    found = exposed(client)
    states = {s.labels["state"]: s.value for s in found["vwt_stream_state"] if s.labels["stream"] == "yard"}
    assert states == {state: float(state == "failed") for state in STATES}
    counts = {sample.labels["state"]: sample.value for sample in found["vwt_streams"]}
    assert counts == dict.fromkeys(STATES, 0.0) | {"running": 1.0, "failed": 2.0}


def test_what_is_unknown_has_no_sample(client: RedisClient) -> None:
    add(client, "gate", {"state": "starting"})
    found = exposed(client)
    assert value(found, "vwt_frames_total", stream="gate") == 0
    for name in (
        "vwt_joules_total",
        "vwt_joules_above_idle_total",
        "vwt_vocabulary_version",
        "vwt_result_age_seconds",
        "vwt_stream_latency_seconds",
        "vwt_audits",
        "vwt_missed_ratio",
        "vwt_guard_full",
    ):
        assert found[name] == [], name


def test_the_latency_of_a_stream_that_stands_still_is_not_told(client: RedisClient) -> None:
    add(client, "gate", _RUNNING | {"state": "paused"})
    assert exposed(client)["vwt_stream_latency_seconds"] == []


def test_how_far_sinks_lag_is_told_by_their_name_only(client: RedisClient, tmp_path: Path) -> None:
    sinks = [JsonlSettings(path=f"{tmp_path}/{name}.jsonl", name=name) for name in ("disk", "untried")]
    add(client, "gate", _RUNNING, sinks=sinks)
    client.hset(StreamKeys("gate").sinks, "disk", str(SinkOffset(frames=100, lost=4)))
    client.hset(StreamKeys("gate").sinks, "removed", str(SinkOffset(frames=1, lost=0)))
    found = exposed(client)
    assert [(s.labels, s.value) for s in found["vwt_sink_lag_results"]] == [
        ({"stream": "gate", "sink": "disk"}, 20.0)
    ]
    assert value(found, "vwt_sink_lost_results_total", stream="gate", sink="disk") == 4


def test_the_lag_is_the_one_that_the_api_shows(redis: Server, client: RedisClient, tmp_path: Path) -> None:
    add(client, "gate", {"state": "running"}, sinks=[JsonlSettings(path=f"{tmp_path}/x.jsonl")])
    writer = Writer(redis.url, "gate")
    writer.frames(0, 9)
    SinkOffsets(client, "gate").save(writer.fence, "jsonl", SinkOffset(frames=2))
    api = Api(ServiceSettings(redis=redis.url))
    try:
        (sink,) = api.http.get("/v1/streams/gate").json()["sinks"]
    finally:
        api.close()
    assert value(exposed(client), "vwt_sink_lag_results", stream="gate", sink="jsonl") == sink["lag"] == 7


def test_every_metric_is_exposed_with_its_kind_and_explained_once(client: RedisClient) -> None:
    add(client, "gate", _RUNNING)
    api = Api(ServiceSettings(redis="redis://127.0.0.1:1"))
    try:
        text = api.http.get("/metrics").text
    finally:
        api.close()
    described = [line.split()[2] for line in text.splitlines() if line.startswith("# HELP")]
    assert sorted(described) == sorted(metric.name for metric in SERVICE)
    families = {family.name: family.type for family in text_string_to_metric_families(text)}
    assert families == {metric.name.removesuffix("_total"): metric.kind for metric in SERVICE}


def test_prometheus_is_told_that_redis_is_away(unused_port: int) -> None:
    api = Api(ServiceSettings(redis=f"redis://127.0.0.1:{unused_port}"))
    try:
        answer = api.http.get("/metrics")
    finally:
        api.close()
    assert answer.status_code == 200
    lines = [line for line in answer.text.splitlines() if not line.startswith("#")]
    assert lines == ["vwt_redis_up 0.0"]


@pytest.mark.parametrize(
    ("accept", "content_type", "end"),
    [
        ("application/openmetrics-text;version=1.0.0", "application/openmetrics-text", "# EOF\n"),
        ("text/plain;version=0.0.4", "text/plain", "\n"),
        ("*/*", "text/plain", "\n"),
    ],
)
def test_prometheus_gets_the_format_that_it_asks_for(
    redis: Server, client: RedisClient, accept: str, content_type: str, end: str
) -> None:
    add(client, "gate", _RUNNING)
    api = Api(ServiceSettings(redis=redis.url))
    try:
        answer = api.http.get("/metrics", headers={"Accept": accept})
    finally:
        api.close()
    assert answer.headers["content-type"].startswith(content_type)
    assert answer.text.endswith(end)
    assert 'vwt_frames_total{stream="gate"} 120.0' in answer.text


def test_metrics_want_a_token_that_may_read_and_tell_no_source(
    redis: Server, client: RedisClient, tmp_path: Path
) -> None:
    add(client, "gate", _RUNNING)
    token = add_token(tmp_path / "tokens", "prometheus", "read")
    api = Api(ServiceSettings(redis=redis.url, access={"token_file": tmp_path / "tokens"}))
    try:
        refused = api.http.get("/metrics")
        answer = api.http.get("/metrics", headers={"Authorization": f"Bearer {token}"})
    finally:
        api.close()
    assert (refused.status_code, refused.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert answer.status_code == 200
    assert 'stream="gate"' in answer.text
    for told in (_SECRET, "camera.example", "viewer", token):
        assert told not in answer.text


def test_two_hundred_streams_take_as_many_round_trips_as_two(client: RedisClient) -> None:
    def calls() -> int:
        """Reads of the socket by the server: one for each round trip."""
        before = int(client.info("stats")["total_reads_processed"])
        assert len(look(client)) == count
        return int(client.info("stats")["total_reads_processed"]) - before

    trips = []
    for count in (2, 40):
        for number in range(len(look(client)), count):
            add(client, f"s{number}", _RUNNING)
        trips.append(calls())
    assert trips[1] <= trips[0] + 1


def test_of_more_streams_than_the_limit_sums_are_told_and_each_that_something_is_wrong_with(
    redis: Server, client: RedisClient
) -> None:
    now = time.time()
    well = _RUNNING | {"results_at": now, "since": now, "fps": 5.0}
    for number in range(6):
        add(client, f"cam-{number}", well)
    add(client, "broken", {"state": "failed", "reason": "no camera there"})
    add(client, "frozen", well | {"results_at": now - 90, "since": now - 900, "fps": None})
    add(client, "late", well | {"lost": 0.4})
    api = Api(ServiceSettings(redis=redis.url, gateway={"metrics_streams": 8}))
    try:
        text = api.http.get("/metrics").text
    finally:
        api.close()
    found = parsed(text)
    assert {one.labels["stream"] for one in found["vwt_frames_total"]} == {"broken", "frozen", "late"}
    assert value(found, "vwt_streams", state="running") == 8
    assert value(found, "vwt_streams_told") == 3
    assert value(found, "vwt_streams_frames_per_second") == 35
    assert value(found, "vwt_streams_latency_seconds") == 0.0625
    assert value(found, "vwt_streams_kept_ratio") == pytest.approx(9000 / 30720)
    wrong = {one.labels["what"]: one.value for one in found["vwt_streams_wrong"]}
    assert wrong == {"state": 1, "quiet": 1, "lost": 1, "target": 0, "sink": 0}


def test_what_is_told_grows_with_what_is_wrong_and_not_with_the_streams(client: RedisClient) -> None:
    def told(streams: int) -> int:
        for number in range(streams):
            add(client, f"cam-{streams}-{number}", _RUNNING | {"results_at": 995.0, "since": 995.0})
        samples = samples_of(ServiceCollector(look(client), 1000.0, most=2))
        return sum(len(found) for found in samples.values())

    assert told(3) == told(30)


def test_a_sink_far_behind_and_a_target_that_is_missed_are_wrong() -> None:
    spec = StreamSpec(id="gate", source="x")
    well = StreamStatus(state="running", results_at=1000.0, next_frame=2000)
    missed = {"missed_hour": {"low": 0.1, "mean": 0.2, "high": 0.3}}
    assert list(Seen(spec, well).wrong(1000.0)) == []
    assert list(Seen(spec, well, {"disk": SinkOffset(frames=900)}).wrong(1000.0)) == ["sink"]
    assert list(Seen(spec, replace(well, fidelity=missed)).wrong(1000.0)) == ["target"]
    assert list(Seen(spec, replace(well, guard={"state": "unable"})).wrong(1000.0)) == ["target"]
    assert list(Seen(spec, replace(well, state="paused", results_at=1.0)).wrong(1000.0)) == []
