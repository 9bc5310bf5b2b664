import time

import pytest

from vocab.connection import connect
from vocab.embedded import EmbeddedRedis
from workers.contract.keys import StreamKeys
from workers.contract.stream_spec import StreamSpec
from workers.contract.stream_status import to_fields
from workers.contract.stream_store import StreamStore
from workers.serve.status_line import StatusLine


@pytest.fixture
def server():
    with EmbeddedRedis() as server:
        yield server


@pytest.fixture
def store(server):
    return StreamStore(connect(server.url))


def tell(server, stream: str, **fields) -> None:
    connect(server.url).hset(StreamKeys(stream).state, mapping=to_fields(fields))


def test_it_sums_up_the_streams_that_run(server, store):
    for name in ("gate", "lobby", "roof"):
        store.add(StreamSpec(id=name, source="camera:0"))
    tell(server, "gate", state="running", fps=10.0, latency_ms=40.0)
    tell(server, "lobby", state="running", fps=2.5, latency_ms=90.0)
    tell(server, "roof", state="reconnecting", fps=7.0)

    assert StatusLine(store, print).look() == "3 streams: 2 running, 1 reconnecting  12.5 fps  90 ms"


def test_what_is_not_known_is_left_out(server, store):
    assert StatusLine(store, print).look() == "no streams yet"

    store.add(StreamSpec(id="gate", source="camera:0"))
    tell(server, "gate", state="running")

    assert StatusLine(store, print).look() == "1 stream: 1 running"


def test_each_change_of_a_state_is_said_once_with_its_reason(server, store):
    said = []
    line = StatusLine(store, said.append)
    store.add(StreamSpec(id="gate", source="camera:0"))
    line.look()
    tell(server, "gate", state="reconnecting", reason="no picture for 10 s")
    line.look()
    line.look()
    store.remove("gate")
    line.look()

    assert said == ["gate: starting", "gate: reconnecting (no picture for 10 s)", "gate: removed"]


def test_a_stream_that_loses_frames_is_degraded_and_says_what_helps(server, store):
    said = []
    line = StatusLine(store, said.append)
    store.add(StreamSpec(id="gate", source="camera:0"))
    tell(server, "gate", state="running", lost=0.93)
    assert line.look() == "1 stream: 1 degraded"
    tell(server, "gate", state="running", lost=0.92)
    line.look()
    tell(server, "gate", state="running", lost=None)
    line.look()

    assert said == [
        "gate: degraded (93% of its frames come too late for inference and are dropped; a lower fps, a "
        "tokenizer that saves more, fewer streams or more replicas help)",
        "gate: running",
    ]


def test_a_stream_that_is_tried_again_is_said_with_the_time_of_each_try(server, store):
    said = []
    line = StatusLine(store, said.append)
    store.add(StreamSpec(id="gate", source="camera:0"))
    reader = {"replica": "a", "node": "b", "pid": 1}
    tell(server, "gate", state="failed", reason="no such model", ingest=reader)
    line.look()
    at = [1_800_000_000.0, 1_800_000_010.0]
    for retry_at in at:
        tell(server, "gate", retry_at=retry_at)
        line.look()
        line.look()
    tell(server, "gate", ingest=None, retry_at=None)
    line.look()

    times = [time.strftime("%H:%M:%S", time.localtime(when)) for when in at]
    tries = [f"gate: failed (no such model; trying again at {when})" for when in times]
    assert said == [*tries, "gate: failed (no such model)"]


def test_a_redis_that_goes_away_and_comes_back_is_said_once(server, store):
    said = []
    line = StatusLine(store, said.append)
    server.stop()

    assert line.look() == line.look() == "Redis is away"
    server.start()
    assert line.look() == "no streams yet"

    assert len(said) == 2
    assert said[0].endswith("trying again")
    assert said[1] == "Redis answers again"


def test_a_stream_that_does_not_run_has_no_rate_of_late(server, store):
    store.add(StreamSpec(id="gate", source="camera:0"))
    tell(server, "gate", state="running", fps=10.0, latency_ms=40.0)
    assert store.status("gate").fps == 10.0
    tell(server, "gate", state="reconnecting")

    assert (store.status("gate").fps, store.status("gate").latency_ms) == (None, None)
