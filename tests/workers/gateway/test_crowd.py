"""No client, however it behaves, keeps others out: not with many connections, nor with slow ones."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect as websocket

from tests.vocab.servers import Server, eventually
from tests.workers.gateway.serving import Api, Writer
from workers.access.bearer_tokens import add_token
from workers.gateway import patience

Serve = Callable[..., Api]


class Raw:
    """Connections of a client that does as it likes."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._stack = ExitStack()

    def send(self, *parts: bytes) -> socket.socket:
        made = self._stack.enter_context(socket.create_connection(("127.0.0.1", self._port), 20))
        for part in parts:
            made.sendall(part)
        return made

    def get(self, path: str, *headers: str) -> socket.socket:
        lines = [f"GET {path} HTTP/1.1", "Host: localhost", *headers, "", ""]
        return self.send("\r\n".join(lines).encode())

    def close(self) -> None:
        self._stack.close()


@pytest.fixture
def raw() -> Iterator[Callable[[Api], Raw]]:
    made: list[Raw] = []

    def make(api: Api) -> Raw:
        made.append(Raw(api.port))
        return made[-1]

    yield make
    for one in made:
        one.close()


def _answered(connection: socket.socket) -> bytes:
    """The head of the answer."""
    head = b""
    while b"\r\n\r\n" not in head:
        part = connection.recv(1)
        assert part, head
        head += part
    return head


def _status(connection: socket.socket) -> int:
    return int(_answered(connection).split()[1])


def _ended(connection: socket.socket) -> bytes:
    """What comes until the other side ends the connection."""
    came = b""
    try:
        while part := connection.recv(65536):
            came += part
    except ConnectionResetError:
        pass
    return came


def test_a_client_with_hundreds_of_streams_that_it_never_reads_keeps_nobody_out(
    serve: Serve, raw: Callable[[Api], Raw]
) -> None:
    api = serve(gateway={"max_connections": 200, "max_connections_per_client": 1000})
    api.add()
    client = raw(api)
    heads = [_answered(client.get("/v1/streams/bikes/results")) for _ in range(300)]
    refused = [head for head in heads if b" 503 " in head.split(b"\r\n")[0]]
    assert len(refused) == 120  # a tenth is kept
    assert b"retry-after: 5" in refused[0].lower()
    for path in ("/healthz", "/readyz", "/metrics", "/v1/streams", "/v1/streams/bikes"):
        assert api.http.get(path).status_code == 200
    assert api.http.delete("/v1/streams/bikes").status_code == 204


def test_one_client_may_have_only_its_share_and_gets_it_back(
    serve: Serve, tmp_path: Path, raw: Callable[[Api], Raw]
) -> None:
    file = tmp_path / "tokens"
    one, other = add_token(file, "one", "manage"), add_token(file, "other", "read")
    api = serve(access={"token_file": file}, gateway={"max_connections_per_client": 3})
    api.http.headers["Authorization"] = f"Bearer {one}"
    api.add()
    mine = raw(api)
    asked = ("/v1/streams/bikes/results", f"Authorization: Bearer {one}")
    # One after the other: who comes first is else not said.
    assert [_status(mine.get(*asked)) for _ in range(4)] == [200, 200, 200, 503]
    with pytest.raises(InvalidStatus) as refused:
        websocket(f"ws://127.0.0.1:{api.port}/v1/streams/bikes/ws?token={one}")
    assert refused.value.response.status_code == 503
    assert _status(raw(api).get("/v1/streams/bikes/results", f"Authorization: Bearer {other}")) == 200
    assert api.http.get("/v1/streams").status_code == 200
    mine.close()
    eventually(lambda: _status(raw(api).get(f"/v1/streams/bikes/results?token={one}")) == 200)


def test_a_refusal_is_a_problem_that_names_the_setting(serve: Serve, raw: Callable[[Api], Raw]) -> None:
    api = serve(gateway={"max_connections_per_client": 1})
    api.add()
    assert _status(raw(api).get("/v1/streams/bikes/results")) == 200
    answer = api.http.get("/v1/streams/bikes/results")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:vwt:problem:busy"
    assert "gateway.max_connections_per_client" in answer.json()["detail"]


@pytest.mark.parametrize(
    "said",
    [
        (),
        (b"GET / HTT",),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: y\r\n",),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", b"GET / HT"),
    ],
)
def test_who_does_not_say_what_it_wants_is_let_go(
    api: Api, raw: Callable[[Api], Raw], monkeypatch: pytest.MonkeyPatch, said: tuple[bytes, ...]
) -> None:
    assert patience._REQUEST_S < 15
    monkeypatch.setattr(patience, "_REQUEST_S", 0.3)
    assert b"408 Request Timeout" in _ended(raw(api).send(*said)) or len(said) == 2


def test_a_body_may_take_its_time_while_it_comes_but_not_by_the_drop(
    api: Api, raw: Callable[[Api], Raw], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "_REQUEST_S", 0.5)
    monkeypatch.setattr(patience, "_FAIR_BYTES", 1000)
    head = b"POST /v1/frames HTTP/1.1\r\nHost: localhost\r\nContent-Length: 200000\r\n\r\n"
    assert _ended(raw(api).send(head, b"x")) == b""
    fair = raw(api).send(head)
    # For four times as long as a request may take.
    for _ in range(99):
        fair.sendall(bytes(2000))
        fair.settimeout(0.02)
        with pytest.raises(TimeoutError):
            fair.recv(1)
    fair.settimeout(20)
    fair.sendall(bytes(2000))
    assert _status(fair) == 415


@pytest.mark.parametrize("path", ["/v1/streams/bikes/results?after=0", "/v1/streams/bikes/ws?after=0"])
def test_who_takes_nothing_is_let_go(
    api: Api, writer: Writer, raw: Callable[[Api], Raw], monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(patience, "_TAKE_S", 0.5)
    big = json.dumps({"stream": "bikes", "padding": "x" * 200_000})
    writer.log.append(writer.fence, 0, [big] * 100, {})
    upgrade = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"]
    upgrade += ["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]
    connection = raw(api).get(path, *(upgrade if "/ws" in path else ()))
    assert _status(connection) in (200, 101)
    eventually(lambda: api.listener.connections == 0)
    assert len(_ended(connection)) < 100 * len(big)


def test_thousands_that_say_nothing_leave_room_for_who_does(serve: Serve, raw: Callable[[Api], Raw]) -> None:
    api = serve(gateway={"max_connections": 100})
    client = raw(api)
    for _ in range(1000):
        client.send(b"GET /hea")
    with httpx.Client(base_url=f"http://127.0.0.1:{api.port}", timeout=20) as fresh:
        assert fresh.get("/healthz").status_code == 200
    assert api.listener.connections <= 200


def test_more_than_all_that_may_be_is_refused_even_to_health(
    redis: Server, serve: Serve, raw: Callable[[Api], Raw]
) -> None:
    api = serve(gateway={"max_connections": 1})
    api.add()
    assert _status(raw(api).get("/v1/streams/bikes/results")) == 200
    redis.halt()
    waits = raw(api).get("/v1/streams/bikes")
    eventually(lambda: api.http.get("/healthz").status_code == 503)
    redis.resume()
    assert waits is not None
