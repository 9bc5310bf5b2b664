from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import make_clips
from tests.vocab.servers import Server
from tests.workers.ingest.inference import Inference
from tests.workers.telemetry.recorded import told
from vocab.connection import RedisClient, connect
from workers.contract.keys import StreamKeys

__all__ = ["told"]


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server("valkey")
    yield server
    server.close()


@pytest.fixture
def client(server: Server) -> RedisClient:
    return connect(server.url + "?socket_timeout=30")


@pytest.fixture
def inference(client: RedisClient) -> Iterator[Inference]:
    inference = Inference(client)
    yield inference
    inference.close()


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """100 pictures, 10 a second."""
    return make_clips.steady(tmp_path_factory.mktemp("clips") / "clip.mp4", frames=100)


class Watch:
    """Follows what a stream gives, and waits for it."""

    def __init__(self, client: RedisClient, stream: str) -> None:
        self._client: Any = client
        self._keys = StreamKeys(stream)
        self._seen = "0-0"

    def until_state(self, state: str, within_s: float = 30) -> dict[str, Any]:
        """The next event of that state; fails when there is none in time."""
        return self._until(lambda event: event["state"] == state, within_s)

    def _until(self, wanted: Callable[[dict[str, Any]], bool], within_s: float) -> dict[str, Any]:
        deadline = time.monotonic() + within_s
        while (left_s := deadline - time.monotonic()) > 0:
            answer = self._client.xread({self._keys.events: self._seen}, block=max(int(left_s * 1000), 1))
            for entry, fields in answer[0][1] if answer else ():
                self._seen = entry
                event: dict[str, Any] = json.loads(fields[b"state"])
                if wanted(event):
                    return event
        raise AssertionError(f"no such event; last: {self._client.xrevrange(self._keys.events, count=5)}")

    def until_frame(self, frame: int, within_s: float = 30) -> None:
        """Waits until that frame's result is there."""
        after = f"{frame}-0"
        answer = self._client.xread({self._keys.results: after}, block=int(within_s * 1000))
        assert answer, f"no result of frame {frame}"

    def results(self) -> list[dict[str, Any]]:
        return [json.loads(fields[b"result"]) for _, fields in self._client.xrange(self._keys.results)]


@pytest.fixture
def watch(client: RedisClient) -> Callable[[str], Watch]:
    return lambda stream: Watch(client, stream)
