"""The list of streams comes in pages, and says what changed in the others meanwhile."""

from __future__ import annotations

from typing import Any

from tests.vocab.servers import Server
from tests.workers.gateway.serving import Api
from vocab.connection import connect
from workers.client import ServiceClient
from workers.contract.changes import announce
from workers.contract.stream_spec import StreamSpec
from workers.contract.stream_store import StreamStore


def listed(api: Api, **query: Any) -> dict[str, Any]:
    answer = api.http.get("/v1/streams", params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def ids(streams: list[dict[str, Any]]) -> list[str]:
    return [stream["id"] for stream in streams]


def test_pages_hold_every_stream_once_in_the_order_of_their_ids(api: Api) -> None:
    for name in ("c", "a", "e", "b", "d"):
        api.add(name=name)
    first = listed(api, limit=2)
    second = listed(api, limit=2, after=first["next"])
    third = listed(api, limit=2, after=second["next"])
    assert [ids(page["streams"]) for page in (first, second, third)] == [["a", "b"], ["c", "d"], ["e"]]
    assert (first["total"], third["next"]) == (5, None)
    # The one that a page ended with may go.
    api.http.delete("/v1/streams/b")
    assert ids(listed(api, limit=2, after="b")["streams"]) == ["c", "d"]


def test_a_page_says_what_was_added_changed_and_removed_in_the_others(api: Api) -> None:
    for name in ("a", "b", "c", "d"):
        api.add(name=name)
    page = listed(api, limit=1)
    assert (page["changed"], page["gone"]) == (None, [])
    api.http.patch("/v1/streams/c", json={"fps": 2})
    api.http.delete("/v1/streams/d")
    api.add(name="e")
    page = listed(api, limit=3, after="c", since=page["changes"])
    assert (ids(page["streams"]), ids(page["changed"]), page["gone"]) == (["e"], ["c"], ["d"])
    assert page["changed"][0]["settings"]["fps"] == 2
    page = listed(api, limit=1, since=page["changes"])
    assert (ids(page["streams"]), page["changed"], page["gone"]) == (["a"], [], [])


def test_who_was_told_too_little_hears_that_any_stream_may_have_changed(api: Api, redis: Server) -> None:
    for name in ("a", "b", "c", "d"):
        api.add(name=name)
    seen = listed(api)["changes"]
    announce(connect(redis.url), ["b", "c", "d"])
    assert listed(api, limit=2, since=seen)["changed"] is None
    assert listed(api, since="1-1")["changed"] is None


def test_what_is_no_page_is_refused(api: Api) -> None:
    for query in ({"limit": 0}, {"limit": 1001}, {"since": "yesterday"}, {"after": "x" * 65}):
        assert api.http.get("/v1/streams", params=query).status_code == 422, query


def test_openapi_says_how_to_go_on(api: Api) -> None:
    listing = api.http.get("/openapi.json").json()["paths"]["/v1/streams"]["get"]
    assert {one["name"] for one in listing["parameters"]} == {"limit", "after", "since"}
    assert all(one["description"] for one in listing["parameters"])


def test_a_poll_costs_redis_its_page_and_not_the_number_of_streams(api: Api, redis: Server) -> None:
    client = connect(redis.url)
    for number in range(60):
        StreamStore(client).add(StreamSpec(id=f"cam-{number:03}", source="x"))
    page = listed(api, limit=10)

    def cost(**query: Any) -> int:
        before = client.info("stats")["total_commands_processed"]
        listed(api, **query)
        return int(client.info("stats")["total_commands_processed"]) - before

    assert cost(limit=10, since=page["changes"]) == cost(limit=10, after="cam-029", since=page["changes"])
    assert cost(limit=10, since=page["changes"]) < 20


def test_a_client_follows_the_pages_and_gives_the_oldest_first(api: Api, redis: Server) -> None:
    store = StreamStore(connect(redis.url))
    for number in range(1001):
        store.add(StreamSpec(id=f"cam-{number:04}", source="x", created_at=1e9 - number))
    found = ServiceClient(f"http://127.0.0.1:{api.port}").all()
    assert ids(found) == [f"cam-{number:04}" for number in reversed(range(1001))]
