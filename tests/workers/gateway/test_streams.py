from __future__ import annotations

from typing import Any

import pytest

from pipeline.guard.stream_fidelity import GuardStatus
from tests.vocab.servers import Server
from tests.workers.gateway.serving import Api, Writer
from vocab.connection import connect
from workers.contract.share import Share
from workers.contract.stream_store import StreamStore

SECRET = "h4ll0secret"


def test_a_stream_is_added_shown_changed_and_removed(api: Api) -> None:
    answer = api.http.post("/v1/streams", json={"source": "sample:bikes", "fps": 5, "labels": {"site": "n"}})
    assert answer.status_code == 201
    here = answer.headers["Location"]
    assert here == "/v1/streams/bikes"
    assert api.http.get(here).json() == answer.json()
    assert answer.json()["settings"]["fps"] == 5
    assert answer.json()["labels"] == {"site": "n"}
    assert answer.json()["status"]["state"] == "starting"
    assert api.http.get(answer.json()["links"]["results"], params={"follow": "false"}).status_code == 200
    changed = api.http.patch(here, json={"paused": True, "fps": None}).json()
    assert (changed["settings"]["paused"], changed["settings"]["fps"], changed["revision"]) == (True, None, 1)
    assert changed["labels"] == {"site": "n"}
    assert [stream["id"] for stream in api.http.get("/v1/streams").json()["streams"]] == ["bikes"]
    removed = api.http.delete(here)
    assert (removed.status_code, removed.content) == (204, b"")
    assert api.http.get(here).status_code == 404
    assert api.http.delete(here).status_code == 404


def test_a_change_of_nothing_leaves_the_stream_running_as_it_is(api: Api) -> None:
    api.add()
    assert api.http.patch("/v1/streams/bikes", json={}).json()["revision"] == 0


def test_the_source_gives_an_id_of_its_own_to_each_stream(api: Api) -> None:
    assert [api.add()["id"] for _ in range(3)] == ["bikes", "bikes-2", "bikes-3"]


def test_an_id_stays_within_its_length_when_it_is_made_unique(api: Api) -> None:
    api.add(name="a" * 64)
    long = f"http://8.8.8.8/{'a' * 200}"
    ids = [api.add(source=long)["id"] for _ in range(2)]
    assert len(set(ids)) == 2
    assert all(len(name) <= 64 for name in ids)


def test_a_name_that_is_taken_is_a_conflict(api: Api) -> None:
    api.add(name="yard")
    answer = api.http.post("/v1/streams", json={"source": "sample:bunny", "name": "yard"})
    assert answer.status_code == 409
    assert answer.json()["type"] == "urn:vwt:problem:stream-exists"
    assert api.http.get("/v1/streams/yard").json()["source"] == "sample:bikes"


def test_a_fit_and_a_size_are_kept_as_they_were_given(api: Api) -> None:
    settings = api.add(fit="letterbox", size=448)["settings"]
    assert (settings["fit"], settings["size"]) == ("letterbox", "448")
    changed = api.http.patch("/v1/streams/bikes", json={"fit": None, "size": "448x252"}).json()
    assert (changed["settings"]["fit"], changed["settings"]["size"]) == (None, "448x252")


def test_what_is_no_fit_or_size_is_refused(api: Api) -> None:
    for wrong in ({"fit": "zoom"}, {"size": 0}, {"size": 4096}, {"size": "448 px"}, {"size": True}):
        answer = api.http.post("/v1/streams", json={"source": "sample:bikes", **wrong})
        assert answer.status_code == 422, wrong


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"tokenizer": "full", "threshold": 0.1}, "full does not take threshold: it is of inter"),
        ({"drop": 0.25}, "recall does not take drop: it is of intra"),
        ({"tokenizer": "merge", "words": 50}, "merge uses no visual words, which words is about"),
        ({"tokenizer": "recall", "scope": "yard"}, "or give merge_words above 0"),
    ],
)
def test_what_the_tokenizer_does_nothing_with_is_refused(api: Api, given: dict[str, Any], why: str) -> None:
    added = api.http.post("/v1/streams", json={"source": "sample:bikes", **given})
    assert (added.status_code, why in added.json()["detail"]) == (422, True), added.text
    api.add()
    changed = api.http.patch("/v1/streams/bikes", json=given)
    assert (changed.status_code, why in changed.json()["detail"]) == (422, True), changed.text


def test_a_tokenizer_may_be_left_whose_options_were_given(api: Api) -> None:
    api.add(tokenizer="inter", threshold=0.1, words=50)
    assert api.http.patch("/v1/streams/bikes", json={"tokenizer": "full"}).status_code == 200
    assert api.http.patch("/v1/streams/bikes", json={"words": 60}).status_code == 422
    shown = api.http.get("/v1/streams/bikes").json()["settings"]
    assert api.http.patch("/v1/streams/bikes", json=shown | {"fps": 3}).status_code == 200


def test_a_guard_is_kept_and_one_that_cannot_be_meant_is_refused(api: Api) -> None:
    settings = api.add(tokenizer="inter", guard=0.98)["settings"]
    assert (settings["audit"], settings["guard"], settings["guard_by"]) == (0.02, 0.98, "cosine")
    changed = api.http.patch("/v1/streams/bikes", json={"guard_by": "agreement", "audit": 0.1}).json()
    assert (changed["settings"]["audit"], changed["settings"]["guard_by"]) == (0.1, "agreement")
    for wrong, why in (
        ({"tokenizer": "recall"}, "recall holds a cosine by itself"),
        ({"audit": 0}, "acts on audits"),
        ({"guard": 1}, "less than 1"),
        ({"guard": 0.3}, "greater than or equal to 0.5"),
    ):
        answer = api.http.patch("/v1/streams/bikes", json=wrong)
        assert answer.status_code in (400, 422), wrong
        assert why in answer.text
    assert api.http.get("/v1/streams/bikes").json()["settings"] == changed["settings"]


def test_priority_and_least_target_are_kept_and_one_that_cannot_be_meant_is_refused(api: Api) -> None:
    settings = api.add(priority=3, min_target=0.9)["settings"]
    assert (settings["priority"], settings["min_target"]) == (3, 0.9)
    for wrong, why in (
        ({"min_target": 0.99}, "above the target 0.98"),
        ({"guard": 0.85}, "above the target 0.85"),
        ({"tokenizer": "merge"}, "give one with --guard"),
        ({"priority": 0}, "greater than or equal to 0.01"),
    ):
        answer = api.http.patch("/v1/streams/bikes", json=wrong)
        assert answer.status_code in (400, 422), wrong
        assert why in answer.text
    assert api.http.get("/v1/streams/bikes").json()["settings"] == settings


def test_fit_and_size_of_the_service_go_with_its_model(serve) -> None:
    api = serve(model="vit_tiny_patch16_224", fit="native", size="320")
    own, other, another = api.add(), api.add(model="resnet18"), api.add(size=160)
    assert [(s["settings"]["fit"], s["settings"]["size"]) for s in (own, other, another)] == [
        ("native", "320"),
        (None, None),
        ("native", "160"),
    ]


def test_a_stream_that_names_no_model_gets_that_of_the_service(serve) -> None:
    api = serve(model="vit_tiny_patch16_224")
    assert api.add()["settings"]["model"] == "vit_tiny_patch16_224"
    assert api.add(model="resnet18")["settings"]["model"] == "resnet18"


def test_the_tokenizer_in_use_is_shown_where_none_was_given(api: Api, writer: Writer) -> None:
    assert api.http.get("/v1/streams/bikes").json()["settings"]["tokenizer"] is None
    writer.log.set_status(writer.fence, {"tokenizer": "full"}, None)
    assert api.http.get("/v1/streams/bikes").json()["settings"]["tokenizer"] == "full"
    given = api.http.patch("/v1/streams/bikes", json={"tokenizer": "intra"}).json()
    assert given["settings"]["tokenizer"] == "intra"


def test_what_a_stream_is_doing_is_shown(api: Api, writer: Writer) -> None:
    writer.frames(0, 3)
    writer.state("running")
    status = api.http.get("/v1/streams/bikes").json()["status"]
    assert (status["state"], status["next_frame"]) == ("running", 3)
    listed = api.http.get("/v1/streams").json()["streams"][0]
    assert listed["status"] == status


def test_what_people_are_told_of_a_stream_is_shown_in_words(api: Api, writer: Writer) -> None:
    assert api.http.get("/v1/streams/bikes").json()["shown"] == {
        "state": "starting",
        "reason": None,
        "guard": None,
        "sharing": None,
    }
    guard = GuardStatus(0.98, "cosine", "holding", "r", 8.0).to_dict()
    share = Share(priority=2.0, gflops=12.34, fps=4.0, target=0.95, own_target=0.98).to_dict()
    writer.log.set_status(writer.fence, {"state": "running", "lost": 0.4, "guard": guard, "sharing": share})
    shown = api.http.get("/v1/streams/bikes").json()["shown"]
    assert (shown["state"], shown["guard"]) == ("degraded", "holding 0.98 (cosine) at --r 8")
    assert shown["reason"].startswith("40% of its frames come too late")
    assert shown["sharing"] == (
        "12.3 GFLOP/s, at most 4 frames/s, holding 0.95 instead of 0.98, giving way to the load (priority 2)"
    )


def test_credentials_are_kept_for_the_reader_and_shown_to_nobody(api: Api, redis: Server) -> None:
    source = f"rtsp://admin:{SECRET}@8.8.8.8/stream?token={SECRET}"
    texts = [api.http.post("/v1/streams", json={"source": source, "name": "yard"}).text]
    texts.append(api.http.post("/v1/streams", json={"source": source}).text)
    texts.append(api.http.post("/v1/streams", json={"source": source, "name": "yard"}).text)
    texts.append(api.http.post("/v1/streams", json={"source": source, "fps": source}).text)
    texts.append(api.http.post("/v1/streams", json={"source": f"ftp://admin:{SECRET}@8.8.8.8/"}).text)
    texts.append(api.http.post("/v1/streams", content=f'{{"source": "{source}"').text)
    texts.append(api.http.patch("/v1/streams/yard", json={"source": source}).text)
    hook = {"kind": "webhook", "url": f"https://8.8.8.8/{SECRET}@x?token={SECRET}", "authorization": SECRET}
    sinks = api.http.patch("/v1/streams/yard", json={"sinks": [hook]})
    assert sinks.json()["sinks"][0]["kind"] == "webhook"
    texts.append(sinks.text)
    texts.append(api.http.patch("/v1/streams/yard", json={"sinks": [hook | {"url": f"x:{SECRET}"}]}).text)
    texts += [api.http.get(path).text for path in ("/v1/streams", "/v1/streams/yard")]
    assert not [text for text in texts if SECRET in text]
    kept = StreamStore(connect(redis.url)).get("yard")
    assert (kept.source, kept.sinks[0].authorization.get_secret_value()) == (source, SECRET)


def test_a_sink_is_a_text_or_an_object_and_credentials_in_either_are_shown_to_nobody(
    api: Api, redis: Server
) -> None:
    text = f"https://me:{SECRET}@8.8.8.8/hook?token={SECRET}"
    api.add(name="gate", sinks=[text, {"kind": "webhook", "url": text, "name": "other"}, text])
    answer = api.http.get("/v1/streams/gate")
    assert SECRET not in answer.text
    shown = [(sink["name"], sink["kind"], sink["to"]) for sink in answer.json()["sinks"]]
    to = "https://***@8.8.8.8/***"
    assert shown == [(name, "webhook", to) for name in ("webhook", "other", "webhook-2")]
    kept = StreamStore(connect(redis.url)).get("gate").sinks
    assert [sink.url.get_secret_value() for sink in kept] == [text] * 3


def test_a_text_of_no_kind_of_sink_is_refused_with_the_kinds_there_are(api: Api) -> None:
    text = f"pigeon://me:{SECRET}@loft/"
    answer = api.http.post("/v1/streams", json={"source": "sample:bikes", "sinks": [text]})
    assert (answer.status_code, SECRET in answer.text) == (422, False)
    (wrong,) = answer.json()["errors"]
    assert wrong["field"] == "body.sinks"
    assert "results cannot go to pigeon://" in wrong["reason"]
    assert "http(s)://host/path, mqtt(s)://host/topic or kafka://host/topic" in wrong["reason"]


def test_openapi_shows_a_sink_as_text_and_as_object(api: Api) -> None:
    schemas = api.http.get("/openapi.json").json()["components"]["schemas"]
    text, one_of = schemas["NewStream"]["properties"]["sinks"]["items"]["anyOf"]
    assert text == {"type": "string"}
    assert set(one_of["discriminator"]["mapping"]) == {"jsonl", "webhook", "mqtt", "kafka"}


def test_a_sink_that_the_service_may_not_deliver_to_is_refused(api: Api) -> None:
    sinks = [{"kind": "webhook", "url": "http://169.254.169.254/"}]
    refused = api.http.post("/v1/streams", json={"source": "sample:bikes", "sinks": sinks})
    assert (refused.status_code, refused.json()["type"]) == (422, "urn:vwt:problem:refused")
    api.add()
    assert api.http.patch("/v1/streams/bikes", json={"sinks": sinks}).status_code == 422
    assert api.http.get("/v1/streams/bikes").json()["sinks"] == []


HALF = "\\ud800"


@pytest.mark.parametrize(
    "body",
    [
        '{"source": "sample:bikes", "labels": {"site": "%s"}}',
        '{"source": "sample:bikes", "model": "%s"}',
        '{"source": "sample:bikes", "scope": "%s"}',
    ],
)
def test_half_a_character_is_refused_as_any_value_that_cannot_be_right(api: Api, body: str) -> None:
    headers = {"Content-Type": "application/json"}
    answer = api.http.post("/v1/streams", content=body % HALF, headers=headers)
    assert answer.status_code == 422
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert api.http.get("/v1/streams").json()["streams"] == []


def test_a_body_that_is_no_utf8_is_refused_as_documented(api: Api) -> None:
    headers = {"Content-Type": "application/json"}
    answer = api.http.post("/v1/streams", content=b'{"source": "\xff\xfe"}', headers=headers)
    assert answer.status_code == 422
    assert "no JSON in UTF-8" in answer.json()["detail"]


def test_a_stream_that_a_full_redis_refuses_is_not_in_the_list(api: Api, redis: Server) -> None:
    client = connect(redis.url)
    # What follows the spec cannot be written: as where memory ends between the two.
    client.acl_setuser("default", enabled=True, nopass=True, keys=["*"], commands=["+@all", "-hset"])
    assert api.http.post("/v1/streams", json={"source": "sample:bikes"}).status_code == 503
    client.acl_setuser("default", enabled=True, nopass=True, keys=["*"], commands=["+@all"])
    assert api.http.get("/v1/streams").json()["streams"] == []
