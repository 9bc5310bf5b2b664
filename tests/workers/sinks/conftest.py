from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.vocab.conftest import client
from tests.vocab.servers import Server, eventually
from tests.workers.sinks.receiver import Receiver
from vocab.connection import RedisClient
from workers.contract.result_log import ResultLog
from workers.contract.sink_offsets import sink_status
from workers.contract.stream_spec import StreamSpec
from workers.ingest.deliveries import StreamDeliveries
from workers.ingest.metrics import IngestMetrics
from workers.settings.schema import ServiceSettings

__all__ = ["client"]

_KEPT = 1_000_000


@pytest.fixture
def server() -> Iterator[Server]:
    """An empty Valkey."""
    server = Server("valkey")
    yield server
    server.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


class Bench:
    """A stream with results, and deliveries of it."""

    def __init__(self, client: RedisClient, folder: Path) -> None:
        self.client: Any = client
        self.settings = ServiceSettings(
            access={"allow_hosts": ["127.0.0.1"], "allow_folders": [folder]}  # type: ignore[arg-type]
        )
        self.fence = 1
        self._next = 0
        self._running: list[StreamDeliveries] = []

    def spec(self, *sinks: dict[str, Any]) -> StreamSpec:
        return StreamSpec.model_validate({"id": "gate", "source": "sample:bikes", "sinks": list(sinks)})

    def results(self, count: int, kept: int = _KEPT) -> None:
        """Appends that many results, as Inference does."""
        texts = [
            json.dumps({"stream": "gate", "frame": number}, separators=(",", ":"))
            for number in range(self._next, self._next + count)
        ]
        self._next = ResultLog(self.client, "gate", kept).append(self.fence, self._next, texts, {})

    def deliver(self, *sinks: dict[str, Any], fence: int | None = None) -> StreamDeliveries:
        """Starts deliveries to such sinks."""
        deliveries = StreamDeliveries(
            self.settings,
            self.client,
            self.spec(*sinks),
            lambda: self.fence if fence is None else fence,
            IngestMetrics(),
        )
        self._running.append(deliveries)
        deliveries.start()
        return deliveries

    def status(self, *sinks: dict[str, Any]) -> dict[str, Any]:
        """What the first of such sinks is doing."""
        return sink_status(self.client, self.spec(*sinks))[0]

    def caught_up(self, *sinks: dict[str, Any]) -> None:
        """Waits until every result there is was taken."""
        eventually(lambda: all(s["lag"] == 0 for s in sink_status(self.client, self.spec(*sinks))), 40)

    def close(self) -> None:
        for deliveries in self._running:
            deliveries.stop(15)


@pytest.fixture
def bench(client: RedisClient, tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(client, tmp_path)
    yield bench
    bench.close()
