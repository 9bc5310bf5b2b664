"""The API on a real socket, and clients that read it as others would."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import httpx
import numpy as np

from pipeline.errors import ServiceError
from pipeline.history import Wanted
from pipeline.looking import Part
from pipeline.scene.polygon import Point
from vocab.connection import RedisClient, connect
from vocab.redis_lease import RedisLease
from workers.contract.keys import StreamKeys
from workers.contract.messages import BoxExample, Example, TokenSettings
from workers.contract.result_log import ResultLog
from workers.gateway.api import build_api
from workers.gateway.backend import Backend
from workers.gateway.listener import Listener
from workers.inference.preview import encode
from workers.settings.schema import ServiceSettings

# Of a box: as high as it may be, and half as wide.
PICTURE = encode(np.linspace(40, 220, 96 * 48 * 3).reshape(96, 48, 3).astype(np.uint8))


class Edge:
    """Stands for the Inference deployment, which runs in other processes."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, TokenSettings]] = []
        self.error: Exception | None = None
        # What a zone looks like, and to whom; each look is a little off.
        self.vector = np.array([1.0, 0, 0, 0], np.float32)
        self.seen = ("dinov2_vits14_saliency", "448x448 native")
        self.frame = 7
        # The one that was named last.
        self.shown: int | None = None
        self.held: int | None = None
        self._noise = np.random.default_rng(0)

    async def image(self, data: bytes, settings: TokenSettings) -> dict[str, Any]:
        if self.error is not None:
            raise self.error
        self.asked.append((len(data), settings))
        return {"model": settings.model, "tokenizer": settings.tokenizer}

    async def look(self, data: bytes, settings: TokenSettings, box: str | None) -> Wanted:
        if self.error is not None:
            raise self.error
        self.asked.append((len(data), settings))
        thing = np.array([0, 0, 1.0, 0]) if box is not None and Part.parse(box).may_be_thing else None
        return Wanted(np.array([1.0, 0, 0, 0]), part=box is not None, thing=thing)

    async def text(self, text: str, settings: TokenSettings) -> Wanted:
        if self.error is not None:
            raise self.error
        self.asked.append((len(text), settings))
        return Wanted(np.array([0, 1.0, 0, 0]))

    async def example(
        self,
        stream: str,  # noqa: ARG002
        inference: Mapping[str, Any] | None,  # noqa: ARG002
        polygon: Sequence[Point],  # noqa: ARG002
        frame: int | None,
    ) -> Example:
        self.shown = frame
        if self.error is not None:
            raise self.error
        vector = self.vector + self._noise.normal(0, 0.02, 4).astype(np.float32)
        self.frame += 1
        return Example(*self.seen, self.frame, vector / np.linalg.norm(vector))

    async def box_example(
        self,
        stream: str,  # noqa: ARG002
        inference: Mapping[str, Any] | None,  # noqa: ARG002
        sides: Sequence[float],  # noqa: ARG002
        name: str,  # noqa: ARG002
        frame: int | None,
    ) -> BoxExample:
        found = await self.example("", None, (), frame)
        number = self.frame if frame is None else frame
        whole = np.zeros(4, np.float32)
        return BoxExample(found.model, found.seen_as, number, found.vector, whole, PICTURE)

    async def hold(self, stream: str, inference: Mapping[str, Any] | None, frame: int) -> None:  # noqa: ARG002
        if self.error is not None:
            raise self.error
        self.held = frame

    async def ready(self) -> dict[str, Any]:
        if isinstance(self.error, ServiceError):
            raise self.error
        return {}


class Api:
    """A running API."""

    def __init__(self, settings: ServiceSettings, backend: Backend | None = None) -> None:
        self.edge = Edge()
        app = build_api(settings, backend or self.edge)
        self.listener = Listener(app, "127.0.0.1", 0, 2 * settings.gateway.max_connections, 1)
        self.port = self.listener.port
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=20)

    def add(self, **stream: Any) -> dict[str, Any]:
        """Adds a stream."""
        answer = self.http.post("/v1/streams", json={"source": "sample:bikes", **stream})
        assert answer.status_code == 201, answer.text
        added: dict[str, Any] = answer.json()
        return added

    @contextmanager
    def results(self, stream: str, after: str | None = None, **more: Any) -> Iterator[Iterator[Event]]:
        """Opens the events of a stream."""
        query = {"after": after, **more} if after is not None else more
        with self.http.stream("GET", f"/v1/streams/{stream}/results", params=query) as answer:
            assert answer.status_code == 200, answer.read()
            yield events_of(answer)

    def close(self) -> None:
        self.http.close()
        self.listener.close()


class Event:
    """One Server-Sent Event."""

    def __init__(self, name: str, text: str, number: str) -> None:
        self.name, self.id = name, number
        self.data: dict[str, Any] = json.loads(text)

    @property
    def frame(self) -> int:
        found: int = self.data["frame"]
        return found


def events_of(answer: httpx.Response) -> Iterator[Event]:
    """Reads events as the standard says; comments are keep-alives."""
    fields: dict[str, str] = {}
    for line in answer.iter_lines():
        if not line and fields:
            yield Event(fields["event"], fields["data"], fields["id"])
            fields = {}
        elif not line.startswith(":") and line:
            key, _, value = line.partition(": ")
            fields[key] = value


class Writer:
    """Writes what Ingest and Inference would, under a real lease."""

    def __init__(self, url: str, stream: str) -> None:
        self.client: RedisClient = connect(url)
        self.stream = stream
        self.keys = StreamKeys(stream)
        fence = RedisLease(self.client, self.keys).acquire()
        assert fence is not None
        self.fence = fence
        self.log = ResultLog(self.client, stream, kept=1000)

    def frames(self, first: int, count: int) -> None:
        texts = [json.dumps({"stream": self.stream, "frame": n}) for n in range(first, first + count)]
        self.log.append(self.fence, first, texts, {})

    def state(self, state: str) -> None:
        self.log.set_status(self.fence, {"state": state}, json.dumps({"state": state, "reason": None}))

    def energy(self, frame: int, joules: float) -> None:
        energy = json.dumps({"frame": frame, "energy": {"joules": joules}})
        self.log.settle(self.fence, [energy], {})
