"""No more streams are taken than Redis has room for, and who is refused is told the figures."""

from __future__ import annotations

from collections.abc import Callable

from tests.vocab.servers import Server
from tests.workers.gateway.serving import Api
from vocab.connection import connect

Serve = Callable[..., Api]
SAMPLE = {"source": "sample:bikes"}


def test_a_stream_that_redis_has_no_room_for_is_refused_with_the_figures(serve: Serve, redis: Server) -> None:
    connect(redis.url).config_set("maxmemory", "30000000")
    api = serve()
    names = [api.add()["id"] for _ in range(2)]
    answer = api.http.post("/v1/streams", json=SAMPLE)
    assert answer.status_code == 507
    assert answer.json()["type"] == "urn:vwt:problem:redis-full"
    detail = answer.json()["detail"]
    assert "2 are there" in detail
    assert "28 MB" in detail
    assert "27 MB of its maxmemory of 30 MB" in detail
    assert "lower kept_results" in detail
    assert len(api.http.get("/v1/streams").json()["streams"]) == 2
    api.http.delete(f"/v1/streams/{names[0]}")
    assert api.http.post("/v1/streams", json=SAMPLE).status_code == 201


def test_fewer_kept_results_make_room_for_more_streams(serve: Serve, redis: Server) -> None:
    connect(redis.url).config_set("maxmemory", "30000000")
    api = serve(kept_results=1000)
    for _ in range(10):
        api.add()


def test_events_of_a_stream_with_rules_count(serve: Serve, redis: Server) -> None:
    connect(redis.url).config_set("maxmemory", "30000000")
    api = serve(kept_results=1000, kept_snapshots=200)
    ruled = SAMPLE | {"rules": [{"name": "lost", "what": "stream"}]}
    assert api.http.post("/v1/streams", json=ruled).status_code == 201
    assert api.http.post("/v1/streams", json=ruled).status_code == 507
    assert api.http.post("/v1/streams", json=SAMPLE).status_code == 201


def test_words_of_its_own_count_and_shared_ones_count_once(serve: Serve, redis: Server) -> None:
    connect(redis.url).config_set("maxmemory", "50000000")
    api = serve()
    inter = SAMPLE | {"tokenizer": "inter"}
    assert api.http.post("/v1/streams", json=inter | {"scope": "site"}).status_code == 201
    assert api.http.post("/v1/streams", json=inter).status_code == 507
    assert api.http.post("/v1/streams", json=inter | {"scope": "site"}).status_code == 201


def test_streams_of_a_site_share_words_unless_they_name_a_scope(serve: Serve, redis: Server) -> None:
    connect(redis.url).config_set("maxmemory", "50000000")
    api = serve()
    inter = SAMPLE | {"tokenizer": "inter", "labels": {"site": "north"}}
    assert api.http.post("/v1/streams", json=inter).status_code == 201
    assert api.http.post("/v1/streams", json=inter | {"scope": "own"}).status_code == 507
    assert api.http.post("/v1/streams", json=inter).status_code == 201


def test_a_redis_without_a_limit_takes_any(serve: Serve) -> None:
    api = serve()
    for _ in range(100):
        api.add()
    assert "vwt_redis_memory_ratio{" not in api.http.get("/metrics").text


def test_how_full_redis_is_can_be_watched(serve: Serve, redis: Server) -> None:
    connect(redis.url).config_set("maxmemory", "30000000")
    lines = serve().http.get("/metrics").text.splitlines()
    (line,) = (line for line in lines if line.startswith("vwt_redis_memory_ratio "))
    assert 0 < float(line.split()[1]) < 1
