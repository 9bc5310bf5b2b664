from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect as websocket

from tests.vocab.servers import Server, eventually
from tests.workers.gateway.serving import Api, Writer, events_of
from workers.contract.result_log import ResultLog


def test_a_client_that_resumes_after_each_break_gets_every_frame_once(api: Api, writer: Writer) -> None:
    writing = threading.Thread(target=lambda: [writer.frames(n, 1) for n in range(300)])
    writing.start()
    frames: list[int] = []
    after = "0"
    for taken in itertools.cycle((1, 7, 40)):
        with api.results("bikes", after) as events:
            for event in itertools.islice(events, taken):
                frames.append(event.frame)
                after = event.id
                if event.frame == 299:
                    break
        if frames[-1] == 299:
            break
    writing.join()
    assert frames == list(range(300))


def test_last_event_id_wins_over_the_query_as_a_browser_that_reconnects_needs(
    api: Api, writer: Writer
) -> None:
    writer.frames(0, 5)
    head = {"Last-Event-ID": "3"}
    with api.http.stream("GET", "/v1/streams/bikes/results?after=0", headers=head) as answer:
        assert next(events_of(answer)).frame == 3


def test_without_a_cursor_only_what_comes_is_given(api: Api, writer: Writer) -> None:
    writer.frames(0, 5)
    writer.state("running")
    with api.results("bikes") as events:
        now = next(events)
        assert (now.name, now.data["state"]) == ("state", "running")
        writer.frames(5, 1)
        assert next(events).frame == 5
    with api.results("bikes", now.id) as events:
        assert next(events).frame == 5


def test_the_end_is_told_after_the_last_result_and_energies_resume_too(api: Api, writer: Writer) -> None:
    writer.state("running")
    writer.frames(0, 250)
    for n in range(120):
        writer.energy(n, 0.5)
    writer.state("ended")
    with api.results("bikes", "0", follow="false") as events:
        got = list(events)
    assert [event.frame for event in got if event.name == "prediction"] == list(range(250))
    assert [event.frame for event in got if event.name == "energy"] == list(range(120))
    assert [event.data["state"] for event in got if event.name == "state"] == ["running", "ended"]
    assert got[-1].data["state"] == "ended"
    for cut in (10, 249, 300, len(got) - 1):
        with api.results("bikes", got[cut].id, follow="false") as events:
            assert [event.id for event in events] == [event.id for event in got[cut + 1 :]]


def test_a_limit_ends_after_that_many_predictions(api: Api, writer: Writer) -> None:
    writer.frames(0, 10)
    with api.results("bikes", "2", limit=3) as events:
        assert [event.frame for event in events] == [2, 3, 4]


def test_frames_that_are_no_longer_kept_are_counted(api: Api, writer: Writer) -> None:
    writer.log = ResultLog(writer.client, "bikes", kept=100)
    for first in range(0, 2000, 50):
        writer.frames(first, 50)
    with api.results("bikes", "7", follow="false") as events:
        gap, *rest = events
    assert gap.name == "gap"
    assert gap.data["first"] == 7
    assert rest[0].frame == 7 + gap.data["lost"]
    assert [event.frame for event in rest] == list(range(rest[0].frame, 2000))
    with api.results("bikes", gap.id, follow="false") as events:
        assert next(events).name == "prediction"


def test_a_client_ahead_of_data_that_was_lost_is_told_and_goes_on(api: Api, writer: Writer) -> None:
    writer.frames(0, 3)
    with api.results("bikes", "500") as events:
        gap = next(events)
        assert (gap.name, gap.data["lost"]) == ("gap", None)
        assert [next(events).frame for _ in range(3)] == [0, 1, 2]


def test_a_client_ahead_of_an_empty_stream_is_told_once_and_misses_nothing(api: Api, writer: Writer) -> None:
    with api.results("bikes", "5") as events:
        assert next(events).name == "gap"
        writer.frames(5, 1)
        assert next(events).frame == 5


def test_the_stream_of_results_ends_when_the_stream_is_removed(api: Api, writer: Writer) -> None:
    writer.frames(0, 2)
    with api.results("bikes", "0") as events:
        assert [next(events).frame for _ in range(2)] == [0, 1]
        api.http.delete("/v1/streams/bikes")
        assert [(event.name, event.data["state"]) for event in events] == [("state", "deleted")]


def test_a_stream_that_was_removed_and_added_again_is_another(api: Api, writer: Writer) -> None:
    writer.frames(0, 2)
    with api.results("bikes", "2") as events:
        api.http.delete("/v1/streams/bikes")
        api.add()
        assert next(events).data["state"] == "deleted"


def test_a_client_keeps_its_connection_while_redis_is_away(api: Api, redis: Server, writer: Writer) -> None:
    writer.client.set("vwt:epoch", "first")
    writer.frames(0, 3)
    with api.results("bikes", "0") as events:
        assert [next(events).frame for _ in range(3)] == [0, 1, 2]
        redis.kill()
        answer = api.http.get("/v1/streams")
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
        spec = answer.json()
        assert spec["type"] == "urn:vwt:problem:unavailable"
        redis.start()
        # As whoever reads the stream does: puts it back, and counts on.
        again = Writer(redis.url, "bikes")
        again.client.set("vwt:epoch", "second")
        assert next(events).name == "gap"
        again.frames(5, 1)
        gap = next(events)
        assert (gap.name, gap.data["first"], gap.data["lost"]) == ("gap", 3, 2)
        assert next(events).frame == 5
    assert api.http.get("/v1/streams").status_code == 200


def test_a_frozen_redis_is_an_error_and_not_a_wait(api: Api, redis: Server, writer: Writer) -> None:
    assert writer.client.ping()
    redis.halt()
    assert api.http.get("/v1/streams/bikes").status_code == 503
    assert api.http.get("/healthz").status_code == 200


def test_a_client_that_leaves_leaves_nothing_behind(api: Api, writer: Writer) -> None:
    def blocked() -> int:
        return sum(client["cmd"] == "xread" for client in writer.client.client_list())

    with api.results("bikes", "0"), api.results("bikes", "0"):
        eventually(lambda: blocked() == 2)
    eventually(lambda: blocked() == 0)


def test_a_websocket_gets_the_same_events(api: Api, writer: Writer) -> None:
    writer.frames(0, 3)
    writer.state("running")
    address = f"ws://127.0.0.1:{api.port}/v1/streams/bikes/ws"
    with api.results("bikes", "1", follow="false") as events:
        expected = [{"event": event.name, "id": event.id, "data": event.data} for event in events]
    with websocket(f"{address}?after=1") as socket:
        assert [json.loads(socket.recv(20)) for _ in expected] == expected
        socket.send("what a client says is ignored")
        writer.frames(3, 1)
        assert json.loads(socket.recv(20))["data"]["frame"] == 3
        api.http.delete("/v1/streams/bikes")
        assert json.loads(socket.recv(20))["data"]["state"] == "deleted"
        with pytest.raises(ConnectionClosed):
            socket.recv(20)


def test_a_websocket_of_no_stream_is_a_problem(api: Api) -> None:
    with pytest.raises(InvalidStatus) as refused, websocket(f"ws://127.0.0.1:{api.port}/v1/streams/x/ws"):
        pass
    assert refused.value.response.status_code == 404
    assert refused.value.response.headers["content-type"] == "application/problem+json"


def test_a_websocket_client_that_leaves_leaves_nothing_behind(api: Api, writer: Writer) -> None:
    def blocked() -> int:
        return sum(client["cmd"] == "xread" for client in writer.client.client_list())

    with websocket(f"ws://127.0.0.1:{api.port}/v1/streams/bikes/ws"):
        eventually(lambda: blocked() == 1)
    eventually(lambda: blocked() == 0)


def test_health_and_readiness_tell_what_is_away(serve: Callable[..., Api], redis: Server) -> None:
    api = serve()
    assert api.http.get("/readyz").json()["checks"]["redis"]["ok"]
    redis.kill()
    answer = api.http.get("/readyz")
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    checks = answer.json()["checks"]
    assert (checks["redis"]["ok"], checks["inference"]["ok"]) == (False, True)
    assert "cannot be reached" in checks["redis"]["reason"]
    assert api.http.get("/healthz").json() == {"status": "ok"}


def test_a_gateway_that_starts_while_redis_is_away_works_once_it_is_there(
    serve: Callable[..., Api], redis: Server
) -> None:
    redis.kill()
    api = serve()
    assert api.http.get("/readyz").status_code == 503
    redis.start()
    assert api.http.get("/readyz").status_code == 200
    assert isinstance(api.http.get("/v1/streams"), httpx.Response)
