"""The gateway as Ray Serve runs it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from ray import serve
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect as websocket

from pipeline.errors import ModelError
from tests.small_ray import small_ray
from tests.vocab.servers import Server, eventually, unused_port
from tests.workers.gateway.serving import Writer, events_of
from tests.workers.gateway.test_preview_and_frames import picture
from workers.access.bearer_tokens import add_token
from workers.contract.messages import TokenSettings
from workers.gateway.deployment import gateway_deployment
from workers.settings.schema import AccessSettings, ServiceSettings


class _Inference:
    async def predict(self, image: bytes, settings: TokenSettings) -> dict[str, Any]:
        if settings.model == "none":
            raise ModelError("there is no model 'none'")
        return {"bytes": len(image), "model": settings.model}

    async def where(self) -> dict[str, Any]:
        return {"replica": "one"}


class _Ingest:
    pass


class _Keeper:
    pass


def _deployed(kind: type, *handles: serve.Application) -> serve.Application:
    return serve.deployment(kind, name=kind.__name__, ray_actor_options={"num_cpus": 0}).bind(*handles)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Ray runs here."""
    with small_ray() as running:
        yield running.folder


@pytest.fixture(scope="module")
def redis() -> Iterator[Server]:
    server = Server("valkey")
    yield server
    server.close()


@pytest.fixture(scope="module")
def token(folder: Path) -> str:
    return add_token(folder / "tokens", "test", "manage")


@pytest.fixture(scope="module")
def http(folder: Path, redis: Server, token: str) -> Iterator[httpx.Client]:
    """A client of the deployed gateway."""
    port = unused_port()
    settings = ServiceSettings(redis=redis.url, access=AccessSettings(token_file=folder / "tokens"))
    values = settings.model_dump(mode="json")
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    inference = _deployed(_Inference)
    others = _deployed(_Ingest), inference, _deployed(_Keeper)
    serve.run(gateway_deployment(settings).bind(values, *others))
    head = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=head, timeout=30) as client:
        yield client


def test_results_are_streamed_and_resumed_through_serve(http: httpx.Client, redis: Server) -> None:
    assert http.get("/readyz").status_code == 200
    assert http.post("/v1/streams", json={"source": "sample:bikes"}).status_code == 201
    writer = Writer(redis.url, "bikes")
    writer.frames(0, 2)
    with http.stream("GET", "/v1/streams/bikes/results?after=0") as answer:
        events = events_of(answer)
        assert next(events).frame == 0
        last = next(events)
        # It comes while the response is open: nothing between us holds it back.
        writer.frames(2, 1)
        assert next(events).frame == 2
    head = {"Last-Event-ID": last.id}
    with http.stream("GET", "/v1/streams/bikes/results", headers=head) as answer:
        assert next(events_of(answer)).frame == 2

    def waiting() -> int:
        return sum(client["cmd"] == "xread" for client in writer.client.client_list())

    eventually(lambda: waiting() == 0)
    assert http.delete("/v1/streams/bikes").status_code == 204


def test_a_websocket_works_through_serve(http: httpx.Client, redis: Server, token: str) -> None:
    http.post("/v1/streams", json={"source": "sample:bunny"})
    Writer(redis.url, "bunny").frames(0, 1)
    address = f"ws://127.0.0.1:{http.base_url.port}/v1/streams/bunny/ws"
    with websocket(f"{address}?after=0&token={token}") as socket:
        assert json.loads(socket.recv(20))["data"]["frame"] == 0
    with pytest.raises(InvalidStatus) as refused, websocket(address):
        pass
    assert refused.value.response.status_code == 401


@pytest.mark.parametrize("size", [(8, 8), (1600, 1000)], ids=["small", "of five megabytes"])
def test_an_image_and_its_errors_come_from_inference(http: httpx.Client, size: tuple[int, int]) -> None:
    data = picture("BMP", size)
    answer = http.post("/v1/frames", content=data, params={"model": "resnet18"})
    assert answer.json() == {"bytes": len(data), "model": "resnet18"}
    refused = http.post("/v1/frames", content=data, params={"model": "none"})
    assert (refused.status_code, refused.json()["detail"]) == (422, "there is no model 'none'")


def test_no_token_is_in_a_log_of_ray(http: httpx.Client, folder: Path, token: str) -> None:
    with http.stream("GET", f"/v1/streams/x/results?token={token}") as answer:
        assert answer.status_code == 404

    def logs() -> bytes:
        return b"".join(path.read_bytes() for path in folder.rglob("logs/**/*") if path.is_file())

    eventually(lambda: b"/results 404" in logs())
    assert token.encode() not in logs()
