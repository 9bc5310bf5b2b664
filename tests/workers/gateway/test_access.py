from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect as websocket

from tests.vocab.servers import Server
from tests.workers.gateway.serving import Api, Writer
from vocab.connection import connect
from workers.access.bearer_tokens import BearerTokens, add_token
from workers.contract.stream_spec import StreamSpec
from workers.contract.stream_store import StreamStore
from workers.gateway.guard import Guard
from workers.settings.schema import GatewaySettings


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "tokens"


@pytest.fixture
def reader(file: Path) -> str:
    return add_token(file, "page", "read")


@pytest.fixture
def manager(file: Path) -> str:
    return add_token(file, "script", "manage")


@pytest.fixture
def locked(serve: Callable[..., Api], file: Path, reader: str, manager: str, redis: Server) -> Api:
    """An API that wants tokens, with a stream "bikes" of one result."""
    assert reader != manager
    api = serve(access={"token_file": file})
    StreamStore(connect(redis.url)).add(StreamSpec(id="bikes", source="sample:bikes"))
    writer = Writer(redis.url, "bikes")
    writer.frames(0, 1)
    return api


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize(
    "path",
    [
        "/v1/streams",
        "/v1/streams/bikes",
        "/v1/streams/bikes/results",
        "/v1/streams/bikes/preview.jpg",
        "/v1/previews?stream=bikes",
        "/v1/bill",
        "/v1/bill.csv",
        "/nowhere",
        "//v1/streams",
    ],
)
def test_nothing_is_told_without_a_token(locked: Api, path: str) -> None:
    for head in ({}, bearer("wrong"), {"Authorization": "Basic x"}):
        answer = locked.http.get(path, headers=head)
        assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
        assert answer.headers["content-type"] == "application/problem+json"


def test_a_reader_may_read_and_change_nothing(locked: Api, reader: str) -> None:
    head = bearer(reader)
    assert locked.http.get("/v1/streams/bikes", headers=head).status_code == 200
    asked = {"source": "sample:bikes"}
    assert locked.http.post("/v1/streams", json=asked, headers=head).status_code == 403
    assert locked.http.patch("/v1/streams/bikes", json={"paused": True}, headers=head).status_code == 403
    assert locked.http.delete("/v1/streams/bikes", headers=head).status_code == 403
    assert locked.http.post("/v1/frames", content=b"", headers=head).status_code == 403
    assert locked.http.get("/v1/streams/bikes", headers=head).json()["revision"] == 0


def test_a_manager_may_do_all(locked: Api, manager: str) -> None:
    head = bearer(manager)
    assert locked.http.post("/v1/streams", json={"source": "sample:bunny"}, headers=head).status_code == 201
    assert locked.http.patch("/v1/streams/bunny", json={"fps": 1}, headers=head).status_code == 200
    assert locked.http.delete("/v1/streams/bunny", headers=head).status_code == 204


def test_a_browser_may_name_its_token_in_the_url_only_where_it_must(
    locked: Api, reader: str, manager: str
) -> None:
    query = {"token": reader, "after": "0", "limit": "1"}
    assert locked.http.get("/v1/streams/bikes/results", params=query).status_code == 200
    address = f"ws://127.0.0.1:{locked.port}/v1/streams/bikes/ws"
    with websocket(f"{address}?after=0&token={reader}") as socket:
        assert '"frame": 0' in str(socket.recv(20))
    with pytest.raises(InvalidStatus) as refused, websocket(f"{address}?after=0"):
        pass
    assert refused.value.response.status_code == 401
    assert locked.http.get("/v1/bill.csv", params={"token": reader}).status_code == 200
    assert locked.http.get("/v1/streams", params={"token": reader}).status_code == 401
    assert locked.http.delete("/v1/streams/bikes", params={"token": manager}).status_code == 401


def test_a_token_in_the_url_reaches_nothing_that_logs_it(locked: Api, reader: str, file: Path) -> None:
    seen: list[bytes] = []

    async def behind(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["query_string"])
        await Response("")(scope, receive, send)

    guard = Guard(behind, BearerTokens(file), GatewaySettings())
    asked = {"token": reader, "after": "0", "limit": "1"}

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(guard), base_url="http://it") as client:
            return await client.get("/v1/streams/bikes/results", params=asked)

    assert asyncio.run(ask()).status_code == 200
    assert seen == [b"after=0&limit=1"]
    assert reader not in locked.http.get("/v1/streams/none/results", params={"token": reader}).text


def test_probes_and_documentation_need_no_token_and_tell_no_reasons(locked: Api, redis: Server) -> None:
    assert [locked.http.get(path).status_code for path in ("/healthz", "/docs", "/openapi.json")] == [200] * 3
    redis.kill()
    answer = locked.http.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["checks"]["redis"] == {"ok": False, "reason": None}


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:80", "10.0.0.1", ""])
def test_without_tokens_a_name_that_is_rebound_to_this_machine_is_refused(api: Api, host: str) -> None:
    api.add()
    answer = api.http.get("/v1/streams", headers={"Host": host})
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:vwt:problem:foreign-host")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:1", "[::1]:8000", "LOCALHOST:80"])
def test_without_tokens_this_machine_is_let_in_by_all_its_names(api: Api, host: str) -> None:
    assert api.http.get("/v1/streams", headers={"Host": host}).status_code == 200


def test_without_tokens_a_page_of_another_site_can_change_nothing_and_follow_nothing(api: Api) -> None:
    api.add()
    for origin in ("https://evil.example", "null", "http://127.0.0.1:1"):
        head = {"Origin": origin}
        answers: list[httpx.Response] = [
            api.http.post("/v1/streams", json={"source": "sample:bikes"}, headers=head),
            api.http.delete("/v1/streams/bikes", headers=head),
        ]
        assert [answer.status_code for answer in answers] == [403, 403]
        address = f"ws://127.0.0.1:{api.port}/v1/streams/bikes/ws"
        with pytest.raises(InvalidStatus), websocket(address, additional_headers=head):
            pass
    own = {"Origin": f"http://127.0.0.1:{api.port}"}
    assert api.http.delete("/v1/streams/bikes", headers=own).status_code == 204
