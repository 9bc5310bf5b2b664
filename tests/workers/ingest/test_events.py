"""Events of the service: made of durable results, once, whoever reads the stream."""

from __future__ import annotations

import json
from typing import Any

import cv2
import numpy as np
import pytest

from pipeline.clips.packets import PacketRing
from pipeline.frame import Frame, FrameTimes
from tests.pipeline.outputs.examples import cropped
from tests.vocab.servers import Server, eventually
from tests.workers.ingest.test_worker import run, spec_of
from vocab.connection import connect
from workers.contract.event_log import EventLog, Looked, StaleError, noted_at, number_of
from workers.contract.fenced import FencedError
from workers.contract.keys import StreamKeys
from workers.contract.result_log import ResultLog
from workers.contract.stream_spec import StreamSpec
from workers.contract.stream_store import StreamStore
from workers.ingest.events import StreamEvents
from workers.ingest.metrics import IngestMetrics
from workers.settings.schema import ServiceSettings

__all__ = ["run"]

PERSON = {"name": "person", "what": "box", "names": ["person"]}


class Stream:
    """A stream with rules, whose results are written as Inference does."""

    def __init__(self, client: Any, *rules: dict[str, Any], kept: int = 1000) -> None:
        self.client = client
        self.settings = ServiceSettings(kept_events=kept)
        self.spec = StreamSpec.model_validate({"id": "gate", "source": "x", "rules": list(rules)})
        self.fence = 1
        self.told = 0
        self.packets: PacketRing | None = None
        self._next = 0
        self.running: list[StreamEvents] = []

    def results(self, *persons: bool) -> None:
        box = {"name": "person", "score": 0.9, "x": 0.1, "y": 0.1, "w": 0.2, "h": 0.2}
        texts = []
        for number, there in enumerate(persons, self._next):
            found = {"kind": "boxes", "boxes": [box] if there else []}
            texts.append(json.dumps({"frame": number, "pts_s": float(number), "prediction": found}))
        self._next = ResultLog(self.client, "gate", 10_000).append(self.fence, self._next, texts, {})

    def watch(self, next_frame: int = 0) -> StreamEvents:
        def told() -> None:
            self.told += 1

        self.running.append(
            StreamEvents(
                self.settings, self.client, self.spec, lambda: self.fence, told, IngestMetrics(), self.packets
            )
        )
        self.running[-1].start(next_frame)
        return self.running[-1]

    def turns(self) -> list[tuple[str, int]]:
        return [(event["state"], event["frame"]) for event in self.events()]

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(text) for _, text in EventLog(self.client, "gate").after("0-0", 1000)]


@pytest.fixture
def stream(client):
    made = []

    def make(*rules, **more) -> Stream:
        made.append(Stream(client, *rules, **more))
        return made[-1]

    yield make
    for one in made:
        for events in one.running:
            events.stop()
            events.join(20)


def test_results_become_events_in_order_and_end_with_the_stream(stream) -> None:
    gate = stream(PERSON)
    events = gate.watch()
    gate.results(False, True, True, False, True)
    events.look()
    eventually(lambda: gate.turns() == [("start", 1), ("end", 3), ("start", 4)])
    events.close("ended", None)
    assert events.wait(20)
    assert gate.turns()[3:] == [("end", 4)]
    assert gate.events()[3]["reason"] == "the stream ended"
    assert gate.told == 2


def test_whoever_takes_over_goes_on_and_comes_to_the_same_events(stream) -> None:
    gate = stream(PERSON | {"for_s": 2, "gone_s": 1})
    seen = [False, True, True, True, False, True, False, False, True, True, True]
    gate.results(*seen)
    first = gate.watch()
    eventually(lambda: gate.turns() == [("start", 3), ("end", 7), ("start", 10)])
    first.stop()
    first.join(20)
    whole = gate.events()
    # As if only the first part had been looked at, and it was forgotten how far.
    gate.client.delete(StreamKeys("gate").happened, StreamKeys("gate").looked)
    second = gate.watch()
    eventually(lambda: gate.turns() == [("start", 3), ("end", 7), ("start", 10)])
    assert gate.events() == whole
    second.stop()
    second.join(20)
    gate.results(False, False)
    third = gate.watch(next_frame=999)
    eventually(lambda: len(gate.turns()) == 4)
    third.close("ended", None)
    assert third.wait(20)
    assert gate.turns()[3] == ("end", 12)


def test_a_result_that_cannot_be_read_holds_up_none_behind_it(stream) -> None:
    gate = stream(PERSON)
    gate.results(True)
    broken = json.dumps({"frame": 1, "pts_s": 1.0, "prediction": {"boxes": [{"name": 3}, "no box"]}})
    ResultLog(gate.client, "gate", 100).append(1, 1, [broken, "{"], {})
    gate._next = 3
    gate.results(False)
    gate.watch()
    eventually(lambda: gate.turns() == [("start", 0), ("end", 3)])


def test_a_stream_that_gets_rules_later_is_looked_at_from_then_on(stream) -> None:
    gate = stream(PERSON)
    gate.results(True, False, True, False)
    gate.watch(next_frame=4)
    gate.results(True)
    eventually(lambda: gate.turns() == [("start", 4)])


def test_a_failure_is_an_event_that_ends_when_the_stream_runs_again(stream) -> None:
    gate = stream({"name": "lost", "what": "stream", "severity": "alarm"})
    events = gate.watch()
    events.close("failed", "no route to the camera")
    assert events.wait(20)
    (start,) = gate.events()
    assert (start["state"], start["text"]) == ("start", "failed: no route to the camera")
    ResultLog(gate.client, "gate", 100).set_status(1, {"state": "running"})
    gate.watch()
    eventually(lambda: [event["state"] for event in gate.events()] == ["start", "end"])


def test_who_lost_the_lease_writes_nothing(stream, client) -> None:
    gate = stream(PERSON)
    gate.fence = 7
    gate.results(True)
    log = EventLog(client, "gate", 10, 10)
    looked = log.begin(7, 0, None)
    with pytest.raises(FencedError):
        log.append(6, looked, Looked(1, {}, 1), [{"id": "a"}], {})
    log.append(7, looked, Looked(1, {}, 1), [{"id": "a"}], {})
    # The same once more, as after an answer that was lost.
    with pytest.raises(StaleError):
        log.append(7, looked, Looked(1, {}, 1), [{"id": "a"}], {})
    assert len(log.after("0-0", 10)) == 1


def test_events_and_pictures_are_kept_up_to_their_bounds(client) -> None:
    log = EventLog(client, "gate", kept=5, pictures=2)
    looked = log.begin(1, 0, None)
    for number in range(1, 9):
        after = Looked(number, {}, number)
        log.append(1, looked, after, [{"id": f"{number}"}, {"id": f"{number}"}], {f"{number}": b"jpeg"})
        looked = after
    entries = [entry for entry, _ in log.after("0-0", 100)]
    assert [number_of(entry) for entry in entries] == [12, 13, 14, 15, 16]
    times = [noted_at(entry) for entry in entries]
    assert times == sorted(set(times))
    assert [log.picture(f"{number}") for number in (6, 7, 8)] == [None, b"jpeg", b"jpeg"]
    assert client.hlen(StreamKeys("gate").snapshots) == 2


def test_a_stream_that_is_removed_takes_its_events_with_it(client) -> None:
    store = StreamStore(client)
    spec = store.add(StreamSpec(id="gate", source="x"))
    log = EventLog(client, "gate", 5, 5)
    log.append(1, log.begin(1, 0, None), Looked(1, {}, 1), [{"id": "a"}], {"a": b"jpeg"})
    store.remove(spec.id)
    assert {key for key in client.keys("vwt:{gate}:*") if client.ttl(key) == -1} == set()
    with pytest.raises(FencedError):
        log.append(1, Looked(1, {}, 1), Looked(2, {}, 2), [{"id": "b"}], {})


def test_a_redis_that_loses_its_data_costs_no_event_that_comes_after(stream) -> None:
    server = Server("valkey")
    try:
        gate = stream(PERSON)
        gate.client = connect(server.url)
        gate.watch()
        gate.results(True, False)
        eventually(lambda: len(gate.events()) == 2)
        server.kill()
        server.start()
        gate.client = connect(server.url)
        gate.results(True)
        eventually(lambda: gate.turns() == [("start", 2)], within_s=40)
        for events in gate.running:
            events.stop()
            events.join(20)
    finally:
        server.close()


def test_events_of_a_file_have_pictures_and_go_to_its_sinks_before_it_ends(
    client, run, watch, clip, tmp_path
) -> None:
    both, only = tmp_path / "both.jsonl", tmp_path / "only.jsonl"
    sinks = [
        {"kind": "jsonl", "name": "both", "path": str(both)},
        {"kind": "jsonl", "name": "only", "path": str(only), "events": "only"},
        {"kind": "jsonl", "name": "no", "path": str(tmp_path / "no.jsonl"), "events": "no"},
    ]
    rules = [{"name": "bright", "what": "label", "label": "picture", "above": 0.5, "gone_s": 100}]
    StreamStore(client).add(spec := spec_of(clip, sinks=sinks, rules=rules))
    run(spec)
    watch("cam").until_state("ended")
    lines = [json.loads(line) for line in only.read_text().splitlines()]
    assert [(line["kind"], line["state"]) for line in lines] == [("event", "start"), ("event", "end")]
    start = lines[0]
    assert start["snapshot"] == f"/v1/streams/cam/events/{start['id']}/snapshot.jpg"
    picture = EventLog(client, "cam").picture(start["id"])
    assert picture is not None
    assert picture[:2] == b"\xff\xd8"
    everything = [json.loads(line) for line in both.read_text().splitlines()]
    assert sum(line.get("kind") == "event" for line in everything) == 2
    assert len(everything) == 102
    results = [json.loads(line) for line in (tmp_path / "no.jsonl").read_text().splitlines()]
    assert len(results) == 100


def test_the_picture_of_a_zones_event_shows_the_zone_where_the_model_sees_it(client, stream) -> None:
    gate = stream({"name": "open", "what": "zone", "zone": "gate", "state": "open"})
    events = gate.watch()
    # The model sees the middle of the picture: the sides of the zone are at a tenth and at nine tenths.
    polygon = [[0.3, 0.1], [0.7, 0.1], [0.7, 0.9], [0.3, 0.9]]
    events.retune(gate.spec.model_copy(update={"zones": {"zones": {"gate": {"polygon": polygon}}}}))
    grey = np.full((240, 240, 3), 90, np.uint8)
    events.keep(0, [Frame(FrameTimes(pts_s=0.0), grey, cropped(480, 240, 240))])
    result = {"frame": 0, "pts_s": 0.0, "zones": {"gate": {"state": "open", "distance": 0.1}}}
    ResultLog(client, "gate", 10_000).append(1, 0, [json.dumps(result)], {})
    eventually(lambda: gate.turns() == [("start", 0)])
    jpeg = EventLog(client, "gate").picture(gate.events()[0]["id"])
    assert jpeg is not None
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    row = picture[picture.shape[0] // 2].astype(int)
    green = np.flatnonzero(np.abs(row - (120, 230, 120)).max(axis=1) < 60) / len(row)
    assert green.min() == pytest.approx(0.1, abs=0.01)
    assert green.max() == pytest.approx(0.9, abs=0.01)
